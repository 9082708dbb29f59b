//! What stands around the update rule: `gradient.*`, `groups.*`, `average.*`.

use crate::{
    config::{Config, ModelConfig, rule_error},
    error::usage,
    overrides,
    task::{Job, Task},
    train::RunConfig,
};
use anyhow::Result;
use burn::tensor::Device;
use fornax_optimizers::{
    Adjust, Change, Configured, Decay, Group, Lookahead, LossScale, Optimizer, Parameter, PerTensor, Schedule, Transformed, WidthRule, parameters,
    schedule::{Anneal, SCHEDULES},
    transform::{Centralize, ClipAdaptive, ClipPercentile, ClipValue, Freeze, Noise},
};
use serde::{Deserialize, Serialize};

/// `gradient.*`: what becomes of gradients, in this order; 0 leaves a thing out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GradientConfig {
    /// Radius of sharpness-aware minimization: 0.05; two passes a step.
    pub(crate) sam: f64,
    /// Its adaptive form (ASAM).
    pub(crate) sam_adaptive: bool,
    /// First factor on the loss, which then finds its size by itself: 65536.
    pub(crate) loss_scale: f64,
    /// Variance of added noise at step 0: 0.01, 0.3 or 1.
    pub(crate) noise: f64,
    /// Take the mean out of each unit's gradient.
    pub(crate) centralize: bool,
    /// Largest element.
    pub(crate) clip_value: f64,
    /// Largest norm of a unit's gradient as a share of its weights' (AGC): 0.01.
    pub(crate) clip_adaptive: f64,
    /// Percentile of all global norms so far at which to clip (AutoClip): 10.
    pub(crate) clip_percentile: f64,
}

/// Parameters by their names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PathConfig {
    /// With `*` and `?`: `features.*`.
    pub(crate) path: String,
    /// Multiplies the learning rate.
    #[serde(default = "one")]
    pub(crate) lr: f64,
    /// In place of optimizer.weight_decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) weight_decay: Option<f64>,
}

fn one() -> f64 {
    1.0
}

/// Parameters that wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FreezeConfig {
    /// With `*` and `?`.
    pub(crate) path: String,
    /// The share of the run for which they do; 1 for all of it.
    pub(crate) until: f64,
}

/// `groups.*`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GroupConfig {
    /// `[{"path": "head.*", "lr": 10, "weight_decay": 0}]`
    pub(crate) paths: Vec<PathConfig>,
    /// `[{"path": "features.*", "until": 0.2}]`
    pub(crate) freeze: Vec<FreezeConfig>,
    /// rule, coupled (an L2 penalty) or decoupled: how optimizer.weight_decay acts.
    pub(crate) decay: Decay,
    /// Rate of each layer as a share of that of the next.
    pub(crate) layer_decay: f64,
    /// What the narrow model has instead (`["hidden=[64]"]`), for rates that follow the width (muP).
    pub(crate) mup_base: Vec<String>,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self { paths: vec![], freeze: vec![], decay: Decay::Rule, layer_decay: 1.0, mup_base: vec![] }
    }
}

/// `average.*`: besides trainer.ema_decay and trainer.swa_start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AverageConfig {
    /// Steps between the synchronizations of Lookahead: 5; 0 for none.
    pub(crate) lookahead: u64,
    /// Its step toward the fast weights.
    pub(crate) lookahead_alpha: f64,
    /// Rate from trainer.swa_start on, as a share of the peak; 0 leaves it to the schedule.
    pub(crate) swa_lr: f64,
    /// Share of the run in which the rate goes there.
    pub(crate) swa_anneal: f64,
}

impl Default for AverageConfig {
    fn default() -> Self {
        Self { lookahead: 0, lookahead_alpha: 0.5, swa_lr: 0.0, swa_anneal: 0.05 }
    }
}

/// The optimizer of a recipe.
pub(crate) type RecipeOptimizer = Lookahead<Transformed<Configured>>;

/// Hands out the parameters of a model.
struct Names<'a>(&'a [String], &'a Device);

