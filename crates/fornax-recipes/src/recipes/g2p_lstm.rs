use super::Entry;
use crate::config::{Config, DataConfig, ModelConfig, PairData};
use crate::extras::{AverageConfig, GradientConfig, GroupConfig};
use crate::privacy::PrivacyConfig;
use fornax_architectures::Seq2SeqConfig;
use fornax_optimizers::{RuleConfig, schedule::ScheduleConfig};
use fornax_trainer::TrainConfig;

pub(super) const ENTRY: Entry = Entry {
    name: "g2p-lstm",
    about: "how English words are said: a bidirectional LSTM reads the letters, another LSTM with attention writes the phonemes; CMUdict",
    published: "about 31 % of words wrong by a Transformer, 33.9 % by Phonetisaurus, on another split without stress (CMUSphinx's g2p-seq2seq)",
    measured: "24.9 % of test words and 5.9 % of phonemes wrong, without stress, beam of 4, seed 0; 36.0 % and 9.5 % with it, after 4 of 13 epochs",
    config,
};

pub(super) fn config() -> Config {
    let model = Seq2SeqConfig { embedding: 128, dropout: 0.2, ..Seq2SeqConfig::new(0, 0, 384) };
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
        model: ModelConfig::Seq2Seq(model),
        optimizer: RuleConfig { lr: 2e-3, weight_decay: 0.01, ..RuleConfig::named("adamw").expect("a rule of the list") },
        schedule: ScheduleConfig::new("cosine").with("end", 0.01).with_warmup(0.05),
        trainer: TrainConfig { batch_size: 64, epochs: 13.0, ema_decay: 0.999, clip_norm: 1.0, monitor: "wer".into(), ..TrainConfig::default() },
        gradient: GradientConfig::default(),
        groups: GroupConfig::default(),
        average: AverageConfig::default(),
        privacy: PrivacyConfig::default(),
    }
}
