//! L-BFGS: it goes where PyTorch's goes, with and without a line search, solves what it is for, and its state is exact.
#![recursion_limit = "256"]

mod three;

use burn::tensor::{DType, Device, Tensor, TensorData};
use fornax_optimizers::{Budget, Gradients, Lbfgs, LbfgsConfig, LineSearch, Optimizer};
use fornax_testkit::{Pair, Reference, Values, assert_close, device, devices, reference, to_dtype};
use fornax_weights::{Tensors, load_state, state};
use three::{Three, everywhere};

/// The generator's losses.
fn loss(case: &Reference, model: &Three) -> Tensor<1> {
    let (device, dtype) = (model.vector.val().device(), model.vector.val().dtype());
    let x = || Tensor::cat(vec![model.vector.val(), model.matrix.val().reshape([12]), model.kernel.val().reshape([12])], 0);
    match case.text("kind").as_str() {
        "rosenbrock" => {
            let (low, high) = (x().narrow(0, 0, 27), x().narrow(0, 1, 27));
            ((high - low.clone().square()).square() * 100.0 + (low - 1.0).square()).sum()
        }
        "bowl" => {
            let steep: Vec<f64> = (0..28).map(|i| 0.5 + f64::from(i * i) / 8.0).collect();
            (Tensor::from_data(TensorData::from(&steep[..]).convert_dtype(dtype), (&device, dtype)) * (x() - 0.3).square()).sum()
        }
        _ => {
            let data = |name: &str| case.tensor::<2>(name, &device, dtype);
            let hidden = (data("inputs").matmul(model.matrix.val()) + model.vector.val().unsqueeze()).tanh();
            (hidden.matmul(model.kernel.val().reshape([4, 3])).tanh() - data("targets")).square().mean()
        }
    }
}

fn cases() -> Vec<Reference> {
    ["rosenbrock", "bowl", "network"].iter().flat_map(|kind| reference("tests/reference/lbfgs.json").cases(kind)).collect()
}

fn of(case: &Reference) -> Lbfgs {
    let line_search = if case.text("line_search") == "fixed" { LineSearch::Fixed } else { LineSearch::StrongWolfe };
    LbfgsConfig { history_size: case.count("history"), line_search, ..LbfgsConfig::default() }.init()
}

#[test]
fn calls_lead_where_pytorchs_calls_lead() {
    for case in cases() {
        everywhere(|device, dtype| {
            let (mut lbfgs, mut evaluations) = (of(&case), 0);
            let mut model = Three::start(device, dtype);
            // In f32 as long as PyTorch's own f32 stays at its f64.
            let calls = if dtype == DType::F64 { usize::MAX } else { case.count("calls32") };
            for (k, expected) in case.list("calls").iter().take(calls).enumerate() {
                model = lbfgs.minimize(case.number("lr"), model, case.count("iterations"), |model| {
                    evaluations += 1;
                    loss(&case, model)
                });
                let off = model.distance(expected);
                let allowed = if dtype == DType::F64 { 1e-5 } else { 1e-4 };
                assert!(off <= allowed, "{}, call {k}, {dtype:?}: off by {off:e}", case.text("name"));
                assert_eq!(evaluations, expected.count("evaluations"), "{}, call {k}, {dtype:?}", case.text("name"));
            }
        });
    }
}

/// The way of a trainer: it has the gradients of a step before it makes it.
#[test]
fn steps_with_a_closure_are_calls_of_one_iteration() {
    let case = cases().into_iter().find(|case| case.count("iterations") == 1).expect("there is one");
    everywhere(|device, dtype| {
        let (mut called, mut stepped) = (of(&case), of(&case));
        let (mut a, mut b) = (Three::start(device, dtype), Three::start(device, dtype));
        let mut gradients = |model: &Three| {
            let value = loss(&case, model);
            (value.values()[0], Gradients::of(&value, model))
        };
        for _ in 0..8 {
            a = called.minimize(1.0, a, 1, |model| loss(&case, model));
            let (value, g) = gradients(&b);
            b = stepped.step_with(1.0, b, (value, &g), &mut gradients);
            assert_eq!(a.values(), b.values());
        }
    });
}

