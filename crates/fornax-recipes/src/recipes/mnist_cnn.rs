use super::Entry;
use crate::config::{Config, DataConfig, ImageData, ModelConfig};
use crate::extras::{AverageConfig, GradientConfig, GroupConfig};
use crate::privacy::PrivacyConfig;
use fornax_architectures::ConvNetConfig;
use fornax_data::Augment;
use fornax_optimizers::{RuleConfig, schedule::ScheduleConfig};
use fornax_trainer::TrainConfig;

pub(super) const ENTRY: Entry = Entry {
    name: "mnist-cnn",
    about: "the tutorial's CNN on handwritten digits: 28×28 grey, 10 classes, 315,146 parameters",
    published: "about 99.0 % for this network (Keras' and PyTorch's MNIST examples)",
    measured: "see the table in README.md",
    config,
};

/// The tutorial's network with mild augmentation and a cosine, so that 9,000 digits and a few minutes are enough.
pub(super) fn config() -> Config {
    Config {
        recipe: ENTRY.name.into(),
        seed: 0,
        data: DataConfig::Images(ImageData {
            name: "mnist".into(),
            augment: Augment { shift: 2.0, rotate: 10.0, scale: 0.1, ..Augment::default() },
            mean: 0.1307,
            std: 0.3081,
            workers: 1,
            limit: 0,
        }),
        model: ModelConfig::ConvNet(ConvNetConfig::tutorial()),
        optimizer: RuleConfig { lr: 2e-3, ..RuleConfig::default() },
        schedule: ScheduleConfig::new("cosine").with("end", 0.01).with_warmup(0.1),
        // The loss tells checkpoints apart better than the accuracy on 1,000 images, which has many ties.
        trainer: TrainConfig { batch_size: 64, epochs: 25.0, ema_decay: 0.995, monitor: "loss".into(), ..TrainConfig::default() },
        gradient: GradientConfig::default(),
        groups: GroupConfig::default(),
        average: AverageConfig::default(),
        privacy: PrivacyConfig::default(),
    }
}
