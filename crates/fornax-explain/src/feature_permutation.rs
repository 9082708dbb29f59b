use crate::{Features, features::replace, score::scores};
use burn::tensor::{Int, Tensor};

/// What the logit loses when a feature comes from another example of the batch: `aᵢ = yᶜ(x) − yᶜ(x with feature i of example π(b))`.
///
/// `orders` has one order of the batch a feature: of example `b`, the feature is taken from example `orders[i][b]`.
/// [`random_orders`](crate::random_orders)`(key, batch, features)` gives some. `forward` runs a frozen model and needs no autodiff; `classes`
/// names one class an example. `[B, …] -> [B, …]`
///
/// Source: Breiman, "Random forests", 2001; Fisher, Rudin and Dominici, "All models are wrong, but many are useful", 2019
/// (<https://arxiv.org/abs/1801.01489>).
///
/// # Panics
/// If an order is missing or names an example that is not there, or the classes are not one an example.
pub fn feature_permutation<const D: usize>(
    x: Tensor<D>,
    features: &Features,
    orders: &[Vec<usize>],
    classes: &[usize],
    forward: impl Fn(Tensor<D>) -> Tensor<2>,
) -> Tensor<D> {
    assert_eq!(orders.len(), features.count(), "one order of the batch a feature");
    let whole = scores(&forward, x.clone(), classes);
    let mut lost = vec![vec![0.0; features.count()]; whole.len()];
    for (feature, order) in orders.iter().enumerate() {
        assert!(order.len() == whole.len() && order.iter().all(|&from| from < whole.len()), "{order:?} is no order of {} examples", whole.len());
        let order: Vec<i64> = order.iter().map(|&from| from as i64).collect();
        let order: Tensor<1, Int> = Tensor::from_data(order.as_slice(), &x.device());
        let mixed = replace(&x, &x.clone().select(0, order), features.mask(&x, |f| f == feature));
        for (example, y) in scores(&forward, mixed, classes).into_iter().enumerate() {
            lost[example][feature] = whole[example] - y;
        }
    }
    features.spread(&lost, &x)
}
