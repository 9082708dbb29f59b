//! All that defines a run, as data.

use crate::{
    error::{did_you_mean, usage},
    extras::{AverageConfig, GradientConfig, GroupConfig},
    found::check_name,
};
use anyhow::Result;
use burn::tensor::Device;
use fornax_architectures::{ConvNetConfig, ImageClassifier, LeNet5Config, MlpConfig};
use fornax_data::Augment;
use fornax_kernels::device::BackendName;
use fornax_optimizers::{
    Rule, RuleConfig, RuleError, Schedule,
    schedule::{ScheduleConfig, ScheduleError},
};
use fornax_trainer::TrainConfig;
use serde::{Deserialize, Serialize};

/// A recipe with everything filled in; `config.json` of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) recipe: String,
    pub(crate) seed: u64,
    pub(crate) data: DataConfig,
    pub(crate) model: ModelConfig,
    pub(crate) optimizer: RuleConfig,
    pub(crate) schedule: ScheduleConfig,
    pub(crate) trainer: TrainConfig,
    #[serde(default)]
    pub(crate) gradient: GradientConfig,
    #[serde(default)]
    pub(crate) groups: GroupConfig,
    #[serde(default)]
    pub(crate) average: AverageConfig,
}

/// `data.*`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataConfig {
    /// A name from `fornax data list`, or `folder` for class folders given with --data.
    pub(crate) name: String,
    /// Random changes to training images.
    pub(crate) augment: Augment,
    /// Subtracted from pixels in [0, 1].
    pub(crate) mean: f64,
    /// Then divided by.
    pub(crate) std: f64,
    /// Threads that prepare batches; the batches are the same for any number.
    pub(crate) workers: usize,
    /// Use so many training images; 0 for all.
    pub(crate) limit: usize,
}

/// `model.*`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub(crate) enum ModelConfig {
    ConvNet(ConvNetConfig),
    LeNet5(LeNet5Config),
    Mlp(MlpConfig),
}

/// Something to do with a model of any architecture.
pub(crate) trait Job {
    type Output;
    fn run<M: ImageClassifier>(self, model: M) -> Result<Self::Output>;
}

impl ModelConfig {
    /// Builds the model from the step key and hands it to `job`: the one place that knows every architecture.
    pub(crate) fn with<J: Job>(&self, device: &Device, job: J) -> Result<J::Output> {
        match self {
            Self::ConvNet(config) => job.run(config.init(device)),
            Self::LeNet5(config) => job.run(config.init(device)),
            Self::Mlp(config) => job.run(config.init(device)),
        }
    }

    /// Channels, height and width of an image.
    pub(crate) fn image(&self) -> [usize; 3] {
        match self {
            Self::ConvNet(config) => config.image,
            Self::LeNet5(_) | Self::Mlp(_) => [1, 28, 28],
        }
    }

    /// Classes of the head.
    pub(crate) fn classes(&self) -> usize {
        match self {
            Self::ConvNet(config) => config.classes,
            Self::LeNet5(config) => config.classes,
            Self::Mlp(config) => config.classes,
        }
    }

    fn validate(&self) -> Result<(), (String, String)> {
        let dropout = match self {
            Self::ConvNet(config) => {
                config.features().map_err(|why| ("stages".into(), why))?;
                if config.dense.contains(&0) {
                    return Err(("dense".into(), "has a width of 0".into()));
                }
                config.dropout
            }
            Self::Mlp(config) if config.hidden.contains(&0) => return Err(("hidden".into(), "has a width of 0".into())),
            Self::Mlp(config) if config.inputs != 28 * 28 => return Err(("inputs".into(), "must be 784, the pixels of an image".into())),
            Self::Mlp(config) => config.dropout,
            Self::LeNet5(_) => 0.0,
        };
        if !(0.0..1.0).contains(&dropout) {
            return Err(("dropout".into(), format!("must be in [0, 1), not {dropout}")));
        }
        match self.classes() {
            0 => Err(("classes".into(), "must be at least 1".into())),
            _ => Ok(()),
        }
    }
}

impl Config {
    /// Checks every range.
    pub(crate) fn validate(&self) -> Result<()> {
        let field = |group: &str| {
            let group = group.to_string();
            move |(name, why): (String, String)| usage(format!("{group}.{name} {why}"))
        };
        self.optimizer.optimizer().map_err(rule_error)?;
        self.schedule(100)?;
        self.validate_extras()?;
        let ranges = [("data.std", self.data.std, self.data.std > 0.0, "above 0")];
        if let Some((name, value, _, range)) = ranges.iter().find(|(_, value, ok, _)| !ok || !value.is_finite()) {
            return Err(usage(format!("{name} must be {range}, not {value}")));
        }
        if self.data.workers > 256 {
            return Err(usage(format!("data.workers must be at most 256, not {}", self.data.workers)));
        }
        check_name(&self.data.name)?;
        self.data.augment.check().map_err(|e| usage(format!("data.augment: {e}")))?;
        self.model.validate().map_err(field("model"))?;
        self.trainer.validate().map_err(|(name, why)| field("trainer")((name.into(), why)))
    }

    /// The update rule.
    pub(crate) fn rule(&self) -> Result<Box<dyn Rule>> {
        self.optimizer.build().map_err(rule_error)
    }

    /// The factor on the learning rate by step.
    pub(crate) fn schedule(&self, total: u64) -> Result<Schedule> {
        let wrong = |error: ScheduleError| {
            let near = error.unknown.as_ref().map(|(word, known)| did_you_mean(word, known.iter().map(String::as_str)));
            usage(format!("schedule.{error}{}", near.unwrap_or_default()))
        };
        Ok(self.with_swa_rate(self.schedule.build(total).map_err(wrong)?, total))
    }
}

/// A wrong name or number under `optimizer`, with the nearest right name.
pub(crate) fn rule_error(error: RuleError) -> anyhow::Error {
    let hint = error.unknown.as_ref().map_or(String::new(), |(word, known)| did_you_mean(word, known.iter().map(String::as_str)));
    usage(format!("optimizer.{error}{hint}"))
}

/// Opens a device by its names on the command line.
pub(crate) fn device(backend: &str, device: Option<&str>) -> Result<Device> {
    let open = || backend.parse::<BackendName>()?.device(device);
    open().map_err(|e| usage(e.to_string()))
}
