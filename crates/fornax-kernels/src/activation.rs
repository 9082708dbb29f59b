//! Elementwise nonlinearities.
//!
//! In f32 in memory both directions are written by hand, and [`crate::linear`] runs them on what it has just computed; everywhere else they
//! are composed of Burn's operations.

use burn::tensor::{Tensor, activation};
use std::f64::consts::FRAC_1_SQRT_2;

#[cfg(any(feature = "flex", feature = "ndarray"))]
pub(crate) mod fused;

/// Of the tanh approximation of GELU.
const CUBIC: f64 = 0.044_715;
/// `√(2/π)`
const SLOPE: f64 = 0.797_884_560_802_865_4;

/// An elementwise nonlinearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x`
    Identity,
    /// `max(x, 0)`; a NaN stays one.
    Relu,
    /// `x Φ(x)`, exact: Hendrycks and Gimpel, "Gaussian error linear units", 2016.
    Gelu,
    /// `½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))`: the same paper's approximation, which GPT-2 uses.
    GeluTanh,
    /// `x σ(x)`: Ramachandran et al., "Searching for activation functions", 2017.
    Silu,
    /// `tanh x`
    Tanh,
    /// `1 / (1 + e⁻ˣ)`
    Sigmoid,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Self; 7] = [Self::Identity, Self::Relu, Self::Gelu, Self::GeluTanh, Self::Silu, Self::Tanh, Self::Sigmoid];

    /// `[...] -> [...]`
    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        #[cfg(any(feature = "flex", feature = "ndarray"))]
        if self != Self::Identity && crate::op::takes([crate::op::kind(&x)]) {
            return fused::activate(self, x);
        }
        self.composed(x)
    }

    /// Of Burn's operations: what the fused one is compared with.
    pub fn composed<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Identity => x,
            Self::Relu => activation::relu(x),
            // Burn's own pairs this value with the gradient of the tanh approximation, which is off by up to 9e-4.
            Self::Gelu => x.clone() * ((x * FRAC_1_SQRT_2).erf() + 1.0) * 0.5,
            Self::GeluTanh => {
                let inner = (x.clone() + x.clone().powi_scalar(3) * CUBIC) * SLOPE;
                x * (inner.tanh() + 1.0) * 0.5
            }
            Self::Silu => activation::silu(x),
            Self::Tanh => activation::tanh(x),
            Self::Sigmoid => activation::sigmoid(x),
        }
    }
}
