//! What every rule of `RULES` keeps, over one table.
#![recursion_limit = "256"]

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use fornax_kernels::random::Key;
use fornax_optimizers::{Configured, Gradients, Optimizer, RULES, RuleConfig};
use fornax_testkit::{Values, check_rule, device, devices, parameters, to_dtype};
use fornax_weights::{load_state, state};
use std::{collections::BTreeSet, fs, path::Path};

/// A rule with the learning rates that suit it: on a bowl of curvature about 1, on Rosenbrock's valley, and on logistic regression.
struct Row {
    rule: &'static str,
    bowl: f64,
    valley: f64,
    logistic: f64,
}

const fn row(rule: &'static str, bowl: f64, valley: f64, logistic: f64) -> Row {
    Row { rule, bowl, valley, logistic }
}

const TABLE: &[Row] = &[
    row("sgd", 0.1, 1e-3, 0.5),
    row("adagrad", 0.5, 0.2, 0.2),
    row("adadelta", 20.0, 5.0, 20.0),
    row("rmsprop", 0.05, 0.02, 0.05),
    row("rprop", 0.02, 0.02, 0.02),
    row("adam", 0.05, 0.05, 0.05),
    row("adamw", 0.05, 0.05, 0.05),
    row("amsgrad", 0.1, 0.05, 0.05),
    row("adamax", 0.1, 0.05, 0.05),
    row("nadam", 0.05, 0.05, 0.05),
    row("radam", 0.05, 1e-3, 0.05),
    row("lbfgs", 1.0, 0.2, 0.2),
    row("adafactor", 0.1, 0.1, 0.1),
    row("muon", 0.05, 0.05, 0.05),
    row("lion", 0.02, 0.01, 0.02),
    row("schedule-free-sgd", 0.5, 1e-3, 1.0),
    row("schedule-free-adamw", 0.1, 0.05, 0.1),
    row("soap", 0.05, 0.05, 0.05),
    row("prodigy", 1.0, 1.0, 1.0),
    row("lamb", 0.02, 0.02, 0.05),
    row("lars", 0.1, 1e-4, 0.5),
    row("adabelief", 0.05, 0.05, 0.05),
    row("yogi", 0.05, 0.05, 0.05),
    row("adan", 0.05, 0.05, 0.05),
    row("ademamix", 0.02, 0.02, 0.02),
    row("d-adapt-adam", 1.0, 1.0, 1.0),
    row("sophia-g", 0.02, 0.02, 0.02),
    row("shampoo", 0.5, 0.2, 0.2),
    row("mars", 0.05, 0.05, 0.05),
    row("cautious-adamw", 0.05, 0.05, 0.05),
    row("cautious-lion", 0.02, 0.01, 0.02),
    row("grokfast-adamw", 0.02, 0.02, 0.05),
];

fn rule(name: &str) -> RuleConfig {
    let config = RuleConfig { weight_decay: 0.0, ..RuleConfig::named(name).expect("it is in the list") };
    // Their defaults are made for layers of millions and batches of thousands.
    match name {
        "lars" => config.with("trust_coefficient", 0.1),
        "sophia-g" => config.with("batch_size", 1.0),
        // Over mini-batches, old pairs are noise.
        "lbfgs" => config.with("history_size", 10),
        _ => config,
    }
}

/// Runs a check on every row, and names all rules that fail.
fn each(check: impl Fn(&Row)) {
    let fails = |row: &&Row| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(row))).is_err();
    let failed: Vec<_> = TABLE.iter().filter(fails).map(|row| row.rule).collect();
    assert!(failed.is_empty(), "failed: {failed:?}; the reasons are above");
}

fn build(config: RuleConfig) -> Configured {
    config.optimizer().unwrap_or_else(|e| panic!("{e}"))
}

fn optimizer(name: &str) -> Configured {
    build(rule(name))
}

/// L-BFGS has none.
fn with_decay(config: RuleConfig, weight_decay: f64) -> RuleConfig {
    if config.name == "lbfgs" { config } else { RuleConfig { weight_decay, ..config } }
}

#[test]
fn the_table_leaves_out_no_rule() {
    let table: Vec<_> = TABLE.iter().map(|row| row.rule).collect();
    let rules: Vec<_> = RULES.iter().map(|entry| entry.name).collect();
    assert_eq!(table, rules);
}