impl Job for Names<'_> {
    type Output = Vec<Parameter>;
    fn run<T: Task>(self, task: T) -> Result<Vec<Parameter>> {
        Ok(parameters(&task.model(self.0, self.1)))
    }
}

impl Config {
    /// The first of these fields that is out of range.
    pub(crate) fn validate_extras(&self) -> Result<()> {
        let (g, a) = (&self.gradient, &self.average);
        let not_negative = |x: f64| x >= 0.0;
        let ranges = [
            ("gradient.sam", g.sam, not_negative(g.sam), "0 (off) or above"),
            ("gradient.loss_scale", g.loss_scale, not_negative(g.loss_scale), "0 (off) or above"),
            ("gradient.noise", g.noise, not_negative(g.noise), "0 (off) or above"),
            ("gradient.clip_value", g.clip_value, not_negative(g.clip_value), "0 (off) or above"),
            ("gradient.clip_adaptive", g.clip_adaptive, not_negative(g.clip_adaptive), "0 (off) or above"),
            ("gradient.clip_percentile", g.clip_percentile, (0.0..=100.0).contains(&g.clip_percentile), "in [0, 100], 0 for off"),
            ("groups.layer_decay", self.groups.layer_decay, self.groups.layer_decay > 0.0 && self.groups.layer_decay <= 1.0, "in (0, 1]"),
            ("average.lookahead_alpha", a.lookahead_alpha, (0.0..=1.0).contains(&a.lookahead_alpha), "in [0, 1]"),
            ("average.swa_lr", a.swa_lr, (0.0..=1.0).contains(&a.swa_lr), "a share of the peak in [0, 1], 0 for off"),
            ("average.swa_anneal", a.swa_anneal, (0.0..=1.0).contains(&a.swa_anneal), "a share of the run in [0, 1]"),
        ];
        if let Some((name, value, _, range)) = ranges.iter().find(|(_, value, ok, _)| !ok || !value.is_finite()) {
            return Err(usage(format!("{name} must be {range}, not {value}")));
        }
        for path in &self.groups.paths {
            if !(path.lr >= 0.0 && path.lr.is_finite() && path.weight_decay.is_none_or(|decay| decay >= 0.0 && decay.is_finite())) {
                return Err(usage(format!("groups.paths: lr and weight_decay of `{}` must be 0 or above", path.path)));
            }
        }
        if let Some(freeze) = self.groups.freeze.iter().find(|freeze| !(0.0..=1.0).contains(&freeze.until)) {
            return Err(usage(format!("groups.freeze: until of `{}` must be a share of the run in [0, 1], not {}", freeze.path, freeze.until)));
        }
        self.validate_one_vector()?;
        self.mup_base().map(|_| ())
    }

    /// What cannot stand around an optimizer that takes all parameters for one vector, or that evaluates the loss by itself.
    fn validate_one_vector(&self) -> Result<()> {
        let Configured::Lbfgs(lbfgs) = self.optimizer.optimizer().map_err(rule_error)? else { return Ok(()) };
        let name = &self.optimizer.name;
        let g = &self.gradient;
        if self.groups != GroupConfig::default() || self.average.lookahead > 0 {
            return Err(usage(format!("{name} takes all parameters as one vector: leave groups.* and average.lookahead out")));
        }
        let changed = *g != GradientConfig { loss_scale: g.loss_scale, ..GradientConfig::default() };
        if lbfgs.searches() && (changed || self.trainer.clip_norm > 0.0) {
            return Err(usage(format!("{name} searches for its step along the loss itself: set trainer.clip_norm=0, and leave gradient.* out")));
        }
        Ok(())
    }

    /// The narrow model of muP, if there is one.
    fn mup_base(&self) -> Result<Option<ModelConfig>> {
        if self.groups.mup_base.is_empty() {
            return Ok(None);
        }
        let mut base = serde_json::to_value(&self.model)?;
        for text in &self.groups.mup_base {
            overrides::set(&mut base, text).map_err(|why| usage(format!("groups.mup_base: {why}")))?;
        }
        Ok(Some(serde_json::from_value(base).map_err(|why| usage(format!("groups.mup_base: {why}")))?))
    }

