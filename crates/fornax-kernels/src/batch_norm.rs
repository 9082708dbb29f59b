//! Batch norm in training, alone or with the ReLU behind it, or with a residual's sum and the ReLU.
//!
//! In f32 on Flex and NdArray: a pass for the statistics, a pass for the result, and the closed form of the gradient in two more. Everywhere else it
//! is composed of Burn's operations, and differentiated one by one.

use burn::tensor::{Tensor, activation::relu};

mod fused;
mod slices;

/// Normalizes every channel over the batch and space: `[B, C, ...], [C], [C] -> [B, C, ...]`, mean and biased variance: `[C], [C]`
///
/// `y = γ (x − μ) / √(σ² + ε) + β`
///
/// The statistics feed running averages and carry no gradient. The bits do not depend on the number of threads.
///
/// Source: Ioffe and Szegedy, "Batch normalization", 2015.
pub fn batch_norm_training<const D: usize>(x: Tensor<D>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> (Tensor<D>, Tensor<1>, Tensor<1>) {
    if fused::takes(&x, &weight, &bias) {
        return fused::batch_norm(x, weight, bias, epsilon, false);
    }
    composed(x, weight, bias, epsilon)
}

/// `max(y, 0)` of [`batch_norm_training`]'s `y`, in the same passes; a NaN stays one.
pub fn batch_norm_training_relu<const D: usize>(x: Tensor<D>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> (Tensor<D>, Tensor<1>, Tensor<1>) {
    if fused::takes(&x, &weight, &bias) {
        return fused::batch_norm(x, weight, bias, epsilon, true);
    }
    let (y, mean, var) = composed(x, weight, bias, epsilon);
    (relu(y), mean, var)
}

/// `max(y + residual, 0)` of [`batch_norm_training`]'s `y`, in the same passes; a NaN stays one: `residual` as `x`
///
/// # Panics
/// If `residual` has another shape.
pub fn batch_norm_training_residual_relu<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    residual: Tensor<D>,
) -> (Tensor<D>, Tensor<1>, Tensor<1>) {
    assert_eq!(x.dims(), residual.dims(), "a residual has the shape of what it is added to");
    if fused::takes(&x, &weight, &bias) && fused::takes(&residual, &weight, &bias) {
        return fused::batch_norm_residual(x, weight, bias, epsilon, residual);
    }
    let (y, mean, var) = composed(x, weight, bias, epsilon);
    (relu(y + residual), mean, var)
}

/// Batch norm of Burn's operations: what the fused one is compared with.
pub fn composed<const D: usize>(x: Tensor<D>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> (Tensor<D>, Tensor<1>, Tensor<1>) {
    let channels = x.dims()[1];
    let others: Vec<usize> = (0..D).filter(|&d| d != 1).collect();
    let mut along_channels = [1; D];
    along_channels[1] = channels;

    let mean = x.clone().mean_dims(&others);
    let centred = x - mean.clone();
    let var = (centred.clone() * centred.clone()).mean_dims(&others);
    let scale = weight.reshape(along_channels) / (var.clone() + epsilon).sqrt();
    let y = centred * scale + bias.reshape(along_channels);
    (y, mean.reshape([channels]).detach(), var.reshape([channels]).detach())
}
