use crate::{Features, features::replace, least_squares::least_squares, score::scores};
use burn::tensor::Tensor;
use fornax_kernels::random::Key;

/// How far a perturbed input is from the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distance {
    /// `1 − cos(x, x̃)`
    Cosine,
    /// `‖x − x̃‖`
    Euclidean,
}

/// What a sample counts, and how large coefficients may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Locality {
    /// `D`
    pub distance: Distance,
    /// `σ` of the weight `exp(−D² / (2 σ²))`.
    pub width: f64,
    /// `λ` on the squares of the coefficients.
    pub ridge: f64,
}

impl Locality {
    fn weight(&self, x: &[f64], moved: &[f64]) -> f64 {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let distance = match self.distance {
            Distance::Cosine => 1.0 - dot(x, moved) / (dot(x, x) * dot(moved, moved)).sqrt().max(1e-16),
            Distance::Euclidean => x.iter().zip(moved).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt(),
        };
        (-distance.powi(2) / (2.0 * self.width.powi(2))).exp()
    }
}

/// The coefficients of a linear model that is like the network around one input: the `b` of
/// `min Σ_z π(z) (yᶜ(z) − b₀ − zᵀ b)² + λ ‖b‖²`, where `z` says which features of the input are in, the others being from the baseline.
///
/// One sample for each of `samples`, `[F]`, as [`random_samples`] draws them; `π` weighs it by its distance from the input, and `b₀` is not
/// held small. `baseline` is as `x`, or one example of it; `forward` runs a frozen model and needs no autodiff. `[B, …] -> [B, …]`
///
/// Source: Ribeiro, Singh and Guestrin, "Why should I trust you?", 2016 (<https://arxiv.org/abs/1602.04938>), equation 2, solved as a ridge
/// regression over all features; distances are between inputs, as in Captum.
///
/// # Panics
/// If there is no sample, one is not of these features, or the classes are not one an example.
pub fn lime<const D: usize>(
    x: Tensor<D>,
    baseline: Tensor<D>,
    features: &Features,
    samples: &[Vec<bool>],
    locality: Locality,
    classes: &[usize],
    forward: impl Fn(Tensor<D>) -> Tensor<2>,
) -> Tensor<D> {
    assert!(!samples.is_empty() && samples.iter().all(|sample| sample.len() == features.count()), "samples of {} features", features.count());
    let examples = x.dims()[0];
    let numbers = |x: &Tensor<D>| x.to_data().iter::<f64>().collect::<Vec<_>>();
    let whole = numbers(&x);
    let size = whole.len() / examples.max(1);
    let (mut outputs, mut weights) = (vec![vec![]; examples], vec![vec![]; examples]);
    for sample in samples {
        let moved = replace(&x, &baseline, features.mask(&x, |f| !sample[f]));
        let pixels = numbers(&moved);
        for (example, y) in scores(&forward, moved, classes).into_iter().enumerate() {
            let part = example * size..(example + 1) * size;
            outputs[example].push(y);
            weights[example].push(locality.weight(&whole[part.clone()], &pixels[part]));
        }
    }
    let rows: Vec<Vec<f64>> = samples.iter().map(|sample| sample.iter().map(|&present| f64::from(u8::from(present))).collect()).collect();
    let values: Vec<_> = outputs.iter().zip(&weights).map(|(y, w)| slopes(&rows, y, w, locality.ridge)).collect();
    features.spread(&values, &x)
}

/// The coefficients of a regression whose constant is free: everything is taken from its weighted mean.
fn slopes(rows: &[Vec<f64>], y: &[f64], weights: &[f64], ridge: f64) -> Vec<f64> {
    let total = weights.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let mean = |values: &mut dyn Iterator<Item = f64>| values.zip(weights).map(|(value, w)| value * w).sum::<f64>() / total;
    let centre: Vec<f64> = (0..rows[0].len()).map(|feature| mean(&mut rows.iter().map(|row| row[feature]))).collect();
    let middle = mean(&mut y.iter().copied());
    let rows: Vec<Vec<f64>> = rows.iter().map(|row| row.iter().zip(&centre).map(|(z, centre)| z - centre).collect()).collect();
    least_squares(&rows, &y.iter().map(|y| y - middle).collect::<Vec<_>>(), weights, ridge)
}

/// Samples for [`lime`]: each feature is in with probability ½. Sample `n` is a function of the key and `n` alone.
pub fn random_samples(key: Key, features: usize, samples: usize) -> Vec<Vec<bool>> {
    (0..samples as u64).map(|n| (0..features as u64).map(|f| key.fold(n).uniform(f) < 0.5).collect()).collect()
}