#[test]
fn a_budget_of_evaluations_ends_a_call() {
    let case = cases().into_iter().find(|case| case.text("kind") == "rosenbrock").expect("there is one");
    let mut calls = 0;
    let budget = Budget { iterations: 100, evaluations: 10 };
    let start = Three::start(&device().autodiff(), DType::F64);
    of(&case).minimize(1.0, start, budget, |model| {
        calls += 1;
        loss(&case, model)
    });
    assert!((10..36).contains(&calls), "{calls} calls");
}

#[test]
#[should_panic(expected = "step_with")]
fn a_line_search_without_a_loss_is_refused() {
    let model = start(&device().autodiff());
    let gradients = Gradients::of(&bowl(&model), &model);
    LbfgsConfig { line_search: LineSearch::StrongWolfe, ..LbfgsConfig::default() }.init().step(1.0, model, &gradients);
}

fn start(device: &Device) -> Pair {
    Pair::new(Tensor::from_data([[1.5, -0.5, 0.75], [-1.25, 2.0, 0.25]], device), Tensor::from_data([0.5, -1.0, 1.75], device))
}

/// A bowl a hundred times as steep one way as another, with its lowest point at 0.3.
fn bowl(model: &Pair) -> Tensor<1> {
    ((model.matrix.val() - 0.3).square() * 50.0).sum() + ((model.vector.val() - 0.3).square() * 0.5).sum()
}

#[test]
fn an_ill_conditioned_bowl_is_solved() {
    for device in devices() {
        let device = device.autodiff();
        let end = Lbfgs::default().minimize(1.0, to_dtype(start(&device), DType::F64), 40, bowl);
        assert_close(end.matrix.val(), [0.3; 6], 1e-6, 0.0);
        assert_close(end.vector.val(), [0.3; 3], 1e-6, 0.0);
    }
}

#[test]
fn a_closure_is_not_called_after_the_end() {
    let mut calls = 0;
    let device = device().autodiff();
    let model = Lbfgs::new(5).minimize(1.0, to_dtype(start(&device), DType::F64), 500, |model| {
        calls += 1;
        bowl(model)
    });
    assert!(calls < 100, "{calls} calls");
    let before = state(&model);
    assert_eq!(state(&Lbfgs::new(5).minimize(1.0, model, 3, bowl)), before, "at the lowest point nothing moves");
}

fn steps(lbfgs: &mut Lbfgs, mut model: Pair, n: usize, sign: f64) -> Pair {
    for _ in 0..n {
        let gradients = Gradients::of(&(bowl(&model) * sign + model.vector.val().cos().sum()), &model);
        model = lbfgs.step(0.01, model, &gradients);
    }
    model
}

#[test]
fn a_resumed_run_is_the_same_to_the_bit() {
    for device in devices() {
        let device = device.autodiff();
        for n in [0, 1, 2, 5] {
            let mut first = Lbfgs::new(3);
            let model = steps(&mut first, start(&device), n, 1.0);
            let saved = first.state(&model);
            let twin = load_state(start(&device), &state(&model), "").expect("the same model");
            let mut second = Lbfgs::new(3);
            second.load_state(&twin, &saved).expect("its own state");
            assert_eq!(second.state(&twin), saved);
            let (a, b) = (steps(&mut first, model, 3, 0.5), steps(&mut second, twin, 3, 0.5));
            assert_eq!(state(&a), state(&b), "after {n} steps");
            assert!(a.vector.val().values().iter().all(|x| x.is_finite()));
        }
    }
}

#[test]
fn foreign_state_is_refused_and_named() {
    let device = device().autodiff();
    let mut lbfgs = Lbfgs::new(3);
    let model = steps(&mut lbfgs, start(&device), 4, 1.0);
    let saved = lbfgs.state(&model);
    let refuse = |bad: &Tensors| Lbfgs::new(3).load_state(&model, bad).expect_err("it does not fit").to_string();
    for key in saved.keys() {
        let mut bad = saved.clone();
        bad.remove(key);
        refuse(&bad);
        bad.insert(key.clone(), TensorData::from([1f32; 7]));
        assert!(refuse(&bad).contains(key), "{key}");
    }
    let mut more = saved.clone();
    more.insert("vector#s9".into(), saved["vector#s0"].clone());
    assert!(refuse(&more).contains("vector#s9"));
    assert!(Lbfgs::new(2).load_state(&model, &saved).is_err(), "more pairs than the history holds");
}
