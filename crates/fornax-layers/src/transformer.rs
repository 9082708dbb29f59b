use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::{Activation, Dropout, DropoutConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, MultiHeadAttention, MultiHeadAttentionConfig};

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
}

impl TransformerBlockConfig {
    /// GELU, a hidden layer four times as wide, no dropout.
    pub fn new(attention: MultiHeadAttentionConfig) -> Self {
        Self { attention, hidden: 4 * attention.width, activation: Activation::Gelu, epsilon: 1e-5, dropout: 0.0 }
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
/// `h = x + attention(norm(x))`, `y = h + down(a(up(norm(h))))`
///
/// Source: Xiong et al., "On layer normalization in the Transformer architecture", 2020 (pre-norm).
#[derive(Module, Debug)]
pub struct TransformerBlock {
    /// Before attention.
    pub norm1: LayerNorm,
    /// Attention.
    pub attention: MultiHeadAttention,
    /// Before the dense layers.
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
}

impl TransformerBlock {
    /// `[B, T, D] -> [B, T, D]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = x.clone() + self.dropout.forward(self.attention.forward(self.norm1.forward(x)));
        let hidden = self.up.forward_activated(self.norm2.forward(x.clone()), self.activation);
        x + self.dropout.forward(self.down.forward(hidden))
    }
}
