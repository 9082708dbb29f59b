//! All that defines a run, as data.

use crate::{
    error::{did_you_mean, usage},
    extras::{AverageConfig, GradientConfig, GroupConfig},
    found::check_name,
    frames::Frames,
    images::Images,
    pairs::Pairs,
    sequences::Sequences,
    task::Job,
    text::Text,
    transcripts::Transcripts,
};
use anyhow::Result;
use burn::tensor::Device;
use fornax_architectures::{
    CharRnnConfig, ConvNetConfig, FrameLabelerConfig, GptConfig, LeNet5Config, MlpConfig, Seq2SeqConfig, SequenceClassifierConfig, SequenceEncoderConfig,
};
use fornax_data::{
    Augment, SeriesAugment,
    audio::{FilterAugment, MelConfig, SoundAugment, SpecAugment, Splice, VocalTract},
};
use fornax_kernels::device::{BackendName, in_pool};
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
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum DataConfig {
    Images(ImageData),
    Text(TextData),
    Series(SeriesData),
    Sounds(SoundData),
    Utterances(UtteranceData),
    Pairs(PairData),
}

/// `data.*` of image recipes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageData {
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

/// `data.*` of language models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextData {
    /// A name from `fornax data list`, or `file` for a text given with --data.
    pub(crate) name: String,
    /// Use so many characters of the training text; 0 for all.
    pub(crate) limit: usize,
    /// Measure on so many of the validation text while training; 0 for all.
    pub(crate) valid_limit: usize,
}

/// `data.*` of recipes for labelled series.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeriesData {
    /// A name from `fornax data list`.
    pub(crate) name: String,
    /// Parts of the training series of which one validates; 0 trains on all, and validates on them too.
    pub(crate) folds: usize,
    /// Which part, from 0.
    pub(crate) fold: usize,
    /// Random changes to training series, all of which have deviation 1 in every channel.
    pub(crate) augment: SeriesAugment,
    /// Use so many training series; 0 for all.
    pub(crate) limit: usize,
}

/// `data.*` of recipes for labelled recordings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SoundData {
    /// A name from `fornax data list`.
    pub(crate) name: String,
    /// Samples a second; recordings of another rate are resampled.
    pub(crate) rate: u32,
    /// Mel bands every 10 ms.
    pub(crate) filters: usize,
    /// Decibels below the loudest band that are still heard, so that no two rooms' noises are told apart; 0 for all.
    #[serde(default)]
    pub(crate) range: f64,
    /// Random changes to training recordings.
    pub(crate) augment: SoundAugment,
    /// At most this relative change of the frequencies of training recordings, as of another vocal tract.
    #[serde(default)]
    pub(crate) warp: f64,
    /// A random filter over the bands of training recordings, as of another microphone.
    #[serde(default)]
    pub(crate) filter: FilterAugment,
    /// Bands of time and frequency that are blanked.
    pub(crate) spec: SpecAugment,
    /// The speaker who validates in place of the usual split; empty for none.
    pub(crate) leave_out: String,
    /// Use so many training recordings; 0 for all.
    pub(crate) limit: usize,
}

impl SoundData {
    /// 25 ms every 10 ms.
    pub(crate) fn mel(&self) -> MelConfig {
        MelConfig::speech(self.rate, self.filters)
    }

    fn validate(&self) -> Result<()> {
        check_name(&self.name, "recordings")?;
        if !(1000..=192_000).contains(&self.rate) {
            return Err(usage(format!("data.rate must be from 1000 to 192000 samples a second, not {}", self.rate)));
        }
        if !(1..=512).contains(&self.filters) {
            return Err(usage(format!("data.filters must be from 1 to 512, not {}", self.filters)));
        }
        if !(0.0..=200.0).contains(&self.range) {
            return Err(usage(format!("data.range must be from 0 to 200 decibels, not {}", self.range)));
        }
        self.filter.check().map_err(|e| usage(format!("data.filter: {e}")))?;
        VocalTract { warp: self.warp }.check().map_err(|e| usage(format!("data.warp: {e}")))?;
        self.augment.check().map_err(|e| usage(format!("data.augment: {e}")))
    }
}

