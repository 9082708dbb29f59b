use burn::tensor::{Tensor, activation};
use std::f64::consts::FRAC_1_SQRT_2;

/// An elementwise nonlinearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x`
    Identity,
    /// `max(x, 0)`
    Relu,
    /// `x Φ(x)`, exact: Hendrycks and Gimpel, "Gaussian error linear units", 2016.
    Gelu,
    /// `x σ(x)`: Ramachandran et al., "Searching for activation functions", 2017.
    Silu,
    /// `tanh x`
    Tanh,
    /// `1 / (1 + e⁻ˣ)`
    Sigmoid,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Self; 6] = [Self::Identity, Self::Relu, Self::Gelu, Self::Silu, Self::Tanh, Self::Sigmoid];

    /// `[...] -> [...]`
    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Identity => x,
            Self::Relu => activation::relu(x),
            // Burn's own pairs this value with the gradient of the tanh approximation, which is off by up to 9e-4.
            Self::Gelu => x.clone() * ((x * FRAC_1_SQRT_2).erf() + 1.0) * 0.5,
            Self::Silu => activation::silu(x),
            Self::Tanh => activation::tanh(x),
            Self::Sigmoid => activation::sigmoid(x),
        }
    }
}