    /// Patterns and the first step in which their parameters move.
    pub(crate) fn freezes(&self, parameters: &[Parameter], total: u64) -> Result<Vec<(String, u64)>> {
        let step = |until: f64| if until >= 1.0 { u64::MAX } else { (until * total as f64).round() as u64 };
        let one = |freeze: &FreezeConfig| {
            self.must_match("groups.freeze", &freeze.path, parameters)?;
            Ok((freeze.path.clone(), step(freeze.until)))
        };
        self.groups.freeze.iter().map(one).collect()
    }

    fn must_match(&self, field: &str, path: &str, parameters: &[Parameter]) -> Result<()> {
        if parameters.iter().any(|parameter| fornax_optimizers::name_matches(path, &parameter.name)) {
            return Ok(());
        }
        let names: Vec<_> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        Err(usage(format!("{field}: no parameter is called `{path}`; there are {}", names.join(", "))))
    }

    /// The rate under which weights are averaged, after the schedule.
    pub(crate) fn with_swa_rate(&self, schedule: Schedule, total: u64) -> Schedule {
        if self.trainer.swa_start == 0.0 || self.average.swa_lr == 0.0 {
            return schedule;
        }
        let steps = |share: f64| (share * total as f64).round() as u64;
        schedule.anneal_to(steps(self.trainer.swa_start), steps(self.average.swa_anneal), self.average.swa_lr, Anneal::Cosine)
    }

    /// The factor on the loss, if there is one.
    pub(crate) fn loss_scale(&self) -> Option<LossScale> {
        (self.gradient.loss_scale > 0.0).then(|| LossScale { scale: self.gradient.loss_scale, ..LossScale::default() })
    }
}

impl RunConfig {
    /// Groups and adjustments of the update rule.
    pub(crate) fn per_tensor(&self, parameters: &[Parameter], device: &Device) -> Result<PerTensor> {
        let config = &self.config;
        let mut optimizer = PerTensor::boxed(config.rule()?).with_decay(config.groups.decay);
        if config.optimizer.decay_matrices_only {
            optimizer = optimizer.with_group(Group::VECTORS_WITHOUT_DECAY);
        }
        let groups = &config.groups;
        for path in &groups.paths {
            config.must_match("groups.paths", &path.path, parameters)?;
            optimizer = optimizer.with_adjust(Adjust::path(&path.path, Change { lr_scale: path.lr, weight_decay: path.weight_decay }));
        }
        if groups.layer_decay < 1.0 {
            optimizer = optimizer.with_adjust(Adjust::layer_decay(parameters, groups.layer_decay));
        }
        if let Some(base) = config.mup_base()? {
            let rule = if config.optimizer.name == "sgd" { WidthRule::Sgd } else { WidthRule::Adam };
            optimizer = optimizer.with_adjust(Adjust::width(&base.with(Names(&self.classes, device))?, rule));
        }
        Ok(optimizer)
    }

    /// The update rule with all that stands around it, for a run of `total` steps.
    pub(crate) fn optimizer(&self, parameters: &[Parameter], device: &Device, total: u64) -> Result<RecipeOptimizer> {
        let config = &self.config;
        let mut optimizer = Transformed::new(match config.optimizer.optimizer().map_err(rule_error)? {
            Configured::PerTensor(_) => Configured::PerTensor(Box::new(self.per_tensor(parameters, device)?)),
            lbfgs @ Configured::Lbfgs(_) => lbfgs,
        });
        for (path, until) in config.freezes(parameters, total)? {
            optimizer = optimizer.with(Freeze { path, until });
        }
        let g = &config.gradient;
        if g.noise > 0.0 {
            optimizer = optimizer.with(Noise { eta: g.noise, gamma: 0.55, seed: config.seed });
        }
        if g.centralize {
            optimizer = optimizer.with(Centralize);
        }
        if g.clip_value > 0.0 {
            optimizer = optimizer.with(ClipValue(g.clip_value));
        }
        if g.clip_adaptive > 0.0 {
            optimizer = optimizer.with(ClipAdaptive { clip: g.clip_adaptive, ..ClipAdaptive::default() });
        }
        if g.clip_percentile > 0.0 {
            optimizer = optimizer.with(ClipPercentile::new(g.clip_percentile));
        }
        Ok(Lookahead::new(optimizer, config.average.lookahead, config.average.lookahead_alpha))
    }
}

