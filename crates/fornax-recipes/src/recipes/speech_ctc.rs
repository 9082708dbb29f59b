use super::{Entry, speech_frames};
use crate::config::{Config, ModelConfig};
use fornax_architectures::{FrameLabelerConfig, FrontConv, SequenceEncoderConfig};
use fornax_optimizers::RuleConfig;
use fornax_trainer::TrainConfig;

pub(super) const ENTRY: Entry = Entry {
    name: "speech-ctc",
    about: "strings of three to seven spoken digits, learned without their times: convolutions, a bidirectional LSTM, CTC; needs --data DIR with FSDD",
    published: "none by the data set's authors",
    measured: "2.3 % of validation digits wrong, seed 0",
    config,
};

pub(super) fn config() -> Config {
    let encoder = SequenceEncoderConfig {
        front: vec![FrontConv { channels: 64, kernel: 5, stride: 2 }, FrontConv { channels: 64, kernel: 5, stride: 2 }],
        ..SequenceEncoderConfig::new(40, 96)
    };
    let base = speech_frames::config();
    Config {
        recipe: ENTRY.name.into(),
        model: ModelConfig::Transcriber(FrameLabelerConfig { encoder, dropout: 0.3, classes: 11 }),
        optimizer: RuleConfig { lr: 0.02, weight_decay: 0.1, ..RuleConfig::named("muon").expect("a rule of the list") }.with("adamw_lr_scale", 0.25),
        trainer: TrainConfig { epochs: 30.0, ..base.trainer.clone() },
        ..base
    }
}
