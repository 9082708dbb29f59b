//! An encoder and a decoder, on targets that are known.

use super::{
    Settings,
    driver::{Report, ints, train},
};
use anyhow::Result;
use fornax_architectures::EncoderDecoder;
use fornax_optimizers::Adam;

/// Trains on pairs of so many symbols: batch, steps that are read and that are written.
pub(crate) fn pairs<M: EncoderDecoder>(
    settings: &Settings,
    model: M,
    [sources, targets]: [usize; 2],
    [batch, read, write]: [usize; 3],
) -> Result<Report> {
    let (sources, targets) = (sources as u64, targets as u64 + 1);
    let data = |b, device: &_| {
        let pair = (ints(b, [batch, read], sources, device), ints(b, [batch, write], targets, device));
        (pair, ints(b, [batch * write], targets, device))
    };
    train(settings, model, data, Adam::default(), |model: &M, (source, target)| {
        model.forward((source, &vec![read; batch]), (target, &vec![write; batch])).flatten(0, 1)
    })
}
