use crate::{Features, features::replace, least_squares::least_squares, random_orders, score::scores};
use burn::tensor::Tensor;
use fornax_kernels::random::Key;

/// Some features of a model, the others from the baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Coalition {
    /// Whether each feature is in: `[F]`
    pub present: Vec<bool>,
    /// In the regression.
    pub weight: f64,
}

/// Shapley values by a linear regression on coalitions: the `φ` that minimizes `Σ_z w(z) (yᶜ(z) − yᶜ(x′) − zᵀ φ)²` under `Σ φᵢ = yᶜ(x) − yᶜ(x′)`.
///
/// Solved exactly. Over [`all_coalitions`] the values are Shapley's; [`random_coalitions`] draws some, of which there should be several for each
/// feature: a feature that they do not tell from others gets 0. `baseline` is as `x`, or one example of it; `forward` runs a frozen model and
/// needs no autodiff. `[B, …] -> [B, …]`
///
/// Source: Lundberg and Lee, "A unified approach to interpreting model predictions", 2017 (<https://arxiv.org/abs/1705.07874>), theorem 2. The sum
/// is kept by a constraint, where Captum gives both ends a weight of 1,000,000.
///
/// # Panics
/// If there is no feature, a coalition is not of these features, or the classes are not one an example.
pub fn kernel_shap<const D: usize>(
    x: Tensor<D>,
    baseline: Tensor<D>,
    features: &Features,
    coalitions: &[Coalition],
    classes: &[usize],
    forward: impl Fn(Tensor<D>) -> Tensor<2>,
) -> Tensor<D> {
    let count = features.count();
    assert!(count > 0, "KernelSHAP needs at least one feature");
    assert!(coalitions.iter().all(|c| c.present.len() == count), "coalitions of {count} features");
    let last = count - 1;
    let one = |present: bool| f64::from(u8::from(present));
    let (whole, nothing) = (scores(&forward, x.clone(), classes), scores(&forward, baseline.clone().expand(x.dims()), classes));
    let worth: Vec<Vec<f64>> =
        coalitions.iter().map(|coalition| scores(&forward, replace(&x, &baseline, features.mask(&x, |f| !coalition.present[f])), classes)).collect();
    // The constraint takes the last feature out: φ_F = Δ − Σ φᵢ.
    let row = |c: &Coalition| c.present[..last].iter().map(|&present| one(present) - one(c.present[last])).collect();
    let rows: Vec<Vec<f64>> = coalitions.iter().map(row).collect();
    let weights: Vec<f64> = coalitions.iter().map(|c| c.weight).collect();
    let values = |example: usize| {
        let change = whole[example] - nothing[example];
        let target = |(c, y): (&Coalition, &Vec<f64>)| y[example] - nothing[example] - one(c.present[last]) * change;
        let targets: Vec<f64> = coalitions.iter().zip(&worth).map(target).collect();
        let mut values = least_squares(&rows, &targets, &weights, 0.0);
        values.resize(last, 0.0);
        values.push(change - values.iter().sum::<f64>());
        values
    };
    features.spread(&(0..whole.len()).map(values).collect::<Vec<_>>(), &x)
}

/// Every coalition but none and all, with the weight `(F − 1) / (C(F, s) s (F − s))` of its size `s`.
///
/// # Panics
/// If there are more than 20 features, a million coalitions.
pub fn all_coalitions(features: usize) -> Vec<Coalition> {
    assert!(features <= 20, "all coalitions of {features} features are too many: draw some");
    let weight = |size: usize| {
        let choose = (0..size).fold(1.0, |product, i| product * (features - i) as f64 / (i + 1) as f64);
        (features - 1) as f64 / (choose * (size * (features - size)) as f64)
    };
    let coalition =
        |bits: usize| Coalition { present: (0..features).map(|f| (bits >> f) & 1 == 1).collect(), weight: weight(bits.count_ones() as usize) };
    (1..(1usize << features).saturating_sub(1)).map(coalition).collect()
}

/// `pairs` coalitions, each followed by the features that it leaves out; sizes come as often as their weight says, so that all weigh 1.
/// Pair `n` is a function of the key and `n` alone. None of fewer than two features.
///
/// Source of the pairs: Covert and Lee, "Improving KernelSHAP", 2021 (<https://arxiv.org/abs/2012.01536>), section 4.2.
pub fn random_coalitions(key: Key, features: usize, pairs: usize) -> Vec<Coalition> {
    if features < 2 {
        return vec![];
    }
    let shares: Vec<f64> = (1..features).map(|size| 1.0 / (size * (features - size)) as f64).collect();
    let total: f64 = shares.iter().sum();
    let pair = |(n, order): (usize, Vec<usize>)| {
        let mut rest = key.fold(1).uniform(n as u64) * total;
        let below = |share: &&f64| {
            rest -= **share;
            rest >= 0.0
        };
        let size = (1 + shares.iter().take_while(below).count()).min(features - 1);
        let mut present = vec![false; features];
        order[..size].iter().for_each(|&feature| present[feature] = true);
        let others = present.iter().map(|present| !present).collect();
        [present, others].map(|present| Coalition { present, weight: 1.0 })
    };
    random_orders(key.fold(0), features, pairs).into_iter().enumerate().flat_map(pair).collect()
}
