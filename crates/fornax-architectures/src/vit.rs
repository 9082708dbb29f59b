use crate::ImageClassifier;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use fornax_layers::{
    Activation, ConvBlock, ConvBlockConfig, Dropout, DropoutConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, MultiHeadAttentionConfig, Site,
    Tap, TransformerBlock, TransformerBlockConfig, init,
};
use serde::{Deserialize, Serialize};

/// Of the first weights.
const DEVIATION: f64 = 0.02;

/// Configuration of [`Vit`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VitConfig {
    /// Channels and sides of an image.
    pub image: [usize; 3],
    /// Side of a patch; it divides the sides of the image.
    pub patch: usize,
    /// `D`
    pub width: usize,
    /// Heads of a block.
    pub heads: usize,
    /// Blocks.
    pub layers: usize,
    /// Classes.
    pub classes: usize,
    /// ε of the norms.
    pub epsilon: f64,
    /// In every block.
    pub dropout: f64,
    /// A learned token beside the patches is read by the head; otherwise the mean of the patches.
    pub class_token: bool,
}

impl VitConfig {
    /// ViT-Tiny of patches 4×4 for 32×32×3 images and 10 classes, mean of the patches.
    pub fn tiny_4() -> Self {
        Self { image: [3, 32, 32], patch: 4, width: 192, heads: 3, layers: 12, classes: 10, epsilon: 1e-5, dropout: 0.0, class_token: false }
    }
    /// DeiT-Ti: Touvron et al., "Training data-efficient image transformers", 2021, table 1, first row.
    pub fn deit_tiny() -> Self {
        Self { image: [3, 224, 224], patch: 16, classes: 1000, epsilon: 1e-6, class_token: true, ..Self::tiny_4() }
    }
    /// DeiT-S: the same table, second row.
    pub fn deit_small() -> Self {
        Self { width: 384, heads: 6, ..Self::deit_tiny() }
    }
    /// DeiT-B, which is ViT-B/16: the same table, third row.
    pub fn deit_base() -> Self {
        Self { width: 768, heads: 12, ..Self::deit_tiny() }
    }

    /// Patches, and the class token.
    pub fn tokens(&self) -> usize {
        let [_, height, width] = self.image;
        (height / self.patch) * (width / self.patch) + usize::from(self.class_token)
    }

    /// Trainable parameters.
    pub fn parameters(&self) -> usize {
        let d = self.width;
        let patch = self.image[0] * self.patch * self.patch * d + d;
        let tokens = self.tokens() * d + if self.class_token { d } else { 0 };
        patch + tokens + self.layers * (12 * d * d + 13 * d) + 2 * d + d * self.classes + self.classes
    }

    /// Draws the weights from the step key, `N(0, 0.02²)` but for the patches, whose are PyTorch's for a convolution.
    ///
    /// # Panics
    /// If the patches do not divide the image, or the heads the width.
    pub fn init(&self, device: &Device) -> Vit {
        let Self { image: [channels, height, width], patch, .. } = *self;
        assert!(patch > 0 && height % patch == 0 && width % patch == 0, "patches of {patch} do not divide {height}×{width} pixels");
        let attention = MultiHeadAttentionConfig::new(self.width, self.heads);
        let block = TransformerBlockConfig::new(attention).with_epsilon(self.epsilon).with_dropout(self.dropout);
        let patches = ConvBlockConfig::new(channels, self.width, patch).with_stride(patch).with_activation(Activation::Identity);
        Vit {
            patch: patches.init(device),
            class_token: self.class_token.then(|| init::normal([1, 1, self.width], DEVIATION, device)),
            position: init::normal([1, self.tokens(), self.width], DEVIATION, device),
            dropout: DropoutConfig::new(self.dropout).init(),
            blocks: (0..self.layers).map(|_| block.init_normal(DEVIATION, self.layers, device)).collect(),
            norm: LayerNormConfig::new(self.width).with_epsilon(self.epsilon).init(device),
            head: LinearConfig::new(self.width, self.classes).init_normal(DEVIATION, device),
        }
    }
}

/// A Transformer over the patches of an image.
///
/// Source: Dosovitskiy et al., "An image is worth 16x16 words", 2021. Weights that lead back to the sum start smaller, as GPT-2's.
#[derive(Module, Debug)]
pub struct Vit {
    /// From pixels to patches.
    pub patch: ConvBlock,
    /// `[1, 1, D]`, if any.
    pub class_token: Option<Param<Tensor<3>>>,
    /// `[1, T, D]`, learned.
    pub position: Param<Tensor<3>>,
    /// After the embeddings.
    pub dropout: Dropout,
    /// Blocks, in order.
    pub blocks: Vec<TransformerBlock>,
    /// Before the head.
    pub norm: LayerNorm,
    /// To the logits.
    pub head: Linear,
}

impl Vit {
    /// Patches plus positions: `[B, T, D]`
    pub const EMBEDDED: Site = Site("embedded");
    /// The output of each block, scoped by its index: `[B, T, D]`
    pub const BLOCK: Site = Site("block");
    /// After the last norm: `[B, T, D]`
    pub const FINAL: Site = Site("final");
}

impl ImageClassifier for Vit {
    const SPATIAL: Option<Site> = None;

    fn forward_with<S: Tap>(&self, images: Tensor<4>, tap: &mut S) -> Tensor<2> {
        let patches = self.patch.forward(images);
        let [batch, width, rows, cols] = patches.dims();
        let mut x: Tensor<3> = patches.reshape([batch, width, rows * cols]).swap_dims(1, 2);
        if let Some(token) = &self.class_token {
            x = Tensor::cat(vec![token.val().expand([batch, 1, width]), x], 1);
        }
        x = self.dropout.forward(tap.tap(Self::EMBEDDED, x + self.position.val()));
        for (index, block) in self.blocks.iter().enumerate() {
            tap.scope("blocks", index);
            let y = block.forward_tapped(x, None, tap);
            x = tap.tap(Self::BLOCK, y);
        }
        x = tap.tap(Self::FINAL, self.norm.forward(x));
        let x = if self.class_token.is_some() { x.narrow(1, 0, 1) } else { x.mean_dim(1) };
        self.head.forward(x.reshape([batch, width]))
    }
}
