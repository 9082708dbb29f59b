use super::Entry;
use crate::config::{Config, DataConfig, ModelConfig, TextData};
use crate::extras::{AverageConfig, GradientConfig, GroupConfig};
use crate::privacy::PrivacyConfig;
use fornax_architectures::GptConfig;
use fornax_optimizers::{RuleConfig, schedule::ScheduleConfig};
use fornax_trainer::TrainConfig;

pub(super) const ENTRY: Entry = Entry {
    name: "char-gpt",
    about: "a small GPT on the characters of Shakespeare: 4 blocks of 128, context 64, nanoGPT's example for a CPU",
    published: "1.88 nats after 2,000 steps on random blocks (nanoGPT's README)",
    measured: "1.892 nats on the validation text of tiny Shakespeare, seed 0, 100 s",
    config,
};

/// nanoGPT's numbers: batch 12, 2,000 steps, AdamW (0.9, 0.99) from 1e-3 to 1e-4 by a cosine after 100 steps.
pub(super) fn config() -> Config {
    Config {
        recipe: ENTRY.name.into(),
        seed: 0,
        data: DataConfig::Text(TextData { name: "tiny-shakespeare".into(), limit: 0, valid_limit: 0 }),
        model: ModelConfig::Gpt(GptConfig { vocabulary: 0, ..GptConfig::nano_cpu() }),
        optimizer: RuleConfig { lr: 1e-3, weight_decay: 0.1, ..RuleConfig::named("adamw").expect("a rule of the list").with("beta2", 0.99) },
        schedule: ScheduleConfig::new("cosine").with("end", 0.1).with_warmup(0.05),
        trainer: TrainConfig { batch_size: 12, steps: 2000, eval_every: 500, clip_norm: 1.0, monitor: "loss".into(), ..TrainConfig::default() },
        gradient: GradientConfig::default(),
        groups: GroupConfig::default(),
        average: AverageConfig::default(),
        privacy: PrivacyConfig::default(),
    }
}