/// `data.*` of recipes for utterances that are spliced of recordings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UtteranceData {
    /// The recordings, and the random changes to each of them in training.
    pub(crate) sounds: SoundData,
    /// How they become utterances; in training always new ones.
    pub(crate) splice: Splice,
    /// Utterances of an epoch.
    pub(crate) train: usize,
    /// Utterances that validate, and as many to test; always the same ones.
    pub(crate) valid: usize,
}

/// `data.*` of recipes for sequences of symbols that become others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PairData {
    /// A name from `fornax data list`.
    pub(crate) name: String,
    /// Keep the digits at the ends of target symbols: on CMUdict's vowels, how they are stressed.
    pub(crate) stress: bool,
    /// Label smoothing of the training loss.
    pub(crate) smoothing: f64,
    /// Beginnings that the search for the best target keeps; 1 for the best symbol at each step.
    pub(crate) beam: usize,
    /// Use so many training sources; 0 for all.
    pub(crate) limit: usize,
    /// Measure on so many of the validation sources while training; 0 for all.
    pub(crate) valid_limit: usize,
}

impl DataConfig {
    /// The data set's name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Images(data) => &data.name,
            Self::Text(data) => &data.name,
            Self::Series(data) => &data.name,
            Self::Sounds(data) => &data.name,
            Self::Utterances(data) => &data.sounds.name,
            Self::Pairs(data) => &data.name,
        }
    }

    /// Mel bands of recordings.
    pub(crate) fn filters(&self) -> usize {
        match self {
            Self::Sounds(data) => data.filters,
            Self::Utterances(data) => data.sounds.filters,
            _ => 0,
        }
    }

    /// Of utterances; the configuration was checked before.
    pub(crate) fn utterances(&self) -> &UtteranceData {
        match self {
            Self::Utterances(data) => data,
            _ => unreachable!("a model of frames has data of utterances"),
        }
    }

    /// Of images; the configuration was checked before.
    pub(crate) fn images(&self) -> &ImageData {
        match self {
            Self::Images(data) => data,
            _ => unreachable!("a model of images has data of images"),
        }
    }

    /// Of text; the configuration was checked before.
    pub(crate) fn text(&self) -> &TextData {
        match self {
            Self::Text(data) => data,
            _ => unreachable!("a model of text has data of text"),
        }
    }

    /// Of pairs; the configuration was checked before.
    pub(crate) fn pairs(&self) -> &PairData {
        match self {
            Self::Pairs(data) => data,
            _ => unreachable!("a model of pairs has data of pairs"),
        }
    }

    fn validate(&self) -> Result<()> {
        match self {
            Self::Images(data) => {
                check_name(&data.name, "images")?;
                if !(data.std > 0.0 && data.std.is_finite()) {
                    return Err(usage(format!("data.std must be above 0, not {}", data.std)));
                }
                if data.workers > 256 {
                    return Err(usage(format!("data.workers must be at most 256, not {}", data.workers)));
                }
                data.augment.check().map_err(|e| usage(format!("data.augment: {e}")))
            }
            Self::Text(data) => check_name(&data.name, "text"),
            Self::Series(data) => {
                check_name(&data.name, "series")?;
                if data.folds == 1 || data.fold >= data.folds.max(1) {
                    return Err(usage(format!("data.fold must be below data.folds, which is 0 or at least 2: {} of {}", data.fold, data.folds)));
                }
                data.augment.check().map_err(|e| usage(format!("data.augment: {e}")))
            }
            Self::Pairs(data) => {
                check_name(&data.name, "pairs")?;
                if !(0.0..1.0).contains(&data.smoothing) {
                    return Err(usage(format!("data.smoothing must be in [0, 1), not {}", data.smoothing)));
                }
                if !(1..=64).contains(&data.beam) {
                    return Err(usage(format!("data.beam must be from 1 to 64, not {}", data.beam)));
                }
                Ok(())
            }
            Self::Sounds(data) => data.validate(),
            Self::Utterances(data) => {
                data.sounds.validate()?;
                data.splice.check().map_err(|e| usage(format!("data.splice: {e}")))?;
                if data.train == 0 || data.valid == 0 {
                    return Err(usage("data.train and data.valid must be at least 1"));
                }
                Ok(())
            }
        }
    }
}

