//! Architectures against PyTorch: `reference/architectures.py`. Weights come from a formula, gradients are held by norm, projection and
//! samples.
#![recursion_limit = "256"]

use burn::tensor::{DType, Device, Int, Tensor};
use fornax_architectures::{ConvNetConfig, ImageClassifier, LeNet5Config, MlpConfig, ResNetConfig, Stem};
use fornax_layers::loss::cross_entropy;
use fornax_optimizers::Gradients;
use fornax_testkit::{Reference, Values, assert_near, devices, parameters, reference, to_dtype, with_parameters};
use fornax_weights::count_trainable;

fn case(name: &str) -> Reference {
    reference("tests/reference/architectures.json").list("cases").into_iter().find(|case| case.text("name") == name).expect("a case of that name")
}

/// Element i of tensor k is 0.1 sin(0.37 i + k), rounded to f32.
fn wave(k: usize, i: usize) -> f64 {
    f64::from((0.1 * (0.37 * i as f64 + k as f64).sin()) as f32)
}

/// Running statistics, which PyTorch's functions are not given.
fn is_statistic(name: &str) -> bool {
    name.contains(".running_")
}

fn check<M: ImageClassifier>(case: &Reference, build: impl Fn(&Device) -> M, dtypes: &[DType]) {
    let weights = case.list("weights");
    let position = |name: &str| weights.iter().position(|w| w.text("name") == name).unwrap_or_else(|| panic!("PyTorch's model has no `{name}`"));
    for device in devices() {
        for &dtype in dtypes {
            let device = device.clone().autodiff();
            let model = build(&device);
            assert_eq!(count_trainable(&model), case.count("parameters"));
            let model = with_parameters(to_dtype(model, dtype), |name, values| {
                if !is_statistic(name) {
                    let k = position(name);
                    values.iter_mut().enumerate().for_each(|(i, x)| *x = wave(k, i));
                }
            });
            let found: Vec<_> = parameters(&model).into_iter().filter(|(_, name, _)| !is_statistic(name)).collect();
            assert_eq!(found.len(), weights.len(), "parameters");
            let shapes = fornax_weights::state(&model);
            assert!(weights.iter().all(|w| shapes[&w.text("name")].shape().to_vec() == w.counts("shape")));

            let logits = model.forward(case.tensor("images", &device, dtype));
            assert_near("logits", &logits, case.values("logits"), dtype);
            let classes: Vec<i64> = case.counts("classes").into_iter().map(|c| c as i64).collect();
            let loss = cross_entropy(logits, Tensor::<1, Int>::from_data(classes.as_slice(), &device), 0.0);
            assert_near("loss", &loss, [case.number("loss")], dtype);
            let gradients = Gradients::of(&loss, &model);
            for (id, name, _) in found {
                check_gradient(&weights[position(&name)], &gradients.get(id).expect("a gradient").values(), dtype);
            }
        }
    }
}

fn check_gradient(expected: &Reference, gradient: &[f64], dtype: DType) {
    let name = expected.text("name");
    // In f32 the layers behind a weight add their roundings.
    let share = if dtype == DType::F64 { 1e-8 } else { 3e-4 };
    let norm = expected.number("norm");
    let near = |what: &str, got: f64, want: f64, size: f64| {
        assert!((got - want).abs() <= share * size, "{what} of the gradient of {name} in {dtype:?}: {got} instead of {want}");
    };
    near("the norm", gradient.iter().map(|g| g * g).sum::<f64>().sqrt(), norm, norm);
    let projection = gradient.iter().enumerate().map(|(i, g)| g * (0.61 * i as f64).cos()).sum::<f64>();
    near("the projection", projection, expected.number("projection"), norm);
    for (i, want) in expected.counts("indices").into_iter().zip(expected.values("samples")) {
        near(&format!("element {i}"), gradient[i], want, expected.number("largest"));
    }
}

#[test]
fn convnet() {
    check(&case("convnet"), |d| ConvNetConfig::tutorial().init(d), &[DType::F32, DType::F64]);
}

#[test]
fn lenet5() {
    check(&case("lenet5"), |d| LeNet5Config::mnist().init(d), &[DType::F32, DType::F64]);
}

#[test]
fn mlp() {
    check(&case("mlp"), |d| MlpConfig::mnist().init(d), &[DType::F32, DType::F64]);
}

#[test]
fn resnet() {
    for (name, stem) in [("resnet", Stem::Small), ("resnet, large", Stem::Large)] {
        let config = ResNetConfig { image: [1, 28, 28], stem, blocks: vec![1, 1], width: 16, classes: 10 };
        check(&case(name), |d| config.init(d), &[DType::F32, DType::F64]);
    }
}
