//! Losses: scalars `[1]`, the mean over the batch.

use burn::tensor::{Int, Tensor};

/// Cross-entropy of logits against classes, with label smoothing `s`.
///
/// `−(1/B) Σᵢ [(1 − s) log p(yᵢ) + (s/K) Σₖ log p(k)]`; `s = 0` is the plain one. As PyTorch's `cross_entropy`.
///
/// Source of smoothing: Szegedy et al., "Rethinking the inception architecture", 2016.
///
/// `[B, K], [B] -> [1]`
///
/// # Panics
/// If a target is no class.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    fornax_kernels::cross_entropy::cross_entropy(logits, targets, smoothing, None)
}

/// [`cross_entropy`] before the mean: `[B, K], [B] -> [B]`
pub fn cross_entropy_per_example(logits: Tensor<2>, targets: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    fornax_kernels::cross_entropy::composed_per_example(logits, targets, smoothing)
}

/// Mean squared error over all elements: `[...], [...] -> [1]`
pub fn mse<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<1> {
    (x - y).square().mean()
}

/// Binary cross-entropy of logits `z` against targets `y` in [0, 1]: the mean of `max(z, 0) − z y + log(1 + e^−|z|)`, which does not
/// overflow. As PyTorch's `binary_cross_entropy_with_logits`: `[...], [...] -> [1]`
pub fn binary_cross_entropy<const D: usize>(logits: Tensor<D>, targets: Tensor<D>) -> Tensor<1> {
    let positive = burn::tensor::activation::relu(logits.clone());
    (positive - logits.clone() * targets + (-logits.abs()).exp().log1p()).mean()
}

/// Huber's loss with δ = 1: `½ d²` where `|d| < 1`, else `|d| − ½`. As PyTorch's `smooth_l1_loss`: `[...], [...] -> [1]`
pub fn smooth_l1<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<1> {
    let d = (x - y).abs();
    let inside = d.clone().clamp_max(1.0);
    // ½ c² + (d − c) with c = min(d, 1): both branches at once, and differentiable in both.
    (inside.clone().square() * 0.5 + d - inside).mean()
}

/// The pinball loss of quantile regression, `max(τ e, (τ − 1) e)` with `e = y − ŷ`: a forecast ŷ of the quantile τ costs least if y is below it with
/// probability τ. The mean over all elements and levels.
///
/// Source: Koenker and Bassett, "Regression quantiles", 1978.
///
/// `[B, T, Q], [B, T] -> [1]`
///
/// # Panics
/// If there are not as many `levels` as quantiles `Q`.
pub fn pinball(forecasts: Tensor<3>, targets: Tensor<2>, levels: &[f64]) -> Tensor<1> {
    assert_eq!(forecasts.dims()[2], levels.len(), "one level a quantile");
    let levels = Tensor::<1>::from_data(levels, (&forecasts.device(), forecasts.dtype())).reshape([1, 1, levels.len()]);
    let error = targets.unsqueeze_dim::<3>(2) - forecasts;
    // τ e + max(−e, 0)
    (levels * error.clone() + burn::tensor::activation::relu(-error)).mean()
}
