//! `privacy.*`: training that says little of any one example.

use crate::{
    config::{Config, ModelConfig, rule_error},
    error::usage,
};
use anyhow::Result;
use burn::module::Module;
use fornax_optimizers::{Configured, Optimizer};
use fornax_privacy::{
    Build, Clipping, Mechanism, Secret,
    accountant::{Accountant, RdpAccountant, SubsampledGaussian},
    check,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// `privacy.*`; on with an `epsilon` or a `noise`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PrivacyConfig {
    /// What may be spent at `delta`; 0 for no limit.
    pub(crate) epsilon: f64,
    /// The probability left out of the guarantee: below one in as many examples.
    pub(crate) delta: f64,
    /// Deviation of the noise in units of `clip`; 0 for as much as `epsilon` needs.
    pub(crate) noise: f64,
    /// Largest norm of an example's gradient.
    pub(crate) clip: f64,
    /// How it is kept.
    pub(crate) clipping: ClippingName,
    /// Examples that go through the model at once, at most.
    pub(crate) largest_part: usize,
}

/// [`Clipping`] by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ClippingName {
    Flat,
    PerLayer,
    Adaptive,
}

impl Default for PrivacyConfig {
    fn default() -> Self {
        Self { epsilon: 0.0, delta: 1e-5, noise: 0.0, clip: 1.0, clipping: ClippingName::Flat, largest_part: 128 }
    }
}

impl PrivacyConfig {
    pub(crate) fn is_on(&self) -> bool {
        self.epsilon > 0.0 || self.noise > 0.0
    }
}

/// A task's examples by number, and one of them out of a batch.
pub(crate) struct ByNumber<B> {
    pub(crate) build: Build<B>,
    pub(crate) single: fn(&B, usize) -> B,
}

/// What a private run does.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) mechanism: Mechanism,
    /// Those that the budget pays for, of those that were asked for.
    pub(crate) steps: u64,
    pub(crate) asked: u64,
    pub(crate) examples: usize,
    pub(crate) secret: Secret,
}

impl Config {
    /// The first thing that does not go together with privacy.
    pub(crate) fn validate_privacy(&self) -> Result<()> {
        let p = &self.privacy;
        let ranges = [
            ("epsilon", p.epsilon, p.epsilon >= 0.0, "0 (no limit) or above"),
            ("noise", p.noise, p.noise >= 0.0, "0 (as epsilon needs) or above"),
            ("delta", p.delta, p.delta > 0.0 && p.delta < 1.0, "in (0, 1)"),
            ("clip", p.clip, p.clip > 0.0, "above 0"),
        ];
        if let Some((name, value, _, range)) = ranges.iter().find(|(_, value, ok, _)| !ok || !value.is_finite()) {
            return Err(usage(format!("privacy.{name} must be {range}, not {value}")));
        }
        if p.largest_part == 0 {
            return Err(usage("privacy.largest_part must be at least 1"));
        }
        if !p.is_on() {
            return Ok(());
        }
        if !matches!(self.model, ModelConfig::ConvNet(_) | ModelConfig::LeNet5(_) | ModelConfig::Mlp(_) | ModelConfig::Sequence(_)) {
            let recipe = &self.recipe;
            return Err(usage(format!(
                "`{recipe}` cannot be private: privacy.* is for images and for classes of sequences, whose examples stand by themselves"
            )));
        }
        let refused = [
            (
                self.trainer.accumulate != 1,
                "trainer.accumulate must be 1 with privacy.*: a batch may be as large as you like, and goes through the model in parts",
            ),
            (self.gradient.sam > 0.0, "gradient.sam looks at each example twice a step, which privacy.* does not count: leave it out"),
            (self.gradient.loss_scale > 0.0, "gradient.loss_scale is for half precision, in which noise gets lost: leave it out with privacy.*"),
        ];
        if let Some((_, why)) = refused.iter().find(|(refused, _)| *refused) {
            return Err(usage(*why));
        }
        match self.optimizer.optimizer().map_err(rule_error)? {
            Configured::Lbfgs(lbfgs) if lbfgs.searches() => {
                Err(usage(format!("{} searches along the loss of the same examples, which privacy.* does not count", self.optimizer.name)))
            }
            _ => Ok(()),
        }
    }

