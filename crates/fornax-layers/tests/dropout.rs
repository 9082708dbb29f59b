//! Dropout is a function of the step's key, and off outside training.
#![recursion_limit = "256"]

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use fornax_kernels::random::{Key, next_draw, set_step_key};
use fornax_layers::{Dropout, DropoutConfig};
use fornax_testkit::{Values, assert_close, device, devices};
use proptest::prelude::*;

fn ones(shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::ones(shape, &device.clone().autodiff())
}

fn masked(dropout: &Dropout, key: Key, device: &Device) -> Vec<f64> {
    set_step_key(key);
    dropout.forward(ones([50, 81], device)).values()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn keeps_its_share_and_the_expectation(p in 0.05f64..0.95, seed in 0u64..1000) {
        let n = 300 * 401;
        for device in devices() {
            set_step_key(Key::new(seed));
            let y = DropoutConfig::new(p).init().forward(ones([300, 401], &device)).values();
            let keep = 1.0 - p;
            prop_assert!(y.iter().all(|&y| y == 0.0 || (y - 1.0 / keep).abs() < 1e-6 / keep));
            let kept = y.iter().filter(|&&y| y != 0.0).count() as f64 / n as f64;
            let deviation = (p * keep / n as f64).sqrt();
            prop_assert!((kept - keep).abs() < 5.0 * deviation, "kept {kept} of {keep}");
            let mean = y.iter().sum::<f64>() / n as f64;
            prop_assert!((mean - 1.0).abs() < 5.0 * deviation / keep, "mean {mean}");
        }
    }
}

#[test]
fn the_key_alone_decides() {
    let dropout = DropoutConfig::new(0.4).init();
    let key = Key::new(3).fold(17);
    let first = masked(&dropout, key, &device());
    for device in devices() {
        assert_eq!(masked(&dropout, key, &device), first, "another mask on {device:?}");
        assert_eq!(masked(&dropout.clone(), key, &device), first);
        assert_ne!(masked(&dropout, Key::new(3).fold(18), &device), first, "the next step has the same mask");
        assert_ne!(masked(&dropout, Key::new(4).fold(17), &device), first, "another seed has the same mask");
        set_step_key(key);
        let (a, b) = (dropout.forward(ones([50, 81], &device)).values(), dropout.forward(ones([50, 81], &device)).values());
        assert_eq!(a, first);
        assert_ne!(a, b, "two layers of one step have the same mask");
    }
}

#[test]
fn the_gradient_goes_through_the_same_mask() {
    for device in devices() {
        let x = (ones([20, 30], &device) * 0.7).detach().require_grad();
        set_step_key(Key::new(5));
        let y = DropoutConfig::new(0.3).init().forward(x.clone());
        let grad = x.grad(&y.clone().sum().backward()).expect("x was used");
        assert_close(grad * 0.7, y, 1e-6, 0.0);
    }
}

#[test]
fn off_when_frozen_and_outside_training() {
    for device in devices() {
        let dropout = DropoutConfig::new(0.5).init();
        set_step_key(Key::new(1));
        let before = next_draw();
        set_step_key(Key::new(1));
        let x = Tensor::<2>::ones([8, 8], &device);
        assert_eq!(dropout.forward(x.clone()).values(), x.values(), "active without autodiff");
        let frozen = dropout.clone().freeze();
        assert_eq!(frozen.forward(ones([8, 8], &device)).values(), x.values(), "active although frozen");
        assert_eq!(DropoutConfig::new(0.0).init().forward(ones([8, 8], &device)).values(), x.values());
        assert_eq!(next_draw(), before, "a layer that is off must draw nothing");
        assert_ne!(frozen.unfreeze().forward(ones([8, 8], &device)).values(), x.values(), "off although thawed");
    }
}

#[test]
#[should_panic(expected = "dropout probability must be in [0, 1), not 1")]
fn a_probability_of_one_is_refused() {
    DropoutConfig::new(1.0);
}
