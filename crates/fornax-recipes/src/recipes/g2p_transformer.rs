use super::Entry;
use crate::config::{Config, DataConfig, ModelConfig, PairData};
use crate::extras::{AverageConfig, GradientConfig, GroupConfig};
use crate::privacy::PrivacyConfig;
use fornax_architectures::TransformerConfig;
use fornax_optimizers::{RuleConfig, schedule::ScheduleConfig};
use fornax_trainer::TrainConfig;

pub(super) const ENTRY: Entry = Entry {
    name: "g2p-transformer",
    about: "how English words are said: a Transformer reads the letters and writes the phonemes; CMUdict",
    published: "about 31 % of words wrong by a Transformer, 33.9 % by Phonetisaurus, on another split without stress (CMUSphinx's g2p-seq2seq)",
    measured: "not yet",
    config,
};

pub(super) fn config() -> Config {
    let model = TransformerConfig { dropout: 0.1, ..TransformerConfig::small(0, 0) };
    Config {
        recipe: ENTRY.name.into(),
        seed: 0,
        data: DataConfig::Pairs(PairData {
            name: "cmudict".into(),
            stress: false,
            tokenizer: None,
            pieces: 0,
            smoothing: 0.1,
            beam: 4,
            length_penalty: 0.0,
            limit: 0,
            valid_limit: 0,
        }),
        model: ModelConfig::Transformer(model),
        optimizer: RuleConfig { lr: 0.02, weight_decay: 0.1, ..RuleConfig::named("muon").expect("a rule of the list") }.with("adamw_lr_scale", 0.25),
        schedule: ScheduleConfig::new("cosine").with("end", 0.01).with_warmup(0.05),
        trainer: TrainConfig { batch_size: 64, epochs: 13.0, ema_decay: 0.999, clip_norm: 1.0, monitor: "wer".into(), ..TrainConfig::default() },
        gradient: GradientConfig::default(),
        groups: GroupConfig::default(),
        average: AverageConfig::default(),
        privacy: PrivacyConfig::default(),
    }
}
