//! The layers of Transformers against PyTorch (`reference/attention.py`), and the contract of layers.
#![recursion_limit = "256"]

use burn::module::Param;
use burn::tensor::{DType, Device, Gradients, Int, Tensor};
use fornax_kernels::cross_entropy::cross_entropy;
use fornax_kernels::device::BackendName;
use fornax_layers::{
    Activation, EmbeddingConfig, LayerNormConfig, Linear, LinearConfig, MultiHeadAttentionConfig, RmsNormConfig, TransformerBlockConfig,
};
use fornax_testkit::{Reference, assert_near, check_layer, devices, reference, to_dtype};

/// Runs `check` for every case of a kind, on every device, in both types.
fn each(kind: &str, check: impl Fn(&Reference, &Device, DType)) {
    for case in reference("tests/reference/transformers.json").cases(kind) {
        for device in devices() {
            for dtype in [DType::F32, DType::F64] {
                check(&case, &device.clone().autodiff(), dtype);
            }
        }
    }
}

fn param<const D: usize>(case: &Reference, name: &str, device: &Device, dtype: DType) -> Param<Tensor<D>> {
    Param::from_tensor(case.tensor(name, device, dtype))
}

/// The result, and the gradients of `Σ y ⊙ direction`.
fn gradients(case: &Reference, y: Tensor<3>, device: &Device, dtype: DType) -> Gradients {
    assert_near(&case.text("name"), &y, case.values("y"), dtype);
    (y * case.tensor("direction", device, dtype)).sum().backward()
}

fn near<const D: usize>(case: &Reference, name: &str, leaf: &Tensor<D>, grads: &Gradients, dtype: DType) {
    let what = format!("{}: gradient of {name}", case.text("name"));
    let grad = leaf.grad(grads).unwrap_or_else(|| panic!("{what} is missing"));
    assert_near(&what, grad, case.get("gradients").values(name), dtype);
}

/// Burn's NdArray backend computes the sigmoid in f32 whatever the type.
fn precision(activation: Activation, device: &Device, dtype: DType) -> DType {
    let ndarray = BackendName::NdArray.device(None).is_ok_and(|ndarray| ndarray == *device);
    if ndarray && matches!(activation, Activation::Silu | Activation::Sigmoid) { DType::F32 } else { dtype }
}

#[test]
fn linear_with_every_activation() {
    let activation = |case: &Reference| {
        let name = case.text("activation");
        Activation::ALL.into_iter().find(|a| format!("{a:?}").to_lowercase() == name).expect("a known activation")
    };
    let cases = reference("tests/reference/transformers.json").cases("linear");
    assert!(Activation::ALL.iter().all(|a| cases.iter().any(|case| activation(case) == *a)), "an activation without a fixture");
    each("linear", |case, device, dtype| {
        let (weight, bias) = (param::<2>(case, "weight", device, dtype), param::<1>(case, "bias", device, dtype));
        let layer = Linear { weight, bias: Some(bias.clone()) };
        let x = case.tensor::<3>("x", device, dtype).require_grad();
        let y = layer.forward_activated(x.clone(), activation(case));
        let dtype = precision(activation(case), device, dtype);
        assert_near(&case.text("name"), &y, case.values("y"), dtype);
        let grads = (y.clone() * case.tensor("direction", device, y.dtype())).sum().backward();
        near(case, "x", &x, &grads, dtype);
        near(case, "weight", &layer.weight.val(), &grads, dtype);
        near(case, "bias", &bias.val(), &grads, dtype);
    });
}

#[test]
fn norms() {
    each("layer_norm", |case, device, dtype| {
        let x = case.tensor::<3>("x", device, dtype).require_grad();
        let mut norm = LayerNormConfig::new(x.dims()[2]).init(device);
        (norm.weight, norm.bias) = (param(case, "weight", device, dtype), param(case, "bias", device, dtype));
        let grads = gradients(case, norm.forward(x.clone()), device, dtype);
        near(case, "x", &x, &grads, dtype);
        near(case, "weight", &norm.weight.val(), &grads, dtype);
        near(case, "bias", &norm.bias.val(), &grads, dtype);
    });
    each("rms_norm", |case, device, dtype| {
        let x = case.tensor::<3>("x", device, dtype).require_grad();
        let mut norm = RmsNormConfig::new(x.dims()[2]).init(device);
        norm.weight = param(case, "weight", device, dtype);
        let grads = gradients(case, norm.forward(x.clone()), device, dtype);
        near(case, "x", &x, &grads, dtype);
        near(case, "weight", &norm.weight.val(), &grads, dtype);
    });
}

