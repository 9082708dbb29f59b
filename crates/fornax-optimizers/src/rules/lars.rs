use super::{norm, penalized};
use crate::{Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Layerwise adaptive rate scaling, for large batches: SGD with momentum, whose gradient is scaled by the size of each parameter.
///
/// `ρ = κ ‖θₜ₋₁‖ / (‖gₜ‖ + λ ‖θₜ₋₁‖)`, or 1 for vectors and where a norm is 0; `bₜ = μ bₜ₋₁ + ρ (gₜ + λ θₜ₋₁)`; `θₜ = θₜ₋₁ − η bₜ`, or with
/// Nesterov `θₜ = θₜ₋₁ − η (ρ (gₜ + λ θₜ₋₁) + μ bₜ)`.
///
/// Source: You et al., "Large batch training of convolutional networks", 2017, where η stands inside of b; here outside, as in [`Sgd`](super::Sgd).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lars {
    /// μ: 0.9.
    pub momentum: f64,
    /// κ: 1e-3.
    pub trust_coefficient: f64,
    /// Off.
    pub nesterov: bool,
    /// λ: 0.
    pub weight_decay: f64,
}

impl Default for Lars {
    fn default() -> Self {
        Self { momentum: 0.9, trust_coefficient: 1e-3, nesterov: false, weight_decay: 0.0 }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<Lars>("lars", 1.0, &[("momentum", Range::Share), ("trust_coefficient", Range::Positive)]);

impl Rule for Lars {
    fn slots(&self) -> &'static [&'static str] {
        &["momentum"]
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let ratio = if hyper.shape.len() < 2 {
            1.0
        } else {
            let size = norm(&param);
            let length = norm(&grad) + hyper.weight_decay * size;
            if size == 0.0 || length == 0.0 { 1.0 } else { self.trust_coefficient * size / length }
        };
        let grad = penalized(&hyper, &param, grad) * ratio;
        let momentum = match state.take("momentum") {
            None => grad.clone(),
            Some(previous) => previous * self.momentum + grad.clone(),
        };
        state.put("momentum", momentum.clone());
        let update = if self.nesterov { grad + momentum * self.momentum } else { momentum };
        param - update * hyper.lr
    }
}
