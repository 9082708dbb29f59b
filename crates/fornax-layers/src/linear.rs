use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use fornax_kernels::linear::linear;

use crate::{Activation, dissect, init, per_example};

/// Configuration of [`Linear`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearConfig {
    /// Features in.
    pub inputs: usize,
    /// Features out.
    pub outputs: usize,
    /// `b`: on.
    pub bias: bool,
}

impl LinearConfig {
    /// With bias.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, bias: true }
    }
    /// With or without bias.
    pub fn with_bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    /// Draws from the step key, as PyTorch: weight and bias `U(−1/√inputs, 1/√inputs)`.
    pub fn init(&self, device: &Device) -> Linear {
        let burn::nn::Linear { weight, bias } = init::linear(self.inputs, self.outputs, self.bias, device);
        Linear { weight, bias }
    }

    /// Draws from the step key: weight `N(0, deviation²)`, bias 0.
    pub fn init_normal(&self, deviation: f64, device: &Device) -> Linear {
        let bias = self.bias.then(|| init::constant([self.outputs], 0.0, device));
        Linear { weight: init::normal([self.inputs, self.outputs], deviation, device), bias }
    }
}

/// `y = x W + b`
#[derive(Module, Debug)]
pub struct Linear {
    /// `W: [D, D']`
    pub weight: Param<Tensor<2>>,
    /// `b: [D']`, if any.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// `[..., D] -> [..., D']`
    pub fn forward<const R: usize>(&self, x: Tensor<R>) -> Tensor<R> {
        self.forward_activated(x, Activation::Identity)
    }

    /// `a(x W + b)`, the activation in the same pass over the memory: `[..., D] -> [..., D']`
    pub fn forward_activated<const R: usize>(&self, x: Tensor<R>, activation: Activation) -> Tensor<R> {
        apply(x, &self.weight, self.bias.as_ref(), activation)
    }
}

/// `a(x W + b)`, recorded where a pass is: `[..., D] -> [..., D']`
pub(crate) fn apply<const R: usize>(x: Tensor<R>, weight: &Param<Tensor<2>>, bias: Option<&Param<Tensor<1>>>, activation: Activation) -> Tensor<R> {
    if per_example::recording() {
        return per_example::linear_recorded(x, weight, bias, activation);
    }
    if dissect::dissecting() {
        return dissect::linear_pieces(x, weight, bias, activation);
    }
    linear(x, weight.val(), bias.map(|bias| bias.val()), activation)
}

/// Burn's linear layer as a head, recorded where a pass is: `[..., D] -> [..., D']`
pub fn head<const R: usize>(layer: &burn::nn::Linear, x: Tensor<R>) -> Tensor<R> {
    if per_example::recording() {
        return per_example::linear_recorded(x, &layer.weight, layer.bias.as_ref(), Activation::Identity);
    }
    if dissect::dissecting() {
        return dissect::linear_pieces(x, &layer.weight, layer.bias.as_ref(), Activation::Identity);
    }
    layer.forward(x)
}