fn ids(values: Vec<usize>, device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(values.into_iter().map(|id| id as i64).collect::<Vec<_>>().as_slice(), device)
}

#[test]
fn embeddings() {
    each("embedding", |case, device, dtype| {
        let mut layer = EmbeddingConfig::new(1, 1).init(device);
        layer.weight = param(case, "weight", device, dtype);
        let shape: [usize; 2] = case.counts("shape").try_into().expect("two dimensions");
        let y = layer.forward(ids(case.counts("ids"), device).reshape(shape));
        let grads = gradients(case, y, device, dtype);
        near(case, "weight", &layer.weight.val(), &grads, dtype);
    });
}

#[test]
fn attention() {
    each("attention", |case, device, dtype| {
        let x = case.tensor::<3>("x", device, dtype).require_grad();
        let [batch, time, width] = x.dims();
        let config = MultiHeadAttentionConfig::new(width, case.count("heads")).with_groups(case.count("groups")).with_causal(case.flag("causal"));
        let mut layer = to_dtype(config.init(device), dtype);
        let [qkv_bias, proj_bias] = ["qkv_bias", "proj_bias"].map(|name| param::<1>(case, name, device, dtype));
        layer.qkv = Linear { weight: param(case, "qkv_weight", device, dtype), bias: Some(qkv_bias.clone()) };
        layer.proj = Linear { weight: param(case, "proj_weight", device, dtype), bias: Some(proj_bias.clone()) };
        let hidden = case.count("hidden");
        let bias = (hidden > 0).then(|| {
            let last = Tensor::full([1, 1, 1, hidden], f32::NEG_INFINITY, (device, dtype));
            Tensor::<4>::zeros([batch, 1, 1, time], (device, dtype)).slice_assign([0..1, 0..1, 0..1, time - hidden..time], last)
        });
        let grads = gradients(case, layer.forward_masked(x.clone(), bias), device, dtype);
        near(case, "x", &x, &grads, dtype);
        near(case, "qkv_weight", &layer.qkv.weight.val(), &grads, dtype);
        near(case, "qkv_bias", &qkv_bias.val(), &grads, dtype);
        near(case, "proj_weight", &layer.proj.weight.val(), &grads, dtype);
        near(case, "proj_bias", &proj_bias.val(), &grads, dtype);
    });
}

#[test]
fn cross_entropy_that_ignores() {
    each("cross_entropy", |case, device, dtype| {
        let x = case.tensor::<2>("x", device, dtype).require_grad();
        let classes = x.dims()[1] as i64;
        let loss = cross_entropy(x.clone(), ids(case.counts("targets"), device), case.number("smoothing"), Some(classes));
        assert_near(&case.text("name"), &loss, [case.number("loss")], dtype);
        near(case, "x", &x, &loss.backward(), dtype);
    });
}

#[test]
fn the_contract_of_layers() {
    check_layer(|d| LinearConfig::new(4, 3).init(d), [2, 3, 4], [2, 3, 3], |m, x: Tensor<3>| m.forward(x));
    check_layer(|d| LinearConfig::new(4, 3).with_bias(false).init(d), [5, 4], [5, 3], |m, x: Tensor<2>| m.forward_activated(x, Activation::GeluTanh));
    check_layer(|d| LayerNormConfig::new(5).init(d), [3, 5], [3, 5], |m, x: Tensor<2>| m.forward(x));
    check_layer(|d| RmsNormConfig::new(5).init(d), [3, 5], [3, 5], |m, x: Tensor<2>| m.forward(x));
    let grouped = MultiHeadAttentionConfig::new(8, 4).with_groups(2).with_causal(true);
    check_layer(|d| grouped.init(d), [2, 5, 8], [2, 5, 8], |m, x| m.forward(x));
    let block = TransformerBlockConfig::new(MultiHeadAttentionConfig::new(6, 2));
    check_layer(|d| block.init(d), [2, 4, 6], [2, 4, 6], |m, x| m.forward(x));
    check_layer(|d| block.with_dropout(0.2).init_normal(0.3, 2, d), [2, 4, 6], [2, 4, 6], |m, x| m.forward(x));
}
