//! First weights: functions of the step key, with PyTorch's bounds.
#![recursion_limit = "256"]

use burn::module::Module;
use burn::nn::conv::Conv2dConfig;
use fornax_kernels::random::{Key, next_draw, set_step_key};
use fornax_layers::{BatchNormConfig, ConvBlockConfig, DenseBlockConfig, init};
use fornax_testkit::{Values, device, devices};
use fornax_weights::state;

/// `U(−bound, bound)`: within the bounds, close to both, with mean 0 and variance `bound² / 3`.
fn check_uniform(values: &[f64], bound: f64) {
    let n = values.len() as f64;
    let (low, high) = values.iter().fold((0f64, 0f64), |(low, high), &x| (low.min(x), high.max(x)));
    assert!(-bound <= low && low < -0.97 * bound && 0.97 * bound < high && high <= bound, "{low} to {high}, bound {bound}");
    let mean = values.iter().sum::<f64>() / n;
    let deviation = bound / 3f64.sqrt();
    assert!(mean.abs() < 4.0 * deviation / n.sqrt(), "mean {mean}");
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    // The variance of x² under U(−b, b) is 4 b⁴ / 45.
    let error = (4.0 * bound.powi(4) / 45.0 / n).sqrt();
    assert!((variance - bound * bound / 3.0).abs() < 4.0 * error, "variance {variance} instead of {}", bound * bound / 3.0);
}

#[test]
fn bounds_and_variance_are_pytorchs() {
    for device in devices() {
        set_step_key(Key::new(11));
        let linear = init::linear(400, 500, true, &device);
        check_uniform(&linear.weight.val().values(), 0.05);
        check_uniform(&linear.bias.expect("asked for").val().values(), 0.05);
        assert!(init::linear(4, 5, false, &device).bias.is_none());

        let conv = init::conv2d(&Conv2dConfig::new([16, 400], [5, 5]), &device);
        check_uniform(&conv.weight.val().values(), 0.05);
        check_uniform(&conv.bias.expect("the default").val().values(), 0.05);
        let grouped = init::conv2d(&Conv2dConfig::new([64, 400], [5, 5]).with_groups(4), &device);
        assert_eq!(grouped.weight.val().dims(), [400, 16, 5, 5]);
        check_uniform(&grouped.weight.val().values(), 0.05);
        assert!(init::conv2d(&Conv2dConfig::new([1, 2], [3, 3]).with_bias(false), &device).bias.is_none());
    }
}

#[derive(Module, Debug)]
struct Blocks {
    conv: fornax_layers::ConvBlock,
    norm: fornax_layers::ConvBlock,
    dense: [fornax_layers::DenseBlock; 2],
}

fn blocks(seed: u64, device: &burn::tensor::Device) -> fornax_weights::Tensors {
    set_step_key(Key::new(seed));
    let conv = |norm| ConvBlockConfig::new(2, 3, 3).with_batch_norm(norm).init(device);
    let dense = || DenseBlockConfig::new(4, 5).init(device);
    state(&Blocks { conv: conv(false), norm: conv(true), dense: [dense(), dense()] })
}

#[test]
fn a_seed_gives_the_same_weights_on_every_backend() {
    let first = blocks(1, &device());
    for device in devices() {
        assert_eq!(blocks(1, &device), first);
        assert_eq!(blocks(1, &device.clone().autodiff()), first);
        assert_ne!(blocks(2, &device), first);
    }
    assert_ne!(first["dense.0.linear.weight"], first["dense.1.linear.weight"], "two layers of one model have the same weights");
    assert_ne!(first["conv.conv.weight"], first["norm.conv.weight"]);
}

#[test]
fn constants_draw_nothing() {
    let device = device();
    set_step_key(Key::new(1));
    let before = next_draw();
    set_step_key(Key::new(1));
    let norm = BatchNormConfig::new(7).init(&device);
    assert_eq!(next_draw(), before);
    assert_eq!([norm.weight.val().values(), norm.bias.val().values()], [vec![1.0; 7], vec![0.0; 7]]);
    assert_eq!([norm.running_mean.value().values(), norm.running_var.value().values()], [vec![0.0; 7], vec![1.0; 7]]);
}
