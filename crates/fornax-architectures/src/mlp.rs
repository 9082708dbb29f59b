use crate::ImageClassifier;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use fornax_layers::{DenseBlock, DenseBlockConfig, Dropout, DropoutConfig, Site, Tap, head, init};
use serde::{Deserialize, Serialize};

/// Configuration of [`Mlp`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MlpConfig {
    /// Features in: channels × height × width.
    pub inputs: usize,
    /// Width of each hidden layer.
    pub hidden: Vec<usize>,
    /// Classes.
    pub classes: usize,
    /// After every hidden layer.
    pub dropout: f64,
}

impl MlpConfig {
    /// 784-300-10, without dropout: LeCun et al. 1998, "2-layer NN, 300 hidden units".
    pub fn mnist() -> Self {
        Self { inputs: 28 * 28, hidden: vec![300], classes: 10, dropout: 0.0 }
    }

    /// Draws the weights from the step key.
    pub fn init(&self, device: &Device) -> Mlp {
        let widths: Vec<usize> = std::iter::once(self.inputs).chain(self.hidden.iter().copied()).collect();
        Mlp {
            hidden: widths.windows(2).map(|w| DenseBlockConfig::new(w[0], w[1]).init(device)).collect(),
            dropout: DropoutConfig::new(self.dropout).init(),
            head: init::linear(widths[widths.len() - 1], self.classes, true, device),
        }
    }
}

/// A multilayer perceptron: `hᵢ = max(Wᵢ hᵢ₋₁ + bᵢ, 0)`, then a linear head.
///
/// Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.
#[derive(Module, Debug)]
pub struct Mlp {
    /// Hidden layers.
    pub hidden: Vec<DenseBlock>,
    /// After each of them.
    pub dropout: Dropout,
    /// To the logits.
    pub head: Linear,
}

impl Mlp {
    /// The output of each hidden layer, scoped by its index: `[B, D]`
    pub const HIDDEN: Site = Site("hidden");
}

impl ImageClassifier for Mlp {
    const SPATIAL: Option<Site> = None;

    fn forward_with<T: Tap>(&self, images: Tensor<4>, tap: &mut T) -> Tensor<2> {
        let mut x: Tensor<2> = images.flatten(1, 3);
        for (index, layer) in self.hidden.iter().enumerate() {
            tap.scope("hidden", index);
            x = tap.tap(Self::HIDDEN, layer.forward(x));
            x = self.dropout.forward(x);
        }
        head(&self.head, x)
    }
}
