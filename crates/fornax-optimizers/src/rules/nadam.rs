use super::{average, bias, decay, square};
use crate::{Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Adam with Nesterov's momentum, as PyTorch's `NAdam`.
///
/// `μₜ = β₁ (1 − ½ · 0.96^(t ψ))`; `mₜ` and `vₜ` as in [`Adam`](super::Adam);
/// `m̂ₜ = μₜ₊₁ mₜ / (1 − Πᵢ₌₁ᵗ⁺¹ μᵢ) + (1 − μₜ) gₜ / (1 − Πᵢ₌₁ᵗ μᵢ)`; `θₜ = θₜ₋₁ − η m̂ₜ / (√(vₜ / (1 − β₂ᵗ)) + ε)`.
///
/// Source: Dozat, "Incorporating Nesterov momentum into Adam", 2016.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NAdam {
    /// β₁: 0.9.
    pub beta1: f64,
    /// β₂: 0.999.
    pub beta2: f64,
    /// ε: 1e-8.
    pub epsilon: f64,
    /// ψ: 4e-3.
    pub momentum_decay: f64,
    /// λ: 0.
    pub weight_decay: f64,
    /// λ shrinks the weights, as in AdamW, and is no L2 penalty: off.
    pub decoupled_weight_decay: bool,
}

impl Default for NAdam {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, momentum_decay: 4e-3, weight_decay: 0.0, decoupled_weight_decay: false }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<NAdam>(
    "nadam",
    2e-3,
    &[("beta1", Range::Share), ("beta2", Range::Share), ("epsilon", Range::Positive), ("momentum_decay", Range::NotNegative)],
);

impl Rule for NAdam {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }
    fn numbers(&self) -> &'static [&'static str] {
        &["mu_product"]
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let (param, grad) = decay(self.decoupled_weight_decay, &hyper, param, grad);
        let momentum = |step: u64| self.beta1 * (1.0 - 0.5 * 0.96f64.powf(step as f64 * self.momentum_decay));
        let (now, next) = (momentum(state.step), momentum(state.step + 1));
        let product = state.number("mu_product", 1.0) * now;
        state.set_number("mu_product", product);

        let first = average(state, "exp_avg", grad.clone(), self.beta1);
        let second = average(state, "exp_avg_sq", square(&grad), self.beta2);
        let numerator = first * (hyper.lr * next / (1.0 - product * next)) + grad * (hyper.lr * (1.0 - now) / (1.0 - product));
        param - numerator / (second.sqrt() / bias(self.beta2, state.step).sqrt() + self.epsilon)
    }
}
