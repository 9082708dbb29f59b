use crate::{error::usage, found::check_name};
use anyhow::Result;
use fornax_data::{
    Augment, SeriesAugment, TokenizerKind,
    audio::{FilterAugment, MelConfig, SoundAugment, SpecAugment, Splice, VocalTract},
};
use serde::{Deserialize, Serialize};

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
    Signal(SignalData),
    Sentences(SentenceData),
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
    /// Where the first band begins, in hertz: rooms hum, and microphones differ, below the voice's resonances.
    #[serde(default)]
    pub(crate) low: f64,
    /// Each sample less this share of the one before it: 0.97 raises the high bands as the voice's source lowers them; 0 changes nothing.
    #[serde(default)]
    pub(crate) emphasis: f64,
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
        MelConfig { low: self.low, ..MelConfig::speech(self.rate, self.filters) }
    }

    fn validate(&self) -> Result<()> {
        check_name(&self.name, "recordings")?;
        if !(1000..=192_000).contains(&self.rate) {
            return Err(usage(format!("data.rate must be from 1000 to 192000 samples a second, not {}", self.rate)));
        }
        if !(1..=512).contains(&self.filters) {
            return Err(usage(format!("data.filters must be from 1 to 512, not {}", self.filters)));
        }
        let half = f64::from(self.rate) / 2.0;
        if !(0.0..half).contains(&self.low) {
            return Err(usage(format!("data.low must be from 0 to less than {half} hertz, not {}", self.low)));
        }
        if !(0.0..=1.0).contains(&self.emphasis) {
            return Err(usage(format!("data.emphasis must be from 0 to 1, not {}", self.emphasis)));
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
    /// What texts are taken apart by, if they are texts: `bpe`, `byte-bpe`, `word-piece`, `unigram` or `characters`, learned of both sides together.
    #[serde(default)]
    pub(crate) tokenizer: Option<TokenizerKind>,
    /// Its pieces, at most.
    #[serde(default)]
    pub(crate) pieces: usize,
    /// Label smoothing of the training loss.
    pub(crate) smoothing: f64,
    /// Beginnings that the search for the best target keeps; 1 for the best symbol at each step.
    pub(crate) beam: usize,
    /// `α` of the search's score `log p / ((5 + n)/6)^α`: above 0 longer targets lose less.
    #[serde(default)]
    pub(crate) length_penalty: f64,
    /// Use so many training sources; 0 for all.
    pub(crate) limit: usize,
    /// Measure on so many of the validation sources while training; 0 for all.
    pub(crate) valid_limit: usize,
}

/// `data.*` of forecasts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignalData {
    /// A name from `fornax data list`.
    pub(crate) name: String,
    /// Past forecasts that say how wide the band must be to hold its share; 0 for as wide as the model makes it.
    pub(crate) calibrate: usize,
}

/// `data.*` of recipes for labelled sentences.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SentenceData {
    /// A name from `fornax data list`; a folder or a file of `label text` lines is given with --data.
    pub(crate) name: String,
    /// Parts of sentences that nobody has split, of which one tests.
    pub(crate) folds: usize,
    /// Which part, from 0.
    pub(crate) fold: usize,
    /// Share of the words in training that are taken for unknown ones.
    pub(crate) word_dropout: f64,
    /// Use so many training sentences; 0 for all.
    pub(crate) limit: usize,
}

impl SentenceData {
    fn validate(&self) -> Result<()> {
        check_name(&self.name, "sentences")?;
        if self.folds < 2 || self.fold >= self.folds {
            return Err(usage(format!("data.fold must be below data.folds, which is at least 2: {} of {}", self.fold, self.folds)));
        }
        if !(0.0..1.0).contains(&self.word_dropout) {
            return Err(usage(format!("data.word_dropout must be in [0, 1), not {}", self.word_dropout)));
        }
        Ok(())
    }
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
            Self::Signal(data) => &data.name,
            Self::Sentences(data) => &data.name,
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

    /// Of forecasts; the configuration was checked before.
    pub(crate) fn signal(&self) -> &SignalData {
        match self {
            Self::Signal(data) => data,
            _ => unreachable!("a forecaster has data of a signal"),
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

    /// Of sentences; the configuration was checked before.
    pub(crate) fn sentences(&self) -> &SentenceData {
        match self {
            Self::Sentences(data) => data,
            _ => unreachable!("a model of sentences has data of sentences"),
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        match self {
            Self::Sentences(data) => data.validate(),
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
            Self::Signal(data) => check_name(&data.name, "signals"),
            Self::Pairs(data) => {
                check_name(&data.name, if data.tokenizer.is_some() { "translations" } else { "pairs" })?;
                if !(0.0..1.0).contains(&data.smoothing) {
                    return Err(usage(format!("data.smoothing must be in [0, 1), not {}", data.smoothing)));
                }
                if !(1..=64).contains(&data.beam) {
                    return Err(usage(format!("data.beam must be from 1 to 64, not {}", data.beam)));
                }
                if !(0.0..=10.0).contains(&data.length_penalty) {
                    return Err(usage(format!("data.length_penalty must be from 0 to 10, not {}", data.length_penalty)));
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
