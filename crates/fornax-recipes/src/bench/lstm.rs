//! An LSTM that classifies sequences from its last output.

use super::{
    Settings, Workload,
    driver::{Report, floats, infer, ints, train},
    init::{self, Theirs},
};
use anyhow::Result;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use fornax_architectures::{FrameLabeler, FrameLabelerConfig, SequenceClassifier};
use fornax_layers::{Activation, DenseBlock, DenseBlockConfig, Recurrent, RecurrentConfig};
use fornax_optimizers::Adam;

pub(super) const TRAIN: Workload = Workload { name: "lstm-train", run: |settings| train_on(settings, wide(), 64) };
pub(super) const LONG_TRAIN: Workload = Workload { name: "lstm-long-train", run: |settings| train_on(settings, wide(), 512) };
pub(super) const BIDIRECTIONAL_TRAIN: Workload = Workload {
    name: "bilstm-train",
    run: |settings| train_on(settings, RecurrentConfig::lstm(INPUTS, 128).with_layers(2).with_bidirectional(true), 64),
};
pub(super) const INFER: Workload = Workload {
    name: "lstm-infer",
    run: |settings| {
        let model = Classifier::new(settings, wide(), &settings.device)?;
        infer(settings, model, |b, device| floats(b, [1, 64, INPUTS], device), Classifier::forward)
    },
};

const INPUTS: usize = 128;
const CLASSES: usize = 10;

fn wide() -> RecurrentConfig {
    RecurrentConfig::lstm(INPUTS, 256)
}

/// Batches of 32 sequences.
fn train_on(settings: &Settings, config: RecurrentConfig, time: usize) -> Result<Report> {
    let model = Classifier::new(settings, config, &settings.device.clone().autodiff())?;
    let batch = |b, device: &Device| (floats(b, [32, time, INPUTS], device), ints(b, [32], CLASSES as u64, device));
    train(settings, model, batch, Adam::default(), Classifier::forward)
}

#[derive(Module, Debug)]
struct Classifier {
    rnn: Recurrent,
    head: DenseBlock,
}

impl Classifier {
    fn new(settings: &Settings, config: RecurrentConfig, device: &Device) -> Result<Self> {
        let head = DenseBlockConfig::new(config.directions() * config.outputs(), CLASSES).with_activation(Activation::Identity).init(device);
        let model = Self { rnn: config.init(device), head };
        let rnn = model.rnn.clone();
        init::load(settings, model, |name| theirs(&rnn, name))
    }

    /// `[B, T, I] -> [B, K]`
    fn forward(&self, x: Tensor<3>) -> Tensor<2> {
        let (y, last) = self.rnn.forward_from(x, None, None);
        let time = y.dims()[1];
        // In one direction the last output is the last state. Backwards the last output is the first that was made.
        let last: Tensor<2> = if self.rnn.config.bidirectional { y.narrow(1, time - 1, 1).squeeze_dim(1) } else { last.h.squeeze_dim(0) };
        self.head.forward(last)
    }
}

/// The head alone is a linear layer.
fn theirs(rnn: &Recurrent, name: &str) -> Theirs {
    match name.strip_prefix("rnn.").and_then(|name| rnn.pytorch_name(name)) {
        Some(name) => Theirs { name: format!("rnn.{name}"), transposed: false },
        None => Theirs { name: name.replace("head.linear", "head"), transposed: true },
    }
}

/// Trains a classifier of sequences: batch, steps and features.
pub(crate) fn sequences(settings: &Settings, model: SequenceClassifier, size: [usize; 3], classes: usize) -> Result<Report> {
    let data = |b, device: &_| (floats(b, size, device), ints(b, [size[0]], classes as u64, device));
    train(settings, model, data, Adam::default(), |model: &SequenceClassifier, x: Tensor<3>| model.forward(x, None))
}

/// Trains a model that gives a class for every step, frame by frame: batch, steps and features.
pub(crate) fn labels(settings: &Settings, model: FrameLabeler, size: [usize; 3], config: &FrameLabelerConfig) -> Result<Report> {
    let steps = size[1].div_ceil(config.encoder.stride());
    let data = |b, device: &_| (floats(b, size, device), ints(b, [size[0] * steps], config.classes as u64, device));
    train(settings, model, data, Adam::default(), |model: &FrameLabeler, x: Tensor<3>| model.forward(x, None).0.flatten(0, 1))
}
