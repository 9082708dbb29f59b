use super::{Entry, mnist_cnn};
use crate::config::{Config, DataConfig, ImageData, ModelConfig};
use crate::privacy::PrivacyConfig;
use fornax_architectures::{ConvNetConfig, Stage};
use fornax_data::Augment;
use fornax_optimizers::{RuleConfig, schedule::ScheduleConfig};
use fornax_trainer::TrainConfig;

pub(super) const ENTRY: Entry = Entry {
    name: "mnist-dp",
    about: "handwritten digits with differential privacy: 18,842 parameters, tanh, DP-SGD; ε 2.93 at δ 1e-5",
    published: "98.1 % at ε 2.93 on all of MNIST (Papernot et al. 2021, tempered sigmoids)",
    measured: "not yet",
    config,
};

/// A small network, whose gradient has few numbers to put noise on, of bounded units, whose gradients are small; large batches, in which the noise
/// weighs less; an average of weights, which takes part of it away again and costs nothing.
fn config() -> Config {
    let base = mnist_cnn::config();
    let stages =
        vec![Stage { channels: 16, kernel: 8, stride: 2, padding: 3, pool: 2 }, Stage { channels: 32, kernel: 4, stride: 1, padding: 1, pool: 2 }];
    Config {
        recipe: ENTRY.name.into(),
        data: DataConfig::Images(ImageData { augment: Augment::default(), ..base.data.images().clone() }),
        model: ModelConfig::ConvNet(ConvNetConfig { stages, dense: vec![32], tanh: true, ..ConvNetConfig::tutorial() }),
        optimizer: RuleConfig { lr: 1.0, weight_decay: 0.0, ..RuleConfig::named("sgd").expect("a rule of the list").with("momentum", 0.9) },
        schedule: ScheduleConfig::new("cosine").with("end", 0.1),
        trainer: TrainConfig { batch_size: 1024, epochs: 40.0, ema_decay: 0.95, ..base.trainer },
        privacy: PrivacyConfig { epsilon: 2.93, clip: 0.1, ..PrivacyConfig::default() },
        ..base
    }
}
