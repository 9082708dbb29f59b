//! Averages of weights.
#![recursion_limit = "256"]

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use fornax_optimizers::Average;
use fornax_testkit::{Pair, Values, assert_close, device, devices, parameters, uniform};
use fornax_weights::{Tensors, state};

fn model(seed: u64, device: &Device) -> Pair {
    Pair::new(uniform([2, 3], seed, device, DType::F32), uniform([3], seed + 100, device, DType::F32))
}

/// The model with the weights of another seed, and the same ids.
fn moved(model: Pair, seed: u64) -> Pair {
    fornax_weights::load_state(model, &state(&self::model(seed, &device())), "").expect("the same model")
}

/// `Σₜ dⁿ⁻ᵗ θₜ (1 − d) / (1 − dⁿ)`
fn closed_form(decay: f64, history: &[Vec<f64>]) -> Vec<f64> {
    let n = history.len();
    let weight = |t: usize| decay.powi((n - 1 - t) as i32) * (1.0 - decay) / (1.0 - decay.powi(n as i32));
    (0..history[0].len()).map(|i| history.iter().enumerate().map(|(t, theta)| weight(t) * theta[i]).sum()).collect()
}

#[test]
fn equals_the_bias_corrected_average() {
    for device in devices() {
        for decay in [0.0, 0.5, 0.9, 0.999] {
            let mut ema = Average::ema(decay);
            let mut model = model(0, &device.clone().autodiff());
            let mut history = vec![];
            for step in 1..=20 {
                model = moved(model, step);
                ema.update(&model);
                history.push(model.matrix.val().values());
                assert_eq!(ema.steps(), step);
                let average = ema.apply(model.clone());
                assert_close(average.matrix.val(), closed_form(decay, &history), 1e-5, 1e-6);
            }
        }
    }
}

#[test]
fn the_first_average_is_the_weights_and_before_it_the_model() {
    let model = model(1, &device().autodiff());
    let mut ema = Average::ema(0.99);
    assert_eq!(state(&ema.apply(model.clone())), state(&model));
    ema.update(&model);
    assert_eq!(state(&ema.apply(model.clone())), state(&model));
}

#[test]
fn applying_leaves_model_and_average_and_keeps_training_possible() {
    for device in devices() {
        let mut ema = Average::ema(0.5);
        let first = model(1, &device.clone().autodiff());
        ema.update(&first);
        let second = moved(first.clone(), 2);
        ema.update(&second);
        let (before, averages) = (state(&second), ema.state(&second));
        let applied = ema.apply(second.clone());
        assert_eq!(state(&second), before);
        assert_eq!(ema.state(&second), averages);
        assert_ne!(state(&applied), before);
        assert_eq!(parameters(&applied).len(), 2, "the averaged model is not trainable");
        assert!(!ema.apply(second.clone().no_grad()).matrix.is_require_grad(), "a frozen parameter was thawed");
        assert_eq!(state(&ema.apply(second.valid())), state(&applied), "with and without autodiff");
    }
}

#[test]
fn state_round_trips_to_another_process() {
    for device in devices() {
        let device = device.autodiff();
        let mut ema = Average::ema(0.9);
        let mut trained = model(0, &device);
        for seed in 1..5 {
            trained = moved(trained, seed);
            ema.update(&trained);
        }
        let saved = ema.state(&trained);
        let mut twin = moved(model(0, &device), 4);
        let mut resumed = Average::ema(0.9);
        resumed.load_state(&twin, &saved).expect("its own state");
        assert_eq!(resumed.state(&twin), saved);
        for seed in 5..8 {
            (trained, twin) = (moved(trained, seed), moved(twin, seed));
            ema.update(&trained);
            resumed.update(&twin);
        }
        assert_eq!(state(&resumed.apply(twin)), state(&ema.apply(trained)));
    }
}

#[test]
fn foreign_state_is_refused_and_named() {
    let model = model(0, &device().autodiff());
    let mut ema = Average::ema(0.9);
    ema.update(&model);
    let saved = ema.state(&model);
    let refuse = |bad: &Tensors, name: &str| {
        let mut fresh = Average::ema(0.9);
        let error = fresh.load_state(&model, bad).expect_err("it does not fit");
        assert!(error.contains(name), "{error}");
        assert_eq!(fresh.steps(), 0);
    };
    for key in saved.keys() {
        let mut bad = saved.clone();
        bad.remove(key);
        refuse(&bad, key);
    }
    let with = |key: &str, data: TensorData| {
        let mut bad = saved.clone();
        bad.insert(key.into(), data);
        bad
    };
    refuse(&with("vector", TensorData::from([1f32; 4])), "vector");
    refuse(&with("vector", TensorData::from([[1f32; 3]])), "vector");
    refuse(&with("extra", TensorData::from([1f32])), "extra");
    refuse(&with("#steps", TensorData::from([-3i64])), "#steps");
    refuse(&Tensors::new(), "#steps");
}

#[derive(Module, Debug)]
struct WithStatistic {
    weight: Param<Tensor<1>>,
    running: Param<Tensor<1>>,
}

#[test]
fn statistics_are_averaged_too() {
    let device = device().autodiff();
    let of = |x: f32| Param::from_tensor(Tensor::<1>::from_floats([x], &device));
    let first = WithStatistic { weight: of(1.0), running: of(10.0).set_require_grad(false) };
    let mut ema = Average::ema(0.5);
    ema.update(&first);
    let second =
        fornax_weights::load_state(first, &[("weight".into(), TensorData::from([4f32])), ("running".into(), TensorData::from([40f32]))].into(), "")
            .expect("it fits");
    ema.update(&second);
    let average = ema.apply(second);
    // (0.5 · 1 + 1 · 4) · 0.5 / 0.75 = 3
    assert_close(average.weight.val(), [3.0], 1e-6, 0.0);
    assert_close(average.running.val(), [30.0], 1e-6, 0.0);
    assert!(!average.running.is_require_grad());
}

#[test]
#[should_panic(expected = "EMA decay must be in [0, 1), not 1")]
fn a_decay_of_one_is_refused() {
    Average::ema(1.0);
}
