//! All that defines a run, as data.

mod data;
mod model;

pub(crate) use data::{DataConfig, ImageData, PairData, SentenceData, SeriesData, SignalData, SoundData, TextData, UtteranceData};
pub(crate) use model::ModelConfig;

use crate::{
    error::{did_you_mean, usage},
    extras::{AverageConfig, GradientConfig, GroupConfig},
    privacy::PrivacyConfig,
};
use anyhow::Result;
use burn::tensor::Device;
use fornax_architectures::TransformerConfig;
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
    #[serde(default)]
    pub(crate) privacy: PrivacyConfig,
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
        self.validate_privacy()?;
        self.data.validate()?;
        let fits = match self.model {
            ModelConfig::Gpt(_) | ModelConfig::Llama(_) | ModelConfig::CharRnn(_) => matches!(self.data, DataConfig::Text(_)),
            ModelConfig::Sequence(_) => matches!(self.data, DataConfig::Series(_) | DataConfig::Sounds(_)),
            ModelConfig::Frames(_) | ModelConfig::Transcriber(_) => matches!(self.data, DataConfig::Utterances(_)),
            ModelConfig::Seq2Seq(_) | ModelConfig::Transformer(_) => matches!(self.data, DataConfig::Pairs(_)),
            ModelConfig::TextCnn(_) => matches!(self.data, DataConfig::Sentences(_)),
            ModelConfig::Forecaster(_) => matches!(self.data, DataConfig::Signal(_)),
            ModelConfig::ConvNet(_) | ModelConfig::LeNet5(_) | ModelConfig::Mlp(_) => matches!(self.data, DataConfig::Images(_)),
        };
        if !fits {
            return Err(usage(
                "data.kind and model.name do not go together: gpt, llama and char-rnn learn from text, sequence from series or sounds, frames and transcriber from utterances, seq2seq and transformer from pairs, forecaster from a signal, text-cnn from sentences, the others from images",
            ));
        }
        let own_symbols = matches!(&self.data, DataConfig::Pairs(data) if data.tokenizer.is_none());
        if own_symbols && matches!(self.model, ModelConfig::Transformer(TransformerConfig { shared: true, .. })) {
            return Err(usage("model.shared must be false: sources and targets have alphabets of their own"));
        }
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
