use super::{average, bias, decayed, square};
use crate::{Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Yogi: Adam whose second moment moves by at most `(1 − β₂) gₜ²` a step.
///
/// `mₜ = β₁ mₜ₋₁ + (1 − β₁) gₜ`; `vₜ = vₜ₋₁ − (1 − β₂) sign(vₜ₋₁ − gₜ²) gₜ²` from `v₀`;
/// `θₜ = (1 − η λ) θₜ₋₁ − η (mₜ / (1 − β₁ᵗ)) / (√(vₜ / (1 − β₂ᵗ)) + ε)`.
///
/// Source: Zaheer et al., "Adaptive methods for nonconvex optimization", 2018; the corrections of bias are of its code. As in the paper m₀ is 0,
/// where Optax and others start it from v₀.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Yogi {
    /// β₁: 0.9.
    pub beta1: f64,
    /// β₂: 0.999.
    pub beta2: f64,
    /// ε: 1e-3.
    pub epsilon: f64,
    /// v₀: 1e-6.
    pub initial_accumulator: f64,
    /// λ: 0.
    pub weight_decay: f64,
}

impl Default for Yogi {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-3, initial_accumulator: 1e-6, weight_decay: 0.0 }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<Yogi>(
    "yogi",
    1e-2,
    &[("beta1", Range::Share), ("beta2", Range::Share), ("epsilon", Range::Positive), ("initial_accumulator", Range::NotNegative)],
);

impl Rule for Yogi {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let squares = square(&grad);
        let first = average(state, "exp_avg", grad, self.beta1);
        let before = state.take("exp_avg_sq").unwrap_or_else(|| squares.full_like(self.initial_accumulator));
        let second = before.clone() - (before - squares.clone()).sign() * squares * (1.0 - self.beta2);
        state.put("exp_avg_sq", second.clone());
        let denominator = second.sqrt() / bias(self.beta2, state.step).sqrt() + self.epsilon;
        decayed(&hyper, param) - first / denominator * (hyper.lr / bias(self.beta1, state.step))
    }
}
