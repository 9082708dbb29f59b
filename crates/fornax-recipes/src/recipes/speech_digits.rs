use super::Entry;
use crate::config::{Config, DataConfig, ModelConfig, SoundData};
use crate::extras::{AverageConfig, GradientConfig, GroupConfig};
use fornax_architectures::{FrontConv, Pooling, SequenceClassifierConfig, SequenceEncoderConfig};
use fornax_data::audio::{FilterAugment, SoundAugment, SpecAugment};
use fornax_optimizers::{RuleConfig, schedule::ScheduleConfig};
use fornax_trainer::TrainConfig;

pub(super) const ENTRY: Entry = Entry {
    name: "speech-digits",
    about: "spoken digits, zero to nine: mel bands, two convolutions over time, a bidirectional LSTM; needs --data DIR with FSDD",
    published: "none by the data set's authors",
    measured: "97.7 % of validation recordings, seed 0",
    config,
};

pub(super) fn config() -> Config {
    let encoder = SequenceEncoderConfig {
        front: vec![FrontConv { channels: 64, kernel: 5, stride: 1 }, FrontConv { channels: 64, kernel: 5, stride: 2 }],
        dropout: 0.2,
        ..SequenceEncoderConfig::new(40, 96)
    };
    Config {
        recipe: ENTRY.name.into(),
        seed: 0,
        data: DataConfig::Sounds(SoundData {
            name: "fsdd".into(),
            rate: 8000,
            filters: 40,
            range: 30.0,
            augment: SoundAugment { shift: 0.05, pad: 0.2, gain: 6.0, speed: 0.18, noise: 0.5, noise_ratio: 5.0 },
            warp: 0.15,
            filter: FilterAugment { decibels: 6.0 },
            spec: SpecAugment { time_masks: 1, time_width: 8, time_share: Some(0.2), frequency_masks: 2, frequency_width: 6 },
            leave_out: String::new(),
            limit: 0,
        }),
        model: ModelConfig::Sequence(SequenceClassifierConfig { encoder, pooling: Pooling::Attention, dropout: 0.3, classes: 10 }),
        optimizer: RuleConfig { lr: 0.02, weight_decay: 0.1, ..RuleConfig::named("muon").expect("a rule of the list") }.with("adamw_lr_scale", 0.25),
        schedule: ScheduleConfig::new("cosine").with("end", 0.01).with_warmup(0.1),
        trainer: TrainConfig { batch_size: 32, epochs: 40.0, ema_decay: 0.99, clip_norm: 1.0, monitor: "loss".into(), ..TrainConfig::default() },
        gradient: GradientConfig::default(),
        groups: GroupConfig::default(),
        average: AverageConfig::default(),
    }
}
