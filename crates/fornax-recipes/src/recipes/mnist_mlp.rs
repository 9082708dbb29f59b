use super::{Entry, mnist_cnn};
use crate::config::{Config, DataConfig, ImageData, ModelConfig};
use fornax_architectures::MlpConfig;
use fornax_data::Augment;

pub(super) const ENTRY: Entry = Entry {
    name: "mnist-mlp",
    about: "a perceptron with 300 hidden units on handwritten digits: 238,510 parameters",
    published: "95.3 % (LeCun et al. 1998, 300 hidden units); about 98 % with ReLU and Adam",
    measured: "see the table in README.md",
    config,
};

fn config() -> Config {
    let base = mnist_cnn::config();
    Config {
        recipe: ENTRY.name.into(),
        data: DataConfig::Images(ImageData { augment: Augment::default(), ..base.data.images().clone() }),
        model: ModelConfig::Mlp(MlpConfig::mnist()),
        ..base
    }
}
