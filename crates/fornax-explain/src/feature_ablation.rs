use crate::{Features, features::replace, score::scores};
use burn::tensor::Tensor;

/// What the logit loses without a feature: `aᵢ = yᶜ(x) − yᶜ(x with feature i from the baseline)`, at every element of the feature.
///
/// `forward` runs a frozen model and needs no autodiff; `baseline` is as `x`, or one example of it; `classes` names one class an example.
/// `[B, …] -> [B, …]`
///
/// Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014 (<https://arxiv.org/abs/1311.2901>).
///
/// # Panics
/// If the features are not those of an example of `x`, or the classes are not one an example.
pub fn feature_ablation<const D: usize>(
    x: Tensor<D>,
    baseline: Tensor<D>,
    features: &Features,
    classes: &[usize],
    forward: impl Fn(Tensor<D>) -> Tensor<2>,
) -> Tensor<D> {
    let whole = scores(&forward, x.clone(), classes);
    let mut lost = vec![vec![0.0; features.count()]; whole.len()];
    for feature in 0..features.count() {
        let without = replace(&x, &baseline, features.mask(&x, |f| f == feature));
        for (example, y) in scores(&forward, without, classes).into_iter().enumerate() {
            lost[example][feature] = whole[example] - y;
        }
    }
    features.spread(&lost, &x)
}
