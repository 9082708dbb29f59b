//! Layers and losses against PyTorch: `reference/layers.py`.
#![recursion_limit = "256"]

use burn::module::Param;
use burn::tensor::{DType, Device, Gradients, Int, Tensor};
use fornax_kernels::device::BackendName;
use fornax_layers::{Activation, BatchNorm, BatchNormConfig, ConvBlock, ConvBlockConfig, DenseBlockConfig, loss, max_pool};
use fornax_testkit::{Reference, assert_near, devices, reference, to_dtype};

/// Runs `check` for every case of a kind, on every device, in both types.
fn each(kind: &str, check: impl Fn(&Reference, &Device, DType)) {
    for case in reference("tests/reference/layers.json").cases(kind) {
        for device in devices() {
            for dtype in [DType::F32, DType::F64] {
                check(&case, &device.clone().autodiff(), dtype);
            }
        }
    }
}

fn activation(case: &Reference) -> Activation {
    let name = case.text("activation");
    Activation::ALL.into_iter().find(|a| format!("{a:?}").to_lowercase() == name).expect("a known activation")
}

/// The gradient of a leaf, against the one of that name.
fn check_gradient<const D: usize>(case: &Reference, of: &Reference, name: &str, leaf: &Tensor<D>, grads: &Gradients, dtype: DType) {
    let what = format!("{}: gradient of {name}", case.text("name"));
    let grad = leaf.grad(grads).unwrap_or_else(|| panic!("{what} is missing"));
    assert_near(&what, grad, of.get("gradients").values(name), dtype);
}

fn conv_block(case: &Reference, batch_norm: bool, device: &Device, dtype: DType) -> ConvBlock {
    let config = ConvBlockConfig::new(case.count("inputs"), case.count("outputs"), case.count("kernel"))
        .with_stride(case.count("stride"))
        .with_padding(case.count("padding"))
        .with_batch_norm(batch_norm)
        .with_activation(activation(case));
    let mut block = to_dtype(config.init(device), dtype);
    block.conv.weight = Param::from_tensor(case.tensor("weight", device, dtype));
    block
}

#[test]
fn conv_blocks() {
    each("conv_block", |case, device, dtype| {
        let mut block = conv_block(case, false, device, dtype);
        let bias = Param::from_tensor(case.tensor::<1>("bias", device, dtype));
        block.conv.bias = Some(bias.clone());
        let x = case.tensor::<4>("x", device, dtype).require_grad();
        let y = block.forward(x.clone());
        assert_near(&case.text("name"), &y, case.values("y"), dtype);
        let grads = (y * case.tensor("direction", device, dtype)).sum().backward();
        check_gradient(case, case, "x", &x, &grads, dtype);
        check_gradient(case, case, "weight", &block.conv.weight.val(), &grads, dtype);
        check_gradient(case, case, "bias", &bias.val(), &grads, dtype);
    });
}

/// Two training steps and an evaluation, of a layer that has batch norm inside.
fn check_norm<const D: usize>(
    case: &Reference,
    device: &Device,
    dtype: DType,
    forward: impl Fn(Tensor<D>) -> Tensor<D>,
    weight: Option<&Tensor<4>>,
    norm: impl Fn() -> BatchNorm,
) {
    let direction = case.tensor::<D>("direction", device, dtype);
    let check = |x: &Tensor<D>, part: &Reference, name: &str| {
        let y = forward(x.clone());
        assert_near(&format!("{} {name}", case.text("name")), &y, part.values("y"), dtype);
        let grads = (y * direction.clone()).sum().backward();
        check_gradient(case, part, "x", x, &grads, dtype);
        check_gradient(case, part, "gamma", &norm().weight.val(), &grads, dtype);
        check_gradient(case, part, "beta", &norm().bias.val(), &grads, dtype);
        if let Some(weight) = weight {
            check_gradient(case, part, "weight", weight, &grads, dtype);
        }
    };
    let evaluates = !norm().training.is_enabled();
    let steps = case.list("steps");
    if evaluates {
        let x = steps[0].tensor::<D>("x", device, dtype).require_grad();
        return check(&x, &case.get("evaluation"), "in evaluation");
    }
    for step in &steps {
        check(&step.tensor::<D>("x", device, dtype).require_grad(), step, "in training");
        assert_near("running mean", norm().running_mean.value(), step.values("running_mean"), dtype);
        assert_near("running variance", norm().running_var.value(), step.values("running_var"), dtype);
    }
}

#[test]
fn conv_blocks_with_batch_norm() {
    each("conv_block_norm", |case, device, dtype| {
        let mut block = conv_block(case, true, device, dtype);
        assert!(block.conv.bias.is_none(), "batch norm is in place of the bias");
        let norm = block.norm.as_mut().expect("batch norm was asked for");
        norm.weight = Param::from_tensor(case.tensor("gamma", device, dtype));
        norm.bias = Param::from_tensor(case.tensor("beta", device, dtype));
        let run = |block: &ConvBlock| {
            let weight = block.conv.weight.val();
            check_norm::<4>(case, device, dtype, |x| block.forward(x), Some(&weight), || block.norm.clone().expect("batch norm"));
        };
        run(&block);
        block.norm.as_mut().expect("batch norm").training = Param::from_bool(false);
        run(&block);
    });
}

