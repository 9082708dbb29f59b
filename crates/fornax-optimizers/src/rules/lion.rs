use super::{average, decayed};
use crate::{Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Evolved sign momentum. Wants η three to ten times smaller, and λ as much larger, than AdamW.
///
/// `uₜ = sign(β₁ mₜ₋₁ + (1 − β₁) gₜ)`; `θₜ = (1 − η λ) θₜ₋₁ − η uₜ`; `mₜ = β₂ mₜ₋₁ + (1 − β₂) gₜ`.
///
/// Source: Chen et al., "Symbolic discovery of optimization algorithms", 2023.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lion {
    /// β₁: 0.9.
    pub beta1: f64,
    /// β₂: 0.99.
    pub beta2: f64,
    /// λ: 0.
    pub weight_decay: f64,
}

impl Default for Lion {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.99, weight_decay: 0.0 }
    }
}

pub(super) const RANGES: &[(&str, Range)] = &[("beta1", Range::Share), ("beta2", Range::Share)];
pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<Lion>("lion", 1e-4, RANGES);

impl Lion {
    /// uₜ, and the momentum moved on.
    pub(super) fn direction(&self, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let mixed = match state.get("exp_avg") {
            None => grad.clone(),
            Some(momentum) => momentum.clone() * self.beta1 + grad.clone() * (1.0 - self.beta1),
        };
        average(state, "exp_avg", grad, self.beta2);
        mixed.sign()
    }
}

impl Rule for Lion {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg"]
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        decayed(&hyper, param) - self.direction(grad, state) * hyper.lr
    }
}
