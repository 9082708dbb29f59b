use crate::{
    gauss_legendre::gauss_legendre,
    score::{gradient, scores},
};
use burn::tensor::Tensor;

/// Attributions, and by how much they miss completeness.
#[derive(Debug, Clone)]
pub struct Integrated<const D: usize> {
    /// `[B, …]`, without autodiff.
    pub attributions: Tensor<D>,
    /// `Σᵢ aᵢ − (yᶜ(x) − yᶜ(x′))` of each example: 0 for the exact integral. Large: take more steps.
    pub gap: Vec<f64>,
}

/// Gradients along the straight line from a baseline: `(x − x′) ⊙ ∫₀¹ ∂yᶜ/∂x (x′ + a (x − x′)) da`.
///
/// The integral takes `steps` points of Gauss and Legendre; Captum takes 50. `baseline` is as `x`, or one example of it; `forward` runs a
/// frozen model on an autodiff device; `classes` names one class an example.
///
/// Source: Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", 2017 (<https://arxiv.org/abs/1703.01365>), equation 1.
///
/// # Panics
/// If `steps` is 0, `x` is on a device without autodiff, or the classes are not one an example.
pub fn integrated_gradients<const D: usize>(
    x: Tensor<D>,
    baseline: Tensor<D>,
    classes: &[usize],
    steps: usize,
    forward: impl Fn(Tensor<D>) -> Tensor<2>,
) -> Integrated<D> {
    assert!(steps > 0, "integrated gradients need at least one step");
    let baseline = baseline.expand(x.dims());
    let path = x.clone() - baseline.clone();
    let mean = gauss_legendre(steps)
        .into_iter()
        .fold(x.clone().inner().zeros_like(), |mean, (at, weight)| mean + gradient(&forward, baseline.clone() + path.clone() * at, classes) * weight);
    let attributions = mean * path.inner();
    let examples = x.dims()[0];
    let sums: Tensor<2> = attributions.clone().reshape([examples as i32, -1]).sum_dim(1);
    let ends = scores(&forward, x, classes).into_iter().zip(scores(&forward, baseline, classes));
    let gap = sums.into_data().iter::<f64>().zip(ends).map(|(sum, (y, y0))| sum - (y - y0)).collect();
    Integrated { attributions, gap }
}
