use burn::module::Module;
use burn::tensor::{Device, Tensor};
use fornax_kernels::attention::{Mask, composed_self_attention_seen, self_attention};

use crate::{KeyValueCache, Linear, LinearConfig, PROBABILITIES, Tap, dissect};

/// Configuration of [`MultiHeadAttention`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MultiHeadAttentionConfig {
    /// `D`
    pub width: usize,
    /// Heads of queries; they divide the width.
    pub heads: usize,
    /// Heads of keys and values; they divide `heads`: as many.
    pub groups: usize,
    /// Hides the future: off.
    pub causal: bool,
    /// In both projections: on.
    pub bias: bool,
}

impl MultiHeadAttentionConfig {
    /// Every position sees every other.
    pub fn new(width: usize, heads: usize) -> Self {
        Self { width, heads, groups: heads, causal: false, bias: true }
    }
    /// Hides the future, or not.
    pub fn with_causal(self, causal: bool) -> Self {
        Self { causal, ..self }
    }
    /// With or without bias.
    pub fn with_bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }
    /// With fewer heads of keys and values, each for several heads of queries.
    pub fn with_groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Draws the weights from the step key.
    ///
    /// # Panics
    /// If the heads do not divide the width, or the groups the heads.
    pub fn init(&self, device: &Device) -> MultiHeadAttention {
        let Self { width, heads, groups, causal, bias } = *self;
        assert!(heads > 0 && width % heads == 0, "{heads} heads do not divide a width of {width}");
        assert!(groups > 0 && heads % groups == 0, "{groups} groups do not divide {heads} heads");
        MultiHeadAttention {
            qkv: LinearConfig::new(width, width / heads * (heads + 2 * groups)).with_bias(bias).init(device),
            proj: LinearConfig::new(width, width).with_bias(bias).init(device),
            heads,
            groups,
            causal,
        }
    }
}

/// Attention of a sequence to itself.
///
/// `softmax(q kᵀ / √(D/H)) v` in each of `H` heads, with queries, keys and values from one projection, and a projection of all heads.
///
/// Source: Vaswani et al., "Attention is all you need", 2017; groups: Ainslie et al., "GQA", 2023.
#[derive(Module, Debug)]
pub struct MultiHeadAttention {
    /// To queries, keys and values, in this order.
    pub qkv: Linear,
    /// Of the heads beside each other.
    pub proj: Linear,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values.
    pub groups: usize,
    /// Hides the future.
    pub causal: bool,
}

impl MultiHeadAttention {
    /// `[B, T, D] -> [B, T, D]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.forward_masked(x, None)
    }

    /// With a bias added to the scores, −∞ to hide: `[B, T, D], [B or 1, H or 1, T or 1, T or 1] -> [B, T, D]`
    pub fn forward_masked(&self, x: Tensor<3>, bias: Option<Tensor<4>>) -> Tensor<3> {
        dissect::uncovered("attention");
        let mask = Mask { causal: self.causal, bias, ..Mask::default() };
        self.proj.forward(self_attention(self.qkv.forward(x), [self.heads, self.groups], &mask))
    }

    /// As [`MultiHeadAttention::forward_masked`], with the probabilities shown to a tap that reads attention: `[B, T, D] -> [B, T, D]`
    pub fn forward_tapped<S: Tap>(&self, x: Tensor<3>, bias: Option<Tensor<4>>, tap: &mut S) -> Tensor<3> {
        if !S::ATTENTION {
            return self.forward_masked(x, bias);
        }
        dissect::uncovered("attention");
        let mask = Mask { causal: self.causal, bias, ..Mask::default() };
        let see = |weights| tap.tap(PROBABILITIES, weights);
        self.proj.forward(composed_self_attention_seen(self.qkv.forward(x), [self.heads, self.groups], &mask, see))
    }

    /// The next positions, each of which sees itself and what came before, whether or not training hides the future: `[B, T, D] -> [B, T, D]`
    pub fn forward_cached(&self, x: Tensor<3>, cache: &mut KeyValueCache) -> Tensor<3> {
        let ([batch, time, width], heads, groups) = (x.dims(), self.heads, self.groups);
        let all = heads + 2 * groups;
        let qkv = self.qkv.forward(x).reshape([batch, time, all, width / heads]).swap_dims(1, 2);
        let part = |first: usize, count: usize| qkv.clone().narrow(1, first, count);
        let y = cache.attend(part(0, heads), part(heads, groups), part(heads + groups, groups));
        self.proj.forward(y.swap_dims(1, 2).reshape([batch, time, width]))
    }
}
