use crate::{Features, features::replace};
use burn::tensor::{Tensor, activation::softmax};

/// The probability of a class as features come or go in the order of their attributions, the largest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve(
    /// After 0, 1, …, F features.
    pub Vec<f64>,
);

impl Curve {
    /// The area under it, by trapezia, over `[0, 1]`.
    pub fn area(&self) -> f64 {
        let pieces = self.0.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0);
        pieces.sum::<f64>() / (self.0.len() - 1).max(1) as f64
    }
}

/// Features of one example come onto the baseline: a good attribution has a large area. `[1, …]` each; see [`deletion`].
pub fn insertion<const D: usize>(
    x: Tensor<D>,
    baseline: Tensor<D>,
    attributions: Tensor<D>,
    features: &Features,
    class: usize,
    forward: impl Fn(Tensor<D>) -> Tensor<2>,
) -> Curve {
    deletion(baseline, x, attributions, features, class, forward)
}

/// Features of one example go, each to the baseline: a good attribution has a small area. `[1, …]` each.
///
/// A feature ranks by the sum of the attributions of its elements; of equals, the first goes first.
///
/// Source: Petsiuk, Das and Saenko, "RISE", 2018 (<https://arxiv.org/abs/1806.07421>), section 4.2.
///
/// # Panics
/// If there is more than one example, or the features are not its.
pub fn deletion<const D: usize>(
    x: Tensor<D>,
    baseline: Tensor<D>,
    attributions: Tensor<D>,
    features: &Features,
    class: usize,
    forward: impl Fn(Tensor<D>) -> Tensor<2>,
) -> Curve {
    assert_eq!(x.dims()[0], 1, "a curve is of one example");
    let totals = features.totals(&attributions.into_data().iter::<f64>().collect::<Vec<_>>());
    let mut order: Vec<usize> = (0..features.count()).collect();
    order.sort_by(|&a, &b| totals[b].total_cmp(&totals[a]));
    let probability = |x: Tensor<D>| softmax(forward(x), 1).into_data().iter::<f64>().nth(class).expect("a class of the model");
    let mut gone = vec![false; features.count()];
    let mut curve = vec![probability(x.clone())];
    for feature in order {
        gone[feature] = true;
        curve.push(probability(replace(&x, &baseline, features.mask(&x, |f| gone[f]))));
    }
    Curve(curve)
}
