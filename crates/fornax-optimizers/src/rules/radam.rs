use super::{adam::RANGES, average, bias, decay, square};
use crate::{Hyper, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Rectified Adam, as PyTorch's `RAdam`: no adaptive step before its variance is bounded.
///
/// `ρ∞ = 2 / (1 − β₂) − 1`; `ρₜ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ)`; `m̂ₜ = mₜ / (1 − β₁ᵗ)`, `mₜ` and `vₜ` as in [`Adam`](super::Adam);
/// where `ρₜ > 5`: `rₜ = √((ρₜ − 4)(ρₜ − 2) ρ∞ / ((ρ∞ − 4)(ρ∞ − 2) ρₜ))` and `θₜ = θₜ₋₁ − η rₜ m̂ₜ √(1 − β₂ᵗ) / (√vₜ + ε)`;
/// before, `θₜ = θₜ₋₁ − η m̂ₜ`.
///
/// Source: Liu et al., "On the variance of the adaptive learning rate and beyond", 2020, where the limit is 4; 5 is of its code and PyTorch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RAdam {
    /// β₁: 0.9.
    pub beta1: f64,
    /// β₂: 0.999.
    pub beta2: f64,
    /// ε: 1e-8.
    pub epsilon: f64,
    /// λ: 0.
    pub weight_decay: f64,
    /// λ shrinks the weights, as in AdamW, and is no L2 penalty: off.
    pub decoupled_weight_decay: bool,
}

impl Default for RAdam {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, decoupled_weight_decay: false }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<RAdam>("radam", 1e-3, RANGES);

impl Rule for RAdam {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let (param, grad) = decay(self.decoupled_weight_decay, &hyper, param, grad);
        let first = average(state, "exp_avg", grad.clone(), self.beta1);
        let second = average(state, "exp_avg_sq", square(&grad), self.beta2);
        let t = state.step as f64;
        let (bias1, bias2) = (bias(self.beta1, state.step), bias(self.beta2, state.step));
        let longest = 2.0 / (1.0 - self.beta2) - 1.0;
        let length = longest - 2.0 * t * self.beta2.powf(t) / bias2;
        if length <= 5.0 {
            return param - first * (hyper.lr / bias1);
        }
        let rectify = ((length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length)).sqrt();
        param - first / (second.sqrt() + self.epsilon) * (hyper.lr * rectify * bias2.sqrt() / bias1)
    }
}
