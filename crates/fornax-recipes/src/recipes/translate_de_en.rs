use super::Entry;
use crate::config::{Config, DataConfig, ModelConfig, PairData};
use crate::extras::{AverageConfig, GradientConfig, GroupConfig};
use crate::privacy::PrivacyConfig;
use fornax_architectures::TransformerConfig;
use fornax_data::TokenizerKind;
use fornax_optimizers::{RuleConfig, schedule::ScheduleConfig};
use fornax_trainer::TrainConfig;

pub(super) const ENTRY: Entry = Entry {
    name: "translate-de-en",
    about: "German captions become English ones: a Transformer on byte-level BPE; Multi30k by --data",
    published: "BLEU 36.52, lower-cased and word-tokenized, greedy, 9.0 M parameters (bentrevett's pytorch-seq2seq)",
    measured: "not yet",
    config,
};

pub(super) fn config() -> Config {
    let data = PairData {
        name: "multi30k".into(),
        stress: true,
        tokenizer: Some(TokenizerKind::ByteBpe),
        pieces: 6000,
        smoothing: 0.1,
        beam: 5,
        length_penalty: 0.6,
        limit: 0,
        valid_limit: 0,
    };
    // One table of pieces reads, writes and scores.
    let model = TransformerConfig { hidden: 512, dropout: 0.25, shared: true, ..TransformerConfig::small(0, 0) };
    Config {
        recipe: ENTRY.name.into(),
        seed: 0,
        data: DataConfig::Pairs(data),
        model: ModelConfig::Transformer(model),
        optimizer: RuleConfig { lr: 0.02, weight_decay: 0.1, ..RuleConfig::named("muon").expect("a rule of the list") }.with("adamw_lr_scale", 0.1),
        schedule: ScheduleConfig::new("cosine").with("end", 0.01).with_warmup(0.05),
        trainer: TrainConfig { batch_size: 128, epochs: 16.0, ema_decay: 0.995, clip_norm: 1.0, monitor: "bleu".into(), ..TrainConfig::default() },
        gradient: GradientConfig::default(),
        groups: GroupConfig::default(),
        average: AverageConfig::default(),
        privacy: PrivacyConfig::default(),
    }
}
