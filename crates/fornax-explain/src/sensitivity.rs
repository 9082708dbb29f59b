use burn::tensor::Tensor;

/// How far attributions move, at most, as the input moves a little: `max ‖a(x + δ) − a(x)‖ / ‖a(x)‖` of each example; small is good.
///
/// One sample for each tensor `δ` of `perturbations`, `[B, …]` on the device of `x`; the source draws them from a ball of radius 0.02.
///
/// Source: Yeh et al., "On the (in)fidelity and sensitivity of explanations", 2019 (<https://arxiv.org/abs/1901.09392>), definition 3.1,
/// divided by the norm as in its experiments.
pub fn sensitivity_max<const D: usize>(
    x: Tensor<D>,
    perturbations: impl IntoIterator<Item = Tensor<D>>,
    attribute: impl Fn(Tensor<D>) -> Tensor<D>,
) -> Vec<f64> {
    let examples = x.dims()[0];
    let norms = |a: Tensor<D>| -> Vec<f64> {
        let sums: Tensor<2> = a.square().reshape([examples as i32, -1]).sum_dim(1);
        sums.into_data().iter::<f64>().map(f64::sqrt).collect()
    };
    let at = attribute(x.clone());
    let size = norms(at.clone());
    let mut most = vec![0f64; examples];
    for perturbation in perturbations {
        let moved = norms(attribute(x.clone() + perturbation) - at.clone());
        for example in 0..examples {
            let divisor = if size[example] == 0.0 { 1.0 } else { size[example] };
            most[example] = most[example].max(moved[example] / divisor);
        }
    }
    most
}
