use crate::score::gradient;
use burn::tensor::Tensor;

/// How strongly each input moves the logit of its class: `|∂yᶜ/∂x|`.
///
/// `forward` runs a frozen model on an autodiff device; `classes` names one class an example. `[B, …] -> [B, …]`, without autodiff.
///
/// Source: Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks", 2014 (<https://arxiv.org/abs/1312.6034>), section 3.
///
/// # Panics
/// If `x` is on a device without autodiff, or the classes are not one an example.
pub fn saliency<const D: usize>(x: Tensor<D>, classes: &[usize], forward: impl Fn(Tensor<D>) -> Tensor<2>) -> Tensor<D> {
    gradient(forward, x, classes).abs()
}
