use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};

use crate::{Activation, init, linear::apply};

/// Configuration of [`DenseBlock`].
#[derive(Debug, Clone, PartialEq)]
pub struct DenseBlockConfig {
    /// Features in.
    pub inputs: usize,
    /// Features out.
    pub outputs: usize,
    /// ReLU.
    pub activation: Activation,
}

impl DenseBlockConfig {
    /// With bias and ReLU.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, activation: Activation::Relu }
    }
    /// With another activation.
    pub fn with_activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// Draws the weights from the step key.
    pub fn init(&self, device: &Device) -> DenseBlock {
        DenseBlock { linear: init::linear(self.inputs, self.outputs, true, device), activation: self.activation }
    }
}

/// A fully connected layer and an activation.
///
/// `y = a(x W + b)`
#[derive(Module, Debug)]
pub struct DenseBlock {
    /// `W: [D, D']`, `b: [D']`
    pub linear: Linear,
    /// The activation.
    #[module(skip)]
    pub activation: Activation,
}

impl DenseBlock {
    /// `[..., D] -> [..., D']`
    pub fn forward<const R: usize>(&self, x: Tensor<R>) -> Tensor<R> {
        apply(x, &self.linear.weight, self.linear.bias.as_ref(), self.activation)
    }
}
