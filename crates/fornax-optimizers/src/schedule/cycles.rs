//! Schedules that climb and fall.

use super::{Schedule, progress};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// The way from one factor to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anneal {
    /// Half a cosine.
    Cosine,
    /// A line.
    Linear,
    /// `1 − √x`: fast at first.
    Sqrt,
}

impl Anneal {
    /// At share `x` of the way: `start` at 0, `end` at 1.
    pub fn between(self, start: f64, end: f64, x: f64) -> f64 {
        let left = match self {
            Self::Cosine => (1.0 + (PI * x).cos()) / 2.0,
            Self::Linear => 1.0 - x,
            Self::Sqrt => 1.0 - x.sqrt(),
        };
        end + (start - end) * left
    }
}

/// Half cosines from 1 to `end`, the first over `first` steps and each `multiple` times as long as the one before:
/// PyTorch's `CosineAnnealingWarmRestarts(T_0, T_mult)`.
///
/// Source: Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts", 2017.
///
/// # Panics
/// If `first` or `multiple` is 0.
pub fn cosine_restarts(first: u64, multiple: u64, end: f64) -> Schedule {
    assert!(first > 0 && multiple > 0, "restarts need a first length and a multiple of at least 1");
    Schedule::new(move |step| {
        let (mut at, mut length) = (step, first);
        if multiple == 1 {
            at %= first;
        }
        while at >= length {
            at -= length;
            length = length.saturating_mul(multiple);
        }
        Anneal::Cosine.between(1.0, end, at as f64 / length as f64)
    })
}

/// Up to the peak and down far below where it began, once over the run: PyTorch's `OneCycleLR`, momentum left as it is.
///
/// Source: Smith and Topin, "Super-convergence", 2018; the form is fastai's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OneCycle {
    /// Steps of the run.
    pub total: u64,
    /// Share of the steps in which the rate climbs: 0.3.
    pub climb: f64,
    /// The first rate is the peak divided by it: 25.
    pub divide: f64,
    /// The last rate is the first divided by it: 1e4.
    pub final_divide: f64,
    /// A cosine, or a line.
    pub anneal: Anneal,
    /// Down to the first rate as fast as up, and only then to the last: off, as in fastai; on, as in the paper.
    pub three_phases: bool,
}

impl OneCycle {
    /// PyTorch's defaults.
    pub fn new(total: u64) -> Self {
        Self { total, climb: 0.3, divide: 25.0, final_divide: 1e4, anneal: Anneal::Cosine, three_phases: false }
    }

    /// The schedule; after its last step it stays.
    pub fn schedule(self) -> Schedule {
        let (first, last) = (1.0 / self.divide, 1.0 / self.divide / self.final_divide);
        let total = self.total as f64;
        let peak = self.climb * total - 1.0;
        let mut phases = vec![(peak, first, 1.0)];
        if self.three_phases {
            phases.push((2.0 * self.climb * total - 2.0, 1.0, first));
            phases.push((total - 1.0, first, last));
        } else {
            phases.push((total - 1.0, 1.0, last));
        }
        Schedule::new(move |step| {
            let t = step as f64;
            let mut from = 0.0;
            for &(to, start, end) in &phases {
                if t <= to {
                    return self.anneal.between(start, end, (t - from) / (to - from).max(f64::MIN_POSITIVE));
                }
                from = to;
            }
            last
        })
    }
}

/// What becomes of the height of successive cycles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CyclicMode {
    /// It stays.
    Triangular,
    /// It halves from cycle to cycle.
    Triangular2,
    /// It falls as `γ^t`.
    ExpRange,
}

/// Up and down in straight lines between `low` and 1: PyTorch's `CyclicLR`, momentum left as it is.
///
/// Source: Smith, "Cyclical learning rates for training neural networks", 2017.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cyclic {
    /// The lower bound, as a share of the peak.
    pub low: f64,
    /// Steps up.
    pub up: u64,
    /// Steps down.
    pub down: u64,
    /// Height of later cycles.
    pub mode: CyclicMode,
    /// Of [`CyclicMode::ExpRange`].
    pub gamma: f64,
}

impl Cyclic {
    /// The schedule.
    ///
    /// # Panics
    /// If a cycle has no step.
    pub fn schedule(self) -> Schedule {
        let length = self.up + self.down;
        assert!(length > 0, "a cycle needs at least one step");
        Schedule::new(move |step| {
            let (cycle, at) = (step / length, step % length);
            let height = if at < self.up { at as f64 / self.up as f64 } else { 1.0 - progress(at - self.up, self.down) };
            let scale = match self.mode {
                CyclicMode::Triangular => 1.0,
                CyclicMode::Triangular2 => 0.5f64.powf(cycle as f64),
                CyclicMode::ExpRange => self.gamma.powf(step as f64),
            };
            self.low + (1.0 - self.low) * height * scale
        })
    }
}
