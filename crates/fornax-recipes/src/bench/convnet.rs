//! Image classifiers: the tutorial's network, and every recipe's.

use super::{
    Settings, Workload,
    driver::{Report, floats, infer, ints, train},
    init::{self, Theirs},
};
use crate::{
    config::{Job, ModelConfig},
    recipes::Entry,
};
use anyhow::Result;
use fornax_architectures::{ConvNetConfig, ImageClassifier};
use fornax_optimizers::Adam;
use fornax_weights::state;

pub(super) const TRAIN: Workload = Workload { name: "convnet-train", run: |settings| run(settings, &tutorial(), Some(64)) };
pub(super) const INFER: Workload = Workload { name: "convnet-infer", run: |settings| run(settings, &tutorial(), None) };

/// Training steps of a recipe's model, on images of the formula.
pub(super) fn recipe(settings: &Settings, entry: &Entry) -> Result<Report> {
    let config = (entry.config)();
    run(settings, &config.model, Some(config.trainer.batch_size))
}

fn tutorial() -> ModelConfig {
    ModelConfig::ConvNet(ConvNetConfig::tutorial())
}

/// Trains with a batch size, or looks at one image.
fn run(settings: &Settings, model: &ModelConfig, batch: Option<usize>) -> Result<Report> {
    let device = if batch.is_some() { settings.device.clone().autodiff() } else { settings.device.clone() };
    model.with(&device, Bench { settings, batch, image: model.image() })
}

struct Bench<'a> {
    settings: &'a Settings,
    batch: Option<usize>,
    image: [usize; 3],
}

impl Job for Bench<'_> {
    type Output = Report;

    fn run<M: ImageClassifier>(self, model: M) -> Result<Report> {
        let Self { settings, batch, image: [c, h, w] } = self;
        let dense = state(&model).keys().filter(|name| name.starts_with("dense.") && name.ends_with("weight")).count();
        let model = init::load(settings, model, |name| theirs(name, dense))?;
        match batch {
            Some(n) => {
                let batch = |b, device: &_| (floats(b, [n, c, h, w], device), ints(b, [n], 10, device));
                train(settings, model, batch, Adam::default(), |model, x| model.forward(x))
            }
            None => infer(settings, model, |b, device| floats(b, [1, c, h, w], device), |model, x| model.forward(x)),
        }
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
