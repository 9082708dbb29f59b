//! Utterances that are spliced of recordings: the data of [`Frames`](crate::frames::Frames) and [`Transcripts`](crate::transcripts::Transcripts).

use crate::{
    config::{Config, UtteranceData},
    loaded::Loaded,
    sounds::{self, Ear},
    task::Opened,
    train::RunConfig,
};
use anyhow::{Context, Result};
use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_architectures::{FrameLabeler, FrameLabelerConfig};
use fornax_data::{
    DataError, Dataset, Loader, SoundSet, Split,
    audio::{Splice, Spliced},
    pad,
};
use std::{path::Path, sync::Arc};

/// Utterances that an evaluation takes at once.
const EVAL_BATCH: usize = 32;
/// Those that validate do not depend on the run's seed, so that runs can be compared.
const FIXED_SEED: u64 = 0;
/// The class of a frame behind an utterance's end.
pub(crate) const PADDING: i64 = -1;

/// What is heard, and what is said in it.
#[derive(Debug, Clone)]
pub(crate) struct Utterance {
    /// Mel bands, `[T, D]`
    pub(crate) bands: Vec<f32>,
    /// In order.
    pub(crate) labels: Vec<usize>,
    /// Of each of the `T` frames; silence is the class behind those of the recordings.
    pub(crate) frames: Vec<usize>,
}

/// A split: its recordings and, unless it is to learn from, its utterances.
#[derive(Debug, Clone)]
pub(crate) struct Utterances {
    set: SoundSet,
    ear: Ear,
    config: UtteranceData,
    /// None of the training split, whose utterances are new in every epoch.
    pub(crate) fixed: Vec<Utterance>,
}

impl Utterances {
    fn new(set: SoundSet, config: &UtteranceData, split: Split) -> Result<Self> {
        let mut all = Self { set, ear: Ear::new(&config.sounds)?, config: config.clone(), fixed: vec![] };
        if split != Split::Train {
            all.fixed = (0..config.valid).map(|i| all.utterance(FIXED_SEED, 0, i as u64, false)).collect::<Result<_, _>>()?;
        }
        Ok(all)
    }

    pub(crate) fn len(&self) -> usize {
        if self.fixed.is_empty() { self.config.train } else { self.fixed.len() }
    }

    /// Names of what is said.
    pub(crate) fn words(&self) -> &[String] {
        &self.set.classes
    }

    /// A function of its arguments alone, with random changes or without.
    fn utterance(&self, seed: u64, epoch: u64, index: u64, change: bool) -> Result<Utterance, DataError> {
        let (sounds, at) = (&self.config.sounds, (seed, epoch, index));
        // No two recordings of an epoch have the same number.
        let number = |place: u64| index * self.config.splice.most as u64 + place;
        let splice = Splice { least: self.count(index), most: self.count(index), ..self.config.splice };
        let Spliced { sound, segments } = splice.utter_with(&self.set, seed, epoch, index, |place, sound| {
            if change { sounds.augment.apply(seed, epoch, number(place), sound) } else { sound.clone() }
        })?;
        let bands = if change { self.ear.changed(&sound, at)? } else { self.ear.bands(&sound)? };
        let (hop, silence) = (self.ear.hop(), self.set.classes.len());
        let spliced = Spliced { sound, segments };
        let frames = spliced.frame_labels(bands.len(), hop, silence);
        Ok(Utterance { bands: bands.values, labels: spliced.labels(), frames })
    }

    /// Recordings of an utterance: each number in turn, so that those of one number can share a batch.
    fn count(&self, index: u64) -> usize {
        let Splice { least, most, .. } = self.config.splice;
        least + index as usize % (most - least + 1)
    }
}

/// Finds the recordings; `extra` is the class that the model has besides them.
pub(crate) fn open<'a>(config: &'a Config, model: &FrameLabelerConfig, extra: &'static str, given: Option<&Path>) -> Result<Opened<'a, Utterances>> {
    let set = fornax_data::find(config.data.name()).context("the name was checked before")?;
    let found = fornax_data::resolve(set, given)?;
    let (about, data, model) = (found.describe(), config.data.utterances(), model.clone());
    let load = move |split: Split| {
        let set = sounds::load(&found, &data.sounds, split)?;
        let wanted = set.classes.len() + 1;
        anyhow::ensure!(
            model.classes == wanted,
            "the recordings have {} classes, and with {extra} the model needs one more, not {}; set model.classes={wanted}",
            wanted - 1,
            model.classes
        );
        let (features, inputs) = (data.sounds.filters, model.encoder.inputs);
        anyhow::ensure!(
            features == inputs,
            "the data have {features} features a step, the model takes {inputs}; set model.encoder.inputs={features}"
        );
        Utterances::new(set, data, split)
    };
    Ok(Opened { about, load: Box::new(load) })
}

