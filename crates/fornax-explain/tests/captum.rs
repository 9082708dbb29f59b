//! Attributions against Captum: `reference/explain.py`, weights by formula.
#![recursion_limit = "256"]

use burn::tensor::{DType, Device, Tensor, TensorData, activation};
use fornax_explain::{
    Distance, Features, Locality, PathPoint, Smooth, all_coalitions, feature_ablation, feature_permutation, gradient_shap, infidelity,
    input_x_gradient, integrated_gradients, kernel_shap, layer_activation, layer_conductance, lime, neuron_conductance, neuron_gradient,
    noise_tunnel, occlusion, saliency, sensitivity_max, shapley_sampling,
};
use fornax_layers::{NoTap, Site, Tap};
use fornax_testkit::{Reference, Values, device, reference};

const HIDDEN: Site = Site("hidden");

/// Weights of the generator: tensor k is three times a wave.
struct Waves<'a> {
    device: &'a Device,
    dtype: DType,
}

impl Waves<'_> {
    fn weight<const D: usize>(&self, k: usize, shape: [usize; D]) -> Tensor<D> {
        let value = |i: usize| 3.0 * f64::from((0.1 * (0.37 * i as f64 + k as f64).sin()) as f32);
        let values = (0..shape.iter().product()).map(value).collect();
        Tensor::from_data(TensorData::new::<f64, _>(values, shape).convert_dtype(self.dtype), (self.device, self.dtype))
    }
    fn head(&self, k: usize, h: Tensor<2>) -> Tensor<2> {
        let width = h.dims()[1];
        h.matmul(self.weight(k, [width, 4])) + self.weight(k + 1, [1, 4])
    }
}

fn mlp<T: Tap>(w: &Waves<'_>, x: Tensor<4>, tap: &mut T) -> Tensor<2> {
    let x: Tensor<2> = x.flatten(1, 3);
    let h = activation::tanh(x.matmul(w.weight(0, [36, 8])) + w.weight(1, [1, 8]));
    w.head(2, tap.tap(HIDDEN, h))
}

fn cnn<T: Tap>(w: &Waves<'_>, x: Tensor<4>, tap: &mut T) -> Tensor<2> {
    let h = fornax_kernels::conv::conv2d_relu(x, w.weight(0, [3, 1, 3, 3]), Some(w.weight(1, [3])), [1, 1], [0, 0]);
    w.head(2, tap.tap(HIDDEN, h).flatten(1, 3))
}

fn lstm<T: Tap>(w: &Waves<'_>, x: Tensor<4>, tap: &mut T) -> Tensor<2> {
    let x: Tensor<3> = x.flatten(0, 1);
    let batch = x.dims()[0];
    let mut h = Tensor::zeros([batch, 5], (w.device, w.dtype));
    let mut c = h.clone();
    for t in 0..6 {
        let input: Tensor<2> = x.clone().narrow(1, t, 1).flatten(1, 2);
        let gates = input.matmul(w.weight(0, [6, 20])) + h.matmul(w.weight(1, [5, 20])) + w.weight(2, [1, 20]);
        let gate = |k: usize| gates.clone().narrow(1, 5 * k, 5);
        c = activation::sigmoid(gate(1)) * c + activation::sigmoid(gate(0)) * activation::tanh(gate(2));
        h = activation::sigmoid(gate(3)) * activation::tanh(c.clone());
    }
    w.head(3, tap.tap(HIDDEN, h))
}

fn transformer<T: Tap>(w: &Waves<'_>, x: Tensor<4>, tap: &mut T) -> Tensor<2> {
    let x: Tensor<3> = x.flatten(0, 1);
    let [q, k, v] = [0, 1, 2].map(|n| x.clone().matmul(w.weight::<2>(n, [6, 6]).unsqueeze()));
    let weights = activation::softmax(q.matmul(k.swap_dims(1, 2)) / 6f64.sqrt(), 2);
    let h: Tensor<2> = activation::tanh(x + weights.matmul(v)).mean_dim(1).flatten(1, 2);
    w.head(3, tap.tap(HIDDEN, h))
}

