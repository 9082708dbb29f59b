use super::Entry;
use crate::config::{Config, DataConfig, ModelConfig, TextData};
use crate::extras::{AverageConfig, GradientConfig, GroupConfig};
use fornax_architectures::CharRnnConfig;
use fornax_optimizers::{RuleConfig, schedule::ScheduleConfig};
use fornax_trainer::TrainConfig;

pub(super) const ENTRY: Entry = Entry {
    name: "char-lstm",
    about: "two LSTM layers on the characters of Shakespeare, their state carried through the text",
    published: "none on this split",
    measured: "not yet",
    config,
};

fn config() -> Config {
    Config {
        recipe: ENTRY.name.into(),
        seed: 0,
        data: DataConfig::Text(TextData { name: "tiny-shakespeare".into(), limit: 0, valid_limit: 0 }),
        model: ModelConfig::CharRnn(CharRnnConfig { vocabulary: 0, embedding: 128, dropout: 0.3, bptt: 128, ..CharRnnConfig::new(0, 384, 2) }),
        optimizer: RuleConfig { lr: 4e-3, weight_decay: 0.01, ..RuleConfig::named("adamw").expect("a rule of the list") },
        schedule: ScheduleConfig::new("cosine").with("end", 0.01).with_warmup(0.05),
        trainer: TrainConfig { batch_size: 32, epochs: 10.0, eval_every: 1000, clip_norm: 1.0, ema_decay: 0.99, monitor: "loss".into(), ..TrainConfig::default() },
        gradient: GradientConfig::default(),
        groups: GroupConfig::default(),
        average: AverageConfig::default(),
    }
}
