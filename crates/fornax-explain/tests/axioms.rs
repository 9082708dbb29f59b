//! What attributions must do, over random networks: completeness, symmetry, dummy.
#![recursion_limit = "256"]

use burn::tensor::{DType, Device, Tensor, activation};
use fornax_explain::{
    Features, deletion, feature_ablation, infidelity, insertion, integrated_gradients, layer_conductance, normal_noise, random_orders, saliency,
    sensitivity_max, shapley_sampling,
};
use fornax_kernels::random::Key;
use fornax_layers::{Site, Tap};
use fornax_testkit::{Values, assert_close, device, uniform};

const CLASSES: &[usize] = &[0, 2];

/// `W₂ tanh(W₁ x)` of six features; features 0 and 1 have the same weights, feature 5 has none.
struct Random {
    first: Tensor<2>,
    second: Tensor<2>,
}

impl Random {
    fn new(seed: u64, device: &Device) -> Self {
        let rows: Tensor<2> = uniform([6, 7], 2 * seed, device, DType::F64);
        let row = |i: usize| rows.clone().narrow(0, i, 1);
        let first = Tensor::cat(vec![row(0), row(0), row(2), row(3), row(4), row(5) * 0.0], 0);
        Self { first, second: uniform([7, 3], 2 * seed + 1, device, DType::F64) }
    }
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        activation::tanh(x.matmul(self.first.clone())).matmul(self.second.clone())
    }
    /// Two examples in which features 0 and 1 are equal.
    fn input(seed: u64, device: &Device) -> Tensor<2> {
        let x: Tensor<2> = uniform([2, 6], 1000 + seed, device, DType::F64);
        Tensor::cat(vec![x.clone().narrow(1, 0, 1), x.clone().narrow(1, 0, 1), x.narrow(1, 2, 4)], 1)
    }
}

#[test]
fn complete_symmetric_and_blind_to_what_does_not_matter() {
    let device = device().autodiff();
    for seed in 0..6 {
        let (network, x) = (Random::new(seed, &device), Random::input(seed, &device));
        let zero = x.zeros_like();
        let forward = |x| network.forward(x);
        let integrated = integrated_gradients(x.clone(), zero.clone(), CLASSES, 40, forward);
        assert!(integrated.gap.iter().all(|gap| gap.abs() < 1e-9), "{:?}", integrated.gap);
        let few = integrated_gradients(x.clone(), zero.clone(), CLASSES, 1, forward);
        assert!(few.gap.iter().any(|gap| gap.abs() > 1e-6), "one step cannot be exact: {:?}", few.gap);

        // All 720 orders, so that the values are Shapley's.
        let orders = all_orders(6);
        let shapley = shapley_sampling(x.clone(), zero.clone(), &Features::each(6), &orders, CLASSES, forward);
        let (at, at_zero) = (forward(x.clone()).values(), forward(zero).values());
        for (what, values) in [("integrated gradients", integrated.attributions.values()), ("Shapley", shapley.values())] {
            for (example, &class) in CLASSES.iter().enumerate() {
                let a = &values[6 * example..6 * (example + 1)];
                let change = at[3 * example + class] - at_zero[3 * example + class];
                assert!((a.iter().sum::<f64>() - change).abs() < 1e-9, "{what}, seed {seed}: {a:?} do not add up to {change}");
                assert!((a[0] - a[1]).abs() < 1e-9, "{what}, seed {seed}: {a:?} are not symmetric");
                assert!(a[5].abs() < 1e-12 && a[0].abs() > 1e-6, "{what}, seed {seed}: {a:?}");
            }
        }
    }
}

fn all_orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let shorter = all_orders(n - 1);
    (0..n).flat_map(|at| shorter.iter().map(move |order| [&order[..at], &[n - 1], &order[at..]].concat())).collect()
}

#[test]
fn sampled_orders_are_orders_of_their_key() {
    let orders = random_orders(Key::new(1), 9, 50);
    for order in &orders {
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..9).collect::<Vec<_>>());
    }
    assert_eq!(orders, random_orders(Key::new(1), 9, 50));
    assert_ne!(orders, random_orders(Key::new(2), 9, 50));
    let first: f64 = orders.iter().map(|order| order[0] as f64).sum::<f64>() / 50.0;
    assert!((2.5..5.5).contains(&first), "{first} is far from 4");
}

