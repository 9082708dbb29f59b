//! Normalization of every row: layer norm and RMS norm.
//!
//! In f32 in memory both directions are written by hand, one pass over the memory each; everywhere else they are composed of Burn's
//! operations.

use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod fused;

/// `y = γ (x − μ) / √(σ² + ε) + β` with mean and biased variance of the last dimension: `[..., D], [D], [D] -> [..., D]`
///
/// Source: Ba, Kiros and Hinton, "Layer normalization", 2016.
///
/// # Panics
/// If the sizes do not agree.
pub fn layer_norm<const R: usize>(x: Tensor<R>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<R> {
    assert!([weight.dims(), bias.dims()] == [[x.dims()[R - 1]]; 2], "layer norm over {:?} got an input of shape {:?}", weight.dims(), x.dims());
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if crate::op::takes([crate::op::kind(&x), crate::op::kind(&weight), crate::op::kind(&bias)]) {
        return fused::layer_norm(x, weight, bias, epsilon);
    }
    composed_layer_norm(x, weight, bias, epsilon)
}

/// `y = γ x / √(mean(x²) + ε)` over the last dimension: `[..., D], [D] -> [..., D]`
///
/// Source: Zhang and Sennrich, "Root mean square layer normalization", 2019.
///
/// # Panics
/// If the sizes do not agree.
pub fn rms_norm<const R: usize>(x: Tensor<R>, weight: Tensor<1>, epsilon: f64) -> Tensor<R> {
    assert_eq!(weight.dims(), [x.dims()[R - 1]], "RMS norm got an input of shape {:?}", x.dims());
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if crate::op::takes([crate::op::kind(&x), crate::op::kind(&weight)]) {
        return fused::rms_norm(x, weight, epsilon);
    }
    composed_rms_norm(x, weight, epsilon)
}

/// [`layer_norm`] of Burn's operations: what the fused one is compared with.
pub fn composed_layer_norm<const R: usize>(x: Tensor<R>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<R> {
    let centred = x.clone() - x.mean_dim(R - 1);
    composed_rms_norm(centred, weight, epsilon) + bias.unsqueeze()
}

/// [`rms_norm`] of Burn's operations: what the fused one is compared with.
pub fn composed_rms_norm<const R: usize>(x: Tensor<R>, weight: Tensor<1>, epsilon: f64) -> Tensor<R> {
    let mean = (x.clone() * x.clone()).mean_dim(R - 1);
    x / (mean + epsilon).sqrt() * weight.unsqueeze()
}
