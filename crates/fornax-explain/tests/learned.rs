//! What activations hold and what a model learned from: probes, concepts, influence, randomization.
#![recursion_limit = "256"]

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor};
use fornax_architectures::{ConvNetConfig, ImageClassifier, Mlp, MlpConfig};
use fornax_explain::{LinearProbe, concept_direction, concept_sensitivity, layer_activation, model_randomization, saliency, tcav_score, tracin};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::{Site, Tap};
use fornax_testkit::{Values, assert_close, device, reference, to_dtype, uniform};

#[test]
fn a_probe_is_scikit_learns() {
    let case = reference("tests/reference/explain_probe.json").list("cases").remove(0);
    let (device, classes) = (device(), case.counts("classes"));
    for dtype in [DType::F32, DType::F64] {
        let x: Tensor<2> = case.tensor("x", &device, dtype);
        let probe = LinearProbe::fit(&x, &classes, 3, case.number("penalty"));
        assert_close(probe.weights.concat(), case.values("weights"), 1e-6, 1e-6);
        let mean = probe.biases.iter().sum::<f64>() / 3.0;
        assert_close(probe.biases.iter().map(|b| b - mean).collect::<Vec<_>>(), case.values("biases"), 1e-6, 1e-6);
        assert!((probe.accuracy(&x, &classes) - case.number("accuracy")).abs() < 1e-9);
    }
}

#[test]
fn a_probe_reads_what_is_there_and_nothing_else() {
    let device = device();
    let x: Tensor<2> = uniform([60, 4], 1, &device, DType::F64);
    let there: Vec<usize> = x.values().chunks(4).map(|row| usize::from(row[1] > row[2])).collect();
    let noise: Vec<usize> = (0..60).map(|i| (Key::new(9).uniform(i) * 2.0) as usize).collect();
    let held_out = |classes: &[usize]| {
        let probe = LinearProbe::fit(&x.clone().narrow(0, 0, 40), &classes[..40], 2, 1e-3);
        probe.accuracy(&x.clone().narrow(0, 40, 20), &classes[40..])
    };
    assert!(held_out(&there) >= 0.85 && held_out(&noise) <= 0.75, "{} {}", held_out(&there), held_out(&noise));
}

