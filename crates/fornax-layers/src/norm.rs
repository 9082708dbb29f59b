use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use fornax_kernels::layer_norm::{layer_norm, rms_norm};

use crate::{dissect, init, per_example};

/// Configuration of [`LayerNorm`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerNormConfig {
    /// `D`
    pub width: usize,
    /// Added to the variance: 1e-5.
    pub epsilon: f64,
}

impl LayerNormConfig {
    /// PyTorch's default ε.
    pub fn new(width: usize) -> Self {
        Self { width, epsilon: 1e-5 }
    }
    /// With another ε.
    pub fn with_epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// γ = 1, β = 0.
    pub fn init(&self, device: &Device) -> LayerNorm {
        let [weight, bias] = [1.0, 0.0].map(|value| init::constant([self.width], value, device));
        LayerNorm { weight, bias, epsilon: self.epsilon }
    }
}

/// Normalizes every vector of features.
///
/// `y = γ (x − μ) / √(σ² + ε) + β`, with the mean and the biased variance of the vector.
///
/// Source: Ba, Kiros and Hinton, "Layer normalization", 2016.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `γ: [D]`
    pub weight: Param<Tensor<1>>,
    /// `β: [D]`
    pub bias: Param<Tensor<1>>,
    /// Added to the variance.
    pub epsilon: f64,
}

impl LayerNorm {
    /// `[..., D] -> [..., D]`
    pub fn forward<const R: usize>(&self, x: Tensor<R>) -> Tensor<R> {
        if per_example::recording() {
            return per_example::layer_norm_recorded(self, x);
        }
        dissect::uncovered("layer norm");
        layer_norm(x, self.weight.val(), self.bias.val(), self.epsilon)
    }
}

/// Configuration of [`RmsNorm`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsNormConfig {
    /// `D`
    pub width: usize,
    /// Added to the mean square: 1e-6, as in Llama. (PyTorch's default is the type's machine epsilon.)
    pub epsilon: f64,
}

impl RmsNormConfig {
    /// ε = 1e-6.
    pub fn new(width: usize) -> Self {
        Self { width, epsilon: 1e-6 }
    }
    /// With another ε.
    pub fn with_epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// γ = 1.
    pub fn init(&self, device: &Device) -> RmsNorm {
        RmsNorm { weight: init::constant([self.width], 1.0, device), epsilon: self.epsilon }
    }
}

/// Scales every vector of features to a root mean square of 1, then by γ.
///
/// `y = γ x / √(mean(x²) + ε)`
///
/// Source: Zhang and Sennrich, "Root mean square layer normalization", 2019.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `γ: [D]`
    pub weight: Param<Tensor<1>>,
    /// Added to the mean square.
    pub epsilon: f64,
}

impl RmsNorm {
    /// `[..., D] -> [..., D]`
    pub fn forward<const R: usize>(&self, x: Tensor<R>) -> Tensor<R> {
        if per_example::recording() {
            return per_example::rms_norm_recorded(self, x);
        }
        dissect::uncovered("RMS norm");
        rms_norm(x, self.weight.val(), self.epsilon)
    }
}
