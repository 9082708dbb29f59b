use crate::score::{gradient, per_example};
use burn::tensor::{Int, Tensor, TensorData};
use fornax_kernels::random::Key;

/// A point between an input under noise and a baseline.
#[derive(Debug, Clone)]
pub struct PathPoint<const D: usize> {
    /// Added to the input: `[B, …]`
    pub noise: Tensor<D>,
    /// `[B, …]`, or one for all.
    pub baseline: Tensor<D>,
    /// How far from its baseline each example is, 0 to 1: `[B]`
    pub at: Vec<f64>,
}

/// Gradients at random points between an input and random baselines: `φ = E[(x̃ − x′) ⊙ ∂yᶜ/∂x (x′ + a (x̃ − x′))]`, with `x̃ = x + noise`.
///
/// The mean over `points`, as [`random_points`] draws them. It approaches the mean of integrated gradients over the baselines, which are
/// SHAP values where features are independent and the model is linear between. `forward` runs a frozen model on an autodiff device; `classes`
/// names one class an example. `[B, …] -> [B, …]`, without autodiff.
///
/// Source: Lundberg and Lee, "A unified approach to interpreting model predictions", 2017 (<https://arxiv.org/abs/1705.07874>); expected
/// gradients: Erion et al., 2019 (<https://arxiv.org/abs/1906.10670>), equation 3; noise and mean as in Captum's `GradientShap`.
///
/// # Panics
/// If there is no point, `x` is on a device without autodiff, or classes or places are not one an example.
pub fn gradient_shap<const D: usize>(
    x: Tensor<D>,
    points: impl IntoIterator<Item = PathPoint<D>>,
    classes: &[usize],
    forward: impl Fn(Tensor<D>) -> Tensor<2>,
) -> Tensor<D> {
    let (mut sum, mut count) = (x.clone().inner().zeros_like(), 0usize);
    for PathPoint { noise, baseline, at } in points {
        assert_eq!(at.len(), x.dims()[0], "one place an example");
        let path = x.clone() + noise - baseline.clone();
        let point = baseline + path.clone() * per_example(&at, &x);
        sum = sum + gradient(&forward, point, classes) * path.inner();
        count += 1;
    }
    assert!(count > 0, "GradientSHAP needs at least one point");
    sum / count as f64
}

/// `count` points for [`gradient_shap`]: normal noise, a baseline for each example from `baselines: [N, …]`, and places uniform in `[0, 1)`.
/// Point `n` is a function of the key, `n` and the shapes alone.
///
/// # Panics
/// If there is no baseline.
pub fn random_points<const D: usize>(
    key: Key,
    count: usize,
    deviation: f64,
    x: &Tensor<D>,
    baselines: &Tensor<D>,
) -> impl Iterator<Item = PathPoint<D>> + use<D> {
    let (like, baselines, shape) = (x.zeros_like(), baselines.clone(), x.dims());
    let choices = baselines.dims()[0];
    assert!(choices > 0, "GradientSHAP needs at least one baseline");
    (0..count as u64).map(move |n| {
        let [noise, which, place] = [0, 1, 2].map(|part| key.fold(n).fold(part));
        let values = (0..shape.iter().product::<usize>() as u64).map(|i| deviation * noise.normal(i)).collect();
        let data = TensorData::new::<f64, _>(values, shape).convert_dtype(like.dtype());
        let chosen: Vec<i64> = (0..shape[0] as u64).map(|example| (which.uniform(example) * choices as f64) as i64).collect();
        let chosen: Tensor<1, Int> = Tensor::from_data(chosen.as_slice(), &like.device());
        PathPoint {
            noise: Tensor::from_data(data, (&like.device(), like.dtype())),
            baseline: baselines.clone().select(0, chosen),
            at: (0..shape[0] as u64).map(|example| place.uniform(example)).collect(),
        }
    })
}
