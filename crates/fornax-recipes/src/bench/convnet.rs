//! Image classifiers: the tutorial's network, and every recipe's.

use super::{
    Settings, Workload,
    driver::{Report, floats, infer, ints, train},
    init::{self, Theirs},
};
use anyhow::Result;
use burn::tensor::Device;
use fornax_architectures::{ConvNetConfig, ImageClassifier};
use fornax_optimizers::Adam;
use fornax_weights::state;

pub(super) const TRAIN: Workload = Workload { name: "convnet-train", run: |settings| tutorial(settings, Some(64)) };
pub(super) const INFER: Workload = Workload { name: "convnet-infer", run: |settings| tutorial(settings, None) };

fn tutorial(settings: &Settings, batch: Option<usize>) -> Result<Report> {
    let config = ConvNetConfig::tutorial();
    classifier(settings, &|device: &Device| config.init(device), config.image, config.classes, batch)
}

/// Trains with a batch size, or looks at one image.
pub(crate) fn classifier<M: ImageClassifier>(
    settings: &Settings,
    make: &impl Fn(&Device) -> M,
    [c, h, w]: [usize; 3],
    classes: usize,
    batch: Option<usize>,
) -> Result<Report> {
    let device = if batch.is_some() { settings.device.clone().autodiff() } else { settings.device.clone() };
    let model = make(&device);
    let dense = state(&model).keys().filter(|name| name.starts_with("dense.") && name.ends_with("weight")).count();
    let model = init::load(settings, model, |name| theirs(name, dense))?;
    match batch {
        Some(n) => {
            let batch = |b, device: &_| (floats(b, [n, c, h, w], device), ints(b, [n], classes as u64, device));
            train(settings, model, batch, Adam::default(), |model, x| model.forward(x))
        }
        None => infer(settings, model, |b, device| floats(b, [1, c, h, w], device), |model, x| model.forward(x)),
    }
}

/// Convolutions are `c1`, `c2` …, linear layers `f1`, `f2` …, the head the last of them.
fn theirs(name: &str, dense: usize) -> Theirs {
    let parts: Vec<&str> = name.split('.').collect();
    let index = parts.get(1).and_then(|part| part.parse::<usize>().ok()).map_or(0, |i| i + 1);
    let (layer, transposed) = match parts[0] {
        "features" => (format!("c{index}"), false),
        "dense" => (format!("f{index}"), true),
        _ => (format!("f{}", dense + 1), true),
    };
    Theirs { name: format!("{layer}.{}", parts[parts.len() - 1]), transposed }
}
