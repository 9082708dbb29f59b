use crate::ImageClassifier;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use fornax_layers::{Activation, ConvBlock, ConvBlockConfig, Linear, LinearConfig, Site, Tap, max_pool_overlapping};
use serde::{Deserialize, Serialize};

/// What stands before the stages of [`ResNet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stem {
    /// A 3×3 convolution with stride 1, for images of 32×32.
    Small,
    /// A 7×7 convolution and a 3×3 max-pooling, both with stride 2, for images of 224×224.
    Large,
}

/// Configuration of [`ResNet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResNetConfig {
    /// Channels and sides of an image.
    pub image: [usize; 3],
    /// What stands before the stages.
    pub stem: Stem,
    /// Blocks of every stage; each stage after the first halves the image and has twice the channels.
    pub blocks: Vec<usize>,
    /// Channels of the first stage.
    pub width: usize,
    /// Classes.
    pub classes: usize,
}

impl ResNetConfig {
    /// ResNet-18 of He et al., table 1: 224×224×3, 1,000 classes, 11,689,512 parameters.
    pub fn resnet18() -> Self {
        Self { image: [3, 224, 224], stem: Stem::Large, blocks: vec![2; 4], width: 64, classes: 1000 }
    }
    /// ResNet-34 of He et al., table 1: 224×224×3, 1,000 classes, 21,797,672 parameters.
    pub fn resnet34() -> Self {
        Self { blocks: vec![3, 4, 6, 3], ..Self::resnet18() }
    }
    /// ResNet-18 for 32×32×3 and 10 classes, with a stem that keeps the image's size: 11,173,962 parameters.
    pub fn cifar_resnet18() -> Self {
        Self { image: [3, 32, 32], stem: Stem::Small, classes: 10, ..Self::resnet18() }
    }

    /// Draws the weights from the step key.
    pub fn init(&self, device: &Device) -> ResNet {
        let (kernel, stride, padding) = match self.stem {
            Stem::Small => (3, 1, 1),
            Stem::Large => (7, 2, 3),
        };
        let stem =
            ConvBlockConfig::new(self.image[0], self.width, kernel).with_stride(stride).with_padding(padding).with_batch_norm(true).init(device);
        let mut inputs = self.width;
        let mut blocks = vec![];
        for (stage, &count) in self.blocks.iter().enumerate() {
            let outputs = self.width << stage;
            for block in 0..count {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                blocks.push(BasicBlock::new(inputs, outputs, stride, device));
                inputs = outputs;
            }
        }
        ResNet { stem, pool: self.stem == Stem::Large, blocks, head: LinearConfig::new(inputs, self.classes).init(device) }
    }
}

/// Two 3×3 convolutions with batch norm beside a shortcut: `y = relu(F(x) + x)`; where the shape changes, the shortcut is a 1×1 convolution.
#[derive(Module, Debug)]
pub struct BasicBlock {
    /// The first convolution, with ReLU.
    pub first: ConvBlock,
    /// The second convolution, whose ReLU is behind the sum.
    pub second: ConvBlock,
    /// The shortcut, where it is not the identity.
    pub shortcut: Option<ConvBlock>,
}

impl BasicBlock {
    fn new(inputs: usize, outputs: usize, stride: usize, device: &Device) -> Self {
        let conv =
            |inputs, kernel, stride| ConvBlockConfig::new(inputs, outputs, kernel).with_stride(stride).with_padding(kernel / 2).with_batch_norm(true);
        Self {
            first: conv(inputs, 3, stride).init(device),
            second: conv(outputs, 3, 1).init(device),
            shortcut: (stride != 1 || inputs != outputs).then(|| conv(inputs, 1, stride).with_activation(Activation::Identity).init(device)),
        }
    }

    /// `[B, C, H, W] -> [B, C', H/stride, W/stride]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.first.forward(x.clone());
        let shortcut = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x),
            None => x,
        };
        self.second.forward_residual(y, shortcut)
    }
}

/// Deep residual network of basic blocks, mean over space, linear head.
///
/// Differs from torchvision in the first weights, which are Fornax's for every convolution.
///
/// Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016.
#[derive(Module, Debug)]
pub struct ResNet {
    /// The first convolution.
    pub stem: ConvBlock,
    /// All blocks, stage after stage.
    pub blocks: Vec<BasicBlock>,
    /// To the logits.
    pub head: Linear,
    #[module(skip)]
    pool: bool,
}

impl ResNet {
    /// The output of each block, scoped by its index: `[B, C, H, W]`
    pub const BLOCK: Site = Site("blocks");
    /// The output of the last block: `[B, C, H, W]`
    pub const LAST: Site = Site("blocks.last");
}

impl ImageClassifier for ResNet {
    const SPATIAL: Option<Site> = Some(Self::LAST);

    fn forward_with<T: Tap>(&self, images: Tensor<4>, tap: &mut T) -> Tensor<2> {
        let mut x = self.stem.forward(images);
        if self.pool {
            x = max_pool_overlapping(x, 3, 2, 1);
        }
        for (index, block) in self.blocks.iter().enumerate() {
            tap.scope("blocks", index);
            x = tap.tap(Self::BLOCK, block.forward(x));
        }
        x = tap.tap(Self::LAST, x);
        self.head.forward(x.mean_dims(&[2, 3]).flatten(1, 3))
    }
}