    /// The plan of a private run over so many examples; none of another.
    pub(crate) fn private_plan(&self, examples: usize) -> Result<Option<Plan>> {
        let p = &self.privacy;
        if !p.is_on() {
            return Ok(None);
        }
        let expected = self.trainer.batch_size;
        if expected > examples {
            return Err(usage(format!("trainer.batch_size is {expected}, more than the {examples} examples that there are")));
        }
        if p.delta >= 1.0 / examples as f64 {
            return Err(usage(format!(
                "privacy.delta must be below one in {examples} examples, {:.1e}, not {:e}: a mechanism that gives one example away would do",
                1.0 / examples as f64,
                p.delta
            )));
        }
        let rate = expected as f64 / examples as f64;
        let asked = self.trainer.total_steps(fornax_privacy::Poisson::<()>::steps_an_epoch(examples, expected));
        let noise = match p.noise {
            0.0 => Accountant::Rdp
                .noise(p.epsilon, p.delta, rate, asked)
                .ok_or_else(|| usage(format!("no noise keeps {asked} steps within privacy.epsilon={}: train for fewer, or allow more", p.epsilon)))?,
            noise => noise,
        };
        let clipping = match p.clipping {
            ClippingName::Flat => Clipping::Flat,
            ClippingName::PerLayer => Clipping::PerLayer,
            ClippingName::Adaptive => Clipping::adaptive(expected),
        };
        let accountant = RdpAccountant::new(SubsampledGaussian { rate, noise });
        let affordable = if p.epsilon > 0.0 { affordable(asked, |steps| accountant.spent(steps, p.delta).epsilon <= p.epsilon) } else { asked };
        if affordable == 0 {
            return Err(usage(format!("with privacy.noise={noise} one step spends more than privacy.epsilon={}", p.epsilon)));
        }
        let mechanism = Mechanism { noise, clip: p.clip, clipping, expected, rate, delta: p.delta };
        clipping
            .gradient_noise(noise)
            .map_err(|why| usage(format!("privacy.clipping=adaptive: {why}; a larger trainer.batch_size gives it more")))?;
        Ok(Some(Plan { mechanism, steps: affordable, asked, examples, secret: Secret::from_system()? }))
    }
}

/// The most steps, up to `most`, that fit; what is spent grows with them.
fn affordable(most: u64, fits: impl Fn(u64) -> bool) -> u64 {
    if fits(most) {
        return most;
    }
    let (mut low, mut high) = (0, most);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) { low = middle } else { high = middle }
    }
    low
}

impl Plan {
    /// Refuses a model that mixes examples.
    pub(crate) fn check<M: Module>(&self, model: &M) -> Result<()> {
        let found = check::unfit(model);
        let lines: Vec<_> = found.iter().map(|layer| format!("`{}` ({}) {}", layer.name, layer.kind, layer.advice)).collect();
        if lines.is_empty() { Ok(()) } else { Err(usage(format!("this model cannot be private: {}", lines.join("; ")))) }
    }

    fn step(&self) -> SubsampledGaussian {
        SubsampledGaussian { rate: self.mechanism.rate, noise: self.mechanism.noise }
    }

    /// ε of so many steps.
    pub(crate) fn epsilon(&self, accountant: Accountant, steps: u64) -> f64 {
        accountant.epsilon(self.step(), steps, self.mechanism.delta)
    }

    /// For whoever watches.
    pub(crate) fn about(&self, examples: &str) -> String {
        let Mechanism { noise, clip, rate, delta, .. } = self.mechanism;
        let spends = self.epsilon(Accountant::Rdp, self.steps);
        let cut = if self.steps < self.asked { format!(", where the budget ends, of {}", self.asked) } else { String::new() };
        format!(
            "private: each of {} {examples} is in a step with probability {rate:.5}; gradients clipped to {clip}, noise {noise}; ε {spends:.3} at δ {delta:e} after {} steps{cut}",
            self.examples, self.steps
        )
    }

    /// For `report.json`.
    pub(crate) fn report(&self, steps: u64) -> Value {
        let Mechanism { noise, clip, rate, delta, expected, clipping } = self.mechanism;
        json!({
            "epsilon": self.epsilon(Accountant::Rdp, steps), "epsilon_prv": self.epsilon(Accountant::Prv, steps), "delta": delta, "noise": noise,
            "clip": clip, "clipping": format!("{clipping:?}"), "rate": rate, "expected_batch": expected, "steps": steps,
            "neighbours": "one example more or less", "spent": steps < self.asked && steps == self.steps,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_ends_before_it_is_overrun() {
        for most in [1, 2, 7, 100] {
            for limit in 0..=most + 2 {
                assert_eq!(affordable(most, |steps| steps <= limit), limit.min(most));
            }
        }
    }
}
