//! Adjustments of rate and decay by name, rank, depth and width.
#![recursion_limit = "256"]

use burn::module::Module;
use burn::nn::{Linear, LinearConfig, conv::Conv2d, conv::Conv2dConfig};
use burn::tensor::{DType, Device, Tensor};
use fornax_optimizers::{Adam, AdamW, Adjust, Change, Decay, Group, Optimizer, PerTensor, Sgd, WidthRule, name_matches, parameters};
use fornax_testkit::{Pair, Values, device, follow, uniform};

#[derive(Module, Debug)]
struct Net {
    stem: Conv2d,
    blocks: Vec<Linear>,
    head: Linear,
}

fn net(width: usize, device: &Device) -> Net {
    Net {
        stem: Conv2dConfig::new([3, width], [3, 3]).init(device),
        blocks: (0..2).map(|_| LinearConfig::new(width, width).init(device)).collect(),
        head: LinearConfig::new(width, 10).init(device),
    }
}

#[test]
fn patterns() {
    for (pattern, name, fits) in [
        ("*", "blocks.0.weight", true),
        ("blocks.*", "blocks.0.weight", true),
        ("blocks.?.weight", "blocks.1.weight", true),
        ("*.bias", "blocks.0.weight", false),
        ("*.bias", "head.bias", true),
        ("head", "head.bias", false),
        ("*norm*", "blocks.0.norm.gamma", true),
        ("", "", true),
        ("?", "", false),
        ("a*b*c", "aXbYbZc", true),
    ] {
        assert_eq!(name_matches(pattern, name), fits, "{pattern} on {name}");
    }
}

#[test]
fn adjustments_act_one_after_another_and_after_groups() {
    let optimizer = PerTensor::new(Sgd { weight_decay: 0.5, ..Sgd::default() })
        .with_group(Group::VECTORS_WITHOUT_DECAY)
        .with_adjust(Adjust::path("head.*", Change { lr_scale: 10.0, weight_decay: None }))
        .with_adjust(Adjust::rank(1, Change::lr(0.5)))
        .with_adjust(Adjust::path("*.weight", Change { lr_scale: 1.0, weight_decay: Some(0.25) }));
    assert_eq!(optimizer.settings("head.weight", &[4, 2]), (10.0, 0.25));
    assert_eq!(optimizer.settings("head.bias", &[2]), (5.0, 0.0));
    assert_eq!(optimizer.settings("body.scale", &[2, 2]), (1.0, 0.5));
}

#[test]
fn a_step_follows_them() {
    let device = device().autodiff();
    let model = Pair::new(uniform([2, 3], 1, &device, DType::F32), uniform([3], 2, &device, DType::F32));
    let before = [model.matrix.val().values(), model.vector.val().values()];
    let gradients = follow(&model, Tensor::ones([2, 3], &device), Tensor::ones([3], &device));
    let mut optimizer = PerTensor::new(Sgd::default()).with_adjust(Adjust::path("mat*", Change::lr(3.0)));
    let model = optimizer.step(0.125, model, &gradients);
    assert!((before[0][0] - model.matrix.val().values()[0] - 0.375).abs() < 1e-6);
    assert!((before[1][0] - model.vector.val().values()[0] - 0.125).abs() < 1e-6);
}

#[test]
fn decay_of_another_kind_is_that_of_the_rule_that_has_it() {
    let device = device().autodiff();
    let run = |mut optimizer: PerTensor| {
        let mut model = Pair::new(uniform([2, 3], 1, &device, DType::F32), uniform([3], 2, &device, DType::F32));
        for seed in 3..8 {
            let gradients = follow(&model, uniform([2, 3], seed, &device, DType::F32), uniform([3], seed + 50, &device, DType::F32));
            model = optimizer.step(0.1, model, &gradients);
        }
        model.matrix.val().values()
    };
    let numbers = Adam { weight_decay: 0.3, ..Adam::default() };
    let (coupled, decoupled) = (run(PerTensor::new(numbers)), run(PerTensor::new(AdamW(numbers))));
    assert_ne!(coupled, decoupled);
    assert_eq!(run(PerTensor::new(numbers).with_decay(Decay::Decoupled)), decoupled);
    assert_eq!(run(PerTensor::new(AdamW(numbers)).with_decay(Decay::Coupled)), coupled);
    assert_eq!(run(PerTensor::new(numbers).with_decay(Decay::Rule)), coupled);
}

#[test]
fn deeper_layers_have_more_of_the_rate() {
    let model = net(8, &device().autodiff());
    let decay = Adjust::layer_decay(&parameters(&model), 0.5);
    for (name, scale) in [("stem.weight", 0.125), ("stem.bias", 0.125), ("blocks.0.weight", 0.25), ("blocks.1.bias", 0.5), ("head.weight", 1.0)] {
        assert_eq!(decay.change(name, &[1]), Some(Change::lr(scale)), "{name}");
    }
    assert_eq!(decay.change("other.weight", &[1]), None);
}

#[test]
fn rates_by_width_are_the_rows_of_table_3() {
    let device = device().autodiff();
    let (base, wide) = (parameters(&net(8, &device)), parameters(&net(32, &device)));
    let scale = |rule, name: &str| {
        let shape = &wide.iter().find(|parameter| parameter.name == name).expect("it is there").shape;
        Adjust::width(&base, rule).change(name, shape).map_or(1.0, |change| change.lr_scale)
    };
    // Input weights and biases, hidden weights, output weights, and the output's bias, whose width does not change.
    let rows =
        [("stem.weight", 1.0, 4.0), ("stem.bias", 1.0, 4.0), ("blocks.0.weight", 0.25, 1.0), ("head.weight", 0.25, 0.25), ("head.bias", 1.0, 1.0)];
    for (name, adam, sgd) in rows {
        assert_eq!(scale(WidthRule::Adam, name), adam, "{name} under Adam");
        assert_eq!(scale(WidthRule::Sgd, name), sgd, "{name} under SGD");
    }
    // Of the same width, nothing changes.
    assert!(base.iter().all(|p| Adjust::width(&base, WidthRule::Adam).change(&p.name, &p.shape).is_none()));
}

#[test]
fn parameters_have_names_shapes_and_values_in_the_models_order() {
    let device = device().autodiff();
    let all = parameters(&net(4, &device));
    let names: Vec<_> = all.iter().map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(
        names,
        ["stem.weight", "stem.bias", "blocks.0.weight", "blocks.0.bias", "blocks.1.weight", "blocks.1.bias", "head.weight", "head.bias"]
    );
    assert_eq!((all[0].shape.as_slice(), all[6].shape.as_slice()), (&[4, 3, 3, 3][..], &[4, 10][..]));
    assert!(all.iter().all(|parameter| parameter.trainable && !parameter.value.device().is_autodiff()));
}
