//! The number that is explained: the logit of one class an example.

use burn::tensor::{Int, Tensor, TensorData};

/// `[B, K] -> [B]`, with one class an example.
pub(crate) fn score(logits: Tensor<2>, classes: &[usize]) -> Tensor<1> {
    let [examples, k] = logits.dims();
    assert_eq!(classes.len(), examples, "one class an example");
    assert!(classes.iter().all(|&class| class < k), "a class of {classes:?} is not among {k}");
    let chosen = classes.iter().map(|&class| class as i64).collect();
    let chosen: Tensor<2, Int> = Tensor::from_data(TensorData::new(chosen, [examples, 1]), &logits.device());
    logits.gather(1, chosen).reshape([examples])
}

/// The scores on the host.
pub(crate) fn scores<const D: usize>(forward: impl Fn(Tensor<D>) -> Tensor<2>, x: Tensor<D>, classes: &[usize]) -> Vec<f64> {
    score(forward(x), classes).into_data().iter::<f64>().collect()
}

/// `∂yᶜ/∂x` at each example: `[B, …] -> [B, …]`. Examples do not mix in a frozen network, so the gradient of the sum holds each one's own.
pub(crate) fn gradient<const D: usize>(forward: impl Fn(Tensor<D>) -> Tensor<2>, x: Tensor<D>, classes: &[usize]) -> Tensor<D> {
    let x = x.detach().require_grad();
    let gradients = score(forward(x.clone()), classes).sum().backward();
    x.grad(&gradients).unwrap_or_else(|| x.inner().zeros_like())
}

/// A number an example, to be multiplied with `[B, …]`.
pub(crate) fn per_example<const D: usize>(values: &[f64], like: &Tensor<D>) -> Tensor<D> {
    let mut shape = [1; D];
    shape[0] = values.len();
    Tensor::from_data(TensorData::new(values.to_vec(), shape).convert_dtype(like.dtype()), (&like.device(), like.dtype()))
}
