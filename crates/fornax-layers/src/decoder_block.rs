use burn::module::Module;
use burn::tensor::{Device, Tensor};
use fornax_kernels::attention::{Mask, attention, composed_seen};

use crate::dissect;
use crate::transformer::Residual;
use crate::{
    Activation, CROSS_PROBABILITIES, Dropout, DropoutConfig, KeyValueCache, LayerNorm, LayerNormConfig, Linear, LinearConfig, MultiHeadAttention,
    MultiHeadAttentionConfig, NoTap, Tap, TransformerBlockConfig,
};

/// Attention from one sequence to another.
///
/// `softmax(q kᵀ / √(D/H)) v` in each of `H` heads, with queries of the one, keys and values of the other, and a projection of all heads.
///
/// Source: Vaswani et al., "Attention is all you need", 2017, section 3.2.3.
#[derive(Module, Debug)]
pub struct CrossAttention {
    /// To queries.
    pub q: Linear,
    /// To keys and values, in this order.
    pub kv: Linear,
    /// Of the heads beside each other.
    pub proj: Linear,
    /// `H`
    pub heads: usize,
}

/// Keys and values of a sequence that is looked at again and again: `[B, H, S, D/H]` each.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Keys.
    pub k: Tensor<4>,
    /// Values.
    pub v: Tensor<4>,
}

impl CrossAttention {
    /// Draws the weights from the step key.
    ///
    /// # Panics
    /// If the heads do not divide the width.
    pub fn init(width: usize, heads: usize, bias: bool, device: &Device) -> Self {
        assert!(heads > 0 && width.is_multiple_of(heads), "{heads} heads do not divide a width of {width}");
        let linear = |outputs| LinearConfig::new(width, outputs).with_bias(bias).init(device);
        Self { q: linear(width), kv: linear(2 * width), proj: linear(width), heads }
    }

    /// What is looked at: `[B, S, D]`
    pub fn remember(&self, x: Tensor<3>) -> Memory {
        let [batch, time, width] = x.dims();
        let kv = self.kv.forward(x).reshape([batch, time, 2 * self.heads, width / self.heads]).swap_dims(1, 2);
        let part = |first: usize| kv.clone().narrow(1, first, self.heads);
        Memory { k: part(0), v: part(self.heads) }
    }

    /// With a bias added to the scores, −∞ to hide: `[B, T, D], [B or 1, H or 1, T or 1, S or 1] -> [B, T, D]`
    pub fn forward(&self, x: Tensor<3>, memory: &Memory, bias: Option<Tensor<4>>) -> Tensor<3> {
        self.forward_tapped(x, memory, bias, &mut NoTap)
    }

    /// As [`CrossAttention::forward`], with the probabilities shown to a tap that reads attention: `[B, T, D] -> [B, T, D]`
    pub fn forward_tapped<S: Tap>(&self, x: Tensor<3>, memory: &Memory, bias: Option<Tensor<4>>, tap: &mut S) -> Tensor<3> {
        let [batch, time, width] = x.dims();
        let q = self.q.forward(x).reshape([batch, time, self.heads, width / self.heads]).swap_dims(1, 2);
        dissect::uncovered("attention");
        let (k, v, mask) = (memory.k.clone(), memory.v.clone(), Mask { bias, ..Mask::default() });
        let y = if S::ATTENTION { composed_seen(q, k, v, &mask, |weights| tap.tap(CROSS_PROBABILITIES, weights)) } else { attention(q, k, v, &mask) };
        self.proj.forward(y.swap_dims(1, 2).reshape([batch, time, width]))
    }
}

/// Attention to what was written, attention to what was read, and two dense layers, each with a norm and beside an identity.
///
/// Source: Vaswani et al., "Attention is all you need", 2017 (post-norm); Xiong et al., 2020 (pre-norm).
#[derive(Module, Debug)]
pub struct DecoderBlock {
    /// Of the attention to what was written.
    pub norm1: LayerNorm,
    /// To what was written; hides the future.
    pub attention: MultiHeadAttention,
    /// Of the attention to what was read.
    pub norm_cross: LayerNorm,
    /// To what was read.
    pub cross: CrossAttention,
    /// Of the dense layers.
    pub norm2: LayerNorm,
    /// To the hidden layer.
    pub up: Linear,
    /// Back to the block's width.
    pub down: Linear,
    /// Of all branches.
    pub dropout: Dropout,
    /// Of the hidden layer.
    #[module(skip)]
    pub activation: Activation,
    /// A norm before each branch, not behind each sum.
    pub norm_first: bool,
}

impl DecoderBlock {
    /// Draws the weights from the step key; whether the config hides the future does not count.
    ///
    /// # Panics
    /// If the heads do not divide the width.
    pub fn init(config: &TransformerBlockConfig, device: &Device) -> Self {
        let MultiHeadAttentionConfig { width, heads, bias, .. } = config.attention;
        let norm = LayerNormConfig::new(width).with_epsilon(config.epsilon);
        Self {
            norm1: norm.init(device),
            attention: config.attention.with_causal(true).init(device),
            norm_cross: norm.init(device),
            cross: CrossAttention::init(width, heads, bias, device),
            norm2: norm.init(device),
            up: LinearConfig::new(width, config.hidden).with_bias(bias).init(device),
            down: LinearConfig::new(config.hidden, width).with_bias(bias).init(device),
            dropout: DropoutConfig::new(config.dropout).init(),
            activation: config.activation,
            norm_first: config.norm_first,
        }
    }

    /// All positions at once: `[B, T, D] -> [B, T, D]`. `bias` hides what was read: `[B or 1, H or 1, T or 1, S or 1]`
    pub fn forward(&self, x: Tensor<3>, memory: &Memory, bias: Option<Tensor<4>>) -> Tensor<3> {
        self.forward_tapped(x, memory, bias, &mut NoTap)
    }

    /// As [`DecoderBlock::forward`], with the probabilities of both attentions shown to a tap that reads them: `[B, T, D] -> [B, T, D]`
    pub fn forward_tapped<S: Tap>(&self, x: Tensor<3>, memory: &Memory, bias: Option<Tensor<4>>, tap: &mut S) -> Tensor<3> {
        self.forward_by(x, memory, bias, tap, |x, tap| self.attention.forward_tapped(x, None, tap))
    }

    /// The next positions: `[B, T, D] -> [B, T, D]`
    pub fn forward_cached(&self, x: Tensor<3>, memory: &Memory, bias: Option<Tensor<4>>, cache: &mut KeyValueCache) -> Tensor<3> {
        self.forward_by(x, memory, bias, &mut NoTap, |x, _| self.attention.forward_cached(x, cache))
    }

    fn forward_by<S: Tap>(
        &self,
        x: Tensor<3>,
        memory: &Memory,
        bias: Option<Tensor<4>>,
        tap: &mut S,
        attend: impl FnOnce(Tensor<3>, &mut S) -> Tensor<3>,
    ) -> Tensor<3> {
        let sum = Residual { dropout: &self.dropout, norm_first: self.norm_first };
        let x = sum.forward(x, &self.norm1, |x| attend(x, tap));
        let x = sum.forward(x, &self.norm_cross, |x| self.cross.forward_tapped(x, memory, bias, tap));
        sum.forward(x, &self.norm2, |x| self.down.forward(self.up.forward_activated(x, self.activation)))
    }
}
