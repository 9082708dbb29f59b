use super::decayed;
use crate::{AdamW, Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// AdamW on gradients whose slow part is amplified: Grokfast-EMA.
///
/// `μ₁ = g₁`, `μₜ = α μₜ₋₁ + (1 − α) gₜ`; AdamW with `gₜ + κ μₜ` in place of `gₜ`.
///
/// Source: Lee et al., "Grokfast: accelerated grokking by amplifying slow gradients", 2024, algorithm 2, and μ₁ of its code.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GrokfastAdamW {
    /// α: 0.98.
    pub alpha: f64,
    /// κ, λ in the paper: 2.
    pub amplification: f64,
    /// AdamW's numbers.
    #[serde(flatten)]
    pub adamw: AdamW,
}

impl Default for GrokfastAdamW {
    fn default() -> Self {
        Self { alpha: 0.98, amplification: 2.0, adamw: AdamW::default() }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<GrokfastAdamW>(
    "grokfast-adamw",
    1e-3,
    &[("alpha", Range::Share), ("amplification", Range::NotNegative), ("beta1", Range::Share), ("beta2", Range::Share), ("epsilon", Range::Positive)],
);

impl Rule for GrokfastAdamW {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq", "slow"]
    }
    fn weight_decay(&self) -> f64 {
        self.adamw.weight_decay()
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let slow = match state.take("slow") {
            None => grad.clone(),
            Some(slow) => slow * self.alpha + grad.clone() * (1.0 - self.alpha),
        };
        state.put("slow", slow.clone());
        let AdamW(adam) = &self.adamw;
        decayed(&hyper, param) - adam.step(hyper.lr, grad + slow * self.amplification, state)
    }
}
