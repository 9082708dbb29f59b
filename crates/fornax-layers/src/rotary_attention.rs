use burn::module::Module;
use burn::tensor::{Device, Tensor};
use fornax_kernels::attention::{Mask, attention, composed_seen};

use crate::dissect;
use crate::positions::{Rotary, sliding_window};
use crate::{KeyValueCache, Linear, LinearConfig, NoTap, PROBABILITIES, RmsNorm, RmsNormConfig, Tap};

/// Configuration of [`RotaryAttention`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RotaryAttentionConfig {
    /// `D`
    pub width: usize,
    /// Heads of queries; they divide the width.
    pub heads: usize,
    /// Heads of keys and values; they divide `heads`: as many.
    pub groups: usize,
    /// How positions turn queries and keys.
    pub rotary: Rotary,
    /// ε of norms over each head's queries and keys; none without it.
    pub norm: Option<f64>,
    /// Keys that a query sees, its own among them; all without it.
    pub window: Option<usize>,
}

impl RotaryAttentionConfig {
    /// Draws the weights from the step key.
    ///
    /// # Panics
    /// If the heads do not divide the width, the groups the heads, or a head is of odd width.
    pub fn init(&self, device: &Device) -> RotaryAttention {
        let Self { width, heads, groups, .. } = *self;
        assert!(heads > 0 && width % heads == 0, "{heads} heads do not divide a width of {width}");
        assert!(groups > 0 && heads % groups == 0, "{groups} groups do not divide {heads} heads");
        let head = width / heads;
        assert!(head % 2 == 0, "a head of {head} features has no pairs to turn");
        let linear = |inputs, outputs| LinearConfig::new(inputs, outputs).with_bias(false).init(device);
        let norm = || self.norm.map(|epsilon| RmsNormConfig::new(head).with_epsilon(epsilon).init(device));
        RotaryAttention {
            q: linear(width, width),
            k: linear(width, groups * head),
            v: linear(width, groups * head),
            proj: linear(width, width),
            q_norm: norm(),
            k_norm: norm(),
            config: *self,
        }
    }
}

/// Causal attention of a sequence to itself with rotary positions, grouped keys and, if wanted, norms of queries and keys and a sliding window.
///
/// Source: Su et al., "RoFormer", 2021; Ainslie et al., "GQA", 2023; norms: Henry et al., "Query-key normalization for Transformers", 2020, as in Qwen3;
/// window: Jiang et al., "Mistral 7B", 2023.
#[derive(Module, Debug)]
pub struct RotaryAttention {
    /// To queries.
    pub q: Linear,
    /// To keys.
    pub k: Linear,
    /// To values.
    pub v: Linear,
    /// Of the heads beside each other.
    pub proj: Linear,
    /// Of each head's queries.
    pub q_norm: Option<RmsNorm>,
    /// Of each head's keys.
    pub k_norm: Option<RmsNorm>,
    /// How it was built.
    #[module(skip)]
    pub config: RotaryAttentionConfig,
}

impl RotaryAttention {
    /// Queries, keys and values at positions from `first` on: `[B, T, D] -> [B, H, T, D/H]`, `[B, G, T, D/H]` twice
    fn project(&self, x: Tensor<3>, first: usize) -> [Tensor<4>; 3] {
        let [batch, time, width] = x.dims();
        let RotaryAttentionConfig { heads, groups, rotary, .. } = self.config;
        let split = |x: Tensor<3>, count: usize| x.reshape([batch, time, count, width / heads]).swap_dims(1, 2);
        let turn = |x: Tensor<4>, norm: &Option<RmsNorm>| rotary.forward(norm.iter().fold(x, |x, norm| norm.forward(x)), first);
        [
            turn(split(self.q.forward(x.clone()), heads), &self.q_norm),
            turn(split(self.k.forward(x.clone()), groups), &self.k_norm),
            split(self.v.forward(x), groups),
        ]
    }

    fn join(&self, y: Tensor<4>) -> Tensor<3> {
        let [batch, _, time, _] = y.dims();
        self.proj.forward(y.swap_dims(1, 2).reshape([batch, time, self.config.width]))
    }

    /// `[B, T, D] -> [B, T, D]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.forward_tapped(x, &mut NoTap)
    }

    /// As [`RotaryAttention::forward`], with the probabilities shown to a tap that reads attention: `[B, T, D] -> [B, T, D]`
    pub fn forward_tapped<S: Tap>(&self, x: Tensor<3>, tap: &mut S) -> Tensor<3> {
        let [_, time, _] = x.dims();
        let window = self.config.window.filter(|window| *window < time);
        let bias = window.map(|window| sliding_window(window, 0, time, &x.device()));
        dissect::uncovered("attention");
        let ([q, k, v], mask) = (self.project(x, 0), Mask { bias, ..Mask::causal() });
        let see = |weights| tap.tap(PROBABILITIES, weights);
        self.join(if S::ATTENTION { composed_seen(q, k, v, &mask, see) } else { attention(q, k, v, &mask) })
    }

    /// An empty cache that holds what the window sees.
    pub fn cache(&self) -> KeyValueCache {
        self.config.window.map_or_else(KeyValueCache::new, KeyValueCache::rolling)
    }

    /// The next positions: `[B, T, D] -> [B, T, D]`
    pub fn forward_cached(&self, x: Tensor<3>, cache: &mut KeyValueCache) -> Tensor<3> {
        let [q, k, v] = self.project(x, cache.len());
        self.join(cache.attend(q, k, v))
    }
}
