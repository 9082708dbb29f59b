//! Rules, schedules and clipping against PyTorch: `reference/optimizers.py`.
#![recursion_limit = "256"]

use burn::tensor::{DType, Device};
use fornax_optimizers::{Optimizer, PerTensor, RuleConfig, schedule};
use fornax_testkit::{Pair, Reference, assert_close, assert_near, devices, follow, reference};

fn cases(kind: &str) -> Vec<Reference> {
    reference("tests/reference/optimizers.json").cases(kind)
}

fn pair(case: &Reference, device: &Device, dtype: DType) -> Pair {
    Pair::new(case.tensor("matrix", device, dtype), case.tensor("vector", device, dtype))
}

fn config(case: &Reference) -> RuleConfig {
    let rule = RuleConfig::named(&case.text("rule")).expect("a known rule");
    let rule = RuleConfig { lr: case.number("lr"), weight_decay: case.number("weight_decay"), ..rule };
    match rule.name.as_str() {
        "sgd" => rule.with("momentum", case.number("momentum")).with("nesterov", case.flag("nesterov")),
        _ => ["beta1", "beta2", "epsilon"].into_iter().fold(rule, |rule, key| rule.with(key, case.number(key))),
    }
}

#[test]
fn trajectories() {
    for case in cases("trajectory") {
        for device in devices() {
            for dtype in [DType::F32, DType::F64] {
                let device = device.clone().autodiff();
                let config = config(&case);
                let mut optimizer = PerTensor::boxed(config.build().expect("a known rule"));
                let mut model = pair(&case, &device, dtype);
                for (step, expected) in case.list("steps").iter().enumerate() {
                    let gradients =
                        follow(&model, expected.tensor("matrix_gradient", &device, dtype), expected.tensor("vector_gradient", &device, dtype));
                    model = optimizer.step(config.lr, model, &gradients);
                    let what = format!("{}, step {step}", case.text("name"));
                    assert_near(&what, model.matrix.val(), expected.values("matrix"), dtype);
                    assert_near(&what, model.vector.val(), expected.values("vector"), dtype);
                }
            }
        }
    }
}

#[test]
fn defaults_are_pytorchs() {
    use fornax_optimizers::{Adam, AdamW, Sgd};
    let case = |rule: &str| {
        cases("trajectory").into_iter().find(|case| case.text("rule") == rule && (rule == "sgd" || case.flag("defaults"))).expect("there is one")
    };
    for (adam, case) in [(Adam::default(), case("adam")), (AdamW::default().0, case("adamw"))] {
        let numbers = [adam.beta1, adam.beta2, adam.epsilon, adam.weight_decay];
        assert_eq!(numbers, ["beta1", "beta2", "epsilon", "weight_decay"].map(|key| case.number(key)));
    }
    let (sgd, case) = (Sgd::default(), case("sgd"));
    assert_eq!((sgd.momentum, sgd.nesterov, sgd.weight_decay), (case.number("momentum"), case.flag("nesterov"), case.number("weight_decay")));
}

/// Warm-up before a schedule; the others are in `tests/schedule.rs`.
#[test]
fn schedules() {
    for case in cases("schedule") {
        let (total, end) = (case.count("total") as u64, case.number("end"));
        let schedule = if case.text("name") == "linear" { schedule::linear(total, end) } else { schedule::cosine(total, end) };
        let schedule = if case.count("warm_up") > 0 { schedule.warm_up(case.count("warm_up") as u64) } else { schedule };
        let expected = case.values("factors");
        let got: Vec<f64> = (0..expected.len() as u64).map(|step| schedule.factor(step)).collect();
        assert_close(got, expected, 1e-9, 1e-11);
    }
}

#[test]
fn clipping() {
    for case in cases("clip") {
        for device in devices() {
            let device = device.autodiff();
            let model = pair(&case, &device, DType::F32);
            let mut gradients = follow(&model, model.matrix.val().detach(), model.vector.val().detach());
            let norm = gradients.norm();
            assert_close([norm], [case.number("norm")], 1e-6, 0.0);
            gradients.clip(norm, case.number("limit"));
            let what = case.text("name");
            assert_near(&what, gradients.get(model.matrix.id).expect("a gradient"), case.values("clipped_matrix"), DType::F32);
            assert_near(&what, gradients.get(model.vector.id).expect("a gradient"), case.values("clipped_vector"), DType::F32);
            assert!(gradients.norm() <= case.number("limit").min(norm) * (1.0 + 1e-6));
        }
    }
}
