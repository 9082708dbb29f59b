//! First weights, drawn from the step key: the same numbers on every backend.
//!
//! Call [`fornax_kernels::random::set_step_key`] before building a model; blocks draw in the order of construction.

use burn::module::{Param, ParamId};
use burn::nn::{Linear, conv::Conv2d};
use burn::tensor::{Device, Tensor, TensorData};
use fornax_kernels::random::next_draw;

/// `U(−bound, bound)`
pub fn uniform<const D: usize>(shape: [usize; D], bound: f64, device: &Device) -> Param<Tensor<D>> {
    mapped(shape, |u| (2.0 * u - 1.0) * bound, device)
}

/// `map(u)` of `u` uniform in `[0, 1)`
pub fn mapped<const D: usize>(shape: [usize; D], map: impl Fn(f64) -> f64, device: &Device) -> Param<Tensor<D>> {
    let key = next_draw();
    let data = (0..shape.iter().product::<usize>() as u64).map(|i| map(key.uniform(i)) as f32).collect();
    from_values(data, shape, device)
}

/// `map(i)` in element `i`, row-major; draws nothing.
pub fn by_index<const D: usize>(shape: [usize; D], map: impl Fn(usize) -> f64, device: &Device) -> Param<Tensor<D>> {
    from_values((0..shape.iter().product::<usize>()).map(|i| map(i) as f32).collect(), shape, device)
}

/// `N(0, deviation²)`
pub fn normal<const D: usize>(shape: [usize; D], deviation: f64, device: &Device) -> Param<Tensor<D>> {
    let key = next_draw();
    let data = (0..shape.iter().product::<usize>() as u64).map(|i| (key.normal(i) * deviation) as f32).collect();
    from_values(data, shape, device)
}

/// Every element is `value`; draws nothing.
pub fn constant<const D: usize>(shape: [usize; D], value: f32, device: &Device) -> Param<Tensor<D>> {
    from_values(vec![value; shape.iter().product()], shape, device)
}

fn from_values<const D: usize>(data: Vec<f32>, shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Param::initialized(ParamId::new(), Tensor::from_data(TensorData::new(data, shape), device)).set_require_grad(true)
}

/// PyTorch's default for `nn.Linear`: weight and bias `U(−1/√fan_in, 1/√fan_in)`.
///
/// Source: He et al., "Delving deep into rectifiers", 2015, with a = √5.
pub fn linear(inputs: usize, outputs: usize, bias: bool, device: &Device) -> Linear {
    let bound = 1.0 / (inputs as f64).sqrt();
    let weight = uniform([inputs, outputs], bound, device);
    Linear { weight, bias: bias.then(|| uniform([outputs], bound, device)) }
}

/// PyTorch's default for `nn.Conv2d`, as in [`linear`] with fan_in = in-channels × kernel area.
pub fn conv2d(config: &burn::nn::conv::Conv2dConfig, device: &Device) -> Conv2d {
    let [inputs, outputs] = config.channels;
    let [height, width] = config.kernel_size;
    let inputs = inputs / config.groups;
    let bound = 1.0 / ((inputs * height * width) as f64).sqrt();
    let mut conv = config.clone().with_bias(false).init(device);
    conv.weight = uniform([outputs, inputs, height, width], bound, device);
    conv.bias = config.bias.then(|| uniform([outputs], bound, device));
    conv
}
