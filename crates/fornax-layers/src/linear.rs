use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use fornax_kernels::linear::linear;

use crate::{Activation, init};

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
        linear(x, self.weight.val(), self.bias.as_ref().map(|bias| bias.val()), activation)
    }
}
