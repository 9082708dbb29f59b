//! Attention that recurrent networks use: over the steps of one sequence, or from a decoder to an encoder.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use fornax_kernels::linear::linear;

use crate::steps::{softmax_over_steps, zero_padding};
use crate::{Activation, Linear, LinearConfig, init};

/// Configuration of [`AttentionPool`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionPoolConfig {
    /// `D`
    pub width: usize,
    /// `A`, the width in which steps are scored.
    pub hidden: usize,
}

impl AttentionPoolConfig {
    /// Steps of `D` features, scored in `A`.
    pub fn new(width: usize, hidden: usize) -> Self {
        Self { width, hidden }
    }

    /// Draws the weights from the step key.
    pub fn init(&self, device: &Device) -> AttentionPool {
        AttentionPool {
            project: LinearConfig::new(self.width, self.hidden).init(device),
            score: LinearConfig::new(self.hidden, 1).with_bias(false).init(device),
        }
    }
}

/// The mean of a sequence's steps, weighted by learned scores.
///
/// `e_t = vᵀ tanh(W h_t + b)`, `α = softmax(e)`, `y = Σ α_t h_t`; padding has weight 0.
///
/// Source: Yang et al., "Hierarchical attention networks for document classification", 2016.
#[derive(Module, Debug)]
pub struct AttentionPool {
    /// `W: [D, A]`, `b: [A]`
    pub project: Linear,
    /// `v: [A, 1]`
    pub score: Linear,
}

impl AttentionPool {
    /// `[B, T, D] -> [B, D]`
    pub fn forward(&self, x: Tensor<3>, lengths: Option<&[usize]>) -> Tensor<2> {
        self.forward_weighted(x, lengths).0
    }

    /// With the weights of the steps: `[B, T, D] -> [B, D], [B, T]`
    pub fn forward_weighted(&self, x: Tensor<3>, lengths: Option<&[usize]>) -> (Tensor<2>, Tensor<2>) {
        crate::dissect::uncovered("attention");
        let x = zero_padding(x, lengths);
        let scores = self.score.forward(self.project.forward(x.clone()).tanh());
        let weights = softmax_over_steps(scores.swap_dims(1, 2), lengths);
        (weights.clone().matmul(x).squeeze_dim(1), weights.squeeze_dim(1))
    }
}

/// Configuration of [`AdditiveAttention`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdditiveAttentionConfig {
    /// `Q`, features of a query.
    pub queries: usize,
    /// `K`, features of a key.
    pub keys: usize,
    /// `A`, the width in which they meet.
    pub hidden: usize,
}

impl AdditiveAttentionConfig {
    /// Queries of `Q` features and keys of `K` meet in `A`.
    pub fn new(queries: usize, keys: usize, hidden: usize) -> Self {
        Self { queries, keys, hidden }
    }

    /// Draws the weights from the step key.
    pub fn init(&self, device: &Device) -> AdditiveAttention {
        AdditiveAttention {
            query: LinearConfig::new(self.queries, self.hidden).with_bias(false).init(device),
            key: LinearConfig::new(self.keys, self.hidden).init(device),
            score: LinearConfig::new(self.hidden, 1).with_bias(false).init(device),
        }
    }
}

/// Bahdanau's attention: a small network compares each query with each key.
///
/// `e_st = vᵀ tanh(W q_s + U k_t + b)`, `α_s = softmax(e_s)`, `c_s = Σ α_st k_t`; padding has weight 0. Luong's "concat" score is the same.
///
/// Source: Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and translate", 2015.
#[derive(Module, Debug)]
pub struct AdditiveAttention {
    /// `W: [Q, A]`
    pub query: Linear,
    /// `U: [K, A]`, `b: [A]`
    pub key: Linear,
    /// `v: [A, 1]`
    pub score: Linear,
}

