//! Every rule keeps the contract of rules, and the optimizer around it that of groups and state.
#![recursion_limit = "256"]

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{DType, Device, Tensor, TensorData};
use fornax_optimizers::{Adam, AdamW, Configured, Gradients, Group, Hyper, Numbers, Optimizer, PerTensor, RULES, RuleConfig, Sgd, State};
use fornax_testkit::{Pair, Values, assert_close, bits, device, devices, follow, uniform};

#[test]
fn rules_are_found_by_name() {
    for (i, entry) in RULES.iter().enumerate() {
        let config = RuleConfig::named(entry.name).expect("it is in the list");
        assert_eq!(config, entry.config());
        let decay = match config.optimizer().expect("its defaults are in range") {
            Configured::PerTensor(optimizer) => optimizer.rule().weight_decay(),
            Configured::Lbfgs(_) => 0.0,
        };
        assert_eq!(decay, config.weight_decay);
        assert!(RULES[..i].iter().all(|other| other.name != entry.name), "two rules are called {}", entry.name);
    }
    let error = RuleConfig::named("sdg").expect_err("there is none").to_string();
    assert!(error.contains("is one of sgd, adagrad") && error.contains("not `sdg`"), "{error}");
    assert!(RuleConfig::default().name == "adamw");
}

#[test]
fn every_number_of_a_rule_has_its_range() {
    for entry in RULES {
        let options = (entry.defaults)();
        let numbers = options.iter().filter(|(name, value)| value.is_f64() && *name != "weight_decay");
        for (name, value) in numbers {
            let known = entry.ranges.iter().any(|(other, _)| other == name);
            assert!(known, "{}: {name} = {value} has no range", entry.name);
        }
        assert!(entry.ranges.iter().all(|(name, _)| options.contains_key(*name)), "{}: a range of nothing", entry.name);
    }
}

#[test]
fn a_config_survives_json() {
    for entry in RULES {
        let config = RuleConfig { lr: 0.1, ..entry.config() };
        let text = serde_json::to_string(&config).expect("plain data");
        assert_eq!(serde_json::from_str::<RuleConfig>(&text).expect("its own text"), config);
    }
    // What is left out is the rule's default.
    let text = r#"{"name": "sgd", "lr": 0.1, "weight_decay": 0.0, "decay_matrices_only": true, "momentum": 0.5}"#;
    let config: RuleConfig = serde_json::from_str(text).expect("the four fields are there");
    let rule = format!("{:?}", config.build().expect("all in range"));
    assert_eq!(rule, format!("{:?}", Sgd { momentum: 0.5, ..Sgd::default() }));
}

#[test]
fn wrong_options_are_named_in_one_line() {
    let sgd = || RuleConfig::named("sgd").expect("a rule");
    let cases = [
        (
            sgd().with("beta1", 0.9),
            "beta1 is not an option of `sgd`, which has name, lr, weight_decay, decay_matrices_only, dampening, momentum, nesterov",
        ),
        (sgd().with("momentum", "high"), "momentum takes a number, not \"high\""),
        (sgd().with("nesterov", 1), "nesterov takes true or false, not 1"),
        (sgd().with("momentum", 1.0), "momentum must be in [0, 1), not 1"),
        (sgd().with("momentum", -0.1), "momentum must be in [0, 1), not -0.1"),
        (sgd().with("nesterov", true), "nesterov needs momentum above 0"),
        (sgd().with("nesterov", true).with("momentum", 0.9).with("dampening", 0.5), "nesterov needs dampening of 0"),
        (RuleConfig { lr: 0.0, ..sgd() }, "lr must be above 0, not 0"),
        (RuleConfig { lr: f64::NAN, ..sgd() }, "lr must be above 0, not NaN"),
        (RuleConfig { weight_decay: -1.0, ..sgd() }, "weight_decay must be 0 or above, not -1"),
        (RuleConfig::named("adam").expect("a rule").with("epsilon", 0.0), "epsilon must be above 0, not 0"),
    ];
    let lbfgs = || RuleConfig::named("lbfgs").expect("a rule");
    assert_eq!(lbfgs().build().expect_err("no rule").to_string(), "name `lbfgs` takes all parameters as one vector, without groups");
    let whole = [
        (RuleConfig { weight_decay: 0.1, ..lbfgs() }, "weight_decay must be 0 with `lbfgs`: a penalty belongs to its loss"),
        (lbfgs().with("history_size", 0), "history_size must be 1 or above, not 0"),
        (lbfgs().with("line_search", "wolfe"), "options unknown variant `wolfe`, expected `fixed` or `strong-wolfe`"),
    ];
    for (config, message) in whole {
        assert_eq!(config.optimizer().expect_err(message).to_string(), message);
    }
    for (config, message) in cases {
        let error = config.build().expect_err(message);
        assert_eq!(error.to_string(), message);
    }
}

fn pair(device: &Device) -> Pair {
    Pair::new(Tensor::ones([2, 3], device), Tensor::ones([3], device))
}

