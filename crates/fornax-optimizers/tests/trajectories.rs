//! Every rule over 50 steps against PyTorch or the authors' code: `reference/rules.py`.
#![recursion_limit = "256"]

mod three;

use burn::tensor::{DType, Device, Tensor, TensorData};
use fornax_optimizers::{Configured, Gradients, Group, Optimizer, RULES, RuleConfig};
use fornax_testkit::{Reference, Values, assert_close, reference};
use three::{Three, everywhere};

/// Of the largest number of a tensor, in f32; in f64 the case says.
const TOLERANCE_F32: f64 = 1e-4;
/// No case may ask for less, in f64.
const TOLERANCE_F64: f64 = 1e-5;

impl Three {
    /// The generator's gradients, computed in f64 from the parameters.
    fn gradients(&self, step: usize) -> Gradients {
        let values = self.values();
        let all = values.iter().flatten();
        let coupling = all.clone().map(|x| x.tanh()).sum::<f64>() / all.count() as f64;
        let device = self.vector.val().device();
        let dtype = self.vector.val().dtype();
        let flat = |k: usize| {
            let gradient = values[k].iter().enumerate().map(|(i, &x)| {
                let (index, phase) = (i as f64, k as f64);
                let bowl = (0.2 + 0.3 * (i % 3) as f64) * x + 0.5 * (2.0 * x + 0.7 * index + phase).sin();
                bowl + 0.3 * (0.9 * step as f64 + 1.1 * index + phase).cos() + 0.2 * coupling
            });
            let gradient = gradient.collect::<Vec<f64>>();
            Tensor::<1>::from_data(TensorData::new(gradient, [values[k].len()]).convert_dtype(dtype), (&device, dtype))
        };
        let loss = (self.vector.val() * flat(0)).sum()
            + (self.matrix.val() * flat(1).reshape(self.matrix.dims())).sum()
            + (self.kernel.val() * flat(2).reshape(self.kernel.dims())).sum();
        Gradients::of(&loss, self)
    }
}

fn cases() -> Vec<Reference> {
    ["rules_pytorch", "rules"].iter().flat_map(|file| reference(&format!("tests/reference/{file}.json")).cases("trajectory")).collect()
}

fn config(case: &Reference) -> RuleConfig {
    let mut config = RuleConfig::named(&case.text("rule")).expect("a known rule");
    config.lr = case.number("lr");
    if case.has("weight_decay") {
        config.weight_decay = case.number("weight_decay");
    }
    case.members("options").into_iter().fold(config, |config, (name, value)| config.with(&name, value))
}

/// In f64 within the case's own tolerance: 1e-9, for fixtures hold 12 digits, unless the generator says why not.
fn hold(case: &Reference, when: &str, model: &Three, expected: &Reference, dtype: DType) {
    let off = model.distance(expected);
    let allowed = if dtype == DType::F64 { case.number("tolerance") } else { TOLERANCE_F32 };
    assert!(off <= allowed, "{}, {when}, {dtype:?}: off by {off:e} of the largest; {:?}", case.text("name"), model.values());
}

/// Takes the case's 50 steps and compares on the way.
fn walk(case: &Reference, mut optimizer: impl Optimizer, device: &Device, dtype: DType) {
    let name = case.text("name");
    let mut model = Three::start(device, dtype);
    let mut seen = case.list("steps").into_iter().peekable();
    for step in 0..50 {
        let mut gradients = model.gradients(step);
        if case.number("clip") > 0.0 {
            let norm = gradients.norm();
            gradients.clip(norm, case.number("clip"));
        }
        let factor = if case.flag("schedule") { 1.0 - step as f64 / 60.0 } else { 1.0 };
        model = optimizer.step(case.number("lr") * factor, model, &gradients);
        if let Some(expected) = seen.next_if(|expected| expected.count("step") == step + 1) {
            hold(case, &format!("step {}", step + 1), &model, &expected, dtype);
        }
    }
    assert!(seen.next().is_none());
    let eval = optimizer.eval_weights(&model);
    assert_eq!(eval.is_some(), case.has("eval"), "{name}: evaluation weights");
    if let Some(eval) = eval {
        hold(case, "evaluation weights", &eval, &case.get("eval"), dtype);
    }
}

#[test]
fn fifty_steps_lead_where_they_lead_elsewhere() {
    let fails = |case: &Reference| {
        let all = || {
            everywhere(|device, dtype| {
                let optimizer = config(case).optimizer().unwrap_or_else(|e| panic!("{}: {e}", case.text("name")));
                match optimizer {
                    Configured::PerTensor(rule) if case.flag("matrices_only") => {
                        walk(case, rule.with_group(Group::VECTORS_WITHOUT_DECAY), device, dtype);
                    }
                    optimizer => walk(case, optimizer, device, dtype),
                }
            });
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(all)).is_err()
    };
    let failed: Vec<_> = cases().iter().filter(|case| fails(case)).map(|case| case.text("name")).collect();
    assert!(failed.is_empty(), "failed: {failed:?}; the reasons are above");
}

#[test]
fn every_rule_has_three_settings_and_one_of_them_is_the_defaults() {
    let cases = cases();
    for entry in RULES {
        let own: Vec<_> = cases.iter().filter(|case| case.text("rule") == entry.name).collect();
        assert!(own.len() >= 3, "{} has {} trajectories", entry.name, own.len());
        assert!(own.iter().any(|case| case.members("options").is_empty() && !case.has("weight_decay")), "{}: none with the defaults", entry.name);
        assert!(own.iter().any(|case| case.flag("schedule")) && own.iter().any(|case| case.number("clip") > 0.0), "{}", entry.name);
    }
    assert!(cases.iter().all(|case| case.number("tolerance") <= TOLERANCE_F64), "f64 has to be better than that");
    assert!(cases.iter().all(|case| RULES.iter().any(|entry| entry.name == case.text("rule"))));
}

#[test]
fn gradients_are_the_generators() {
    // Values of `gradients(start(), 3)` in reference/rules.py.
    let model = Three::start(&fornax_testkit::device().autodiff(), DType::F64);
    let gradients = model.gradients(3);
    let first: Vec<f64> = gradients.iter().map(|(_, g)| g.values()[0]).collect();
    assert_close(first, FIRST, 1e-9, 0.0);
}

const FIRST: [f64; 3] = [-0.263506209339, 0.142948962825, -0.127371266052];