/// A forward pass that shows its activation to any tap.
trait Network {
    fn run<T: Tap>(&self, x: Tensor<4>, tap: &mut T) -> Tensor<2>;
}

struct Named<'a>(&'a str, Waves<'a>);

impl Network for Named<'_> {
    fn run<T: Tap>(&self, x: Tensor<4>, tap: &mut T) -> Tensor<2> {
        match self.0 {
            "mlp" => mlp(&self.1, x, tap),
            "cnn" => cnn(&self.1, x, tap),
            "lstm" => lstm(&self.1, x, tap),
            "transformer" => transformer(&self.1, x, tap),
            other => panic!("no network `{other}`"),
        }
    }
}

const CLASSES: &[usize] = &[1, 2];

fn cases() -> Vec<Reference> {
    reference("tests/reference/explain.json").list("cases")
}

/// Within a share of the largest element; Captum weighs in f32, whatever the inputs: its integrals are off by 4e-9, its ablations by 6e-8.
fn near(what: &str, got: impl Values, want: Vec<f64>, dtype: DType) {
    let got = got.values();
    assert_eq!(got.len(), want.len(), "{what}: number of elements");
    let largest = want.iter().fold(0f64, |most, x| most.max(x.abs()));
    assert!(largest > 0.0, "{what}: nothing to compare");
    let worst = got.iter().zip(&want).map(|(g, w)| (g - w).abs()).fold(0f64, f64::max) / largest;
    assert!(worst <= if dtype == DType::F64 { 1e-6 } else { 1e-4 }, "{what} in {dtype:?}: off by {worst:e} of the largest\n{got:?}\n{want:?}");
}

#[test]
fn every_method_gives_captums_attributions() {
    let cases = cases();
    assert_eq!(cases.len(), 4);
    for case in &cases {
        for dtype in [DType::F32, DType::F64] {
            check(case, dtype);
            check_of_samples(case, dtype);
            check_of_units(case, dtype);
        }
    }
}

fn check(case: &Reference, dtype: DType) {
    let (name, want) = (case.text("name"), case.get("results"));
    let device = device().autodiff();
    let network = Named(&name, Waves { device: &device, dtype });
    let forward = |x: Tensor<4>| network.run(x, &mut NoTap);
    let x: Tensor<4> = case.tensor("x", &device, dtype);
    let baseline: Tensor<4> = case.tensor("baseline", &device, dtype);
    let noise: Tensor<5> = case.tensor("noise", &device, dtype);
    let noise = || (0..3).map(|n| noise.clone().narrow(0, n, 1).reshape([2, 1, 6, 6])).collect::<Vec<Tensor<4>>>();
    let is = |method: &str, got: Tensor<4>| near(&format!("{method} of {name}"), got, want.values(method), dtype);

    is("saliency", saliency(x.clone(), CLASSES, forward));
    is("input_x_gradient", input_x_gradient(x.clone(), CLASSES, forward));
    let integrated = integrated_gradients(x.clone(), baseline.clone(), CLASSES, 12, forward);
    is("integrated_gradients", integrated.attributions.clone());
    // A small rest of large terms: held to the size of those.
    for (got, want) in integrated.gap.iter().zip(want.values("gap")) {
        assert!((got - want).abs() < if dtype == DType::F64 { 1e-8 } else { 1e-5 }, "gap of {name}: {got} instead of {want}");
    }
    for (method, smooth) in [("smooth_grad", Smooth::Mean), ("smooth_grad_squared", Smooth::Squared), ("var_grad", Smooth::Variance)] {
        is(method, noise_tunnel(x.clone(), noise(), smooth, |x| saliency(x, CLASSES, forward)));
    }
    let features = Features::patches([1, 6, 6], 3);
    is("feature_ablation", feature_ablation(x.clone(), baseline.clone(), &features, CLASSES, forward));
    for (method, window) in [("occlusion", [3, 3]), ("occlusion_overlapping", [4, 2]), ("occlusion_over_the_edge", [4, 3])] {
        is(method, occlusion(x.clone(), baseline.clone(), window, CLASSES, forward));
    }
    let orders = [vec![2, 0, 3, 1], vec![1, 3, 2, 0], vec![0, 1, 2, 3]];
    is("shapley_sampling", shapley_sampling(x.clone(), baseline.clone(), &features, &orders, CLASSES, forward));

    let site = |method: &str, got: Option<Tensor<2>>| near(&format!("{method} of {name}"), got.expect("the site"), want.values(method), dtype);
    site("layer_activation", layer_activation(HIDDEN, None, x.clone(), |x, tap| network.run(x, tap)));
    let conductance = layer_conductance((HIDDEN, None), x.clone(), baseline, CLASSES, 12, |x, tap| network.run(x, tap));
    site("layer_conductance", conductance);

    let number = |method: &str, got: Vec<f64>| near(&format!("{method} of {name}"), got, want.values(method), dtype);
    number("infidelity", infidelity(x.clone(), integrated.attributions, noise(), CLASSES, forward));
    number("sensitivity_max", sensitivity_max(x, noise(), |x| saliency(x, CLASSES, forward)));
}