/// One step of plain descent with gradients of 1 and these groups: how far the matrix and the vector went.
fn moved(groups: &[Group], decay: f64) -> [f64; 2] {
    let device = device().autodiff();
    let model = pair(&device);
    let gradients = follow(&model, Tensor::ones([2, 3], &device), Tensor::ones([3], &device));
    let optimizer = PerTensor::new(Sgd { weight_decay: decay, ..Sgd::default() });
    let model = groups.iter().fold(optimizer, |optimizer, &group| optimizer.with_group(group)).step(0.25, model, &gradients);
    [1.0 - model.matrix.val().values()[0], 1.0 - model.vector.val().values()[0]]
}

#[test]
fn groups_choose_by_name_and_shape_and_the_last_counts() {
    let all = Group { select: |_, _| true, lr_scale: 0.5, weight_decay: None };
    let matrix = Group { select: |name, shape| name == "matrix" && shape == [2, 3], lr_scale: 2.0, weight_decay: Some(1.0) };
    assert_eq!(moved(&[], 0.0), [0.25, 0.25]);
    assert_eq!(moved(&[all], 0.0), [0.125, 0.125]);
    assert_eq!(moved(&[all, matrix], 0.0), [1.0, 0.125]);
    assert_eq!(moved(&[matrix, all], 0.0), [0.125, 0.125]);
    assert_eq!(moved(&[Group::VECTORS_WITHOUT_DECAY], 1.0), [0.5, 0.25]);
    assert_eq!(moved(&[Group { lr_scale: 0.0, ..all }], 1.0), [0.0, 0.0]);
}

#[derive(Module, Debug)]
struct Nested {
    layers: Vec<Linear>,
}

#[test]
fn groups_see_the_names_of_nested_fields() {
    let device = device().autodiff();
    let model = Nested { layers: (0..2).map(|_| LinearConfig::new(2, 2).init(&device)).collect() };
    let before = fornax_weights::state(&model);
    let sum = |x: &Linear| x.weight.val().sum() + x.bias.as_ref().expect("the default").val().sum();
    let gradients = Gradients::of(&(sum(&model.layers[0]) + sum(&model.layers[1])), &model);
    let still = Group { select: |name, _| name == "layers.1.weight", lr_scale: 0.0, weight_decay: None };
    let after = fornax_weights::state(&PerTensor::new(Sgd::default()).with_group(still).step(0.1, model, &gradients));
    let same: Vec<_> = before.keys().filter(|key| before[*key] == after[*key]).collect();
    assert_eq!(same, ["layers.1.weight"]);
}

#[test]
fn what_does_not_fit_is_named() {
    let device = device().autodiff();
    let model = pair(&device);
    let gradients = follow(&model, Tensor::ones([2, 3], &device), Tensor::ones([3], &device));
    let mut adam = PerTensor::new(Adam::default());
    let model = adam.step(0.1, model, &gradients);
    let saved = adam.state(&model);
    let refuse = |rule: PerTensor, state: &fornax_weights::Tensors, parts: &[&str]| {
        let mut rule = rule;
        let error = rule.load_state(&model, state).expect_err("it does not fit").to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        assert!(!error.contains('\n') && error.contains("another configuration"), "{error}");
    };
    let mut missing = saved.clone();
    missing.remove("vector#exp_avg");
    refuse(PerTensor::new(Adam::default()), &missing, &["missing", "vector#exp_avg"]);
    let mut unknown = saved.clone();
    unknown.insert("vector#max_exp_avg_sq".into(), saved["vector#exp_avg"].clone());
    refuse(PerTensor::new(Adam::default()), &unknown, &["unknown", "vector#max_exp_avg_sq"]);
    let mut size = saved.clone();
    size.insert("matrix#exp_avg_sq".into(), TensorData::from([0f32; 5]));
    refuse(PerTensor::new(Adam::default()), &size, &["another size", "matrix#exp_avg_sq"]);
    refuse(PerTensor::new(Sgd::default()), &saved, &["unknown", "exp_avg"]);
    refuse(PerTensor::new(Sgd { momentum: 0.9, ..Sgd::default() }), &saved, &["missing", "momentum"]);
    // AdamW keeps what Adam does, so that one may go on from the other.
    PerTensor::new(AdamW::default()).load_state(&model, &saved).expect("the same slots");
}

#[test]
fn parameters_without_state_are_saved_as_such() {
    let device = device().autodiff();
    let model = pair(&device);
    let mut adam = PerTensor::new(Adam::default());
    let fresh = adam.state(&model);
    PerTensor::new(Adam::default()).load_state(&model, &fresh).expect("the state before the first step");
    // Only the matrix has been trained.
    let gradients = Gradients::of(&model.matrix.val().sum(), &model);
    let model = adam.step(0.1, model, &gradients);
    let saved = adam.state(&model);
    let mut resumed = PerTensor::new(Adam::default());
    resumed.load_state(&model, &saved).expect("its own state");
    assert_eq!(resumed.state(&model), saved);
}

