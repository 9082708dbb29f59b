use super::{Adam, decayed, norm};
use crate::{Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// AdamW on gradients with less variance: MARS-AdamW, in its approximate form, which needs no second pass.
///
/// `cₜ = gₜ + γ β₁ / (1 − β₁) (gₜ − gₜ₋₁)` from `g₀ = 0`, scaled to norm 1 where it is longer; AdamW's step with `cₜ` in place of `gₜ`.
/// Vectors take plain AdamW with decay rates of their own.
///
/// Source: Yuan et al., "MARS: unleashing the power of variance reduction for training large models", 2024, algorithm 2; g₀ and the treatment of vectors
/// are of its code.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mars {
    /// β₁: 0.95.
    pub beta1: f64,
    /// β₂: 0.99.
    pub beta2: f64,
    /// γ: 0.025.
    pub gamma: f64,
    /// ε: 1e-8.
    pub epsilon: f64,
    /// β₁ of vectors: 0.9.
    pub vector_beta1: f64,
    /// β₂ of vectors: 0.95.
    pub vector_beta2: f64,
    /// λ: 0.
    pub weight_decay: f64,
}

impl Default for Mars {
    fn default() -> Self {
        Self { beta1: 0.95, beta2: 0.99, gamma: 0.025, epsilon: 1e-8, vector_beta1: 0.9, vector_beta2: 0.95, weight_decay: 0.0 }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<Mars>(
    "mars",
    3e-3,
    &[
        ("beta1", Range::Share),
        ("beta2", Range::Share),
        ("gamma", Range::NotNegative),
        ("epsilon", Range::Positive),
        ("vector_beta1", Range::Share),
        ("vector_beta2", Range::Share),
    ],
);

impl Rule for Mars {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq", "last_grad"]
    }
    fn slot_len(&self, slot: &str, _name: &str, shape: &[usize]) -> Option<usize> {
        (slot != "last_grad" || shape.len() > 1).then(|| shape.iter().product())
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let adam = Adam { beta1: self.beta1, beta2: self.beta2, epsilon: self.epsilon, weight_decay: 0.0 };
        if hyper.shape.len() < 2 {
            let adam = Adam { beta1: self.vector_beta1, beta2: self.vector_beta2, ..adam };
            return decayed(&hyper, param) - adam.step(hyper.lr, grad, state);
        }
        let scale = self.gamma * self.beta1 / (1.0 - self.beta1);
        let last = state.take_or_zeros("last_grad", &grad);
        let corrected = grad.clone() + (grad.clone() - last) * scale;
        state.put("last_grad", grad);
        let length = norm(&corrected);
        let corrected = if length > 1.0 { corrected / length } else { corrected };
        decayed(&hyper, param) - adam.step(hyper.lr, corrected, state)
    }
}
