use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::{Activation, Linear, LinearConfig};

/// What a [`FeedForward`] does between its dense layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedForwardKind {
    /// `gelu(up x)`: Hendrycks and Gimpel, 2016.
    Gelu,
    /// `max(up x, 0)²`: So et al., "Primer", 2021.
    ReluSquared,
    /// `silu(gate x) ⊙ up x`: Shazeer, "GLU variants improve Transformer", 2020.
    SwiGlu,
    /// `gelu(gate x) ⊙ up x`: the same paper.
    GeGlu,
}

impl FeedForwardKind {
    /// Whether one more dense layer gates the hidden layer.
    pub fn gated(self) -> bool {
        matches!(self, Self::SwiGlu | Self::GeGlu)
    }
}

/// Two dense layers without bias, or three, of which one gates: `y = down(hidden)`
#[derive(Module, Debug)]
pub struct FeedForward {
    /// `[D, F]`, of a gated one.
    pub gate: Option<Linear>,
    /// `[D, F]`
    pub up: Linear,
    /// `[F, D]`
    pub down: Linear,
    /// What is between them.
    #[module(skip)]
    pub kind: FeedForwardKind,
}

impl FeedForward {
    /// Draws the weights from the step key.
    pub fn init(kind: FeedForwardKind, width: usize, hidden: usize, device: &Device) -> Self {
        let linear = |inputs, outputs| LinearConfig::new(inputs, outputs).with_bias(false).init(device);
        Self { gate: kind.gated().then(|| linear(width, hidden)), up: linear(width, hidden), down: linear(hidden, width), kind }
    }

    /// `[B, T, D] -> [B, T, D]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let activation = match self.kind {
            FeedForwardKind::Gelu | FeedForwardKind::GeGlu => Activation::Gelu,
            FeedForwardKind::ReluSquared => Activation::Relu,
            FeedForwardKind::SwiGlu => Activation::Silu,
        };
        let hidden = match &self.gate {
            Some(gate) => gate.forward_activated(x.clone(), activation) * self.up.forward(x),
            None => self.up.forward_activated(x, activation),
        };
        let squared = self.kind == FeedForwardKind::ReluSquared;
        if squared || self.gate.is_some() {
            crate::dissect::uncovered("a product of activations");
        }
        self.down.forward(if squared { hidden.clone() * hidden } else { hidden })
    }
}
