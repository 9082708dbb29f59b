use super::{adam::RANGES, average, bias, penalized};
use crate::{Hyper, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Adamax, as PyTorch's: Adam with the infinity norm.
///
/// `gₜ ← gₜ + λ θₜ₋₁`; `mₜ = β₁ mₜ₋₁ + (1 − β₁) gₜ`; `uₜ = max(β₂ uₜ₋₁, |gₜ| + ε)`; `θₜ = θₜ₋₁ − η / (1 − β₁ᵗ) · mₜ / uₜ`.
///
/// Source: Kingma and Ba, "Adam", 2015, section 7.1. ε is PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adamax {
    /// β₁: 0.9.
    pub beta1: f64,
    /// β₂: 0.999.
    pub beta2: f64,
    /// ε: 1e-8.
    pub epsilon: f64,
    /// λ, an L2 penalty: 0.
    pub weight_decay: f64,
}

impl Default for Adamax {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<Adamax>("adamax", 2e-3, RANGES);

impl Rule for Adamax {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_inf"]
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let grad = penalized(&hyper, &param, grad);
        let first = average(state, "exp_avg", grad.clone(), self.beta1);
        let now = grad.abs() + self.epsilon;
        let largest = match state.take("exp_inf") {
            None => now,
            Some(before) => (before * self.beta2).max_pair(now),
        };
        state.put("exp_inf", largest.clone());
        param - first / largest * (hyper.lr / bias(self.beta1, state.step))
    }
}
