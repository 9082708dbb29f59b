use super::{adam, average, bias, norm, square};
use crate::{Hyper, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Layerwise adaptive moments, for large batches: Adam's direction, scaled by the size of each parameter.
///
/// `rₜ = (mₜ / (1 − β₁ᵗ)) / (√(vₜ / (1 − β₂ᵗ)) + ε) + λ θₜ₋₁`, `mₜ` and `vₜ` as in [`Adam`](super::Adam);
/// `θₜ = θₜ₋₁ − η ‖θₜ₋₁‖ / ‖rₜ‖ · rₜ`, with the ratio 1 where either norm is 0.
///
/// Source: You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", 2020, with φ(z) = z, as in Optax.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lamb {
    /// β₁: 0.9.
    pub beta1: f64,
    /// β₂: 0.999.
    pub beta2: f64,
    /// ε: 1e-6.
    pub epsilon: f64,
    /// λ: 0.
    pub weight_decay: f64,
}

impl Default for Lamb {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weight_decay: 0.0 }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<Lamb>("lamb", 1e-3, adam::RANGES);

impl Rule for Lamb {
    fn slots(&self) -> &'static [&'static str] {
        adam::SLOTS
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let first = average(state, "exp_avg", grad.clone(), self.beta1) / bias(self.beta1, state.step);
        let second = average(state, "exp_avg_sq", square(&grad), self.beta2) / bias(self.beta2, state.step);
        let update = first / (second.sqrt() + self.epsilon);
        let update = if hyper.weight_decay == 0.0 { update } else { update + param.clone() * hyper.weight_decay };
        let (size, length) = (norm(&param), norm(&update));
        let ratio = if size == 0.0 || length == 0.0 { 1.0 } else { size / length };
        param - update * (hyper.lr * ratio)
    }
}
