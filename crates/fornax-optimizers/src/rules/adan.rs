use super::{average, bias, square};
use crate::{Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Adaptive Nesterov momentum.
///
/// `dₜ = gₜ − gₜ₋₁`, `d₁ = 0`; `mₜ = β₁ mₜ₋₁ + (1 − β₁) gₜ`; `uₜ = β₂ uₜ₋₁ + (1 − β₂) dₜ`; `nₜ = β₃ nₜ₋₁ + (1 − β₃)(gₜ + β₂ dₜ)²`;
/// `θₜ = (θₜ₋₁ − η (mₜ / (1 − β₁ᵗ) + β₂ uₜ / (1 − β₂ᵗ)) / (√(nₜ / (1 − β₃ᵗ)) + ε)) / (1 + η λ)`.
///
/// Source: Xie et al., "Adan: adaptive Nesterov momentum algorithm for faster optimizing deep models", 2022. The βs are 1 minus the paper's,
/// as in its code.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adan {
    /// β₁: 0.98.
    pub beta1: f64,
    /// β₂: 0.92.
    pub beta2: f64,
    /// β₃: 0.99.
    pub beta3: f64,
    /// ε: 1e-8.
    pub epsilon: f64,
    /// λ: 0.
    pub weight_decay: f64,
}

impl Default for Adan {
    fn default() -> Self {
        Self { beta1: 0.98, beta2: 0.92, beta3: 0.99, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// Of every rule with three decay rates.
pub(super) const RANGES: &[(&str, Range)] =
    &[("beta1", Range::Share), ("beta2", Range::Share), ("beta3", Range::Share), ("epsilon", Range::Positive)];
pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<Adan>("adan", 1e-3, RANGES);

impl Rule for Adan {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_diff", "exp_avg_sq", "previous_grad"]
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let difference = match state.take("previous_grad") {
            None => grad.zeros_like(),
            Some(previous) => grad.clone() - previous,
        };
        state.put("previous_grad", grad.clone());
        let ahead = grad.clone() + difference.clone() * self.beta2;
        let first = average(state, "exp_avg", grad, self.beta1) / bias(self.beta1, state.step);
        let change = average(state, "exp_avg_diff", difference, self.beta2) * (self.beta2 / bias(self.beta2, state.step));
        let second = average(state, "exp_avg_sq", square(&ahead), self.beta3);
        let denominator = second.sqrt() / bias(self.beta3, state.step).sqrt() + self.epsilon;
        let moved = param - (first + change) / denominator * hyper.lr;
        if hyper.weight_decay == 0.0 { moved } else { moved / (1.0 + hyper.lr * hyper.weight_decay) }
    }
}
