use super::{average, bias, decayed, norm_of_one, penalized, square};
use crate::{Hyper, Numbers, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use fornax_kernels::reduce::sum;
use serde::{Deserialize, Serialize};

/// D-Adaptation for Adam: estimates the distance to the solution. η is a factor on it: leave it at 1, under any schedule.
///
/// With `δₜ = dₜ η` (times `√(1 − β₂ᵗ) / (1 − β₁ᵗ)` with `bias_correction`), sums over all parameters:
/// `rₜ₊₁ = √β₂ rₜ + (1 − √β₂) δₜ ⟨gₜ, sₜ / (√vₜ + ε)⟩`; `mₜ₊₁ = β₁ mₜ + (1 − β₁) δₜ gₜ`; `vₜ₊₁ = β₂ vₜ + (1 − β₂) gₜ²`;
/// `sₜ₊₁ = √β₂ sₜ + (1 − √β₂) δₜ gₜ`; `d̂ = rₜ₊₁ / ((1 − √β₂) ‖sₜ₊₁‖₁)`; `dₜ₊₁ = max(dₜ, d̂)`; `θₜ₊₁ = θₜ − mₜ₊₁ / (√vₜ₊₁ + ε)`.
///
/// Source: Defazio and Mishchenko, "Learning-rate-free learning by D-Adaptation", 2023, algorithm 5 in the third version of its code.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DAdaptAdam {
    /// β₁: 0.9.
    pub beta1: f64,
    /// β₂: 0.999.
    pub beta2: f64,
    /// ε: 1e-8.
    pub epsilon: f64,
    /// d₀: 1e-6.
    pub d0: f64,
    /// By how much d may grow a step: 0 for no limit.
    pub growth_rate: f64,
    /// Off.
    pub bias_correction: bool,
    /// λ: 0.
    pub weight_decay: f64,
    /// λ shrinks the weights, as in AdamW, and is no L2 penalty: off.
    pub decoupled_weight_decay: bool,
}

impl Default for DAdaptAdam {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            d0: 1e-6,
            growth_rate: 0.0,
            bias_correction: false,
            weight_decay: 0.0,
            decoupled_weight_decay: false,
        }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<DAdaptAdam>(
    "d-adapt-adam",
    1.0,
    &[("beta1", Range::Share), ("beta2", Range::Share), ("epsilon", Range::Positive), ("d0", Range::Positive), ("growth_rate", Range::NotNegative)],
);

impl DAdaptAdam {
    /// δ at step t, from the d before it.
    fn step_size(&self, hyper: &Hyper<'_>, d: f64, step: u64) -> f64 {
        let correction = if self.bias_correction { bias(self.beta2, step).sqrt() / bias(self.beta1, step) } else { 1.0 };
        d * hyper.lr * correction
    }
}

impl Rule for DAdaptAdam {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq", "s"]
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn globals(&self) -> Vec<(&'static str, f64)> {
        vec![("d", self.d0), ("d_before", self.d0), ("numerator", 0.0)]
    }
    fn observe(&self, hyper: Hyper<'_>, param: &Tensor<1>, grad: &Tensor<1>, state: &mut State, sums: &mut Numbers) {
        let delta = self.step_size(&hyper, hyper.globals["d"], state.step + 1);
        let grad = if self.decoupled_weight_decay { grad.clone() } else { penalized(&hyper, param, grad.clone()) };
        if let (Some(s), Some(second)) = (state.get("s"), state.get("exp_avg_sq")) {
            *sums.entry("numerator").or_default() += delta * sum(grad.clone() * s.clone() / (second.clone().sqrt() + self.epsilon));
        }
        average(state, "exp_avg", grad.clone() * delta, self.beta1);
        average(state, "exp_avg_sq", square(&grad), self.beta2);
        let s = average(state, "s", grad * delta, self.beta2.sqrt());
        *sums.entry("denominator").or_default() += norm_of_one(&s);
    }
    fn conclude(&self, sums: &Numbers, globals: &mut Numbers) {
        let [added, denominator] = ["numerator", "denominator"].map(|name| sums.get(name).copied().unwrap_or_default());
        let before = globals["d"];
        globals.insert("d_before", before);
        // Nothing but zeros so far.
        if denominator == 0.0 {
            return;
        }
        let root = self.beta2.sqrt();
        let numerator = globals["numerator"] * root + added * (1.0 - root);
        let limit = if self.growth_rate == 0.0 { f64::INFINITY } else { before * self.growth_rate };
        let estimate = numerator / ((1.0 - root) * denominator);
        globals.extend([("numerator", numerator), ("d", before.max(estimate.min(limit)))]);
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, _grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let (Some(first), Some(second)) = (state.get("exp_avg"), state.get("exp_avg_sq")) else { return param };
        let update = first.clone() / (second.clone().sqrt() + self.epsilon);
        let delta = self.step_size(&hyper, hyper.globals["d_before"], state.step);
        let param = if self.decoupled_weight_decay { decayed(&Hyper { lr: delta, ..hyper }, param) } else { param };
        param - update
    }
}
