//! A convolutional network over words.

use super::{
    Settings,
    driver::{Report, ints, train},
};
use anyhow::Result;
use burn::tensor::{Int, Tensor};
use fornax_architectures::TextCnnConfig;
use fornax_optimizers::Adam;

/// Trains on sentences of 20 words: so many a batch.
pub(crate) fn sentences(settings: &Settings, config: &TextCnnConfig, batch: usize) -> Result<Report> {
    let data = |b, device: &_| (ints(b, [batch, 20], config.vocabulary as u64, device), ints(b, [batch], config.classes as u64, device));
    let model = config.init(&settings.device.clone().autodiff());
    train(settings, model, data, Adam::default(), |model: &fornax_architectures::TextCnn, words: Tensor<2, Int>| model.forward(words, None))
}
