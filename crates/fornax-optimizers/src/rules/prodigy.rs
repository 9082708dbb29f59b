use super::{bias, norm_of_one, penalized, square};
use crate::{Hyper, Numbers, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use fornax_kernels::reduce::sum;
use serde::{Deserialize, Serialize};

/// Prodigy: Adam that finds its learning rate. η is a factor on what it finds: leave it at 1, under any schedule.
///
/// With `δₜ = dₜ η` (times `√(1 − β₂ᵗ) / (1 − β₁ᵗ)` with `use_bias_correction`), sums over all parameters:
/// `rₜ₊₁ = β₃ rₜ + (dₜ/d₀) δₜ ⟨gₜ, θ₀ − θₜ⟩`; `sₜ₊₁ = β₃ sₜ + (dₜ/d₀) δₜ gₜ`; `d̂ = c rₜ₊₁ / ‖sₜ₊₁‖₁`; `dₜ₊₁ = max(dₜ, d̂)`;
/// `mₜ₊₁ = β₁ mₜ + (1 − β₁) dₜ gₜ`; `vₜ₊₁ = β₂ vₜ + (1 − β₂) dₜ² gₜ²`; `θₜ₊₁ = (1 − δₜ λ) θₜ − δₜ mₜ₊₁ / (√vₜ₊₁ + dₜ₊₁ ε)`.
///
/// It keeps `θₜ − θ₀` as the sum of its steps: in f32 the first are as small as the rounding of θ, and the difference of two weights would have
/// no digit of them. What others do to the weights, such as [`Lookahead`](crate::Lookahead), is not in that sum.
///
/// Source: Mishchenko and Defazio, "Prodigy: an expeditiously adaptive parameter-free learner", 2023, algorithm 4, and the numbers of its code,
/// which takes the difference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prodigy {
    /// β₁: 0.9.
    pub beta1: f64,
    /// β₂: 0.999.
    pub beta2: f64,
    /// β₃: 0 for √β₂.
    pub beta3: f64,
    /// ε: 1e-8.
    pub epsilon: f64,
    /// d₀: 1e-6.
    pub d0: f64,
    /// c: 1. The one to change if d is found too small (2) or too large (0.5).
    pub d_coef: f64,
    /// By how much d may grow a step: 0 for no limit.
    pub growth_rate: f64,
    /// Off.
    pub use_bias_correction: bool,
    /// `dₜ` in place of `δₜ` in s, so that a warm-up does not let d run away: off.
    pub safeguard_warmup: bool,
    /// λ: 0.
    pub weight_decay: f64,
    /// λ shrinks the weights, as in AdamW, and is no L2 penalty: on.
    pub decoupled_weight_decay: bool,
}

impl Default for Prodigy {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            beta3: 0.0,
            epsilon: 1e-8,
            d0: 1e-6,
            d_coef: 1.0,
            growth_rate: 0.0,
            use_bias_correction: false,
            safeguard_warmup: false,
            weight_decay: 0.0,
            decoupled_weight_decay: true,
        }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<Prodigy>(
    "prodigy",
    1.0,
    &[
        ("beta1", Range::Share),
        ("beta2", Range::Share),
        ("beta3", Range::Share),
        ("epsilon", Range::Positive),
        ("d0", Range::Positive),
        ("d_coef", Range::Positive),
        ("growth_rate", Range::NotNegative),
    ],
);

impl Prodigy {
    fn beta3(&self) -> f64 {
        if self.beta3 == 0.0 { self.beta2.sqrt() } else { self.beta3 }
    }

    /// δ at step t, from the d before it.
    fn step_size(&self, hyper: &Hyper<'_>, d: f64, step: u64) -> f64 {
        let correction = if self.use_bias_correction { bias(self.beta2, step).sqrt() / bias(self.beta1, step) } else { 1.0 };
        d * hyper.lr * correction
    }
}

impl Rule for Prodigy {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq", "s", "moved"]
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn globals(&self) -> Vec<(&'static str, f64)> {
        vec![("d", self.d0), ("d_before", self.d0), ("d_max", self.d0), ("numerator", 0.0)]
    }
    fn observe(&self, hyper: Hyper<'_>, param: &Tensor<1>, grad: &Tensor<1>, state: &mut State, sums: &mut Numbers) {
        let d = hyper.globals["d"];
        let delta = self.step_size(&hyper, d, state.step + 1);
        let grad = if self.decoupled_weight_decay { grad.clone() } else { penalized(&hyper, param, grad.clone()) };
        if let Some(moved) = state.get("moved") {
            *sums.entry("numerator").or_default() -= d / self.d0 * delta * sum(grad.clone() * moved.clone());
        }

        let first = state.take_or_zeros("exp_avg", &grad) * self.beta1 + grad.clone() * (d * (1.0 - self.beta1));
        let second = state.take_or_zeros("exp_avg_sq", &grad) * self.beta2 + square(&grad) * (d * d * (1.0 - self.beta2));
        let share = d / self.d0 * if self.safeguard_warmup { d } else { delta };
        let s = state.take_or_zeros("s", &grad) * self.beta3() + grad * share;
        *sums.entry("denominator").or_default() += norm_of_one(&s);
        state.put("exp_avg", first);
        state.put("exp_avg_sq", second);
        state.put("s", s);
    }
    fn conclude(&self, sums: &Numbers, globals: &mut Numbers) {
        let denominator = sums.get("denominator").copied().unwrap_or_default();
        let before = globals["d"];
        globals.insert("d_before", before);
        // Nothing but zeros so far.
        if denominator == 0.0 {
            return;
        }
        let numerator = globals["numerator"] * self.beta3() + sums.get("numerator").copied().unwrap_or_default();
        let estimate = self.d_coef * numerator / denominator;
        let d = if before == self.d0 { before.max(estimate) } else { before };
        let d_max = globals["d_max"].max(estimate);
        let limit = if self.growth_rate == 0.0 { f64::INFINITY } else { d * self.growth_rate };
        globals.extend([("numerator", numerator), ("d_max", d_max), ("d", d_max.min(limit))]);
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, _grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let delta = self.step_size(&hyper, hyper.globals["d_before"], state.step);
        let (Some(first), Some(second)) = (state.get("exp_avg"), state.get("exp_avg_sq")) else { return param };
        let mut step = first.clone() / (second.clone().sqrt() + hyper.globals["d"] * self.epsilon) * -delta;
        if self.decoupled_weight_decay && hyper.weight_decay != 0.0 {
            step = step - param.clone() * (delta * hyper.weight_decay);
        }
        let moved = state.take_or_zeros("moved", &step) + step.clone();
        state.put("moved", moved);
        param + step
    }
}
