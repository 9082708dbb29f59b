use crate::{Features, features::replace, score::scores};
use burn::tensor::Tensor;
use fornax_kernels::random::Key;

/// What each feature adds to the logit as it joins those before it, in the mean over orders: an estimate of Shapley's values.
///
/// `φᵢ = mean over orders of yᶜ(features up to i) − yᶜ(features before i)`, the others from the baseline. The values of an example add up to
/// `yᶜ(x) − yᶜ(x′)` whatever the orders, and over all orders they are Shapley's. `baseline` is as `x`, or one example of it; `forward` runs a
/// frozen model and needs no autodiff. `[B, …] -> [B, …]`, with [`random_orders`] for instance.
///
/// Source: Castro, Gómez and Tejada, "Polynomial calculation of the Shapley value based on sampling", 2009.
///
/// # Panics
/// If there is no order, one is no order of the features, or the classes are not one an example.
pub fn shapley_sampling<const D: usize>(
    x: Tensor<D>,
    baseline: Tensor<D>,
    features: &Features,
    orders: &[Vec<usize>],
    classes: &[usize],
    forward: impl Fn(Tensor<D>) -> Tensor<2>,
) -> Tensor<D> {
    assert!(!orders.is_empty(), "Shapley values need at least one order");
    let nothing = scores(&forward, baseline.clone().expand(x.dims()), classes);
    let mut values = vec![vec![0.0; features.count()]; nothing.len()];
    for order in orders {
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..features.count()), "{order:?} is no order of {} features", features.count());
        let mut present = vec![false; features.count()];
        let mut before = nothing.clone();
        for &feature in order {
            present[feature] = true;
            let with = replace(&x, &baseline, features.mask(&x, |f| !present[f]));
            let after = scores(&forward, with, classes);
            for example in 0..after.len() {
                values[example][feature] += (after[example] - before[example]) / orders.len() as f64;
            }
            before = after;
        }
    }
    features.spread(&values, &x)
}

/// Orders of `features` features; order `n` is a function of the key and `n` alone.
pub fn random_orders(key: Key, features: usize, orders: usize) -> Vec<Vec<usize>> {
    let shuffled = |n: u64| {
        let mut order: Vec<usize> = (0..features).collect();
        let key = key.fold(n);
        (1..features).rev().for_each(|i| order.swap(i, (key.uniform(i as u64) * (i + 1) as f64) as usize));
        order
    };
    (0..orders as u64).map(shuffled).collect()
}
