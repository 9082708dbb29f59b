use super::{adam, average, bias, decayed, square};
use crate::{Hyper, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// AdaBelief: large steps where gradients are as foreseen.
///
/// `mₜ = β₁ mₜ₋₁ + (1 − β₁) gₜ`; `sₜ = β₂ sₜ₋₁ + (1 − β₂)(gₜ − mₜ)² + ε`;
/// `θₜ = (1 − η λ) θₜ₋₁ − η (mₜ / (1 − β₁ᵗ)) / (√(sₜ / (1 − β₂ᵗ)) + ε)`.
///
/// Source: Zhuang et al., "AdaBelief optimizer: adapting stepsizes by the belief in observed gradients", 2020, with the decoupled decay of its code.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdaBelief {
    /// β₁: 0.9.
    pub beta1: f64,
    /// β₂: 0.999.
    pub beta2: f64,
    /// ε: 1e-16.
    pub epsilon: f64,
    /// λ: 0.
    pub weight_decay: f64,
}

impl Default for AdaBelief {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-16, weight_decay: 0.0 }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<AdaBelief>("adabelief", 1e-3, adam::RANGES);

impl Rule for AdaBelief {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_var"]
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let first = average(state, "exp_avg", grad.clone(), self.beta1);
        let variance = average(state, "exp_avg_var", square(&(grad - first.clone())), self.beta2) + self.epsilon;
        state.put("exp_avg_var", variance.clone());
        let denominator = variance.sqrt() / bias(self.beta2, state.step).sqrt() + self.epsilon;
        decayed(&hyper, param) - first / denominator * (hyper.lr / bias(self.beta1, state.step))
    }
}
