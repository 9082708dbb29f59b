//! Scaled dot-product attention.
//!
//! In f32 in memory it is tiled: no matrix of scores is ever stored, and the gradient makes the scores again, so that memory is linear in
//! the length. Everywhere else it is composed of Burn's operations.
//!
//! Shapes: `B` batch, `H` heads of queries, `G` heads of keys and values, `T` queries, `S` keys, `D` width of a head.

use burn::tensor::{Tensor, activation::softmax};

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod fused;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod tile;

/// What a query sees. A query that sees nothing gives 0.
#[derive(Debug, Clone, Default)]
pub struct Mask {
    /// Query `t` sees keys `0..=t` only, and those of the past.
    pub causal: bool,
    /// Keys that stand before that of the first query, as a cache holds them; it counts where the mask is causal.
    pub past: usize,
    /// Added to the scores, with dimensions of 1 repeated: `[B or 1, H or 1, T or 1, S or 1]`. −∞ hides. Carries no gradient.
    pub bias: Option<Tensor<4>>,
}

impl Mask {
    /// Hides the future.
    pub fn causal() -> Self {
        Self { causal: true, ..Self::default() }
    }
}

/// `softmax(q kᵀ / √D + mask) v` of every head, query head `h` with key head `h G / H`: `[B, H, T, D], [B, G, S, D], [B, G, S, D] -> [B, H, T, D]`
///
/// The bits of the result and of its gradients do not depend on the number of threads.
///
/// Source: Vaswani et al., "Attention is all you need", 2017; tiles as in Dao et al., "FlashAttention", 2022; grouped queries: Ainslie et al.,
/// "GQA", 2023.
///
/// # Panics
/// If the sizes do not agree.
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: &Mask) -> Tensor<4> {
    let [_, _, keys, _] = k.dims();
    attention_to_first(q, k, v, keys, mask)
}

/// [`attention`] to the first `S'` keys of a buffer that has room for `S`; the others are not read, so that a cache need not be copied:
/// `[B, H, T, D], [B, G, S, D], [B, G, S, D] -> [B, H, T, D]`, with a bias of `[B or 1, H or 1, T or 1, S' or 1]`
///
/// # Panics
/// If the sizes do not agree.
pub fn attention_to_first(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, keys: usize, mask: &Mask) -> Tensor<4> {
    let ([b, h, t, d], [_, g, s, _]) = (q.dims(), k.dims());
    assert!(
        k.dims() == [b, g, s, d] && v.dims() == k.dims() && g > 0 && h % g == 0 && keys <= s,
        "attention of {:?} to {keys} of {:?} and {:?}",
        q.dims(),
        k.dims(),
        v.dims()
    );
    check(mask, [b, h, t, keys]);
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if keys > 0 && fused::takes([&q, &k, &v], mask) {
        return fused::attention(q, k, v, keys, mask);
    }
    composed(q, k.narrow(2, 0, keys), v.narrow(2, 0, keys), mask)
}

/// [`attention`] of a sequence to itself, from the one projection that gives queries, keys and values, in this order:
/// `[B, T, (H + 2 G) D] -> [B, T, H D]`
///
/// # Panics
/// If the width is not that of `H + 2 G` heads, or `G` does not divide `H`.
pub fn self_attention(qkv: Tensor<3>, [heads, groups]: [usize; 2], mask: &Mask) -> Tensor<3> {
    let [b, t, width] = qkv.dims();
    let all = heads + 2 * groups;
    assert!(groups > 0 && heads % groups == 0 && width % all == 0, "a projection {width} wide for {heads} heads and {groups} of keys and values");
    check(mask, [b, heads, t, t]);
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if fused::takes([&qkv], mask) {
        return fused::self_attention(qkv, [heads, groups], mask);
    }
    composed_self_attention(qkv, [heads, groups], mask)
}

fn check(mask: &Mask, full: [usize; 4]) {
    let fits = |bias: &Tensor<4>| bias.dims().iter().zip(full).all(|(&n, full)| n == full || n == 1);
    assert!(mask.bias.as_ref().is_none_or(fits), "an attention bias of shape {:?} for {full:?}", mask.bias.as_ref().map(|b| b.dims()));
}

