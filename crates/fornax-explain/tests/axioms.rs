//! What attributions must do, over random networks: completeness, symmetry, dummy.
#![recursion_limit = "256"]

use burn::tensor::{DType, Device, Tensor, activation};
use fornax_explain::{
    Distance, Features, Locality, all_coalitions, deletion, feature_ablation, feature_permutation, gradient_shap, infidelity, insertion,
    integrated_gradients, kernel_shap, layer_conductance, lime, neuron_conductance, normal_noise, random_coalitions, random_orders, random_points,
    random_samples, saliency, sensitivity_max, shapley_sampling,
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
        let kernel = kernel_shap(x.clone(), x.zeros_like(), &Features::each(6), &all_coalitions(6), CLASSES, forward);
        assert_close(&kernel, &shapley, 1e-9, 1e-12);
        for (what, values) in
            [("integrated gradients", integrated.attributions.values()), ("Shapley", shapley.values()), ("KernelSHAP", kernel.values())]
        {
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

#[test]
fn few_coalitions_keep_the_sum_and_many_come_to_shapleys_values() {
    let device = device().autodiff();
    let (network, x) = (Random::new(1, &device), Random::input(1, &device));
    let forward = |x| network.forward(x);
    let (features, zero) = (Features::each(6), x.zeros_like());
    let exact = shapley_sampling(x.clone(), zero.clone(), &features, &all_orders(6), CLASSES, forward).values();
    let mut errors = vec![];
    for pairs in [2, 20, 2000] {
        let coalitions = random_coalitions(Key::new(7), 6, pairs);
        assert_eq!(coalitions.len(), 2 * pairs);
        assert!(coalitions.iter().all(|c| c.present.contains(&true) && c.present.contains(&false)));
        let drawn = kernel_shap(x.clone(), zero.clone(), &features, &coalitions, CLASSES, forward).values();
        let sums = |values: &[f64]| [values[..6].iter().sum::<f64>(), values[6..].iter().sum()];
        assert_close(sums(&drawn), sums(&exact), 1e-9, 1e-12);
        errors.push(drawn.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max));
    }
    let largest = exact.iter().fold(0f64, |most, value| most.max(value.abs()));
    assert!(errors[2] < 0.02 * largest && errors[2] < errors[0], "{errors:?} of {largest}");
    assert_eq!(random_coalitions(Key::new(7), 6, 5), random_coalitions(Key::new(7), 6, 5));
    assert_ne!(random_coalitions(Key::new(7), 6, 5), random_coalitions(Key::new(8), 6, 5));
    assert!(random_coalitions(Key::new(7), 1, 5).is_empty());
    // One feature has all of the difference.
    let one = kernel_shap(x.clone(), zero, &Features::new(vec![0; 6]), &all_coalitions(1), CLASSES, forward).values();
    assert_close([one[0], one[6]], [exact[..6].iter().sum::<f64>(), exact[6..].iter().sum()], 1e-9, 1e-12);
}

#[test]
fn sizes_of_coalitions_come_as_often_as_their_weights_say() {
    let coalitions = random_coalitions(Key::new(3), 5, 4000);
    let share = |size: usize| coalitions.iter().filter(|c| c.present.iter().filter(|present| **present).count() == size).count() as f64 / 8000.0;
    // 1/4, 1/6, 1/6, 1/4 of 5/6.
    for (size, want) in [(1, 0.3), (2, 0.2), (3, 0.2), (4, 0.3)] {
        assert!((share(size) - want).abs() < 0.02, "{size}: {} instead of {want}", share(size));
    }
    let all = all_coalitions(5);
    assert_eq!(all.len(), 30);
    let of_one = all.iter().filter(|c| c.present.iter().filter(|present| **present).count() == 1).map(|c| c.weight).sum::<f64>();
    assert!((of_one / all.iter().map(|c| c.weight).sum::<f64>() - 0.3).abs() < 1e-12);
}

#[test]
fn gradient_shap_comes_to_integrated_gradients_and_is_blind_to_what_does_not_matter() {
    let device = device().autodiff();
    let (network, x) = (Random::new(2, &device), Random::input(2, &device));
    let forward = |x| network.forward(x);
    let zero = x.zeros_like();
    let integrated = integrated_gradients(x.clone(), zero.clone(), CLASSES, 40, forward).attributions.values();
    let shap = |count| gradient_shap(x.clone(), random_points(Key::new(5), count, 0.0, &x, &zero), CLASSES, forward).values();
    let largest = integrated.iter().fold(0f64, |most, value| most.max(value.abs()));
    let error = |values: Vec<f64>| values.iter().zip(&integrated).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest;
    let (few, many) = (error(shap(1)), error(shap(2000)));
    assert!(many < 0.03 && many < few, "{many} {few}");
    let values = shap(3);
    assert!((values[0] - values[1]).abs() < 1e-12 && values[5].abs() < 1e-12, "{values:?}");
    let points: Vec<_> = random_points(Key::new(5), 50, 0.5, &x, &x).collect();
    let mean = points.iter().flat_map(|p| p.noise.values()).sum::<f64>() / 600.0;
    let spread = points.iter().flat_map(|p| p.noise.values()).map(|n| n * n).sum::<f64>() / 600.0;
    assert!(mean.abs() < 0.1 && (spread - 0.25).abs() < 0.05, "{mean} {spread}");
    // Every baseline is one of the rows that it is drawn from, and all of them come.
    let rows: Vec<Vec<f64>> = x.values().chunks(6).map(<[f64]>::to_vec).collect();
    let drawn: Vec<Vec<f64>> = points.iter().flat_map(|p| p.baseline.values().chunks(6).map(<[f64]>::to_vec).collect::<Vec<_>>()).collect();
    assert!(drawn.iter().all(|row| rows.contains(row)) && rows.iter().all(|row| drawn.contains(row)));
}

#[test]
fn lime_and_permutation_find_a_linear_model() {
    let device = device();
    let weights: Tensor<2> = uniform([6, 3], 5, &device, DType::F64);
    let x: Tensor<2> = uniform([2, 6], 6, &device, DType::F64);
    let forward = |x: Tensor<2>| x.matmul(weights.clone()) + 0.5;
    let features = Features::each(6);
    let ablated = feature_ablation(x.clone(), x.zeros_like(), &features, CLASSES, forward);
    let samples = random_samples(Key::new(3), 6, 40);
    for distance in [Distance::Cosine, Distance::Euclidean] {
        let of = |ridge| lime(x.clone(), x.zeros_like(), &features, &samples, Locality { distance, width: 1.0, ridge }, CLASSES, forward);
        assert_close(of(0.0), &ablated, 1e-9, 1e-12);
        let size = |values: Vec<f64>| values.iter().map(|v| v * v).sum::<f64>();
        assert!(size(of(1.0).values()) < size(of(0.0).values()));
    }
    // Two examples that trade a feature: each loses what the other's is less worth to it.
    let traded = feature_permutation(x.clone(), &features, &[(); 6].map(|()| vec![1, 0]), CLASSES, forward).values();
    let (x, w) = (x.values(), weights.values());
    let want = (0..12).map(|i| (x[i] - x[(i + 6) % 12]) * w[3 * (i % 6) + CLASSES[i / 6]]).collect::<Vec<_>>();
    assert_close(traded, want, 1e-9, 1e-12);
}

#[test]
fn conductance_through_all_units_is_integrated_gradients() {
    const SITE: Site = Site("hidden");
    let device = device().autodiff();
    let (network, x) = (Random::new(4, &device), Random::input(4, &device));
    let through = |unit| {
        neuron_conductance((SITE, None), unit, x.clone(), x.zeros_like(), CLASSES, 30, |x, tap| {
            tap.tap(SITE, activation::tanh(x.matmul(network.first.clone()))).matmul(network.second.clone())
        })
    };
    let sum = (0..7).map(|unit| through(unit).expect("the site")).reduce(|sum, part| sum + part).unwrap();
    let integrated = integrated_gradients(x.clone(), x.zeros_like(), CLASSES, 30, |x| network.forward(x)).attributions;
    assert_close(&sum, &integrated, 1e-9, 1e-12);
    assert!(neuron_conductance((Site("elsewhere"), None), 0, x.clone(), x.zeros_like(), CLASSES, 3, |x, _| network.forward(x)).is_none());
}