/// Steps of the input from a step of the output to the next.
pub(crate) fn stride(model: &FrameLabelerConfig) -> usize {
    model.encoder.stride()
}

/// Seconds from a step of a model's output to the next.
pub(crate) fn seconds_a_step(data: &UtteranceData, model: &FrameLabelerConfig) -> f64 {
    (data.sounds.mel().stft.hop * stride(model)) as f64 / f64::from(data.sounds.rate)
}

/// `[B, T, D]`, its lengths, and the classes of the steps that come out, `[B · T']`, or of the utterance.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) steps: Tensor<3>,
    pub(crate) lengths: Vec<usize>,
    /// [`PADDING`] behind the end.
    pub(crate) frames: Tensor<1, Int>,
    pub(crate) labels: Vec<Vec<usize>>,
}

impl Batch {
    fn new(utterances: &[Utterance], model: &FrameLabelerConfig, device: &Device) -> Self {
        let (features, stride) = (model.encoder.inputs, stride(model));
        let padded = pad(&utterances.iter().map(|utterance| &utterance.bands).collect::<Vec<_>>(), features);
        let time = padded.shape[1].div_ceil(stride);
        let frames: Vec<i64> = utterances
            .iter()
            .flat_map(|utterance| utterance.frames.iter().step_by(stride).map(|&class| class as i64).chain(std::iter::repeat(PADDING)).take(time))
            .collect();
        let count = frames.len();
        Self {
            steps: Tensor::from_data(TensorData::new(padded.values, padded.shape), device),
            lengths: padded.lengths,
            frames: Tensor::from_data(TensorData::new(frames, [count]), device),
            labels: utterances.iter().map(|utterance| utterance.labels.clone()).collect(),
        }
    }
}

/// What a model says of one utterance.
pub(crate) struct Output {
    /// `[T', K]`
    pub(crate) logits: Vec<f32>,
    /// Of the steps that come out.
    pub(crate) frames: Vec<usize>,
}

/// Calls `take` with logits `[B, T', K]` and their lengths, for some utterances after the other.
pub(crate) fn each_batch(
    utterances: &[Utterance],
    model: &FrameLabeler,
    config: &FrameLabelerConfig,
    device: &Device,
    mut take: impl FnMut(&[Utterance], Tensor<3>, Vec<usize>),
) {
    for part in utterances.chunks(EVAL_BATCH) {
        let batch = Batch::new(part, config, device);
        let (logits, lengths) = model.forward(batch.steps, Some(&batch.lengths));
        take(part, logits, lengths.unwrap_or(batch.lengths));
    }
}

/// The logits of each utterance, in order.
pub(crate) fn outputs(utterances: &[Utterance], model: &FrameLabeler, config: &FrameLabelerConfig, device: &Device) -> Vec<Output> {
    let mut all = vec![];
    each_batch(utterances, model, config, device, |part, logits, lengths| {
        let [_, time, classes] = logits.dims();
        let values: Vec<f32> = logits.into_data().iter::<f32>().collect();
        all.extend(part.iter().zip(&lengths).enumerate().map(|(b, (utterance, length))| Output {
            logits: values[b * time * classes..][..length * classes].to_vec(),
            frames: utterance.frames.iter().step_by(stride(config)).copied().collect(),
        }));
    });
    all
}

/// The training split as a loader's source.
pub(crate) struct Spoken {
    utterances: Utterances,
    seed: u64,
    change: bool,
}

impl Dataset for Spoken {
    type Item = Utterance;

    fn len(&self) -> usize {
        self.utterances.config.train
    }

    fn get(&self, epoch: u64, index: usize) -> Result<Utterance, DataError> {
        self.utterances.utterance(self.seed, epoch, index as u64, self.change)
    }
}

/// Training batches of it.
pub(crate) fn source(
    run: &RunConfig,
    utterances: Utterances,
    model: &FrameLabelerConfig,
    device: &Device,
    overfit: Option<usize>,
) -> Loaded<Spoken, Batch> {
    let config = &run.config;
    let counts = (0..utterances.config.train as u64).map(|index| utterances.count(index)).collect();
    let spoken = Spoken { utterances, seed: config.seed, change: overfit.is_none() };
    let loader = Loader::new(Arc::new(spoken), config.trainer.batch_size, config.seed).with_workers(1).with_buckets(counts);
    let (model, device) = (model.clone(), device.clone());
    Loaded::new(loader, overfit, move |utterances: &[Utterance]| Batch::new(utterances, &model, &device))
}