/// What is done to the products of queries and keys before the mask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// They are multiplied by it: `1/√D` in most models, 1 in T5.
    pub scale: f64,
    /// Then held between −c and c by `c tanh(s / c)`.
    pub cap: Option<f64>,
}

/// [`attention`] by other scores, and with a bias that gets a gradient; of Burn's operations everywhere:
/// `[B, H, T, D], [B, G, S, D], [B, G, S, D] -> [B, H, T, D]`
///
/// Source: the bias: Raffel et al., "Exploring the limits of transfer learning with a unified text-to-text Transformer", 2020; the cap: Gemma team, "Gemma 2", 2024.
///
/// # Panics
/// If the sizes do not agree.
pub fn attention_by(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: &Mask, by: Scores) -> Tensor<4> {
    by_operations(q, k, v, mask, by, |weights| weights)
}

fn by_operations(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: &Mask, by: Scores, see: impl FnOnce(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    let ([b, h, t, d], [_, g, s, _]) = (q.dims(), k.dims());
    assert!(
        k.dims() == [b, g, s, d] && v.dims() == k.dims() && g > 0 && h % g == 0,
        "attention of {:?} to {:?} and {:?}",
        q.dims(),
        k.dims(),
        v.dims()
    );
    check(mask, [b, h, t, s]);
    let repeat = |x: Tensor<4>| x.reshape([b, g, 1, s, d]).repeat_dim(2, h / g).reshape([b, h, s, d]);
    let mut scores = q.matmul(repeat(k).transpose()) * by.scale;
    if let Some(cap) = by.cap {
        // Not `/ cap`, whose gradient Burn takes by the reciprocal in f32.
        scores = (scores * cap.recip()).tanh() * cap;
    }
    if let Some(bias) = &mask.bias {
        let bias = bias.clone().cast(scores.dtype());
        scores = scores + bias;
    }
    if mask.causal {
        let future = Tensor::<2, burn::tensor::Bool>::tril_mask([t, s], mask.past as i64, &scores.device());
        scores = scores.mask_fill(future.unsqueeze::<4>().expand([b, h, t, s]), f32::NEG_INFINITY);
    }
    let blind = scores.clone().detach().max_dim(3).equal_elem(f32::NEG_INFINITY).expand([b, h, t, s]);
    let weights = softmax(scores.mask_fill(blind.clone(), 0.0), 3).mask_fill(blind, 0.0);
    see(weights).matmul(repeat(v))
}

/// [`attention`] of Burn's operations: what the tiled one is compared with.
pub fn composed(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: &Mask) -> Tensor<4> {
    composed_seen(q, k, v, mask, |weights| weights)
}

/// [`composed`], with the weights of the values shown to `see` and replaced by what it returns: `[B, H, T, S] -> [B, H, T, S]`
pub fn composed_seen(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: &Mask, see: impl FnOnce(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    let scale = (q.dims()[3] as f64).powf(-0.5);
    let mask = Mask { bias: mask.bias.clone().map(Tensor::detach), ..mask.clone() };
    by_operations(q, k, v, &mask, Scores { scale, cap: None }, see)
}

/// [`self_attention`] of Burn's operations: what the tiled one is compared with.
pub fn composed_self_attention(qkv: Tensor<3>, heads: [usize; 2], mask: &Mask) -> Tensor<3> {
    composed_self_attention_seen(qkv, heads, mask, |weights| weights)
}

/// [`composed_self_attention`], with the weights of the values shown to `see` and replaced by what it returns: `[B, H, T, T] -> [B, H, T, T]`
pub fn composed_self_attention_seen(qkv: Tensor<3>, [heads, groups]: [usize; 2], mask: &Mask, see: impl FnOnce(Tensor<4>) -> Tensor<4>) -> Tensor<3> {
    let [b, t, width] = qkv.dims();
    let d = width / (heads + 2 * groups);
    let part = |first: usize, count: usize| qkv.clone().narrow(2, first * d, count * d).reshape([b, t, count, d]).swap_dims(1, 2);
    let y = composed_seen(part(0, heads), part(heads, groups), part(heads + groups, groups), mask, see);
    y.swap_dims(1, 2).reshape([b, t, heads * d])
}