/// What the sources export, so that a rule cannot be written and left out of `RULES`.
#[test]
fn every_exported_rule_and_optimizer_is_in_the_table() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = |folder: &Path| fs::read_dir(folder).expect("a folder of sources").map(|entry| entry.expect("readable").path()).collect::<Vec<_>>();
    let sources: Vec<_> = [source.clone(), source.join("rules"), source.join("lbfgs")].iter().flat_map(|folder| files(folder)).collect();
    let text: String = sources.iter().filter(|path| path.is_file()).map(|path| fs::read_to_string(path).expect("a source of this crate")).collect();
    // `impl Trait for Type`, wherever it stands.
    let types = |of: &str| -> BTreeSet<String> {
        let names = text.lines().filter(|line| line.starts_with("impl")).filter_map(|line| line.split_once(&format!(" {of} for ")));
        names.map(|(_, name)| name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_string()).collect()
    };
    let name = |debug: String| debug.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_string();
    let in_table: BTreeSet<_> = RULES
        .iter()
        .map(|entry| match build(entry.config()) {
            Configured::PerTensor(optimizer) => name(format!("{:?}", optimizer.rule())),
            Configured::Lbfgs(optimizer) => name(format!("{optimizer:?}")),
        })
        .collect();
    let around = ["PerTensor", "Configured", "Lookahead", "Transformed"].map(str::to_string);
    let written: BTreeSet<_> = types("Rule").into_iter().chain(types("Optimizer")).filter(|name| !around.contains(name)).collect();
    assert_eq!(in_table, written, "left: those of RULES, right: those that are written");
    assert_eq!(in_table.len(), RULES.len(), "two names for one rule");
}

#[test]
fn every_rule_keeps_the_testkits_contract() {
    each(|row| {
        check_rule(row.bowl, |decay| build(with_decay(rule(row.rule), decay)));
    });
}

#[test]
fn options_keep_the_contract_too() {
    let sgd = || rule("sgd").with("momentum", 0.9);
    let configs = [
        (0.02, sgd()),
        (0.02, sgd().with("nesterov", true)),
        (0.02, sgd().with("dampening", 0.5)),
        (0.02, rule("rmsprop").with("momentum", 0.5).with("centered", true)),
        (0.05, rule("amsgrad").with("decoupled_weight_decay", true)),
        (0.05, rule("nadam").with("decoupled_weight_decay", true)),
        (0.05, rule("radam").with("decoupled_weight_decay", true)),
        (1.0, rule("prodigy").with("decoupled_weight_decay", false).with("use_bias_correction", true)),
        (1.0, rule("d-adapt-adam").with("decoupled_weight_decay", true).with("bias_correction", true)),
        (0.02, rule("ademamix").with("warmup", 20).with("alpha", 2.0)),
        (0.05, rule("muon").with("adamw_names", "matrix")),
        (0.5, rule("schedule-free-sgd").with("warmup_steps", 10)),
        (0.5, rule("shampoo").with("update_every", 4).with("epsilon", 0.1)),
        (0.05, rule("soap").with("max_precondition_dim", 2)),
        (1.0, rule("lbfgs").with("history_size", 2)),
    ];
    for (lr, config) in configs {
        check_rule(lr, |decay| build(with_decay(config.clone(), decay)));
    }
}

#[derive(Module, Debug)]
struct Point {
    at: Param<Tensor<1>>,
}

/// Trains with η falling to a tenth, and gives the weights to evaluate.
fn train<M: Module>(mut optimizer: Configured, lr: f64, steps: usize, mut model: M, loss: impl Fn(&M, usize) -> Tensor<1>) -> M {
    for step in 0..steps {
        let gradients = Gradients::of(&loss(&model, step), &model);
        model = optimizer.step(lr * (1.0 - 0.9 * step as f64 / steps as f64), model, &gradients);
    }
    optimizer.eval_weights(&model).unwrap_or(model)
}

#[test]
fn rosenbrocks_valley_is_walked_down() {
    let device = device().autodiff();
    let value = |point: &Point| {
        let (x, y) = (point.at.val().narrow(0, 0, 1), point.at.val().narrow(0, 1, 1));
        (x.clone() - 1.0).square() + (y - x.square()).square() * 100.0
    };
    each(|row| {
        let start = Point { at: Param::from_tensor(Tensor::from_floats([-1.2, 1.0], &device)) };
        let first = value(&start).into_scalar::<f32>();
        let end = train(optimizer(row.rule), row.valley, 500, start, |point, _| value(point));
        let last = value(&end).into_scalar::<f32>();
        assert!(last < 0.25 * first, "{}: from {first} to {last} only", row.rule);
    });
}

