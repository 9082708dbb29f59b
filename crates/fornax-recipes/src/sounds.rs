//! Recordings as mel bands: what all tasks that listen share.

use crate::config::SoundData;
use anyhow::{Context, Result};
use fornax_data::{
    DataError, Resolved, SoundSet, Split,
    audio::{Frames, Log, Mel, Sound, VocalTract, read_wav},
};
use std::path::Path;

/// The recordings of a split, at the rate of the configuration.
///
/// # Errors
/// If they cannot be read, nobody has the name of the speaker to be left out, or no recording is left.
pub(crate) fn load(found: &Resolved, config: &SoundData, split: Split) -> Result<SoundSet> {
    let mut set = match config.leave_out.as_str() {
        "" => found.load_sounds(split)?,
        speaker => {
            anyhow::ensure!(split != Split::Test, "with data.leave_out the test is that of the speaker: --split valid");
            let train = found.load_sounds(Split::Train)?;
            let place = train.speaker_names.iter().position(|name| name == speaker);
            let place =
                place.with_context(|| format!("data.leave_out: no speaker is called `{speaker}`; there are {}", train.speaker_names.join(", ")))?;
            let (rest, own) = train.leave_out(place as u32);
            if split == Split::Train { rest } else { own }
        }
    };
    anyhow::ensure!(!set.is_empty(), "the {split} split is empty");
    if split == Split::Train && config.limit > 0 && config.limit < set.len() {
        set = set.subset(&(0..config.limit).collect::<Vec<_>>());
    }
    set.sounds.iter_mut().filter(|sound| sound.rate != config.rate).for_each(|sound| *sound = sound.resample(config.rate));
    Ok(set)
}

/// Recordings as the model takes them, and the random changes to those it learns from.
#[derive(Debug, Clone)]
pub(crate) struct Ear {
    config: SoundData,
    mel: Mel,
}

impl Ear {
    pub(crate) fn new(config: &SoundData) -> Result<Self> {
        Ok(Self { config: config.clone(), mel: config.mel().build()? })
    }

    /// Samples from a frame to the next.
    pub(crate) fn hop(&self) -> usize {
        self.mel.stft().config().hop
    }

    /// Decibels of mel bands, with mean 0 and deviation 1 over all of the sound: how loud it is does not count, and which bands are loud does. `[T, D]`
    ///
    /// # Errors
    /// For a sound that is too short for a frame.
    pub(crate) fn bands(&self, sound: &Sound) -> Result<Frames, DataError> {
        let mut frames = self.decibels(sound)?;
        frames.standardize_together();
        Ok(frames)
    }

    /// The same with the random changes of the configuration to the bands: a function of (seed, epoch, index).
    ///
    /// # Errors
    /// As [`Ear::bands`].
    pub(crate) fn changed(&self, sound: &Sound, (seed, epoch, index): (u64, u64, u64)) -> Result<Frames, DataError> {
        let mut frames = self.decibels(sound)?;
        VocalTract { warp: self.config.warp }.apply(seed, epoch, index, &self.config.mel(), &mut frames);
        self.config.filter.apply(seed, epoch, index, &mut frames);
        frames.standardize_together();
        self.config.spec.apply(seed, epoch, index, &mut frames);
        Ok(frames)
    }

    fn decibels(&self, sound: &Sound) -> Result<Frames, DataError> {
        let samples = if self.config.emphasis == 0.0 { &sound.samples } else { &sound.preemphasis(self.config.emphasis).samples };
        let mut frames = self.mel.forward(samples)?;
        let range = (self.config.range > 0.0).then_some(self.config.range);
        Log::Decibel { floor: 1e-10, range }.apply(&mut frames);
        Ok(frames)
    }

    /// Reads a WAV file.
    ///
    /// # Errors
    /// With the path, if it is none, holds no samples, or is too short for a frame.
    pub(crate) fn hear(&self, path: &Path) -> Result<Heard> {
        let (sound, rate) = (read_wav(path)?, self.config.rate);
        let fitting = (sound.rate != rate).then(|| format!("resampled from {} to {rate} Hz", sound.rate));
        let bands = self.bands(&sound.resample(rate)).with_context(|| format!("cannot listen to {}", path.display()))?;
        Ok(Heard { bands, seconds: sound.duration(), fitting })
    }
}

/// A file as a model hears it.
pub(crate) struct Heard {
    pub(crate) bands: Frames,
    pub(crate) seconds: f64,
    /// What was done to it.
    pub(crate) fitting: Option<String>,
}
