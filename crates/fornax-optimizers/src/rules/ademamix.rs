use super::{average, bias, decayed, square};
use crate::{Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// AdamW with a second, slow average of the gradient.
///
/// `mₜ` and `vₜ` as in [`Adam`](super::Adam); `sₜ = β₃ sₜ₋₁ + (1 − β₃) gₜ`;
/// `θₜ = (1 − η λ) θₜ₋₁ − η (mₜ / (1 − β₁ᵗ) + α sₜ) / (√(vₜ / (1 − β₂ᵗ)) + ε)`.
///
/// Over the first `warmup` steps α climbs linearly, and β₃ from β₁ so that the half-life of its average does.
///
/// Source: Pagliardini et al., "The AdEMAMix optimizer: better, faster, older", 2024. The paper's `warmup` is the length of the run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdEMAMix {
    /// β₁: 0.9.
    pub beta1: f64,
    /// β₂: 0.999.
    pub beta2: f64,
    /// β₃: 0.9999.
    pub beta3: f64,
    /// α: 5.
    pub alpha: f64,
    /// Steps: 0.
    pub warmup: u64,
    /// ε: 1e-8.
    pub epsilon: f64,
    /// λ: 0.
    pub weight_decay: f64,
}

impl Default for AdEMAMix {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, beta3: 0.9999, alpha: 5.0, warmup: 0, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<AdEMAMix>(
    "ademamix",
    1e-3,
    &[("beta1", Range::Share), ("beta2", Range::Share), ("beta3", Range::Share), ("alpha", Range::NotNegative), ("epsilon", Range::Positive)],
);

impl AdEMAMix {
    /// α and β₃ at a step.
    fn slow(&self, step: u64) -> (f64, f64) {
        if step >= self.warmup {
            return (self.alpha, self.beta3);
        }
        let share = step as f64 / self.warmup as f64;
        let (from, to) = (self.beta1.ln(), self.beta3.ln());
        ((share * self.alpha), (from * to / ((1.0 - share) * to + share * from)).exp().min(self.beta3))
    }
}

impl Rule for AdEMAMix {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq", "exp_avg_slow"]
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let (alpha, beta3) = self.slow(state.step);
        let first = average(state, "exp_avg", grad.clone(), self.beta1) / bias(self.beta1, state.step);
        let second = average(state, "exp_avg_sq", square(&grad), self.beta2);
        let slow = average(state, "exp_avg_slow", grad, beta3);
        let denominator = second.sqrt() / bias(self.beta2, state.step).sqrt() + self.epsilon;
        decayed(&hyper, param) - (first + slow * alpha) / denominator * hyper.lr
    }
    fn conflict(&self) -> Option<(&'static str, &'static str)> {
        (self.warmup > 0 && (self.beta1 == 0.0 || self.beta3 == 0.0)).then_some(("warmup", "needs beta1 and beta3 above 0"))
    }
}
