use super::Entry;
use crate::config::{Config, DataConfig, ModelConfig, SentenceData};
use crate::extras::{AverageConfig, GradientConfig, GroupConfig};
use crate::privacy::PrivacyConfig;
use fornax_architectures::TextCnnConfig;
use fornax_optimizers::{RuleConfig, schedule::ScheduleConfig};
use fornax_trainer::TrainConfig;

pub(super) const ENTRY: Entry = Entry {
    name: "sentence-cnn",
    about: "is a film review's sentence positive: Kim's convolutional network over words, CNN-rand; the movie sentences, or any `label text` lines",
    published: "76.1 % on MR, ten folds, CNN-rand (Kim, 2014)",
    measured: "77.8 and 78.5 % on two of MR's ten folds, seed 0",
    config,
};

pub(super) fn config() -> Config {
    Config {
        recipe: ENTRY.name.into(),
        seed: 0,
        data: DataConfig::Sentences(SentenceData { name: "movie-sentences".into(), folds: 10, fold: 0, word_dropout: 0.1, limit: 0 }),
        model: ModelConfig::TextCnn(TextCnnConfig::kim(0, 0)),
        optimizer: RuleConfig { lr: 1e-3, weight_decay: 0.01, ..RuleConfig::named("adamw").expect("a rule of the list") },
        schedule: ScheduleConfig::new("cosine").with("end", 0.01).with_warmup(0.05),
        trainer: TrainConfig { batch_size: 50, epochs: 6.0, eval_every: 100, ema_decay: 0.99, monitor: "accuracy".into(), ..TrainConfig::default() },
        gradient: GradientConfig::default(),
        groups: GroupConfig::default(),
        average: AverageConfig::default(),
        privacy: PrivacyConfig::default(),
    }
}