#[derive(Module, Debug)]
struct Logistic {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Logistic {
    fn logits(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight.val()) + self.bias.val().unsqueeze()
    }
}

/// Points in six dimensions, and the signs of a plane; in training one label in eight is wrong.
fn noisy_plane(device: &Device) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
    const N: usize = 320;
    let key = Key::new(1);
    let x: Vec<f32> = (0..N as u64 * 6).map(|i| (2.0 * key.uniform(i) - 1.0) as f32).collect();
    let truth: Vec<f32> = x.chunks(6).map(|x| if 1.5 * x[0] - x[1] + 0.5 * x[2] + 0.7 * x[5] + 0.1 > 0.0 { 1.0 } else { -1.0 }).collect();
    let labels: Vec<f32> = truth.iter().enumerate().map(|(i, y)| if i % 8 == 3 { -y } else { *y }).collect();
    let column = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, [N, 1]), device);
    (Tensor::from_data(TensorData::new(x, [N, 6]), device), column(labels), column(truth))
}

#[test]
fn noisy_logistic_regression_is_learnt() {
    let device = device().autodiff();
    let (x, labels, truth) = noisy_plane(&device);
    each(|row| {
        let model = Logistic {
            weight: Param::from_tensor(Tensor::from_data([[0.1], [0.1], [-0.1], [0.1], [-0.1], [-0.1]], &device)),
            bias: Param::from_tensor(Tensor::from_floats([-0.5], &device)),
        };
        // log(1 + exp(−y z)) over batches of 32.
        let loss = |model: &Logistic, step: usize| {
            let rows = |t: &Tensor<2>| t.clone().narrow(0, step % 10 * 32, 32);
            ((model.logits(rows(&x)) * rows(&labels)).neg().exp() + 1.0).log().mean()
        };
        let end = train(optimizer(row.rule), row.logistic, 300, model, loss);
        let right = (end.logits(x.clone()) * truth.clone()).greater_elem(0.0).float().mean().into_scalar::<f32>();
        assert!(right > 0.9, "{}: {right} right", row.rule);
    });
}

/// Ranks 0 to 5; a scalar is a vector of one.
#[derive(Module, Debug)]
struct Ranks {
    r0: Param<Tensor<1>>,
    r1: Param<Tensor<1>>,
    r2: Param<Tensor<2>>,
    r3: Param<Tensor<3>>,
    r4: Param<Tensor<4>>,
    r5: Param<Tensor<5>>,
}

