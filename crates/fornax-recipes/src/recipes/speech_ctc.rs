use super::{Entry, speech_digits, speech_frames};
use crate::config::{Config, DataConfig, ModelConfig, SoundData, UtteranceData};
use fornax_architectures::{FrameLabelerConfig, SequenceEncoderConfig};
use fornax_optimizers::RuleConfig;
use fornax_trainer::TrainConfig;

pub(super) const ENTRY: Entry = Entry {
    name: "speech-ctc",
    about: "strings of three to seven spoken digits, learned without their times: convolutions over bands and time, a bidirectional LSTM, CTC; needs --data DIR with FSDD",
    published: "none by the data set's authors",
    measured: "0.8 % of validation digits wrong, mean of seeds 0 to 2",
    config,
};

pub(super) fn config() -> Config {
    let encoder = SequenceEncoderConfig { spectral: speech_digits::spectral(2).to_vec(), ..SequenceEncoderConfig::new(40, 96) };
    let (base, utterances) = (speech_frames::config(), speech_frames::utterances());
    let sounds = SoundData { low: 100.0, emphasis: 0.97, range: 40.0, ..utterances.sounds };
    Config {
        recipe: ENTRY.name.into(),
        data: DataConfig::Utterances(UtteranceData { sounds, ..utterances }),
        model: ModelConfig::Transcriber(FrameLabelerConfig { encoder, dropout: 0.3, classes: 11 }),
        optimizer: RuleConfig { lr: 0.02, weight_decay: 0.1, ..RuleConfig::named("muon").expect("a rule of the list") }.with("adamw_lr_scale", 0.25),
        trainer: TrainConfig { epochs: 30.0, ..base.trainer.clone() },
        ..base
    }
}
