use crate::ImageClassifier;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use fornax_layers::{Activation, ConvBlock, ConvBlockConfig, DenseBlock, DenseBlockConfig, Dropout, DropoutConfig, Site, Tap, head, init, max_pool};
use serde::{Deserialize, Serialize};

/// A convolution of [`ConvNet`] and the pooling after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Channels out.
    pub channels: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Step of the kernel.
    pub stride: usize,
    /// Zeros around the image.
    pub padding: usize,
    /// Side of the max-pooling after it; 1 for none.
    pub pool: usize,
}

impl Stage {
    /// A 3×3 convolution with stride 1 and no padding, and pooling.
    pub const fn valid3(channels: usize, pool: usize) -> Self {
        Self { channels, kernel: 3, stride: 1, padding: 0, pool }
    }

    fn side(&self, side: usize) -> Option<usize> {
        let space = (side + 2 * self.padding).checked_sub(self.kernel)?;
        Some((space / self.stride.max(1) + 1) / self.pool.max(1)).filter(|&side| side > 0)
    }
}

/// Configuration of [`ConvNet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConvNetConfig {
    /// Channels and sides of an image.
    pub image: [usize; 3],
    /// Convolutions, in order.
    pub stages: Vec<Stage>,
    /// Widths of the dense layers between the convolutions and the head.
    pub dense: Vec<usize>,
    /// Classes.
    pub classes: usize,
    /// Batch norm in every convolution.
    pub batch_norm: bool,
    /// Before every dense layer and the head.
    pub dropout: f64,
    /// tanh in place of ReLU: off.
    #[serde(default)]
    pub tanh: bool,
}

impl ConvNetConfig {
    /// The tutorial's network: 3×3×32 → 3×3×64 → pool 2 → pool 2 → dense 128 → 10, on 28×28×1 with 'valid' padding.
    ///
    /// Two poolings of side 2 are one of side 4 where, as here, the side 24 divides.
    pub fn tutorial() -> Self {
        Self {
            image: [1, 28, 28],
            stages: vec![Stage::valid3(32, 1), Stage::valid3(64, 4)],
            dense: vec![128],
            classes: 10,
            batch_norm: false,
            dropout: 0.0,
            tanh: false,
        }
    }

    /// Features after the last stage, or what is wrong with the stages.
    ///
    /// # Errors
    /// If the image is used up before the last stage, or a number is 0.
    pub fn features(&self) -> Result<usize, String> {
        let [mut channels, mut height, mut width] = self.image;
        for (index, stage) in self.stages.iter().enumerate() {
            if [stage.channels, stage.kernel, stage.stride, stage.pool].contains(&0) {
                return Err(format!("stage {index} has a 0 where at least 1 is needed: {stage:?}"));
            }
            let sides = stage.side(height).zip(stage.side(width));
            let Some((h, w)) = sides else { return Err(format!("stage {index} has only {height}×{width} pixels left, too few for {stage:?}")) };
            (channels, height, width) = (stage.channels, h, w);
        }
        Ok(channels * height * width)
    }

    /// Draws the weights from the step key.
    ///
    /// # Panics
    /// If the stages do not fit the image: see [`ConvNetConfig::features`].
    pub fn init(&self, device: &Device) -> ConvNet {
        let features = self.features().unwrap_or_else(|why| panic!("{why}"));
        let activation = if self.tanh { Activation::Tanh } else { Activation::Relu };
        let inputs = std::iter::once(self.image[0]).chain(self.stages.iter().map(|s| s.channels));
        let conv = |(inputs, stage): (usize, &Stage)| {
            ConvBlockConfig::new(inputs, stage.channels, stage.kernel)
                .with_stride(stage.stride)
                .with_padding(stage.padding)
                .with_batch_norm(self.batch_norm)
                .with_activation(activation)
                .init(device)
        };
        let widths: Vec<usize> = std::iter::once(features).chain(self.dense.iter().copied()).collect();
        ConvNet {
            features: inputs.zip(&self.stages).map(conv).collect(),
            dense: widths.windows(2).map(|w| DenseBlockConfig::new(w[0], w[1]).with_activation(activation).init(device)).collect(),
            dropout: DropoutConfig::new(self.dropout).init(),
            head: init::linear(widths[widths.len() - 1], self.classes, true, device),
            pools: self.stages.iter().map(|s| s.pool).collect(),
        }
    }
}

/// Convolutions with pooling, then dense layers: the plain convolutional network.
#[derive(Module, Debug)]
pub struct ConvNet {
    /// Convolutions, in order.
    pub features: Vec<ConvBlock>,
    /// Dense layers after them.
    pub dense: Vec<DenseBlock>,
    /// Before every dense layer and the head.
    pub dropout: Dropout,
    /// To the logits.
    pub head: Linear,
    #[module(skip)]
    pools: Vec<usize>,
}

impl ConvNet {
    /// The output of each convolution before its pooling, scoped by its index: `[B, C, H, W]`
    pub const FEATURES: Site = Site("features");
    /// The output of the last convolution before its pooling: `[B, C, H, W]`
    pub const LAST: Site = Site("features.last");
}

impl ImageClassifier for ConvNet {
    const SPATIAL: Option<Site> = Some(Self::LAST);

    fn forward_with<T: Tap>(&self, images: Tensor<4>, tap: &mut T) -> Tensor<2> {
        let mut x = images;
        for (index, (block, &pool)) in self.features.iter().zip(&self.pools).enumerate() {
            tap.scope("features", index);
            x = tap.tap(Self::FEATURES, block.forward(x));
            if index + 1 == self.features.len() {
                x = tap.tap(Self::LAST, x);
            }
            x = if pool > 1 { max_pool(x, pool) } else { x };
        }
        let x: Tensor<2> = x.flatten(1, 3);
        let x = self.dense.iter().fold(x, |x, layer| layer.forward(self.dropout.forward(x)));
        head(&self.head, self.dropout.forward(x))
    }
}