/// Methods that draw, with the generator's draws.
fn check_of_samples(case: &Reference, dtype: DType) {
    let (name, want) = (case.text("name"), case.get("results"));
    let device = device().autodiff();
    let network = Named(&name, Waves { device: &device, dtype });
    let forward = |x: Tensor<4>| network.run(x, &mut NoTap);
    let x: Tensor<4> = case.tensor("x", &device, dtype);
    let baseline: Tensor<4> = case.tensor("baseline", &device, dtype);
    let noise: Tensor<5> = case.tensor("noise", &device, dtype);
    let noise = |n: usize| -> Tensor<4> { noise.clone().narrow(0, n, 1).reshape([2, 1, 6, 6]) };
    let features = Features::patches([1, 6, 6], 3);
    let is = |method: &str, got: Tensor<4>, dtype| near(&format!("{method} of {name}"), got, want.values(method), dtype);

    let others = [baseline.clone(), noise(0).narrow(0, 0, 1), noise(1).narrow(0, 0, 1)];
    let places = [[0.25, 0.75], [0.5, 0.125], [0.875, 0.375]];
    let points = others.into_iter().zip(places).enumerate().map(|(n, (baseline, at))| PathPoint { noise: noise(n), baseline, at: at.to_vec() });
    is("gradient_shap", gradient_shap(x.clone(), points, CLASSES, forward), dtype);

    let orders = [[1, 0], [1, 0], [0, 1], [1, 0]].map(Vec::from);
    is("feature_permutation", feature_permutation(x.clone(), &features, &orders, CLASSES, forward), dtype);

    let shap = kernel_shap(x.clone(), baseline.clone(), &features, &all_coalitions(4), CLASSES, forward);
    is("shapley_values", shap.clone(), dtype);
    // Captum's regressions are in f32, whatever the network.
    is("kernel_shap", shap, DType::F32);
    let samples = [[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 0], [0, 1, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
        .map(|s| s.map(|z| z == 1).to_vec());
    for (method, locality) in [
        ("lime_cosine", Locality { distance: Distance::Cosine, width: 0.5, ridge: 0.0 }),
        ("lime_euclidean", Locality { distance: Distance::Euclidean, width: 3.0, ridge: 0.25 }),
    ] {
        is(method, lime(x.clone(), baseline.clone(), &features, &samples, locality, CLASSES, forward), DType::F32);
    }
}

/// Of one unit of the hidden activation.
fn check_of_units(case: &Reference, dtype: DType) {
    const UNIT: usize = 3;
    let (name, want) = (case.text("name"), case.get("results"));
    let device = device().autodiff();
    let network = Named(&name, Waves { device: &device, dtype });
    let x: Tensor<4> = case.tensor("x", &device, dtype);
    let baseline: Tensor<4> = case.tensor("baseline", &device, dtype);
    let is = |method: &str, got: Option<Tensor<4>>| near(&format!("{method} of {name}"), got.expect("the site"), want.values(method), dtype);
    is("neuron_gradient", neuron_gradient((HIDDEN, None), UNIT, x.clone(), |x, tap| network.run(x, tap)));
    let conductance = neuron_conductance((HIDDEN, None), UNIT, x, baseline, CLASSES, 12, |x, tap| network.run(x, tap));
    is("neuron_conductance", conductance);
}
