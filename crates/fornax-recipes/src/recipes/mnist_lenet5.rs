use super::{Entry, mnist_cnn};
use crate::config::{Config, ModelConfig};
use fornax_architectures::LeNet5Config;

pub(super) const ENTRY: Entry = Entry {
    name: "mnist-lenet5",
    about: "LeNet-5 on handwritten digits, as in 1998: 61,706 parameters",
    published: "99.05 %, with distortions 99.2 % (LeCun et al. 1998)",
    measured: "see the table in README.md",
    config,
};

fn config() -> Config {
    Config { recipe: ENTRY.name.into(), model: ModelConfig::LeNet5(LeNet5Config::mnist()), ..mnist_cnn::config() }
}
