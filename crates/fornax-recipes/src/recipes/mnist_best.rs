use super::{Entry, mnist_cnn};
use crate::config::{Config, DataConfig, ImageData, ModelConfig};
use fornax_architectures::{ConvNetConfig, Stage};
use fornax_data::Augment;
use fornax_optimizers::RuleConfig;
use fornax_trainer::TrainConfig;

pub(super) const ENTRY: Entry = Entry {
    name: "mnist-best",
    about: "the most that twenty minutes on two cores give on handwritten digits: batch norm, dropout, averaged weights",
    published: "99.6–99.8 % for single convolutional networks with augmentation",
    measured: "see the table in README.md",
    config,
};

fn config() -> Config {
    let base = mnist_cnn::config();
    let stage = |channels, kernel, pool| Stage { channels, kernel, stride: 1, padding: 0, pool };
    let stages = vec![stage(32, 5, 2), stage(64, 3, 1), stage(128, 3, 2)];
    Config {
        recipe: ENTRY.name.into(),
        data: DataConfig::Images(ImageData {
            augment: Augment { shift: 2.0, rotate: 12.0, scale: 0.12, shear: 8.0, ..Augment::default() },
            ..base.data.images().clone()
        }),
        model: ModelConfig::ConvNet(ConvNetConfig { stages, dense: vec![128], batch_norm: true, dropout: 0.3, ..ConvNetConfig::tutorial() }),
        optimizer: RuleConfig { lr: 4e-3, weight_decay: 2e-2, ..RuleConfig::default() },
        trainer: TrainConfig { batch_size: 128, epochs: 16.0, ema_decay: 0.998, ..base.trainer },
        ..base
    }
}
