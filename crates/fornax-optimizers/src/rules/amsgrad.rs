use super::{adam::RANGES, average, bias, decay, square};
use crate::{Hyper, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// AMSGrad, as PyTorch's `Adam(amsgrad=True)`, or with `decoupled_weight_decay` its `AdamW(amsgrad=True)`.
///
/// As [`Adam`](super::Adam), with `v̄ₜ = max(v̄ₜ₋₁, vₜ)` in place of `vₜ`: `θₜ = θₜ₋₁ − η (mₜ / (1 − β₁ᵗ)) / (√(v̄ₜ / (1 − β₂ᵗ)) + ε)`.
///
/// Source: Reddi et al., "On the convergence of Adam and beyond", 2018, which corrects no bias; PyTorch, followed here, does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AmsGrad {
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

impl Default for AmsGrad {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, decoupled_weight_decay: false }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<AmsGrad>("amsgrad", 1e-3, RANGES);

impl Rule for AmsGrad {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"]
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let (param, grad) = decay(self.decoupled_weight_decay, &hyper, param, grad);
        let first = average(state, "exp_avg", grad.clone(), self.beta1);
        let second = average(state, "exp_avg_sq", square(&grad), self.beta2);
        let largest = match state.take("max_exp_avg_sq") {
            None => second,
            Some(largest) => largest.max_pair(second),
        };
        state.put("max_exp_avg_sq", largest.clone());
        let denominator = largest.sqrt() / bias(self.beta2, state.step).sqrt() + self.epsilon;
        param - first / denominator * (hyper.lr / bias(self.beta1, state.step))
    }
}