#[test]
fn a_concept_points_where_its_examples_are() {
    const SITE: Site = Site("hidden");
    let device = device().autodiff();
    // The concept is the second feature of three.
    let others: Tensor<2> = uniform([50, 3], 1, &device, DType::F64);
    let concept = others.clone() + Tensor::<2>::from_data([[0.0, 3.0, 0.0]], (&device, DType::F64));
    let direction = concept_direction(&concept, &others, 1e-3);
    assert!((direction.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-12);
    assert!(direction[1] > 0.95, "{direction:?}");

    // Of a linear head, the derivative is the head's weight along the direction.
    let head: Tensor<2> = uniform([3, 4], 2, &device, DType::F64);
    let x: Tensor<2> = uniform([5, 3], 3, &device, DType::F64);
    let classes = [0, 1, 2, 3, 1];
    let of = |direction: &[f64]| {
        concept_sensitivity((SITE, None), direction, x.clone(), &classes, |x, tap| tap.tap(SITE, x * 2.0).matmul(head.clone())).unwrap()
    };
    let weights = head.values();
    let want = classes.map(|class| (0..3).map(|i| direction[i] * weights[4 * i + class]).sum::<f64>());
    assert_close(of(&direction), want, 1e-9, 1e-12);
    let against: Vec<f64> = direction.iter().map(|v| -v).collect();
    assert_eq!(tcav_score(&of(&direction)) + tcav_score(&of(&against)), 1.0);
    assert_eq!((tcav_score(&[1.0, -1.0, 0.0, 2.0]), tcav_score(&[])), (0.5, 0.0));
    assert!(concept_sensitivity((Site("elsewhere"), None), &direction, x.clone(), &classes, |x, _| x.matmul(head.clone())).is_none());
}

#[test]
fn activations_of_a_network_hold_what_it_was_made_to_tell() {
    let device = device().autodiff();
    set_step_key(Key::new(4));
    let model: Mlp = MlpConfig { inputs: 9, hidden: vec![12], classes: 2, dropout: 0.0 }.init(&device).freeze();
    let x: Tensor<4> = uniform([80, 1, 3, 3], 5, &device, DType::F32);
    let classes: Vec<usize> = model.forward(x.clone()).values().chunks(2).map(|logits| usize::from(logits[1] > logits[0])).collect();
    let hidden = layer_activation(Mlp::HIDDEN, Some(0), x, |x, tap| model.forward_with(x, tap)).unwrap();
    assert!(LinearProbe::fit(&hidden, &classes, 2, 1e-4).accuracy(&hidden, &classes) > 0.95);
}

/// `w · x + b`
#[derive(Module, Debug)]
struct Line {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Line {
    fn new(weight: [[f64; 1]; 2], bias: f64, device: &Device) -> Self {
        let weight = Tensor::from_data(weight, (device, DType::F64));
        Self { weight: Param::from_tensor(weight), bias: Param::from_tensor(Tensor::from_data([bias], (device, DType::F64))) }
    }
    /// `(w · x + b − y)²` of an example `[x₁, x₂, y]`.
    fn loss(&self, example: &[f64; 3]) -> Tensor<1> {
        let x = Tensor::<2>::from_data([[example[0], example[1]]], (&self.weight.device(), DType::F64));
        (x.matmul(self.weight.val()).reshape([1]) + self.bias.val() - example[2]).square()
    }
}

#[test]
fn influence_is_the_product_of_gradients_and_foretells_a_step() {
    let device = device().autodiff();
    let lines = [Line::new([[0.5], [-1.0]], 0.25, &device), Line::new([[1.5], [0.0]], -0.5, &device)];
    let (training, others) = ([[1.0, 2.0, 0.5], [-1.0, 0.5, 2.0], [0.0, 0.0, 0.25]], [[0.5, 1.0, 1.0], [2.0, -1.0, 0.0]]);
    let checkpoints: Vec<_> = lines.iter().cloned().zip([0.1, 0.02]).collect();
    let got = tracin(&checkpoints, &training, &others, Line::loss);
    let numbers = [([0.5, -1.0], 0.25, 0.1), ([1.5, 0.0], -0.5, 0.02)];
    for (j, other) in others.iter().enumerate() {
        for (i, one) in training.iter().enumerate() {
            let product = |(w, b, lr): ([f64; 2], f64, f64)| {
                let error = |e: &[f64; 3]| 2.0 * (w[0] * e[0] + w[1] * e[1] + b - e[2]);
                lr * error(one) * error(other) * (one[0] * other[0] + one[1] * other[1] + 1.0)
            };
            let want: f64 = numbers.into_iter().map(product).sum();
            assert!((got[j][i] - want).abs() < 1e-12, "{i} on {j}: {} instead of {want}", got[j][i]);
        }
    }
    // A small step on one example changes another's loss by that much.
    let lr = 1e-6;
    let influence = tracin(&[(lines[0].clone(), lr)], &training[..1], &others[..1], Line::loss)[0][0];
    let gradients = lines[0].loss(&training[0]).backward();
    let (w, b) = (lines[0].weight.val(), lines[0].bias.val());
    let moved = (w.clone().inner() - w.grad(&gradients).unwrap() * lr).values();
    let bias = (b.clone().inner() - b.grad(&gradients).unwrap() * lr).values()[0];
    let after = Line::new([[moved[0]], [moved[1]]], bias, &device);
    let change = lines[0].loss(&others[0]).values()[0] - after.loss(&others[0]).values()[0];
    assert!((change - influence).abs() < 1e-4 * influence.abs(), "{change} instead of {influence}");
}

#[test]
fn what_depends_on_the_model_is_lost_with_it() {
    let device = device().autodiff();
    set_step_key(Key::new(6));
    let x: Tensor<4> = uniform([3, 1, 8, 8], 7, &device, DType::F32);
    let model: Mlp = MlpConfig { inputs: 64, hidden: vec![20, 20], classes: 4, dropout: 0.0 }.init(&device).freeze();
    let explain = |model: &Mlp| saliency(x.clone(), &[0, 1, 2], |x| model.forward(x));
    let left = model_randomization(&model, Key::new(1), explain);
    let layers: Vec<&str> = left.iter().map(|step| step.layer.as_str()).collect();
    assert_eq!(layers, ["head", "hidden.1.linear", "hidden.0.linear"]);
    assert!(left.iter().all(|step| step.similarity.len() == 3 && step.similarity.iter().all(|s| s.abs() <= 1.0)));
    let mean = |step: usize| left[step].similarity.iter().sum::<f64>() / 3.0;
    assert!(mean(2) < 0.5 && mean(0) < 0.999, "{left:?}");
    // What looks at the image alone passes through unharmed, which is what the check is for.
    let edges = model_randomization(&model, Key::new(1), |_: &Mlp| x.clone().inner());
    assert!(edges.iter().flat_map(|step| &step.similarity).all(|s| (s - 1.0).abs() < 1e-12));
    // The key says what is drawn, and the model that was given is not touched.
    assert_eq!(left, model_randomization(&model, Key::new(1), explain));
    assert_ne!(left, model_randomization(&model, Key::new(2), explain));

    // Statistics of batch norm are parameters too, and stay what they can be.
    let stages = vec![fornax_architectures::Stage::valid3(3, 2)];
    let config = ConvNetConfig { image: [1, 8, 8], stages, dense: vec![], classes: 4, batch_norm: true, ..ConvNetConfig::tutorial() };
    let model = to_dtype(config.init(&device), DType::F32).freeze();
    let left = model_randomization(&model, Key::new(1), |model| saliency(x.clone(), &[0, 1, 2], |x| model.forward(x)));
    let layers: Vec<&str> = left.iter().map(|step| step.layer.as_str()).collect();
    assert_eq!(layers, ["head", "features.0.norm", "features.0.conv"]);
}
