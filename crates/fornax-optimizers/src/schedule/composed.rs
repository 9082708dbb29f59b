//! The options of schedules that watch a metric, and of those made of others.

use super::plans::{Checked, length, must, share, steps};
use super::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlateauPlan {
    factor: f64,
    patience: u64,
    threshold: f64,
    relative: bool,
    cooldown: u64,
    min: f64,
}

impl Default for PlateauPlan {
    fn default() -> Self {
        let Plateau { factor, patience, threshold, relative, cooldown, min } = Plateau::default();
        Self { factor, patience, threshold, relative, cooldown, min }
    }
}

impl Plan for PlateauPlan {
    fn check(&self) -> Checked {
        must(self.factor > 0.0 && self.factor < 1.0, "factor", "in (0, 1)", self.factor)?;
        must(self.threshold >= 0.0, "threshold", "0 or above", self.threshold)?;
        share("min", self.min)
    }
    fn schedule(&self, _: u64) -> Schedule {
        constant()
    }
    fn plateau(&self) -> Option<Plateau> {
        let Self { factor, patience, threshold, relative, cooldown, min } = *self;
        Some(Plateau { factor, patience, threshold, relative, cooldown, min })
    }
}

/// A schedule and its share of the steps.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Part {
    share: f64,
    #[serde(flatten)]
    schedule: ScheduleConfig,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sequential {
    parts: Vec<Part>,
}

impl Default for Sequential {
    fn default() -> Self {
        let part = |name: &str| Part { share: 0.5, schedule: ScheduleConfig { name: name.into(), ..ScheduleConfig::default() } };
        Self { parts: vec![part("constant"), part("cosine")] }
    }
}

fn check_parts<'a>(parts: impl IntoIterator<Item = &'a ScheduleConfig>) -> Checked {
    let mut parts = parts.into_iter().peekable();
    must(parts.peek().is_some(), "parts", "a list of schedules", "empty")?;
    parts.try_for_each(|part| part.build(100).map(|_| ()).map_err(|error| ("parts", format!("have a `{}` whose {error}", part.name))))
}

/// The checks come first.
fn part(config: &ScheduleConfig, total: u64) -> Schedule {
    config.build(total).unwrap_or_else(|error| unreachable!("checked before: {error}"))
}

impl Plan for Sequential {
    fn check(&self) -> Checked {
        check_parts(self.parts.iter().map(|part| &part.schedule))?;
        self.parts.iter().try_for_each(|part| length("parts", part.share))?;
        let sum: f64 = self.parts.iter().map(|part| part.share).sum();
        must((sum - 1.0).abs() < 1e-6, "parts", "shares that add up to 1", sum)
    }
    fn schedule(&self, total: u64) -> Schedule {
        let (mut end, mut share) = (0, 0.0);
        let mut all: Vec<(u64, Schedule)> = vec![];
        for one in &self.parts {
            share += one.share;
            let start = std::mem::replace(&mut end, steps(share, total));
            all.push((start, part(&one.schedule, end - start)));
        }
        // From the last to the first: each part goes on with what follows it.
        let fold = all.into_iter().rev().reduce(|(next_start, next), (start, one)| (start, one.then(next_start - start, next)));
        fold.map_or_else(constant, |(_, schedule)| schedule)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chained {
    parts: Vec<ScheduleConfig>,
}

impl Default for Chained {
    fn default() -> Self {
        let part = |name: &str| ScheduleConfig { name: name.into(), ..ScheduleConfig::default() };
        Self { parts: vec![part("cosine"), part("step")] }
    }
}

impl Plan for Chained {
    fn check(&self) -> Checked {
        check_parts(&self.parts)
    }
    fn schedule(&self, total: u64) -> Schedule {
        self.parts.iter().map(|config| part(config, total)).reduce(Schedule::mul).unwrap_or_else(constant)
    }
}
