//! The fully connected layer, with the activation behind it.
//!
//! In f32 in memory both directions are written by hand; everywhere else it is composed of Burn's operations.

use crate::activation::Activation;
use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod fused;

/// `y = a(x W + b)`: `[..., K], [K, N], [N] -> [..., N]`
///
/// The bits of the result and of its gradients do not depend on the number of threads.
///
/// # Panics
/// If the sizes do not agree.
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>, activation: Activation) -> Tensor<D> {
    let [inputs, outputs] = weight.dims();
    assert_eq!(x.dims()[D - 1], inputs, "a linear layer of {inputs} features got an input of shape {:?}", x.dims());
    assert!(bias.as_ref().is_none_or(|b| b.dims() == [outputs]), "a linear layer to {outputs} features has a bias of another length");
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if fused::takes(&x, &weight, bias.as_ref()) {
        return fused::linear(x, weight, bias, activation);
    }
    composed(x, weight, bias, activation)
}

/// `y = x Wᵀ`, for a table of embeddings that is also the head: `[..., K], [N, K] -> [..., N]`
///
/// # Panics
/// If the sizes do not agree.
pub fn linear_transposed<const D: usize>(x: Tensor<D>, weight: Tensor<2>) -> Tensor<D> {
    assert_eq!(x.dims()[D - 1], weight.dims()[1], "a product of {:?} with the transpose of {:?}", x.dims(), weight.dims());
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if fused::takes(&x, &weight, None) {
        return fused::linear_transposed(x, weight);
    }
    composed(x, weight.transpose(), None, Activation::Identity)
}

/// [`linear`] of Burn's operations: what the fused one is compared with.
pub fn composed<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>, activation: Activation) -> Tensor<D> {
    let mut shape = x.dims();
    let [inputs, outputs] = weight.dims();
    let rows: usize = shape[..D - 1].iter().product();
    let mut y: Tensor<2> = x.reshape([rows, inputs]).matmul(weight);
    if let Some(bias) = bias {
        y = y + bias.unsqueeze();
    }
    shape[D - 1] = outputs;
    activation.composed(y).reshape(shape)
}
