//! The options of each schedule on the command line. Lengths are shares of the steps after the warm-up, rates shares of the peak.

use super::*;
use serde::{Deserialize, Serialize};

pub(super) type Checked = Result<(), (&'static str, String)>;

pub(super) fn must(holds: bool, option: &'static str, range: &str, value: impl fmt::Display) -> Checked {
    if holds { Ok(()) } else { Err((option, format!("must be {range}, not {value}"))) }
}

pub(super) fn share(option: &'static str, value: f64) -> Checked {
    must((0.0..=1.0).contains(&value), option, "a share in [0, 1]", value)
}

pub(super) fn length(option: &'static str, value: f64) -> Checked {
    must(value > 0.0 && value <= 1.0, option, "a share of the steps in (0, 1]", value)
}

pub(super) fn positive(option: &'static str, value: f64) -> Checked {
    must(value > 0.0 && value.is_finite(), option, "above 0", value)
}

pub(super) fn steps(share: f64, total: u64) -> u64 {
    (share * total as f64).round() as u64
}

/// A step or more.
pub(super) fn period(share: f64, total: u64) -> u64 {
    steps(share, total).max(1)
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Constant {}

impl Plan for Constant {
    fn check(&self) -> Checked {
        Ok(())
    }
    fn schedule(&self, _: u64) -> Schedule {
        constant()
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Linear {
    end: f64,
}

impl Plan for Linear {
    fn check(&self) -> Checked {
        share("end", self.end)
    }
    fn schedule(&self, total: u64) -> Schedule {
        linear(total, self.end)
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cosine {
    end: f64,
}

impl Plan for Cosine {
    fn check(&self) -> Checked {
        share("end", self.end)
    }
    fn schedule(&self, total: u64) -> Schedule {
        cosine(total, self.end)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Polynomial {
    power: f64,
    end: f64,
}

impl Default for Polynomial {
    fn default() -> Self {
        Self { power: 1.0, end: 0.0 }
    }
}

impl Plan for Polynomial {
    fn check(&self) -> Checked {
        positive("power", self.power)?;
        share("end", self.end)
    }
    fn schedule(&self, total: u64) -> Schedule {
        polynomial(total, self.power, self.end)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exponential {
    end: f64,
}

impl Default for Exponential {
    fn default() -> Self {
        Self { end: 0.01 }
    }
}

impl Plan for Exponential {
    fn check(&self) -> Checked {
        must(self.end > 0.0 && self.end <= 1.0, "end", "in (0, 1]", self.end)
    }
    fn schedule(&self, total: u64) -> Schedule {
        exponential(self.end.powf(1.0 / total.max(1) as f64))
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    size: f64,
    gamma: f64,
}

impl Default for Step {
    fn default() -> Self {
        Self { size: 0.3, gamma: 0.1 }
    }
}

impl Plan for Step {
    fn check(&self) -> Checked {
        length("size", self.size)?;
        positive("gamma", self.gamma)
    }
    fn schedule(&self, total: u64) -> Schedule {
        step(period(self.size, total), self.gamma)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MultiStep {
    milestones: Vec<f64>,
    gamma: f64,
}

impl Default for MultiStep {
    fn default() -> Self {
        Self { milestones: vec![0.5, 0.75], gamma: 0.1 }
    }
}

impl Plan for MultiStep {
    fn check(&self) -> Checked {
        self.milestones.iter().try_for_each(|&at| share("milestones", at))?;
        positive("gamma", self.gamma)
    }
    fn schedule(&self, total: u64) -> Schedule {
        multi_step(self.milestones.iter().map(|&at| steps(at, total)).collect(), self.gamma)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InverseSqrt {
    timescale: f64,
}

impl Default for InverseSqrt {
    fn default() -> Self {
        Self { timescale: 0.1 }
    }
}

impl Plan for InverseSqrt {
    fn check(&self) -> Checked {
        length("timescale", self.timescale)
    }
    fn schedule(&self, total: u64) -> Schedule {
        inverse_sqrt(period(self.timescale, total))
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Noam {
    climb: f64,
}

impl Default for Noam {
    fn default() -> Self {
        Self { climb: 0.1 }
    }
}

impl Plan for Noam {
    const CLIMBS: bool = true;
    fn check(&self) -> Checked {
        length("climb", self.climb)
    }
    fn schedule(&self, total: u64) -> Schedule {
        noam(period(self.climb, total))
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wsd {
    decay: f64,
    end: f64,
    shape: Anneal,
}

impl Default for Wsd {
    fn default() -> Self {
        Self { decay: 0.2, end: 0.0, shape: Anneal::Sqrt }
    }
}

impl Plan for Wsd {
    fn check(&self) -> Checked {
        share("decay", self.decay)?;
        share("end", self.end)
    }
    fn schedule(&self, total: u64) -> Schedule {
        wsd(total, steps(self.decay, total), self.end, self.shape)
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rex {
    end: f64,
}

impl Plan for Rex {
    fn check(&self) -> Checked {
        share("end", self.end)
    }
    fn schedule(&self, total: u64) -> Schedule {
        rex(total, self.end)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CosineRestarts {
    first: f64,
    multiple: u64,
    end: f64,
}

impl Default for CosineRestarts {
    fn default() -> Self {
        Self { first: 0.25, multiple: 1, end: 0.0 }
    }
}

impl Plan for CosineRestarts {
    fn check(&self) -> Checked {
        length("first", self.first)?;
        must(self.multiple > 0, "multiple", "at least 1", self.multiple)?;
        share("end", self.end)
    }
    fn schedule(&self, total: u64) -> Schedule {
        cosine_restarts(period(self.first, total), self.multiple, self.end)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OneCyclePlan {
    climb: f64,
    divide: f64,
    final_divide: f64,
    anneal: Anneal,
    three_phases: bool,
}

impl Default for OneCyclePlan {
    fn default() -> Self {
        let OneCycle { climb, divide, final_divide, anneal, three_phases, .. } = OneCycle::new(1);
        Self { climb, divide, final_divide, anneal, three_phases }
    }
}

impl Plan for OneCyclePlan {
    const CLIMBS: bool = true;
    fn check(&self) -> Checked {
        let most = if self.three_phases { 0.5 } else { 1.0 };
        must((0.0..=most).contains(&self.climb), "climb", &format!("a share in [0, {most}]"), self.climb)?;
        positive("divide", self.divide)?;
        positive("final_divide", self.final_divide)
    }
    fn schedule(&self, total: u64) -> Schedule {
        let Self { climb, divide, final_divide, anneal, three_phases } = *self;
        OneCycle { total, climb, divide, final_divide, anneal, three_phases }.schedule()
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CyclicPlan {
    low: f64,
    up: f64,
    down: f64,
    mode: CyclicMode,
    gamma: f64,
}

impl Default for CyclicPlan {
    fn default() -> Self {
        Self { low: 0.1, up: 0.1, down: 0.1, mode: CyclicMode::Triangular, gamma: 1.0 }
    }
}

impl Plan for CyclicPlan {
    const CLIMBS: bool = true;
    fn check(&self) -> Checked {
        share("low", self.low)?;
        length("up", self.up)?;
        length("down", self.down)?;
        positive("gamma", self.gamma)
    }
    fn schedule(&self, total: u64) -> Schedule {
        let (up, down) = (period(self.up, total), period(self.down, total));
        Cyclic { low: self.low, up, down, mode: self.mode, gamma: self.gamma }.schedule()
    }
}
