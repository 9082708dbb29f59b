use super::{average, bias, penalized, square};
use crate::{Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Schedule-Free SGD: an average of all iterates in place of a falling learning rate. Use it with a constant schedule.
///
/// Three points: `z` takes the steps, `x` is its average, and gradients are taken at `y = (1 − β) z + β x`:
/// `zₜ = zₜ₋₁ − η (gₜ + λ yₜ₋₁)`; `cₜ = wₜ / Σᵢ wᵢ`, `wₜ = tʳ (max η)ᵖ`; `xₜ = (1 − cₜ) xₜ₋₁ + cₜ zₜ`.
///
/// The model holds y; [`Optimizer::eval_weights`](crate::Optimizer::eval_weights) gives x, which is what to evaluate and publish. Batch norm's
/// statistics belong to y: where there are some, let the model see a few batches at x before it is evaluated.
///
/// Source: Defazio et al., "The road less scheduled", 2024, and the numbers of its code.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleFreeSgd {
    /// β: 0.9.
    pub momentum: f64,
    /// Steps over which η climbs linearly: 0.
    pub warmup_steps: u64,
    /// r: 0.
    pub r: f64,
    /// p: 2.
    pub weight_lr_power: f64,
    /// λ: 0.
    pub weight_decay: f64,
}

/// Schedule-Free AdamW: as [`ScheduleFreeSgd`], with `gₜ / (√(vₜ / (1 − β₂ᵗ)) + ε)` in place of `gₜ`,
/// `vₜ = β₂ vₜ₋₁ + (1 − β₂) gₜ²`, and `β₁` in place of β.
///
/// Source: as there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleFreeAdamW {
    /// β₁: 0.9.
    pub beta1: f64,
    /// β₂: 0.999.
    pub beta2: f64,
    /// ε: 1e-8.
    pub epsilon: f64,
    /// Steps over which η climbs linearly: 0.
    pub warmup_steps: u64,
    /// r: 0.
    pub r: f64,
    /// p: 2.
    pub weight_lr_power: f64,
    /// λ: 0.
    pub weight_decay: f64,
}

impl Default for ScheduleFreeSgd {
    fn default() -> Self {
        Self { momentum: 0.9, warmup_steps: 0, r: 0.0, weight_lr_power: 2.0, weight_decay: 0.0 }
    }
}

impl Default for ScheduleFreeAdamW {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, warmup_steps: 0, r: 0.0, weight_lr_power: 2.0, weight_decay: 0.0 }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<ScheduleFreeSgd>(
    "schedule-free-sgd",
    1.0,
    &[("momentum", Range::Inside), ("r", Range::NotNegative), ("weight_lr_power", Range::NotNegative)],
);
pub(crate) const ENTRY_ADAMW: RuleEntry = RuleEntry::new::<ScheduleFreeAdamW>(
    "schedule-free-adamw",
    2.5e-3,
    &[
        ("beta1", Range::Inside),
        ("beta2", Range::Share),
        ("epsilon", Range::Positive),
        ("r", Range::NotNegative),
        ("weight_lr_power", Range::NotNegative),
    ],
);

/// The numbers of the average: what it keeps is the largest η and the sum of the weights.
const NUMBERS: &[&str] = &["lr_max", "weight_sum"];

impl ScheduleFreeSgd {
    fn lr(&self, hyper: &Hyper<'_>, step: u64) -> f64 {
        if step < self.warmup_steps { hyper.lr * step as f64 / self.warmup_steps as f64 } else { hyper.lr }
    }

    /// yₜ from yₜ₋₁ without ever holding x, along a direction that has decay in it.
    fn average(&self, hyper: &Hyper<'_>, y: Tensor<1>, direction: Tensor<1>, state: &mut State) -> Tensor<1> {
        let lr = self.lr(hyper, state.step);
        let lr_max = lr.max(state.number("lr_max", 0.0));
        let weight = (state.step as f64).powf(self.r) * lr_max.powf(self.weight_lr_power);
        let sum = state.number("weight_sum", 0.0) + weight;
        let share = if sum == 0.0 { 0.0 } else { weight / sum };
        state.set_number("lr_max", lr_max);
        state.set_number("weight_sum", sum);

        let z = state.take("z").unwrap_or_else(|| y.clone());
        let moved = y.clone() + (z.clone() - y) * share + direction.clone() * (lr * (self.momentum * (1.0 - share) - 1.0));
        state.put("z", z - direction * lr);
        moved
    }

    /// `x = y + (1 − 1 / β)(z − y)`
    fn x(&self, y: &Tensor<1>, state: &State) -> Option<Tensor<1>> {
        let z = state.get("z")?.clone();
        Some(y.clone() + (z - y.clone()) * (1.0 - 1.0 / self.momentum))
    }
}

impl Rule for ScheduleFreeSgd {
    fn slots(&self) -> &'static [&'static str] {
        &["z"]
    }
    fn numbers(&self) -> &'static [&'static str] {
        NUMBERS
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let direction = penalized(&hyper, &param, grad);
        self.average(&hyper, param, direction, state)
    }
    fn eval_weight(&self, param: &Tensor<1>, state: &State) -> Option<Tensor<1>> {
        self.x(param, state)
    }
}

impl ScheduleFreeAdamW {
    fn averaging(&self) -> ScheduleFreeSgd {
        let Self { warmup_steps, r, weight_lr_power, .. } = *self;
        ScheduleFreeSgd { momentum: self.beta1, warmup_steps, r, weight_lr_power, weight_decay: 0.0 }
    }
}

impl Rule for ScheduleFreeAdamW {
    fn slots(&self) -> &'static [&'static str] {
        &["z", "exp_avg_sq"]
    }
    fn numbers(&self) -> &'static [&'static str] {
        NUMBERS
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let second = average(state, "exp_avg_sq", square(&grad), self.beta2);
        let normalized = grad / (second.sqrt() / bias(self.beta2, state.step).sqrt() + self.epsilon);
        let direction = penalized(&hyper, &param, normalized);
        self.averaging().average(&hyper, param, direction, state)
    }
    fn eval_weight(&self, param: &Tensor<1>, state: &State) -> Option<Tensor<1>> {
        self.averaging().x(param, state)
    }
}
