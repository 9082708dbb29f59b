//! What batch norm does with its statistics.
#![recursion_limit = "256"]

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use fornax_layers::{BatchNorm, BatchNormConfig};
use fornax_testkit::{Values, assert_close, bits, devices, parameters, uniform};
use fornax_weights::{count_trainable, load_state, state};
use proptest::prelude::*;

fn training() -> impl Iterator<Item = Device> {
    devices().into_iter().map(Device::autodiff)
}

fn statistics(norm: &BatchNorm) -> (Vec<f64>, Vec<f64>) {
    (norm.running_mean.value().values(), norm.running_var.value().values())
}

/// A layer that has seen two batches, so that its statistics are neither 0 nor 1.
fn seasoned(device: &Device) -> BatchNorm {
    let norm = BatchNormConfig::new(3).init(device);
    for seed in 0..2 {
        norm.forward(uniform([5, 3, 4], seed, device, DType::F32) * 2.0 + 1.0);
    }
    norm
}

/// Mean and unbiased variance of each channel of `[B, C]`, by the book.
fn by_the_book(x: &Tensor<2>) -> (Vec<f64>, Vec<f64>) {
    let ([rows, columns], x) = (x.dims(), x.values());
    let column = |c: usize| (0..rows).map(|r| x[r * columns + c]).collect::<Vec<_>>();
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let var = |v: &[f64]| v.iter().map(|x| (x - mean(v)).powi(2)).sum::<f64>() / (v.len() - 1) as f64;
    (0..columns).map(|c| (mean(&column(c)), var(&column(c)))).unzip()
}

#[test]
fn statistics_move_at_once_and_with_the_unbiased_variance() {
    for device in training() {
        let norm = BatchNormConfig::new(4).init(&device);
        // Three rows: biased and unbiased variance differ by half.
        let x = uniform([3, 4], 1, &device, DType::F32) + 0.5;
        norm.forward(x.clone());
        let (mean, var) = by_the_book(&x);
        let (running_mean, running_var) = statistics(&norm);
        assert_close(running_mean, mean.iter().map(|m| 0.1 * m).collect::<Vec<_>>(), 1e-5, 1e-7);
        assert_close(running_var, var.iter().map(|v| 0.9 + 0.1 * v).collect::<Vec<_>>(), 1e-5, 1e-7);
    }
}

#[test]
fn a_clone_has_statistics_of_its_own() {
    for device in training() {
        let norm = seasoned(&device);
        let clone = norm.clone();
        let before = statistics(&norm);
        assert_eq!(statistics(&clone), before);
        norm.forward(uniform([5, 3], 7, &device, DType::F32));
        assert_ne!(statistics(&norm), before);
        assert_eq!(statistics(&clone), before, "the clone moved with the original");
        let after = statistics(&norm);
        clone.forward(uniform([5, 3], 8, &device, DType::F32));
        assert_eq!(statistics(&norm), after, "the original moved with the clone");
    }
}

#[test]
fn evaluation_uses_the_running_statistics_and_leaves_them() {
    for device in training() {
        let norm = seasoned(&device);
        let before = statistics(&norm);
        let x = uniform([6, 3], 3, &device, DType::F32);
        let expected: Vec<f64> = x.values().iter().enumerate().map(|(i, x)| (x - before.0[i % 3]) / (before.1[i % 3] + 1e-5).sqrt()).collect();

        let valid = norm.valid();
        assert_eq!(statistics(&valid), before, "`valid` sees older statistics");
        assert_close(valid.forward(x.clone().inner()), &expected, 1e-5, 1e-6);
        let frozen = norm.clone().freeze();
        assert_close(frozen.forward(x.clone()), &expected, 1e-5, 1e-6);
        assert_eq!(statistics(&valid), before);
        assert_eq!(statistics(&frozen), before, "a frozen layer moved its statistics");
        // A single row has no variance, but evaluation needs none.
        assert_close(frozen.forward(x.clone().slice([0..1])), &expected[..3], 1e-5, 1e-6);

        let thawed = frozen.unfreeze();
        thawed.forward(x.clone());
        assert_ne!(statistics(&thawed), before, "a thawed layer does not train");
        let trained = valid.train();
        trained.forward(x);
        assert_eq!(statistics(&trained), statistics(&thawed), "`valid` and `train` change what a layer does");
    }
}