/// `model.*`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub(crate) enum ModelConfig {
    ConvNet(ConvNetConfig),
    LeNet5(LeNet5Config),
    Mlp(MlpConfig),
    Gpt(GptConfig),
    CharRnn(CharRnnConfig),
    Sequence(SequenceClassifierConfig),
    Frames(FrameLabelerConfig),
    Transcriber(FrameLabelerConfig),
    #[serde(rename = "seq2seq")]
    Seq2Seq(Seq2SeqConfig),
}

impl ModelConfig {
    /// Hands the task of this model to `job`: the one place that knows every architecture.
    ///
    /// It works on a thread of the pool, where an operation need not wake one and wait for it.
    pub(crate) fn with<J: Job<Output: Send> + Send>(&self, job: J) -> Result<J::Output> {
        in_pool(|| match self {
            Self::ConvNet(config) => job.run(Images(|device: &Device| config.init(device))),
            Self::LeNet5(config) => job.run(Images(|device: &Device| config.init(device))),
            Self::Mlp(config) => job.run(Images(|device: &Device| config.init(device))),
            Self::Gpt(config) => job.run(Text::new(|vocabulary, device: &Device| GptConfig { vocabulary, ..*config }.init(device), config.context)),
            Self::CharRnn(config) => {
                job.run(Text::new(|vocabulary, device: &Device| CharRnnConfig { vocabulary, ..*config }.init(device), config.bptt))
            }
            Self::Sequence(config) => job.run(Sequences(|device: &Device| config.init(device), config.encoder.inputs)),
            Self::Frames(config) => job.run(Frames(config.clone())),
            Self::Transcriber(config) => job.run(Transcripts(config.clone())),
            Self::Seq2Seq(config) => {
                job.run(Pairs(|[sources, targets]: [usize; 2], device: &Device| Seq2SeqConfig { sources, targets, ..*config }.init(device)))
            }
        })
    }

    fn learns_text(&self) -> bool {
        matches!(self, Self::Gpt(_) | Self::CharRnn(_))
    }

    /// Channels, height and width of an image; nothing of other models.
    pub(crate) fn image(&self) -> [usize; 3] {
        match self {
            Self::ConvNet(config) => config.image,
            Self::LeNet5(_) | Self::Mlp(_) => [1, 28, 28],
            Self::Gpt(_) | Self::CharRnn(_) | Self::Sequence(_) | Self::Frames(_) | Self::Transcriber(_) | Self::Seq2Seq(_) => [0; 3],
        }
    }

