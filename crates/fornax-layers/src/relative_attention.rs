use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_kernels::attention::{Mask, Scores, attention_by};

use crate::{Embedding, EmbeddingConfig, Linear, LinearConfig};

/// Configuration of [`RelativeAttention`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RelativeAttentionConfig {
    /// `D`
    pub width: usize,
    /// `H` heads.
    pub heads: usize,
    /// `E`, the width of a head, which need not be `D / H`.
    pub head: usize,
    /// Buckets of distances: 32.
    pub buckets: usize,
    /// The distance from which on all are in one bucket: 128.
    pub furthest: usize,
    /// Hides the future, and has buckets for the past alone.
    pub causal: bool,
}

impl RelativeAttentionConfig {
    /// T5's buckets; every position sees every other.
    pub fn new(width: usize, heads: usize) -> Self {
        Self { width, heads, head: width / heads.max(1), buckets: 32, furthest: 128, causal: false }
    }
    /// Hides the future, or not.
    pub fn with_causal(self, causal: bool) -> Self {
        Self { causal, ..self }
    }

    /// Draws the weights from the step key.
    ///
    /// # Panics
    /// If there is no head, fewer than four buckets, or the furthest distance is within the buckets of single distances.
    pub fn init(&self, device: &Device) -> RelativeAttention {
        let Self { width, heads, head, buckets, .. } = *self;
        assert!(heads > 0 && head > 0 && buckets >= 4 && self.furthest > buckets / 2, "{heads} heads {head} wide with {buckets} buckets");
        let linear = |inputs, outputs| LinearConfig::new(inputs, outputs).with_bias(false).init(device);
        RelativeAttention {
            q: linear(width, heads * head),
            k: linear(width, heads * head),
            v: linear(width, heads * head),
            proj: linear(heads * head, width),
            bias: EmbeddingConfig::new(buckets, heads).with_deviation((width as f64).powf(-0.5)).init(device),
            config: *self,
        }
    }
}

/// Attention of a sequence to itself whose scores have a learned term by the distance of query and key, in every head its own:
/// `softmax(q kᵀ + b[bucket(k − q)]) v`, not divided by `√E`.
///
/// Small distances have a bucket each, larger ones share buckets that grow as their logarithm ([`bucket`]).
///
/// Source: Raffel et al., "Exploring the limits of transfer learning with a unified text-to-text Transformer", 2020, section 2.1.
#[derive(Module, Debug)]
pub struct RelativeAttention {
    /// To queries.
    pub q: Linear,
    /// To keys.
    pub k: Linear,
    /// To values.
    pub v: Linear,
    /// Of the heads beside each other.
    pub proj: Linear,
    /// `[buckets, H]`
    pub bias: Embedding,
    /// How it was built.
    #[module(skip)]
    pub config: RelativeAttentionConfig,
}

impl RelativeAttention {
    /// The learned terms of `T` queries and keys: `[1, H, T, T]`
    pub fn terms(&self, time: usize, device: &Device) -> Tensor<4> {
        let RelativeAttentionConfig { buckets, furthest, causal, .. } = self.config;
        let number = |i: usize| bucket((i % time) as i64 - (i / time) as i64, !causal, buckets, furthest) as i64;
        let numbers: Vec<i64> = (0..time * time).map(number).collect();
        let numbers = Tensor::<2, Int>::from_data(TensorData::new(numbers, [time, time]), device);
        // `[T, T, H]`
        self.bias.forward(numbers).permute([2, 0, 1]).unsqueeze_dim(0)
    }

    /// With a bias that hides by −∞ and gets no gradient: `[B, T, D], [B or 1, H or 1, T or 1, T or 1] -> [B, T, D]`
    pub fn forward(&self, x: Tensor<3>, hidden: Option<Tensor<4>>) -> Tensor<3> {
        let ([batch, time, _], RelativeAttentionConfig { heads, head, causal, .. }) = (x.dims(), self.config);
        crate::dissect::uncovered("attention");
        let terms = self.terms(time, &x.device());
        let bias = match hidden {
            Some(hidden) => {
                let hidden = hidden.detach().cast(terms.dtype());
                terms + hidden
            }
            None => terms,
        };
        let split = |x: Tensor<3>| x.reshape([batch, time, heads, head]).swap_dims(1, 2);
        let (q, k, v) = (split(self.q.forward(x.clone())), split(self.k.forward(x.clone())), split(self.v.forward(x)));
        let mask = Mask { causal, bias: Some(bias), ..Mask::default() };
        let y = attention_by(q, k, v, &mask, Scores { scale: 1.0, cap: None });
        self.proj.forward(y.swap_dims(1, 2).reshape([batch, time, heads * head]))
    }
}

/// The bucket of a key `distance` behind (below 0: before) its query. With `both` half of the buckets are for keys after it; without, those are all in bucket 0.
///
/// Of the `n` buckets of a side the first `n/2` are the distances below `n/2`; the others share those up to `furthest` by the logarithm; the last has the rest.
///
/// Source: as [`RelativeAttention`]; the authors' code rounds down, and so does this.
pub fn bucket(distance: i64, both: bool, buckets: usize, furthest: usize) -> usize {
    let side = if both { buckets / 2 } else { buckets };
    let (first, far) = match both {
        true => (if distance > 0 { side } else { 0 }, distance.unsigned_abs() as usize),
        false => (0, distance.min(0).unsigned_abs() as usize),
    };
    let exact = side / 2;
    if far < exact {
        return first + far;
    }
    // In f32, as the authors' code, whose logarithms decide where a bucket ends.
    let share = (far as f32 / exact as f32).ln() / ((furthest as f64 / exact as f64).ln() as f32);
    first + (exact + (share * (side - exact) as f32) as usize).min(side - 1)
}
