//! The Transformers: two language models and a classifier of images.

use super::{
    Settings, Workload,
    driver::{Report, floats, infer, ints, train},
    init::{self, Theirs},
};
use anyhow::Result;
use burn::tensor::{Int, Tensor};
use fornax_architectures::{Gpt, GptConfig, ImageClassifier, LanguageModel, Vit, VitConfig};
use fornax_optimizers::AdamW;

pub(super) const SMALL: Workload = Workload { name: "gpt-train", run: |settings| gpt_train(settings, GptConfig::small(), [12, 64]) };
pub(super) const WIDE: Workload = Workload { name: "gpt-wide-train", run: |settings| gpt_train(settings, GptConfig::wide(), [4, 256]) };
pub(super) const INFER: Workload = Workload { name: "gpt-infer", run: gpt_infer };
pub(super) const VIT: Workload = Workload { name: "vit-train", run: vit };

fn gpt_train(settings: &Settings, config: GptConfig, size: [usize; 2]) -> Result<Report> {
    let model = init::load(settings, config.init(&settings.device.clone().autodiff()), theirs)?;
    language_model(settings, model, config.vocabulary as u64, size)
}

/// Trains on batches of so many sequences and tokens.
pub(crate) fn language_model<M: LanguageModel>(settings: &Settings, model: M, vocabulary: u64, [batch, time]: [usize; 2]) -> Result<Report> {
    let data = |b, device: &_| (ints(b, [batch, time], vocabulary, device), ints(b, [batch * time], vocabulary, device));
    train(settings, model, data, AdamW::default(), |model: &M, x: Tensor<2, Int>| model.forward(x).flatten(0, 1))
}

fn gpt_infer(settings: &Settings) -> Result<Report> {
    let model = init::load(settings, GptConfig::small().init(&settings.device), theirs)?;
    infer(settings, model, |b, device| ints(b, [1, 64], 65, device), |model: &Gpt, x: Tensor<2, Int>| model.forward(x))
}

fn vit(settings: &Settings) -> Result<Report> {
    let model = init::load(settings, VitConfig::tiny_4().init(&settings.device.clone().autodiff()), theirs)?;
    let data = |b, device: &_| (floats(b, [32, 3, 32, 32], device), ints(b, [32], 10, device));
    train(settings, model, data, AdamW::default(), |model: &Vit, x: Tensor<4>| model.forward(x))
}

/// Ours and theirs, from the left.
const NAMES: [(&str, &str); 7] = [
    ("token.", "tok."),
    ("position", "pos"),
    ("patch.conv.", "patch."),
    ("norm1.", "n1."),
    ("norm2.", "n2."),
    ("attention.qkv.", "qkv."),
    ("attention.proj.", "proj."),
];

fn theirs(name: &str) -> Theirs {
    let embedding = name.starts_with("token") || name.starts_with("position");
    let translated = NAMES.iter().fold(name.to_string(), |name, (ours, theirs)| name.replace(ours, theirs));
    Theirs { name: translated, transposed: !embedding }
}
