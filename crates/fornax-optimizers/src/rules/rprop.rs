use super::decayed;
use crate::{Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Resilient backpropagation, as PyTorch's `Rprop`: the sign of the gradient counts, not its size. For whole batches.
///
/// Where `gₜ gₜ₋₁ > 0`, `sₜ = min(η₊ sₜ₋₁, s_max)`; where it is below 0, `sₜ = max(η₋ sₜ₋₁, s_min)` and `gₜ ← 0`;
/// `θₜ = θₜ₋₁ − sign(gₜ) sₜ`. `s₀` is η, and a schedule has no effect after the first step.
///
/// Source: Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm", 1993, without the
/// backtracking of its weights, as in PyTorch. λ, which PyTorch's has not, shrinks the weights as in AdamW.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rprop {
    /// η₋: 0.5.
    pub eta_minus: f64,
    /// η₊: 1.2.
    pub eta_plus: f64,
    /// s_min: 1e-6.
    pub step_min: f64,
    /// s_max: 50.
    pub step_max: f64,
    /// λ: 0.
    pub weight_decay: f64,
}

impl Default for Rprop {
    fn default() -> Self {
        Self { eta_minus: 0.5, eta_plus: 1.2, step_min: 1e-6, step_max: 50.0, weight_decay: 0.0 }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<Rprop>(
    "rprop",
    1e-2,
    &[("eta_minus", Range::Share), ("eta_plus", Range::FromOne), ("step_min", Range::Positive), ("step_max", Range::Positive)],
);

impl Rule for Rprop {
    fn slots(&self) -> &'static [&'static str] {
        &["prev", "step_size"]
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        // Signs before the product: that of two small gradients would underflow to 0.
        let sign = grad.clone().sign();
        let agreement = sign.clone() * state.take_or_zeros("prev", &grad).sign();
        let turned = agreement.clone().lower_elem(0.0);
        let factor = agreement.ones_like().mask_fill(agreement.greater_elem(0.0), self.eta_plus).mask_fill(turned.clone(), self.eta_minus);
        let before = state.take("step_size").unwrap_or_else(|| grad.full_like(hyper.lr));
        let step_size = (before * factor).clamp(self.step_min, self.step_max);
        let sign = sign.mask_fill(turned, 0.0);
        state.put("prev", sign.clone());
        state.put("step_size", step_size.clone());
        decayed(&hyper, param) - sign * step_size
    }
    fn conflict(&self) -> Option<(&'static str, &'static str)> {
        (self.step_min > self.step_max).then_some(("step_min", "must not be above step_max"))
    }
}
