//! Two-dimensional convolution, alone or with the ReLU behind it; in inference also with batch norm and a residual.
//!
//! In f32 on Flex and NdArray both directions are written by hand; everywhere else Burn's own convolution is used, which is also what the tests
//! compare with.

use burn::tensor::{Tensor, activation::relu, module, ops::ConvOptions};

mod direct;
mod few_channels;
mod fused;
mod gather;
mod slices;
mod tile;
mod weight_gradient;
mod winograd;
mod winograd_tiles;
mod winograd_weights;

/// `y = w ∗ x + b`: `[B, C, H, W], [C', C, K, L], [C'] -> [B, C', H', W']`, `H' = (H + 2 padding − K) / stride + 1`
///
/// The bits of the result and of its gradients do not depend on the number of threads.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, stride: [usize; 2], padding: [usize; 2]) -> Tensor<4> {
    if fused::takes(&x, &weight, bias.as_ref(), stride, padding) {
        return fused::conv2d(x, weight, bias, stride, padding, false);
    }
    composed(x, weight, bias, stride, padding)
}

/// `max(w ∗ x + b, 0)`, as [`conv2d`], in one pass over the memory; a NaN stays one.
pub fn conv2d_relu(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, stride: [usize; 2], padding: [usize; 2]) -> Tensor<4> {
    if fused::takes(&x, &weight, bias.as_ref(), stride, padding) {
        return fused::conv2d(x, weight, bias, stride, padding, true);
    }
    relu(composed(x, weight, bias, stride, padding))
}

/// Batch norm with fixed statistics, as in inference: `γ (x − μ) / √(σ² + ε) + β`, all `[C]`
#[derive(Debug, Clone)]
pub struct Normalization {
    /// `γ`
    pub weight: Tensor<1>,
    /// `β`
    pub bias: Tensor<1>,
    /// `μ`
    pub mean: Tensor<1>,
    /// `σ²`
    pub var: Tensor<1>,
    /// `ε`
    pub epsilon: f64,
}

impl Normalization {
    /// `[B, C, ...] -> [B, C, ...]`, of Burn's operations.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let mut shape = [1; D];
        shape[1] = self.weight.dims()[0];
        let scale = self.weight.clone() / (self.var.clone() + self.epsilon).sqrt();
        let shift = self.bias.clone() - self.mean.clone() * scale.clone();
        x * scale.reshape(shape) + shift.reshape(shape)
    }
}

/// `max(norm(w ∗ x) + residual, 0)`, each part where it is asked for: `[B, C, H, W], [C', C, K, L] -> [B, C', H', W']`, `residual` as the result
///
/// On Flex and NdArray, in f32 and without gradients, the sums of the convolution are finished before they leave the cache.
pub fn conv2d_normalized(
    x: Tensor<4>,
    weight: Tensor<4>,
    norm: Normalization,
    residual: Option<Tensor<4>>,
    activate: bool,
    stride: [usize; 2],
    padding: [usize; 2],
) -> Tensor<4> {
    if fused::takes_normalized(&x, &weight, &norm, residual.as_ref(), stride, padding) {
        return fused::conv2d_normalized(x, weight, norm, residual, activate, stride, padding);
    }
    let y = norm.forward(conv2d(x, weight, None, stride, padding));
    let y = match residual {
        Some(residual) => y + residual,
        None => y,
    };
    if activate { relu(y) } else { y }
}

/// Burn's convolution.
fn composed(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, stride: [usize; 2], padding: [usize; 2]) -> Tensor<4> {
    module::conv2d(x, weight, bias, ConvOptions::new(stride, padding, [1, 1], 1))
}