fn waves<const D: usize>(shape: [usize; D], phase: f64, device: &Device) -> Tensor<D> {
    let n: usize = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|i| (1.3 * i as f64 + phase).sin() as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

impl Ranks {
    fn start(device: &Device) -> Self {
        Self {
            r0: Param::from_tensor(waves([1], 0.5, device)),
            r1: Param::from_tensor(waves([3], 1.0, device)),
            r2: Param::from_tensor(waves([2, 3], 2.0, device)),
            r3: Param::from_tensor(waves([2, 1, 3], 3.0, device)),
            r4: Param::from_tensor(waves([2, 2, 1, 3], 4.0, device)),
            r5: Param::from_tensor(waves([2, 1, 2, 1, 3], 5.0, device)),
        }
    }

    /// Gradients by a function of parameter and element.
    fn follow(&self, g: impl Fn(usize, usize) -> f64) -> Gradients {
        fn part<const D: usize>(param: &Param<Tensor<D>>, k: usize, g: &impl Fn(usize, usize) -> f64) -> Tensor<1> {
            let value = param.val();
            let data = TensorData::new((0..value.shape().num_elements()).map(|i| g(k, i)).collect::<Vec<_>>(), value.dims());
            (value.clone() * Tensor::from_data(data.convert_dtype(value.dtype()), (&value.device(), value.dtype()))).sum()
        }
        let low = part(&self.r0, 0, &g) + part(&self.r1, 1, &g) + part(&self.r2, 2, &g);
        Gradients::of(&(low + part(&self.r3, 3, &g) + part(&self.r4, 4, &g) + part(&self.r5, 5, &g)), self)
    }

    fn values(&self) -> Vec<f64> {
        parameters(self).into_iter().flat_map(|(_, _, values)| values).collect()
    }
}

fn steps(optimizer: &mut Configured, lr: f64, mut model: Ranks, n: usize, g: impl Fn(usize, usize, usize) -> f64) -> Ranks {
    for step in 0..n {
        let gradients = model.follow(|k, i| g(step, k, i));
        model = optimizer.step(lr, model, &gradients);
    }
    model
}

fn wave(step: usize, k: usize, i: usize) -> f64 {
    (0.7 * step as f64 + 1.3 * i as f64 + k as f64).sin()
}

#[test]
fn ranks_from_0_to_5_resume_exactly_in_both_types_and_on_every_device() {
    each(|row| {
        for dtype in [DType::F32, DType::F64] {
            for device in devices() {
                let device = device.autodiff();
                let mut first = optimizer(row.rule);
                let start = || to_dtype(Ranks::start(&device), dtype);
                let model = steps(&mut first, row.bowl, start(), 12, wave);
                let saved = first.state(&model);
                let numbers: Vec<_> = saved.iter().filter(|(_, data)| data.num_elements() > 1).collect();
                assert!(numbers.iter().all(|(_, data)| data.dtype() == dtype), "{}: state of another type", row.rule);

                let twin = load_state(start(), &state(&model), "").expect("the same model");
                let mut second = optimizer(row.rule);
                second.load_state(&twin, &saved).unwrap_or_else(|e| panic!("{}: {e}", row.rule));
                let against = |step: usize, k: usize, i: usize| -0.05 * wave(step, k, i);
                let (a, b) = (steps(&mut first, row.bowl, model, 12, against), steps(&mut second, row.bowl, twin, 12, against));
                assert!(a.values().iter().all(|x| x.is_finite()), "{}", row.rule);
                assert!(state(&a) == state(&b), "{}, {dtype:?}: a resumed run differs", row.rule);
                assert!(first.state(&a) == second.state(&b), "{}, {dtype:?}: a resumed run's state differs", row.rule);
            }
        }
    });
}

#[test]
fn state_moves_to_another_device() {
    let all = devices();
    each(|row| {
        for (from, to) in all.iter().flat_map(|from| all.iter().map(move |to| (from, to))) {
            let (from, to) = (from.clone().autodiff(), to.clone().autodiff());
            let mut here = optimizer(row.rule);
            let model = steps(&mut here, row.bowl, to_dtype(Ranks::start(&from), DType::F64), 6, wave);
            let moved = load_state(to_dtype(Ranks::start(&to), DType::F64), &state(&model), "").expect("the same model");
            let mut there = optimizer(row.rule);
            there.load_state(&moved, &here.state(&model)).unwrap_or_else(|e| panic!("{}: {e}", row.rule));
            let (a, b) = (steps(&mut here, row.bowl, model, 6, wave), steps(&mut there, row.bowl, moved, 6, wave));
            let worst = a.values().iter().zip(b.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-9, "{}: {worst:e} apart", row.rule);
        }
    });
}

#[test]
fn zeros_and_sparse_gradients_stay_finite_and_nan_does_not_panic() {
    let device = device().autodiff();
    each(|row| {
        let finite = |what: &str, g: fn(usize, usize, usize) -> f64, from: Ranks| {
            let mut optimizer = optimizer(row.rule);
            let end = steps(&mut optimizer, row.bowl, from, 25, g);
            assert!(end.values().iter().all(|x| x.is_finite()), "{}: {what}", row.rule);
            let eval = optimizer.eval_weights(&end).unwrap_or(end);
            assert!(eval.values().iter().all(|x| x.is_finite()), "{}: {what}, evaluation weights", row.rule);
        };
        let zeros = || fornax_testkit::with_parameters(Ranks::start(&device), |_, values| values.fill(0.0));
        finite("zero gradients", |_, _, _| 0.0, Ranks::start(&device));
        finite("zero gradients at zero", |_, _, _| 0.0, zeros());
        finite("sparse gradients", |step, _, i| if i == step % 3 { 1.0 } else { 0.0 }, Ranks::start(&device));
        finite("one sparse gradient, then none", |step, _, i| if step == 0 && i == 0 { 1e-3 } else { 0.0 }, zeros());
        finite("tiny gradients", |step, k, i| 1e-18 * wave(step, k, i), Ranks::start(&device));
        let end = steps(&mut optimizer(row.rule), row.bowl, Ranks::start(&device), 12, |step, _, _| if step < 11 { f64::NAN } else { 1.0 });
        assert_eq!(end.r5.val().values().len(), 12);
    });
}