impl AdditiveAttention {
    /// What [`AdditiveAttention::forward`] wants of the keys, once for all steps of a decoder: `[B, T, K] -> [B, T, A]`
    pub fn project(&self, keys: Tensor<3>, lengths: Option<&[usize]>) -> Tensor<3> {
        self.key.forward(zero_padding(keys, lengths))
    }

    /// Contexts and weights, with `projected` from [`AdditiveAttention::project`]: `[B, S, Q], [B, T, K], [B, T, A] -> [B, S, K], [B, S, T]`
    pub fn forward(&self, queries: Tensor<3>, keys: Tensor<3>, projected: Tensor<3>, lengths: Option<&[usize]>) -> (Tensor<3>, Tensor<3>) {
        let met = self.query.forward(queries).unsqueeze_dim::<4>(2) + projected.unsqueeze_dim::<4>(1);
        let scores = self.score.forward(met.tanh()).squeeze_dim(3);
        attend(scores, keys, lengths)
    }
}

/// Configuration of [`LuongAttention`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LuongAttentionConfig {
    /// `Q`, features of a query.
    pub queries: usize,
    /// `K`, features of a key.
    pub keys: usize,
    /// A matrix between query and key ("general"); without one the score is their product ("dot"): with.
    pub general: bool,
}

impl LuongAttentionConfig {
    /// The "general" score.
    pub fn new(queries: usize, keys: usize) -> Self {
        Self { queries, keys, general: true }
    }
    /// The "dot" score, or not.
    pub fn with_dot(self, dot: bool) -> Self {
        Self { general: !dot, ..self }
    }

    /// Draws the weights from the step key.
    ///
    /// # Panics
    /// If the score is "dot", and queries and keys differ in size.
    pub fn init(&self, device: &Device) -> LuongAttention {
        let Self { queries, keys, general } = *self;
        assert!(general || queries == keys, "the product of queries of {queries} features and keys of {keys} needs the general score");
        let bound = 1.0 / (queries as f64).sqrt();
        LuongAttention {
            weight: general.then(|| init::uniform([queries, keys], bound, device)),
            combine: LinearConfig::new(keys + queries, queries).with_bias(false).init(device),
        }
    }
}

/// Luong's global attention.
///
/// `e_st = q_sᵀ W k_t` ("general") or `q_sᵀ k_t` ("dot"), `α_s = softmax(e_s)`, `c_s = Σ α_st k_t`, `h̃_s = tanh(W_c [c_s; q_s])`; padding has weight 0.
///
/// Source: Luong, Pham and Manning, "Effective approaches to attention-based neural machine translation", 2015.
#[derive(Module, Debug)]
pub struct LuongAttention {
    /// `W: [Q, K]`, of the general score.
    pub weight: Option<Param<Tensor<2>>>,
    /// `W_c: [K + Q, Q]`
    pub combine: Linear,
}

impl LuongAttention {
    /// `h̃` and weights: `[B, S, Q], [B, T, K] -> [B, S, Q], [B, S, T]`
    pub fn forward(&self, queries: Tensor<3>, keys: Tensor<3>, lengths: Option<&[usize]>) -> (Tensor<3>, Tensor<3>) {
        let asked = match &self.weight {
            Some(weight) => linear(queries.clone(), weight.val(), None, Activation::Identity),
            None => queries.clone(),
        };
        let keys = zero_padding(keys, lengths);
        let (context, weights) = attend(asked.matmul(keys.clone().swap_dims(1, 2)), keys, lengths);
        (self.combine.forward(Tensor::cat(vec![context, queries], 2)).tanh(), weights)
    }
}

/// `[B, S, T], [B, T, K] -> [B, S, K], [B, S, T]`
fn attend(scores: Tensor<3>, keys: Tensor<3>, lengths: Option<&[usize]>) -> (Tensor<3>, Tensor<3>) {
    crate::dissect::uncovered("attention");
    let weights = softmax_over_steps(scores, lengths);
    (weights.clone().matmul(zero_padding(keys, lengths)), weights)
}