#[test]
fn conductance_finds_the_block_that_is_asked_for_and_adds_up() {
    const SITE: Site = Site("block");
    let device = device().autodiff();
    let (network, x) = (Random::new(3, &device), Random::input(3, &device));
    let of = |block: Option<usize>| {
        layer_conductance((SITE, block), x.clone(), x.zeros_like(), CLASSES, 500, |x, tap| {
            tap.scope("blocks", 0);
            let h = tap.tap(SITE, activation::tanh(x.matmul(network.first.clone())));
            tap.scope("blocks", 1);
            tap.tap(SITE, h.matmul(network.second.clone()))
        })
    };
    let outputs = network.forward(x.clone()).values();
    for (block, width) in [(0, 7), (1, 3)] {
        let values = of(Some(block)).expect("the block").values();
        for (example, &class) in CLASSES.iter().enumerate() {
            let sum: f64 = values[width * example..width * (example + 1)].iter().sum();
            let want = outputs[3 * example + class];
            assert!((sum - want).abs() < 0.02 * want.abs().max(0.1), "block {block}: {sum} instead of {want}");
        }
    }
    assert!(of(Some(2)).is_none());
}

#[test]
fn a_linear_model_is_explained_without_fault() {
    let device = device().autodiff();
    let weights: Tensor<2> = uniform([6, 3], 5, &device, DType::F32);
    let x: Tensor<2> = uniform([2, 6], 6, &device, DType::F32);
    let forward = |x: Tensor<2>| x.matmul(weights.clone());
    let noise = || normal_noise(Key::new(4), 10, 0.3, [2, 6], &device);
    let integrated = |x: Tensor<2>| {
        let gradients = integrated_gradients(x.clone(), x.zeros_like(), CLASSES, 3, forward);
        gradients.attributions / x.inner()
    };
    assert!(infidelity(x.clone(), integrated(x.clone()), noise(), CLASSES, forward).iter().all(|&worst| worst < 1e-10));
    let wrong = integrated(x.clone()) * 2.0;
    assert!(infidelity(x.clone(), wrong, noise(), CLASSES, forward).iter().all(|&worst| worst > 1e-3));
    assert!(sensitivity_max(x.clone(), noise(), |x| saliency(x, CLASSES, forward)).iter().all(|&most| most < 1e-6));

    let one = x.clone().narrow(0, 0, 1);
    let ablated = feature_ablation(one.clone(), one.zeros_like(), &Features::each(6), &[0], forward);
    let expected = (one.clone() * weights.clone().narrow(1, 0, 1).transpose()).values();
    assert_close(&ablated, expected, 1e-4, 1e-6);
    let zero = one.zeros_like();
    // With a constant beside it, the probability is as the logit.
    let alone = |x: Tensor<2>| {
        let logit = forward(x).narrow(1, 0, 1);
        Tensor::cat(vec![logit.clone(), logit * 0.0], 1)
    };
    let deleted = |a: Tensor<2>| deletion(one.clone(), zero.clone(), a, &Features::each(6), 0, alone).area();
    let inserted = |a: Tensor<2>| insertion(one.clone(), zero.clone(), a, &Features::each(6), 0, alone).area();
    assert!(deleted(ablated.clone()) < deleted(-ablated.clone()));
    assert!(inserted(ablated.clone()) > inserted(-ablated));
}

#[test]
fn a_curve_begins_and_ends_where_the_model_does() {
    let device = device();
    let x: Tensor<2> = Tensor::from_floats([[1.0, 2.0]], &device);
    let forward = |x: Tensor<2>| Tensor::cat(vec![x.clone().sum_dim(1), x.sum_dim(1) * 0.0], 1);
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let curve = deletion(x.clone(), x.zeros_like(), x.clone(), &Features::each(2), 0, forward);
    assert_close(curve.0.clone(), [sigmoid(3.0), sigmoid(1.0), 0.5], 1e-6, 0.0);
    assert!((curve.area() - (sigmoid(3.0) / 2.0 + sigmoid(1.0) + 0.25) / 2.0).abs() < 1e-6);
    let curve = insertion(x.clone(), x.zeros_like(), x, &Features::each(2), 0, forward);
    assert_close(curve.0, [0.5, sigmoid(2.0), sigmoid(3.0)], 1e-6, 0.0);
}