#[test]
fn statistics_are_never_trainable() {
    for device in training() {
        let norm = seasoned(&device);
        let check = |norm: &BatchNorm, trainable: &[&str]| {
            assert_eq!(parameters(norm).iter().map(|(_, name, _)| name.as_str()).collect::<Vec<_>>(), trainable);
            assert_eq!(count_trainable(norm), 3 * trainable.len());
            assert!(!norm.running_mean.value().is_require_grad() && !norm.running_var.value().is_require_grad());
        };
        check(&norm, &["weight", "bias"]);
        check(&norm.clone().freeze(), &[]);
        check(&norm.clone().freeze().unfreeze(), &["weight", "bias"]);
        check(&norm.valid().train(), &["weight", "bias"]);
        // Burn's `to_device` is a step of the graph, so only its statistics are of interest.
        assert_eq!(statistics(&norm.clone().to_device(&device)), statistics(&norm));
        check(&norm.clone().fork(&device), &["weight", "bias"]);
        assert_eq!(statistics(&norm.clone().fork(&device)), statistics(&norm));
        let loaded = load_state(BatchNormConfig::new(3).init(&device), &state(&norm), "").expect("the same layer");
        check(&loaded, &["weight", "bias"]);
        assert_eq!(count_trainable(&norm.valid()), 6);
    }
}

#[test]
fn statistics_carry_no_graph() {
    for device in training() {
        let norm = BatchNormConfig::new(2).init(&device);
        let x = uniform::<2>([4, 2], 1, &device, DType::F32).require_grad();
        norm.forward(x.clone());
        let grads = (norm.running_mean.value().sum() + norm.weight.val().sum()).backward();
        assert!(x.grad(&grads).is_none(), "a gradient flows through the running mean");
    }
}

#[test]
fn state_holds_all_and_makes_a_twin() {
    for device in training() {
        let norm = seasoned(&device);
        let saved = state(&norm);
        assert_eq!(saved.keys().collect::<Vec<_>>(), ["bias", "running_mean", "running_var", "weight"]);
        let twin = load_state(BatchNormConfig::new(3).init(&device), &saved, "").expect("the same layer");
        assert_eq!(state(&twin), saved);
        let x = uniform::<3>([4, 3, 2], 9, &device, DType::F32);
        assert!(bits(&norm.valid().forward(x.clone().inner())) == bits(&twin.valid().forward(x.clone().inner())));
        norm.forward(x.clone());
        twin.forward(x);
        assert_eq!(state(&twin), state(&norm), "twins part in the next step");
        assert_ne!(state(&norm), saved);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn output_in_training_has_mean_zero_and_variance_one(batch in 3usize..9, channels in 1usize..5, side in 3usize..6, shift in -20.0f64..20.0, seed in 0u64..500) {
        for device in training() {
            let x = uniform([batch, channels, side], seed, &device, DType::F32) * 3.0 + shift;
            let y = BatchNormConfig::new(channels).init(&device).forward(x);
            let n = (batch * side) as f64;
            let sums = |y: Tensor<3>| y.swap_dims(1, 2).reshape([batch * side, channels]).sum_dim(0).values();
            for (sum, squares) in sums(y.clone()).into_iter().zip(sums(y.square())) {
                prop_assert!((sum / n).abs() < 1e-3, "mean {}", sum / n);
                prop_assert!((squares / n - 1.0).abs() < 1e-2, "variance {}", squares / n);
            }
        }
    }
}

#[test]
#[should_panic(expected = "more than one value a channel, got shape [1, 3]")]
fn one_value_a_channel_cannot_train() {
    let device = fornax_testkit::device().autodiff();
    BatchNormConfig::new(3).init(&device).forward(Tensor::<2>::zeros([1, 3], &device));
}