/// The fields of this file and of the schedules, for `fornax train --help`.
const FIELDS: &[(&str, &str)] = &[
    ("gradient.sam", "radius of sharpness-aware minimization, two passes a step: 0.05"),
    ("gradient.sam_adaptive", "its adaptive form, ASAM: true, with a radius of 0.5 to 2"),
    ("gradient.loss_scale", "first factor on the loss, which then finds its size by itself: 65536"),
    ("gradient.noise", "variance of noise added to gradients at step 0: 0.01, 0.3 or 1"),
    ("gradient.centralize", "take the mean out of each unit's gradient: true"),
    ("gradient.clip_value", "largest element of a gradient"),
    ("gradient.clip_adaptive", "largest norm of a unit's gradient as a share of its weights' (AGC): 0.01"),
    ("gradient.clip_percentile", "clip at this percentile of all norms so far (AutoClip): 10"),
    ("groups.paths", "rate and decay by name: [{\"path\":\"head.*\",\"lr\":10,\"weight_decay\":0}]"),
    ("groups.freeze", "still up to a share of the run: [{\"path\":\"features.*\",\"until\":0.2}]"),
    ("groups.decay", "how optimizer.weight_decay acts: rule, coupled or decoupled"),
    ("groups.layer_decay", "rate of each layer as a share of that of the next: 0.75"),
    ("groups.mup_base", "the narrow model from which rates carry over (muP): [\"hidden=[64]\"]"),
    ("average.lookahead", "steps between Lookahead's synchronizations: 5"),
    ("average.lookahead_alpha", "its step toward the fast weights"),
    ("average.swa_lr", "rate from trainer.swa_start on, as a share of the peak"),
    ("average.swa_anneal", "share of the run in which the rate goes there"),
    ("privacy.epsilon", "differential privacy: what may be spent, which finds the noise: 3"),
    ("privacy.delta", "the probability left out of it: 1e-5"),
    ("privacy.noise", "deviation of the noise in units of the clipping norm, in place of what epsilon needs"),
    ("privacy.clip", "largest norm of an example's gradient"),
    ("privacy.clipping", "flat, per-layer or adaptive"),
    ("privacy.largest_part", "examples that go through the model at once, at most"),
    ("trainer.ema_warmup", "let the decay of averaged weights climb: true"),
    ("trainer.swa_start", "share of the run after which the mean of weights is kept"),
    ("trainer.swa_every", "steps between the weights of that mean; 0 for an epoch, 1 for Polyak's"),
];

/// What `fornax train --help` says at its end.
pub(crate) fn help() -> String {
    let rows =
        |all: &mut dyn Iterator<Item = (&'static str, &'static str)>| all.map(|(name, about)| format!("  {name:<26}{about}\n")).collect::<String>();
    let schedules = rows(&mut SCHEDULES.iter().map(|entry| (entry.name, entry.about)));
    let fields = rows(&mut FIELDS.iter().copied());
    format!(
        "Schedules, with --set schedule.name=NAME (`--show-config` then lists its options):\n{schedules}\nAround the update rule, with --set FIELD=VALUE; 0 is off:\n{fields}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_field() {
        let config = (crate::recipes::find("mnist-cnn").unwrap().config)();
        let leaves = overrides::leaves(&serde_json::to_value(&config).unwrap());
        let ours = |leaf: &&String| ["gradient.", "groups.", "average.", "privacy."].iter().any(|group| leaf.starts_with(group));
        let missing: Vec<_> = leaves.iter().filter(ours).filter(|leaf| !FIELDS.iter().any(|(name, _)| name == leaf)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(FIELDS.iter().all(|(name, _)| leaves.iter().any(|leaf| leaf == name)), "a field that is not there");
    }
}
