use serde::{Deserialize, Serialize};

/// Multiplies the rate by `factor` when a metric has not got better for `patience` evaluations: PyTorch's `ReduceLROnPlateau`.
///
/// Differs from PyTorch in that `min` is a share of the peak, not a rate, and so is PyTorch's `eps` of 1e-8.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plateau {
    /// 0.1.
    pub factor: f64,
    /// Evaluations that may pass without a better one: 10; the next reduces the rate.
    pub patience: u64,
    /// By how much the metric must be better than the best to count: 1e-4 of it, or absolutely.
    pub threshold: f64,
    /// Whether `threshold` is a share of the best value: yes.
    pub relative: bool,
    /// Evaluations after a reduction in which none is counted as bad: 0.
    pub cooldown: u64,
    /// The least factor: 0.
    pub min: f64,
}

/// What a [`Plateau`] has seen; a part of the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlateauState {
    /// On the rate, at present.
    pub factor: f64,
    /// The best value so far.
    pub best: Option<f64>,
    /// Evaluations since it.
    pub bad: u64,
    /// Evaluations of the cooldown that are left.
    pub cooldown: u64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self { factor: 0.1, patience: 10, threshold: 1e-4, relative: true, cooldown: 0, min: 0.0 }
    }
}

impl Default for PlateauState {
    fn default() -> Self {
        Self { factor: 1.0, best: None, bad: 0, cooldown: 0 }
    }
}

impl Plateau {
    /// The state after an evaluation that gave `value`; smaller is better, or larger with `maximize`.
    pub fn observe(&self, state: PlateauState, value: f64, maximize: bool) -> PlateauState {
        let mut next = state;
        if state.best.is_none_or(|best| self.is_better(value, best, maximize)) {
            (next.best, next.bad) = (Some(value), 0);
        } else {
            next.bad += 1;
        }
        if next.cooldown > 0 {
            (next.cooldown, next.bad) = (next.cooldown - 1, 0);
        }
        if next.bad > self.patience {
            let factor = (state.factor * self.factor).max(self.min);
            if state.factor - factor > 1e-8 {
                next.factor = factor;
            }
            (next.cooldown, next.bad) = (self.cooldown, 0);
        }
        next
    }

    fn is_better(&self, value: f64, best: f64, maximize: bool) -> bool {
        let sign = if maximize { 1.0 } else { -1.0 };
        // As PyTorch: a share of the best value itself, whatever its sign.
        let bound = best + sign * self.threshold * if self.relative { best } else { 1.0 };
        if maximize { value > bound } else { value < bound }
    }
}
