use super::{average, penalized, square};
use crate::{Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Adadelta, as PyTorch's: steps in the units of the weights, so that η is a mere factor, 1 in the paper.
///
/// `gₜ ← gₜ + λ θₜ₋₁`; `vₜ = ρ vₜ₋₁ + (1 − ρ) gₜ²`; `Δₜ = √(uₜ₋₁ + ε) / √(vₜ + ε) · gₜ`; `uₜ = ρ uₜ₋₁ + (1 − ρ) Δₜ²`;
/// `θₜ = θₜ₋₁ − η Δₜ`.
///
/// Source: Zeiler, "ADADELTA: an adaptive learning rate method", 2012.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adadelta {
    /// ρ: 0.9.
    pub rho: f64,
    /// ε: 1e-6.
    pub epsilon: f64,
    /// λ, an L2 penalty: 0.
    pub weight_decay: f64,
}

impl Default for Adadelta {
    fn default() -> Self {
        Self { rho: 0.9, epsilon: 1e-6, weight_decay: 0.0 }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<Adadelta>("adadelta", 1.0, &[("rho", Range::Share), ("epsilon", Range::Positive)]);

impl Rule for Adadelta {
    fn slots(&self) -> &'static [&'static str] {
        &["square_avg", "acc_delta"]
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let grad = penalized(&hyper, &param, grad);
        let squares = average(state, "square_avg", square(&grad), self.rho);
        let numerator = state.get("acc_delta").map_or_else(|| grad.zeros_like(), Clone::clone);
        let delta = ((numerator + self.epsilon) / (squares + self.epsilon)).sqrt() * grad;
        average(state, "acc_delta", square(&delta), self.rho);
        param - delta * hyper.lr
    }
}
