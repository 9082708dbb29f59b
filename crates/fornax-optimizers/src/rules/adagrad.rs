use super::{penalized, square};
use crate::{Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Adagrad, as PyTorch's: each weight's step shrinks with all the gradient it has seen.
///
/// `gₜ ← gₜ + λ θₜ₋₁`; `sₜ = sₜ₋₁ + gₜ²` from `s₀`; `θₜ = θₜ₋₁ − η / (1 + (t − 1) κ) · gₜ / (√sₜ + ε)`.
///
/// Source: Duchi et al., "Adaptive subgradient methods for online learning and stochastic optimization", 2011, in its diagonal form.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adagrad {
    /// κ: 0.
    pub lr_decay: f64,
    /// s₀: 0.
    pub initial_accumulator_value: f64,
    /// ε: 1e-10.
    pub epsilon: f64,
    /// λ, an L2 penalty: 0.
    pub weight_decay: f64,
}

impl Default for Adagrad {
    fn default() -> Self {
        Self { lr_decay: 0.0, initial_accumulator_value: 0.0, epsilon: 1e-10, weight_decay: 0.0 }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<Adagrad>(
    "adagrad",
    1e-2,
    &[("lr_decay", Range::NotNegative), ("initial_accumulator_value", Range::NotNegative), ("epsilon", Range::Positive)],
);

impl Rule for Adagrad {
    fn slots(&self) -> &'static [&'static str] {
        &["sum"]
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let grad = penalized(&hyper, &param, grad);
        let sum = match state.take("sum") {
            None => square(&grad) + self.initial_accumulator_value,
            Some(sum) => sum + square(&grad),
        };
        let lr = hyper.lr / (1.0 + (state.step - 1) as f64 * self.lr_decay);
        let update = grad / (sum.clone().sqrt() + self.epsilon) * lr;
        state.put("sum", sum);
        param - update
    }
}