#[test]
fn batch_norm_of_features_and_images() {
    fn check<const D: usize>(case: &Reference, device: &Device, dtype: DType) {
        let channels = case.values("gamma").len();
        let mut norm = to_dtype(BatchNormConfig::new(channels).init(device), dtype);
        norm.weight = Param::from_tensor(case.tensor("gamma", device, dtype));
        norm.bias = Param::from_tensor(case.tensor("beta", device, dtype));
        check_norm::<D>(case, device, dtype, |x| norm.forward(x), None, || norm.clone());
        norm.training = Param::from_bool(false);
        check_norm::<D>(case, device, dtype, |x| norm.forward(x), None, || norm.clone());
    }
    each("batch_norm", |case, device, dtype| match case.data("direction").shape().to_vec().len() {
        2 => check::<2>(case, device, dtype),
        4 => check::<4>(case, device, dtype),
        rank => panic!("a fixture of rank {rank}"),
    });
}

/// Burn's NdArray backend computes the sigmoid in f32 whatever the type.
fn precision(activation: Activation, device: &Device, dtype: DType) -> DType {
    let ndarray = BackendName::NdArray.device(None).is_ok_and(|ndarray| ndarray == *device);
    let through_sigmoid = matches!(activation, Activation::Silu | Activation::Sigmoid);
    if ndarray && through_sigmoid { DType::F32 } else { dtype }
}

#[test]
fn dense_blocks_with_every_activation() {
    fn check<const D: usize>(case: &Reference, device: &Device, dtype: DType) {
        let mut block = to_dtype(DenseBlockConfig::new(5, 4).with_activation(activation(case)).init(device), dtype);
        block.linear.weight = Param::from_tensor(case.tensor("weight", device, dtype));
        let bias = Param::from_tensor(case.tensor::<1>("bias", device, dtype));
        block.linear.bias = Some(bias.clone());
        let x = case.tensor::<D>("x", device, dtype).require_grad();
        let y = block.forward(x.clone());
        let precision = precision(activation(case), device, dtype);
        assert_near(&case.text("name"), &y, case.values("y"), precision);
        let grads = (y * case.tensor("direction", device, dtype)).sum().backward();
        check_gradient(case, case, "x", &x, &grads, precision);
        check_gradient(case, case, "weight", &block.linear.weight.val(), &grads, precision);
        check_gradient(case, case, "bias", &bias.val(), &grads, precision);
    }
    let cases = reference("tests/reference/layers.json").cases("dense_block");
    // `tests/transformers.rs` has GELU's approximation.
    let own = |a: &&Activation| **a != Activation::GeluTanh;
    assert!(Activation::ALL.iter().filter(own).all(|a| cases.iter().any(|case| activation(case) == *a)), "an activation without a fixture");
    each("dense_block", |case, device, dtype| match case.data("x").shape().to_vec().len() {
        2 => check::<2>(case, device, dtype),
        3 => check::<3>(case, device, dtype),
        rank => panic!("a fixture of rank {rank}"),
    });
}

#[test]
fn max_pooling() {
    each("max_pool", |case, device, dtype| {
        let x = case.tensor::<4>("x", device, dtype).require_grad();
        let y = max_pool(x.clone(), case.count("side"));
        assert_eq!(y.dims().to_vec(), case.data("y").shape().to_vec(), "{}", case.text("name"));
        assert_near(&case.text("name"), &y, case.values("y"), dtype);
        let grads = (y * case.tensor("direction", device, dtype)).sum().backward();
        check_gradient(case, case, "x", &x, &grads, dtype);
    });
}

/// A loss of `x: [R, C]`, its value and gradient.
fn check_loss(kind: &str, value: impl Fn(Tensor<2>, &Reference, &Device, DType) -> Tensor<1>) {
    each(kind, |case, device, dtype| {
        let x = case.tensor::<2>("x", device, dtype).require_grad();
        let loss = value(x.clone(), case, device, dtype);
        assert_near(&case.text("name"), &loss, [case.number("loss")], dtype);
        check_gradient(case, case, "x", &x, &loss.backward(), dtype);
    });
}

#[test]
fn cross_entropy() {
    let classes = |case: &Reference, device: &Device| {
        let classes: Vec<i64> = case.counts("classes").into_iter().map(|c| c as i64).collect();
        Tensor::<1, Int>::from_data(classes.as_slice(), device)
    };
    check_loss("cross_entropy", |x, case, device, _| loss::cross_entropy(x, classes(case, device), case.number("smoothing")));
    check_loss("cross_entropy", |x, case, device, _| loss::cross_entropy_per_example(x, classes(case, device), case.number("smoothing")).mean());
}

#[test]
fn losses_between_tensors() {
    check_loss("mse", |x, case, device, dtype| loss::mse(x, case.tensor("target", device, dtype)));
    check_loss("smooth_l1", |x, case, device, dtype| loss::smooth_l1(x, case.tensor("target", device, dtype)));
    check_loss("binary_cross_entropy", |x, case, device, dtype| loss::binary_cross_entropy(x, case.tensor("target", device, dtype)));
}
