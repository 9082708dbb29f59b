//! Functions that are computed on the host with their gradient, for what a backend would do in thousands of tiny steps.

use crate::steps::floats;
use burn::tensor::Tensor;

/// Zeros `[B]` whose gradient by `x` is `gradient`: adds a known gradient to a known value, on every backend and in every type.
///
/// `x: [B, N]`, or `[1, N]` for what all examples share; `gradient: [B, N]`.
pub(crate) fn zeros_with_gradient(x: Tensor<2>, gradient: Vec<f64>, batch: usize) -> Tensor<1> {
    let [_, n] = x.dims();
    let gradient = floats(gradient, [batch, n], &x.device(), x.dtype());
    // What has no gradient may be infinite or NaN, as padding may: less itself it would be no number.
    let x = x.expand([batch, n]).mask_fill(gradient.clone().equal_elem(0.0), 0.0);
    ((x.clone() - x.detach()) * gradient).sum_dim(1).squeeze_dim(1)
}

/// `log Σ exp x`, −∞ of nothing.
pub(crate) fn log_sum_exp(x: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = x.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY { largest } else { largest + x.map(|x| (x - largest).exp()).sum::<f64>().ln() }
}
