//! Two-dimensional convolution, alone or with the ReLU behind it.
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

/// Burn's convolution.
fn composed(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, stride: [usize; 2], padding: [usize; 2]) -> Tensor<4> {
    module::conv2d(x, weight, bias, ConvOptions::new(stride, padding, [1, 1], 1))
}
