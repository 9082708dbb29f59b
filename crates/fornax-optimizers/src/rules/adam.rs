use super::one_pass::{self, Decay};
use super::{average, bias, decayed, penalized, square};
use crate::{Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Adam, as PyTorch's: decay is an L2 penalty, `gₜ ← gₜ + λ θₜ₋₁`.
///
/// `mₜ = β₁ mₜ₋₁ + (1 − β₁) gₜ`; `vₜ = β₂ vₜ₋₁ + (1 − β₂) gₜ²`; `θₜ = θₜ₋₁ − η (mₜ / (1 − β₁ᵗ)) / (√(vₜ / (1 − β₂ᵗ)) + ε)`.
///
/// Source: Kingma and Ba, "Adam", 2015.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// β₁: 0.9.
    pub beta1: f64,
    /// β₂: 0.999.
    pub beta2: f64,
    /// ε: 1e-8.
    pub epsilon: f64,
    /// λ: 0.
    pub weight_decay: f64,
}

/// Adam with decay apart from the gradient: `θₜ₋₁ ← (1 − η λ) θₜ₋₁`, then as [`Adam`] without penalty. As PyTorch's.
///
/// Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdamW(
    /// Its numbers; λ is 1e-2 by default.
    pub Adam,
);

impl Default for Adam {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

impl Default for AdamW {
    fn default() -> Self {
        Self(Adam { weight_decay: 1e-2, ..Adam::default() })
    }
}

/// Of every rule with Adam's three numbers.
pub(super) const RANGES: &[(&str, Range)] = &[("beta1", Range::Share), ("beta2", Range::Share), ("epsilon", Range::Positive)];
pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<Adam>("adam", 1e-3, RANGES);
pub(crate) const ENTRY_W: RuleEntry = RuleEntry::new::<AdamW>("adamw", 1e-3, RANGES);

impl Adam {
    /// What is to be subtracted from a parameter.
    pub(super) fn step(&self, lr: f64, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let first = average(state, "exp_avg", grad.clone(), self.beta1);
        let second = average(state, "exp_avg_sq", square(&grad), self.beta2);
        // η m̂ / (√v̂ + ε), with the two corrections drawn out of the tensors.
        let denominator = second.sqrt() * (1.0 / bias(self.beta2, state.step).sqrt()) + self.epsilon;
        first / denominator * (lr / bias(self.beta1, state.step))
    }
}

pub(super) const SLOTS: &[&str] = &["exp_avg", "exp_avg_sq"];

impl Rule for Adam {
    fn slots(&self) -> &'static [&'static str] {
        SLOTS
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        match one_pass::adam(self, &hyper, Decay::Coupled, param, grad, state) {
            Ok(param) => param,
            Err((param, grad)) => {
                let grad = penalized(&hyper, &param, grad);
                param - self.step(hyper.lr, grad, state)
            }
        }
    }
}

impl Rule for AdamW {
    fn slots(&self) -> &'static [&'static str] {
        SLOTS
    }
    fn weight_decay(&self) -> f64 {
        self.0.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        match one_pass::adam(&self.0, &hyper, Decay::Decoupled, param, grad, state) {
            Ok(param) => param,
            Err((param, grad)) => decayed(&hyper, param) - self.0.step(hyper.lr, grad, state),
        }
    }
}