#[test]
fn a_step_keeps_parameters_trainable_and_leaves() {
    for device in devices() {
        let device = device.autodiff();
        let mut model = pair(&device);
        let mut optimizer = PerTensor::new(AdamW::default());
        for _ in 0..3 {
            let gradients = follow(&model, Tensor::ones([2, 3], &device), Tensor::ones([3], &device));
            assert_eq!(gradients.len(), 2);
            model = optimizer.step(0.1, model, &gradients);
        }
        assert_eq!(fornax_testkit::parameters(&model).len(), 2);
        // Adam under a constant gradient moves by η a step; AdamW also decays by ηλ.
        let expected = (0..3).fold(1.0, |x: f64, _| x * (1.0 - 0.1 * 0.01) - 0.1);
        assert_close(model.vector.val(), [expected; 3], 1e-5, 0.0);
    }
}

#[derive(Module, Debug)]
struct Tied {
    a: Param<Tensor<1>>,
    b: Param<Tensor<1>>,
}

#[test]
fn a_tied_parameter_has_one_gradient() {
    let device = device().autodiff();
    let a = Param::from_tensor(Tensor::<1>::from_floats([2.0, 3.0], &device));
    let model = Tied { b: a.clone(), a };
    let gradients = Gradients::of(&(model.a.val() * model.b.val()).sum(), &model);
    assert_eq!(gradients.len(), 1);
    assert_close(gradients.get(model.a.id).expect("a gradient"), [4.0, 6.0], 1e-6, 0.0);
}

/// The same rule through tensor operations: a gradient with autodiff is not taken by the one-pass step.
#[test]
fn the_one_pass_step_has_the_bits_of_the_composed_one() {
    let named = |name| RuleConfig::named(name).expect("it is in the list");
    let sgd = || named("sgd").with("momentum", 0.9);
    for config in [named("adam"), named("adamw"), named("sgd"), sgd().with("dampening", 0.5), sgd().with("nesterov", true)] {
        for device in devices() {
            let rule = config.build().expect("it is in the list");
            let hyper = Hyper { lr: 0.01, weight_decay: 0.1, shape: &[40_001], name: "weight", globals: &Numbers::default() };
            let start: Tensor<1> = uniform([40_001], 1, &device, DType::F32);
            let (mut fused, mut composed) = ((start.clone(), State::default()), (start, State::default()));
            for step in 1..4 {
                let grad: Tensor<1> = uniform([40_001], step + 1, &device, DType::F32);
                let next = |(param, mut state): (Tensor<1>, State), on: fn(Tensor<1>) -> Tensor<1>, off: fn(Tensor<1>) -> Tensor<1>| {
                    state.step = step;
                    (off(rule.update(hyper, on(param), on(grad.clone()), &mut state)), state)
                };
                fused = next(fused, |x| x, |x| x);
                composed = next(composed, Tensor::from_inner, Tensor::inner);
                assert!(bits(&fused.0) == bits(&composed.0), "{config:?}, step {step}");
            }
        }
    }
}

#[derive(Module, Debug)]
struct Transformer {
    embedding: Param<Tensor<2>>,
    hidden: Param<Tensor<2>>,
    kernel: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
    lm_head: Param<Tensor<2>>,
}

#[test]
fn muon_takes_hidden_matrices_and_leaves_the_rest_to_adamw() {
    let device = device().autodiff();
    let zeros = |shape: [usize; 2]| Param::from_tensor(Tensor::<2>::zeros(shape, &device));
    let model = Transformer {
        embedding: zeros([4, 3]),
        hidden: zeros([2, 3]),
        kernel: Param::from_tensor(Tensor::zeros([2, 1, 3, 1], &device)),
        bias: Param::from_tensor(Tensor::zeros([3], &device)),
        lm_head: zeros([3, 4]),
    };
    let g = Tensor::<2>::from_data([[3.0, -1.0, 0.5], [0.2, 0.7, -0.3]], &device);
    let rest = model.embedding.val().sum() + model.bias.val().sum() + model.lm_head.val().sum() + model.kernel.val().sum();
    let gradients = Gradients::of(&((model.hidden.val() * g).sum() + rest), &model);
    let muon = RuleConfig::named("muon").expect("it is in the list").with("adamw_lr_scale", 0.5);
    let mut muon = PerTensor::boxed(muon.build().expect("in range"));
    let model = muon.step(1.0, model, &gradients);
    let by_muon: Vec<_> = muon.state(&model).into_keys().filter_map(|key| key.strip_suffix("#momentum").map(str::to_string)).collect();
    assert_eq!(by_muon, ["hidden", "kernel"]);
    // Adam's first step is η, whatever the gradient.
    assert_close(model.embedding.val(), [-0.5; 12], 1e-4, 0.0);
    // An orthogonal step: both rows about as long, and at right angles, times √(3 outputs / 2 inputs).
    let rows = model.hidden.val().matmul(model.hidden.val().transpose()).values();
    let scale = 1.5;
    assert!((0.5..1.5).contains(&(rows[0] / scale)) && (0.5..1.5).contains(&(rows[3] / scale)) && rows[1].abs() < 0.3, "{rows:?}");
}
