//! Every layer keeps the contract of layers, and every loss has the gradient that finite differences give, in f64.
#![recursion_limit = "256"]

use burn::tensor::{DType, Int, Tensor};
use fornax_kernels::device::BackendName;
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::{Activation, BatchNormConfig, ConvBlockConfig, DenseBlockConfig, loss, max_pool};
use fornax_testkit::{backends, check_gradients, check_layer, devices, uniform};

/// Burn's NdArray backend computes the sigmoid in f32 whatever the type, too coarse for finite differences.
fn through_sigmoid(activation: Activation) -> bool {
    matches!(activation, Activation::Silu | Activation::Sigmoid)
}

#[test]
fn conv_block() {
    check_layer(|d| ConvBlockConfig::new(2, 3, 3).init(d), [2, 2, 6, 5], [2, 3, 4, 3], |m, x| m.forward(x));
    let strided = ConvBlockConfig::new(1, 2, 5).with_stride(2).with_padding(2).with_activation(Activation::Gelu);
    check_layer(|d| strided.init(d), [2, 1, 7, 8], [2, 2, 4, 4], |m, x| m.forward(x));
}

#[test]
fn conv_block_with_batch_norm() {
    for activation in [Activation::Relu, Activation::Tanh] {
        let config = ConvBlockConfig::new(2, 4, 3).with_padding(1).with_batch_norm(true).with_activation(activation);
        check_layer(|d| config.init(d), [3, 2, 5, 4], [3, 4, 5, 4], |m, x| m.forward(x));
    }
}

#[test]
fn dense_block() {
    for activation in Activation::ALL.into_iter().filter(|&a| !through_sigmoid(a)) {
        let config = DenseBlockConfig::new(4, 3).with_activation(activation);
        check_layer(|d| config.init(d), [5, 4], [5, 3], |m, x: Tensor<2>| m.forward(x));
    }
    check_layer(|d| DenseBlockConfig::new(4, 3).init(d), [2, 3, 4], [2, 3, 3], |m, x: Tensor<3>| m.forward(x));
}

#[test]
fn batch_norm() {
    check_layer(|d| BatchNormConfig::new(3).init(d), [6, 3], [6, 3], |m, x: Tensor<2>| m.forward(x));
    check_layer(|d| BatchNormConfig::new(3).init(d), [4, 3, 5], [4, 3, 5], |m, x: Tensor<3>| m.forward(x));
    check_layer(|d| BatchNormConfig::new(2).init(d), [3, 2, 4, 3], [3, 2, 4, 3], |m, x: Tensor<4>| m.forward(x));
}

#[test]
fn activations_and_pooling() {
    for (backend, device) in backends().into_iter().zip(devices()) {
        for activation in Activation::ALL.into_iter().filter(|&a| backend != BackendName::NdArray || !through_sigmoid(a)) {
            let x = uniform([7, 3], 5, &device, DType::F64) * 3.0;
            check_gradients(&device, &x, |x| (activation.forward(x.clone()) * (x * 0.3).exp()).sum());
        }
        let x = uniform([2, 2, 5, 6], 6, &device, DType::F64);
        check_gradients(&device, &x, |x| max_pool(x, 2).square().sum());
    }
}

#[test]
fn losses() {
    for device in devices() {
        let x = uniform([4, 5], 7, &device, DType::F64) * 3.0;
        let y = uniform([4, 5], 8, &device.clone().autodiff(), DType::F64);
        let classes = Tensor::<1, Int>::from_data([4, 0, 2, 2], &device.clone().autodiff());
        for smoothing in [0.0, 0.2] {
            check_gradients(&device, &x, |x| loss::cross_entropy(x, classes.clone(), smoothing));
        }
        check_gradients(&device, &x, |x| loss::mse(x, y.clone()));
        check_gradients(&device, &x, |x| loss::smooth_l1(x, y.clone()));
        check_gradients(&device, &x, |x| loss::binary_cross_entropy(x, y.clone() * 0.5 + 0.5));
    }
}

#[test]
#[should_panic(expected = "batch norm over 3 channels got an input of shape [2, 4]")]
fn another_number_of_channels_is_named() {
    let device = fornax_testkit::device();
    BatchNormConfig::new(3).init(&device).forward(Tensor::<2>::zeros([2, 4], &device));
}

#[test]
fn a_grouped_and_dilated_convolution_put_in_by_hand_is_honoured() {
    let device = fornax_testkit::device();
    set_step_key(Key::new(5));
    let mut block = ConvBlockConfig::new(4, 4, 3).init(&device);
    let config = burn::nn::conv::Conv2dConfig::new([4, 4], [3, 3]).with_groups(2).with_dilation([2, 2]).with_padding(burn::nn::PaddingConfig2d::Same);
    block.conv = fornax_layers::init::conv2d(&config, &device);
    let x = fornax_testkit::uniform([2, 4, 9, 9], 1, &device, burn::tensor::DType::F32);
    let want = burn::tensor::activation::relu(block.conv.forward(x.clone()));
    assert_eq!(block.forward(x).to_data(), want.to_data());
}