    /// Classes of the head; of a language model and of pairs 0, for as many as the data have symbols.
    pub(crate) fn classes(&self) -> usize {
        match self {
            Self::ConvNet(config) => config.classes,
            Self::LeNet5(config) => config.classes,
            Self::Mlp(config) => config.classes,
            Self::Gpt(config) => config.vocabulary,
            Self::CharRnn(config) => config.vocabulary,
            Self::Sequence(config) => config.classes,
            Self::Frames(config) | Self::Transcriber(config) => config.classes,
            Self::Seq2Seq(config) => config.sources + config.targets,
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
            Self::Gpt(config) => {
                let positive = [("context", config.context), ("width", config.width), ("heads", config.heads), ("layers", config.layers)];
                if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
                    return Err(((*name).into(), "must be at least 1".into()));
                }
                if config.width % config.heads != 0 {
                    return Err(("heads".into(), format!("must divide model.width, {}, not {}", config.width, config.heads)));
                }
                config.dropout
            }
            Self::CharRnn(config) => {
                let positive = [("embedding", config.embedding), ("hidden", config.hidden), ("layers", config.layers), ("bptt", config.bptt)];
                if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
                    return Err(((*name).into(), "must be at least 1".into()));
                }
                if config.tied && config.embedding != config.hidden {
                    return Err(("tied".into(), format!("needs an embedding as wide as model.hidden, {}, not {}", config.hidden, config.embedding)));
                }
                config.dropout
            }
            Self::Seq2Seq(config) => {
                let Seq2SeqConfig { embedding, hidden, encoder_layers, decoder_layers, .. } = *config;
                let positive = [("embedding", embedding), ("hidden", hidden), ("encoder_layers", encoder_layers), ("decoder_layers", decoder_layers)];
                if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
                    return Err(((*name).into(), "must be at least 1".into()));
                }
                if hidden % 2 == 1 {
                    return Err(("hidden".into(), format!("must be even, for both directions of the encoder share it, not {hidden}")));
                }
                if decoder_layers > encoder_layers {
                    return Err(("decoder_layers".into(), format!("must be at most model.encoder_layers, {encoder_layers}, not {decoder_layers}")));
                }
                config.dropout
            }
            Self::Sequence(config) => {
                check_encoder(&config.encoder)?;
                config.dropout
            }
            Self::Frames(config) | Self::Transcriber(config) => {
                check_encoder(&config.encoder)?;
                config.dropout
            }
        };
        if !(0.0..1.0).contains(&dropout) {
            return Err(("dropout".into(), format!("must be in [0, 1), not {dropout}")));
        }
        match self.classes() {
            0 if self.learns_text() || matches!(self, Self::Seq2Seq(_)) => Ok(()),
            0 => Err(("classes".into(), "must be at least 1".into())),
            _ if matches!(self, Self::Seq2Seq(_)) => {
                Err(("sources".into(), "and model.targets must be 0: the pairs that the model learns from decide".into()))
            }
            _ if self.learns_text() => Err(("vocabulary".into(), "must be 0: the text that the model learns from decides".into())),
            _ => Ok(()),
        }
    }
}

fn check_encoder(encoder: &SequenceEncoderConfig) -> Result<(), (String, String)> {
    let positive = [("inputs", encoder.inputs), ("hidden", encoder.hidden), ("layers", encoder.layers)];
    if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
        return Err((format!("encoder.{name}"), "must be at least 1".into()));
    }
    if encoder.front.iter().any(|conv| conv.channels == 0 || conv.kernel % 2 == 0 || conv.stride == 0) {
        return Err(("encoder.front".into(), "needs channels, an odd kernel, and a stride of at least 1".into()));
    }
    if !(0.0..1.0).contains(&encoder.dropout) {
        return Err(("encoder.dropout".into(), format!("must be in [0, 1), not {}", encoder.dropout)));
    }
    Ok(())
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
        self.data.validate()?;
        let fits = match self.model {
            ModelConfig::Gpt(_) | ModelConfig::CharRnn(_) => matches!(self.data, DataConfig::Text(_)),
            ModelConfig::Sequence(_) => matches!(self.data, DataConfig::Series(_) | DataConfig::Sounds(_)),
            ModelConfig::Frames(_) | ModelConfig::Transcriber(_) => matches!(self.data, DataConfig::Utterances(_)),
            ModelConfig::Seq2Seq(_) => matches!(self.data, DataConfig::Pairs(_)),
            ModelConfig::ConvNet(_) | ModelConfig::LeNet5(_) | ModelConfig::Mlp(_) => matches!(self.data, DataConfig::Images(_)),
        };
        if !fits {
            return Err(usage(
                "data.kind and model.name do not go together: gpt and char-rnn learn from text, sequence from series or sounds, frames and transcriber from utterances, seq2seq from pairs, the others from images",
            ));
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
