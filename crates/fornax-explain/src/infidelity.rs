use crate::score::scores;
use burn::tensor::Tensor;

/// How badly attributions foretell what a perturbation does: `E[(Iᵀ a − (yᶜ(x) − yᶜ(x − I)))²]`, of each example; 0 is best.
///
/// One sample for each tensor `I` of `perturbations`, `[B, …]` on the device of `x`; [`normal_noise`](crate::normal_noise) gives the usual
/// ones. `forward` runs a frozen model and needs no autodiff.
///
/// Source: Yeh et al., "On the (in)fidelity and sensitivity of explanations", 2019 (<https://arxiv.org/abs/1901.09392>), definition 2.1.
///
/// # Panics
/// If there is no perturbation, or the classes are not one an example.
pub fn infidelity<const D: usize>(
    x: Tensor<D>,
    attributions: Tensor<D>,
    perturbations: impl IntoIterator<Item = Tensor<D>>,
    classes: &[usize],
    forward: impl Fn(Tensor<D>) -> Tensor<2>,
) -> Vec<f64> {
    let whole = scores(&forward, x.clone(), classes);
    let (mut sums, mut samples) = (vec![0.0; whole.len()], 0usize);
    for perturbation in perturbations {
        let product: Tensor<2> = (perturbation.clone().inner() * attributions.clone()).reshape([whole.len() as i32, -1]).sum_dim(1);
        let foretold: Vec<f64> = product.into_data().iter::<f64>().collect();
        let after = scores(&forward, x.clone() - perturbation, classes);
        for example in 0..whole.len() {
            sums[example] += (foretold[example] - (whole[example] - after[example])).powi(2);
        }
        samples += 1;
    }
    assert!(samples > 0, "infidelity needs at least one perturbation");
    sums.into_iter().map(|sum| sum / samples as f64).collect()
}
