use super::{Entry, speech_frames};
use crate::config::{Config, ModelConfig};
use fornax_architectures::{FrameLabelerConfig, FrontConv, SequenceEncoderConfig};
use fornax_optimizers::RuleConfig;
use fornax_trainer::TrainConfig;

pub(super) const ENTRY: Entry = Entry {
    name: "speech-ctc",
    about: "strings of three to seven spoken digits, learned without their times: convolutions, a bidirectional LSTM, CTC; needs --data DIR with FSDD",
    published: "none by the data set's authors",
    measured: "not yet",
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
        optimizer: RuleConfig { lr: 3e-3, ..base.optimizer.clone() },
        trainer: TrainConfig { epochs: 12.0, ..base.trainer.clone() },
        ..base
    }
}
