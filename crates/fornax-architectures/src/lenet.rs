use crate::ImageClassifier;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use fornax_layers::{Activation, ConvBlock, ConvBlockConfig, DenseBlock, DenseBlockConfig, Site, Tap, head, init, max_pool};
use serde::{Deserialize, Serialize};

/// Configuration of [`LeNet5`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeNet5Config {
    /// Classes.
    pub classes: usize,
}

impl LeNet5Config {
    /// For ten digits.
    pub fn mnist() -> Self {
        Self { classes: 10 }
    }

    /// Draws the weights from the step key.
    pub fn init(&self, device: &Device) -> LeNet5 {
        let conv = |i, o, p| ConvBlockConfig::new(i, o, 5).with_padding(p).with_activation(Activation::Tanh).init(device);
        let dense = |i, o| DenseBlockConfig::new(i, o).with_activation(Activation::Tanh).init(device);
        LeNet5 {
            conv1: conv(1, 6, 2),
            conv2: conv(6, 16, 0),
            dense1: dense(400, 120),
            dense2: dense(120, 84),
            head: init::linear(84, self.classes, true, device),
        }
    }
}

/// LeNet-5 for 28×28 images: 5×5×6 → pool → 5×5×16 → pool → 120 → 84 → classes, with tanh.
///
/// Differs from the paper as PyTorch tutorials do: max-pooling without weights, full connections between the two convolutions, and a linear
/// head in place of radial basis functions.
///
/// Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998, figure 2.
#[derive(Module, Debug)]
pub struct LeNet5 {
    /// 1 → 6 channels, padding 2.
    pub conv1: ConvBlock,
    /// 6 → 16 channels.
    pub conv2: ConvBlock,
    /// 400 → 120.
    pub dense1: DenseBlock,
    /// 120 → 84.
    pub dense2: DenseBlock,
    /// To the logits.
    pub head: Linear,
}

impl LeNet5 {
    /// After the second convolution: `[B, 16, 10, 10]`
    pub const CONV2: Site = Site("conv2");
}

impl ImageClassifier for LeNet5 {
    const SPATIAL: Option<Site> = Some(Self::CONV2);

    fn forward_with<T: Tap>(&self, images: Tensor<4>, tap: &mut T) -> Tensor<2> {
        let x = max_pool(self.conv1.forward(images), 2); // [B, 6, 14, 14]
        let x = tap.tap(Self::CONV2, self.conv2.forward(x)); // [B, 16, 10, 10]
        let x: Tensor<2> = max_pool(x, 2).flatten(1, 3); // [B, 400]
        head(&self.head, self.dense2.forward(self.dense1.forward(x)))
    }
}
