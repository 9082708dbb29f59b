use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::{
    Activation, Dropout, DropoutConfig, KeyValueCache, LayerNorm, LayerNormConfig, Linear, LinearConfig, MultiHeadAttention,
    MultiHeadAttentionConfig, Tap,
};

/// Configuration of [`TransformerBlock`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransformerBlockConfig {
    /// Width, heads, mask and biases.
    pub attention: MultiHeadAttentionConfig,
    /// Width of the hidden layer: four times that of the block.
    pub hidden: usize,
    /// Of the hidden layer: exact GELU.
    pub activation: Activation,
    /// Of both norms: 1e-5.
    pub epsilon: f64,
    /// After attention and after the hidden layer: 0.
    pub dropout: f64,
    /// A norm before each branch (pre-norm), not behind each sum (post-norm): on.
    pub norm_first: bool,
}

impl TransformerBlockConfig {
    /// GELU, a hidden layer four times as wide, no dropout.
    pub fn new(attention: MultiHeadAttentionConfig) -> Self {
        Self { attention, hidden: 4 * attention.width, activation: Activation::Gelu, epsilon: 1e-5, dropout: 0.0, norm_first: true }
    }
    /// With another activation.
    pub fn with_activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }
    /// With another ε of the norms.
    pub fn with_epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }
    /// With dropout.
    pub fn with_dropout(self, dropout: f64) -> Self {
        Self { dropout, ..self }
    }
    /// With a hidden layer of another width.
    pub fn with_hidden(self, hidden: usize) -> Self {
        Self { hidden, ..self }
    }
    /// Norms before the branches, or behind the sums.
    pub fn with_norm_first(self, norm_first: bool) -> Self {
        Self { norm_first, ..self }
    }

    /// Draws the weights from the step key.
    pub fn init(&self, device: &Device) -> TransformerBlock {
        let MultiHeadAttentionConfig { width, bias, .. } = self.attention;
        let norm = LayerNormConfig::new(width).with_epsilon(self.epsilon);
        TransformerBlock {
            norm1: norm.init(device),
            attention: self.attention.init(device),
            norm2: norm.init(device),
            up: LinearConfig::new(width, self.hidden).with_bias(bias).init(device),
            down: LinearConfig::new(self.hidden, width).with_bias(bias).init(device),
            dropout: DropoutConfig::new(self.dropout).init(),
            activation: self.activation,
            norm_first: self.norm_first,
        }
    }

    /// As GPT-2: weights `N(0, deviation²)`, those that lead back to the sum `N(0, deviation² / 2 depth)` with `depth` blocks, biases 0.
    ///
    /// Source: Radford et al., "Language models are unsupervised multitask learners", 2019, section 2.3.
    pub fn init_normal(&self, deviation: f64, depth: usize, device: &Device) -> TransformerBlock {
        let MultiHeadAttentionConfig { width, bias, .. } = self.attention;
        let mut block = self.init(device);
        let linear = |inputs, outputs, deviation| LinearConfig::new(inputs, outputs).with_bias(bias).init_normal(deviation, device);
        let back = deviation / (2.0 * depth as f64).sqrt();
        block.attention.qkv = linear(width, block.attention.qkv.weight.dims()[1], deviation);
        block.attention.proj = linear(width, width, back);
        block.up = linear(width, self.hidden, deviation);
        block.down = linear(self.hidden, width, back);
        block
    }
}

/// Attention and two dense layers, each behind a norm and beside an identity.
///
/// Pre-norm: `h = x + attention(norm(x))`, `y = h + down(a(up(norm(h))))`. Post-norm: `h = norm(x + attention(x))`, `y = norm(h + down(a(up(h))))`
///
/// Source: Vaswani et al., "Attention is all you need", 2017 (post-norm); Xiong et al., "On layer normalization in the Transformer architecture", 2020
/// (pre-norm).
#[derive(Module, Debug)]
pub struct TransformerBlock {
    /// Of attention.
    pub norm1: LayerNorm,
    /// Attention.
    pub attention: MultiHeadAttention,
    /// Of the dense layers.
    pub norm2: LayerNorm,
    /// To the hidden layer.
    pub up: Linear,
    /// Back to the block's width.
    pub down: Linear,
    /// Of both branches.
    pub dropout: Dropout,
    /// Of the hidden layer.
    #[module(skip)]
    pub activation: Activation,
    /// A norm before each branch, not behind each sum.
    pub norm_first: bool,
}

impl TransformerBlock {
    /// `[B, T, D] -> [B, T, D]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.forward_masked(x, None)
    }

    /// With a bias added to the scores of attention, −∞ to hide: `[B, T, D], [B or 1, H or 1, T or 1, T or 1] -> [B, T, D]`
    pub fn forward_masked(&self, x: Tensor<3>, bias: Option<Tensor<4>>) -> Tensor<3> {
        self.forward_by(x, |x| self.attention.forward_masked(x, bias))
    }

    /// As [`TransformerBlock::forward_masked`], with the probabilities of attention shown to a tap that reads them: `[B, T, D] -> [B, T, D]`
    pub fn forward_tapped<S: Tap>(&self, x: Tensor<3>, bias: Option<Tensor<4>>, tap: &mut S) -> Tensor<3> {
        self.forward_by(x, |x| self.attention.forward_tapped(x, bias, tap))
    }

    /// The next positions, each of which sees itself and what came before: `[B, T, D] -> [B, T, D]`
    pub fn forward_cached(&self, x: Tensor<3>, cache: &mut KeyValueCache) -> Tensor<3> {
        self.forward_by(x, |x| self.attention.forward_cached(x, cache))
    }

    fn forward_by(&self, x: Tensor<3>, attend: impl FnOnce(Tensor<3>) -> Tensor<3>) -> Tensor<3> {
        let sum = Residual { dropout: &self.dropout, norm_first: self.norm_first };
        let x = sum.forward(x, &self.norm1, attend);
        sum.forward(x, &self.norm2, |x| self.down.forward(self.up.forward_activated(x, self.activation)))
    }
}

/// A branch beside an identity, with a norm before it or behind their sum.
pub(crate) struct Residual<'a> {
    pub(crate) dropout: &'a Dropout,
    pub(crate) norm_first: bool,
}

impl Residual<'_> {
    pub(crate) fn forward(&self, x: Tensor<3>, norm: &LayerNorm, branch: impl FnOnce(Tensor<3>) -> Tensor<3>) -> Tensor<3> {
        if self.norm_first {
            x.clone() + self.dropout.forward(branch(norm.forward(x)))
        } else {
            norm.forward(x.clone() + self.dropout.forward(branch(x)))
        }
    }
}
