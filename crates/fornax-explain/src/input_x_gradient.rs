use crate::score::gradient;
use burn::tensor::Tensor;

/// Each input times its gradient: `x ⊙ ∂yᶜ/∂x`, which is exact for a model that is linear without bias.
///
/// `forward` runs a frozen model on an autodiff device; `classes` names one class an example. `[B, …] -> [B, …]`, without autodiff.
///
/// Source: Shrikumar et al., "Not just a black box", 2016 (<https://arxiv.org/abs/1605.01713>).
///
/// # Panics
/// If `x` is on a device without autodiff, or the classes are not one an example.
pub fn input_x_gradient<const D: usize>(x: Tensor<D>, classes: &[usize], forward: impl Fn(Tensor<D>) -> Tensor<2>) -> Tensor<D> {
    gradient(forward, x.clone(), classes) * x.inner()
}
