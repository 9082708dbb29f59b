use super::Entry;
use crate::config::{Config, DataConfig, ModelConfig, SoundData, UtteranceData};
use crate::extras::{AverageConfig, GradientConfig, GroupConfig};
use crate::privacy::PrivacyConfig;
use fornax_architectures::FrameLabelerConfig;
use fornax_data::audio::{FilterAugment, SoundAugment, SpecAugment, Splice};
use fornax_optimizers::{RuleConfig, schedule::ScheduleConfig};
use fornax_trainer::TrainConfig;

pub(super) const ENTRY: Entry = Entry {
    name: "speech-frames",
    about: "which digit is heard in each 10 ms of an utterance, or silence: a bidirectional LSTM; needs --data DIR with FSDD",
    published: "70.2 % of phoneme frames, 66.0 % forward only (Graves and Schmidhuber, 2005, on TIMIT: other data)",
    measured: "84.4 % of validation frames, 76.6 % forward only, mean of seeds 0 to 2",
    config,
};

/// Recordings of one speaker between silences: they alone are changed, for a change of the whole would move the times.
pub(super) fn utterances() -> UtteranceData {
    UtteranceData {
        sounds: SoundData {
            name: "fsdd".into(),
            rate: 8000,
            filters: 40,
            augment: SoundAugment { gain: 6.0, speed: 0.12, ..SoundAugment::default() },
            low: 0.0,
            emphasis: 0.0,
            range: 30.0,
            warp: 0.1,
            filter: FilterAugment { decibels: 3.0 },
            spec: SpecAugment::default(),
            leave_out: String::new(),
            limit: 0,
        },
        splice: Splice { shortest: 0.05, ..Splice::default() },
        train: 1000,
        valid: 200,
    }
}

/// One layer, as in the paper. Forward only with as many weights: `--set model.encoder.bidirectional=false --set model.encoder.hidden=98`.
pub(super) fn config() -> Config {
    Config {
        recipe: ENTRY.name.into(),
        seed: 0,
        data: DataConfig::Utterances(utterances()),
        model: ModelConfig::Frames(FrameLabelerConfig { dropout: 0.2, ..FrameLabelerConfig::new(40, 64, 11) }),
        optimizer: RuleConfig { lr: 5e-3, weight_decay: 0.01, ..RuleConfig::named("adamw").expect("a rule of the list") },
        schedule: ScheduleConfig::new("cosine").with("end", 0.01).with_warmup(0.1),
        trainer: TrainConfig { batch_size: 16, epochs: 8.0, ema_decay: 0.98, clip_norm: 1.0, monitor: "loss".into(), ..TrainConfig::default() },
        gradient: GradientConfig::default(),
        groups: GroupConfig::default(),
        average: AverageConfig::default(),
        privacy: PrivacyConfig::default(),
    }
}
