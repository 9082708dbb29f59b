//! ResNet-18 for images of 32×32.

use super::{
    Settings, Workload,
    driver::{Report, floats, infer, ints, train},
    init::{self, Theirs},
};
use anyhow::Result;
use burn::tensor::Device;
use fornax_architectures::{ImageClassifier, ResNet, ResNetConfig};
use fornax_optimizers::Adam;

pub(super) const TRAIN: Workload = Workload { name: "resnet18-train", run: train_it };
pub(super) const INFER: Workload = Workload { name: "resnet18-infer", run: infer_it };

fn train_it(settings: &Settings) -> Result<Report> {
    let batch = |b, device: &Device| (floats(b, [32, 3, 32, 32], device), ints(b, [32], 10, device));
    train(settings, model(settings, &settings.device.clone().autodiff())?, batch, Adam::default(), |model, x| model.forward(x))
}

fn infer_it(settings: &Settings) -> Result<Report> {
    infer(settings, model(settings, &settings.device)?, |b, device| floats(b, [1, 3, 32, 32], device), |model, x| model.forward(x))
}

fn model(settings: &Settings, device: &Device) -> Result<ResNet> {
    init::load(settings, ResNetConfig::cifar_resnet18().init(device), theirs)
}

/// `stem.0`, `stem.1`; `body.3.c1`, `body.3.b1` and so on, `body.3.skip.0`, `body.3.skip.1`.
fn theirs(name: &str) -> Theirs {
    let (layer, field) = name.rsplit_once('.').unwrap_or(("", name));
    let part = usize::from(layer.ends_with("norm"));
    let parts: Vec<&str> = layer.split('.').collect();
    let name = match parts[..] {
        ["stem", ..] => format!("stem.{part}.{field}"),
        ["blocks", block, "shortcut", ..] => format!("body.{block}.skip.{part}.{field}"),
        ["blocks", block, which, ..] => {
            let number = if which == "first" { 1 } else { 2 };
            format!("body.{block}.{}{number}.{field}", ["c", "b"][part])
        }
        _ => format!("head.{field}"),
    };
    Theirs { transposed: layer == "head", name }
}
