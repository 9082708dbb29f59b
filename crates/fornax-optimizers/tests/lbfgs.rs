//! L-BFGS: it solves what it is for, and its state is exact.
#![recursion_limit = "256"]

use burn::tensor::{DType, Device, Tensor, TensorData};
use fornax_optimizers::{Gradients, Lbfgs, Optimizer};
use fornax_testkit::{Pair, Values, assert_close, device, devices, to_dtype};
use fornax_weights::{Tensors, load_state, state};

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
