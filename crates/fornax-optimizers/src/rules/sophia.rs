use super::{average, decayed, square};
use crate::{Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Sophia-G: momentum over an estimate of the Hessian's diagonal, clipped element by element.
///
/// `mₜ = β₁ mₜ₋₁ + (1 − β₁) gₜ`; at steps 1, 1 + k, 1 + 2k …: `hₜ = β₂ hₜ₋₁ + (1 − β₂) gₜ²`;
/// `θₜ = (1 − η λ) θₜ₋₁ − η sign(mₜ) min(|mₜ| / (ρ B hₜ + 1e-15), 1)`, for batches of B examples (of tokens, in language models).
///
/// Source: Liu et al., "Sophia: a scalable stochastic second-order optimizer for language model pre-training", 2023, and the numbers of its
/// code. Differs: the paper takes `hₜ` from gradients of labels drawn from the model (Gauss-Newton-Bartlett), which is another
/// backward pass; here it is from the gradient itself, the empirical Fisher information.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SophiaG {
    /// β₁: 0.965.
    pub beta1: f64,
    /// β₂: 0.99.
    pub beta2: f64,
    /// ρ: 0.04.
    pub rho: f64,
    /// B: 5120, of the authors' code; set your own.
    pub batch_size: f64,
    /// k: 10.
    pub update_every: u64,
    /// λ: 0.1.
    pub weight_decay: f64,
}

impl Default for SophiaG {
    fn default() -> Self {
        Self { beta1: 0.965, beta2: 0.99, rho: 0.04, batch_size: 5120.0, update_every: 10, weight_decay: 0.1 }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<SophiaG>(
    "sophia-g",
    1e-4,
    &[("beta1", Range::Share), ("beta2", Range::Share), ("rho", Range::Positive), ("batch_size", Range::Positive), ("update_every", Range::FromOne)],
);

impl Rule for SophiaG {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "hessian"]
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let hessian = match state.get("hessian") {
            Some(hessian) if (state.step - 1) % self.update_every != 0 => hessian.clone(),
            _ => average(state, "hessian", square(&grad), self.beta2),
        };
        let momentum = average(state, "exp_avg", grad, self.beta1);
        // |m| is at most that much: the sign comes by itself.
        let update = (momentum / (hessian * (self.rho * self.batch_size) + 1e-15)).clamp(-1.0, 1.0);
        decayed(&hyper, param) - update * hyper.lr
    }
}
