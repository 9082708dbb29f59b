use super::Sound;
use crate::{
    DataError, SoundSet,
    random::{Purpose, Stream},
};
use serde::{Deserialize, Serialize};

/// Recordings one after the other, with silence around each: utterances whose times are known exactly.
///
/// A pure function of (seed, epoch, index).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Splice {
    /// Recordings of an utterance, at least.
    pub least: usize,
    /// And at most.
    pub most: usize,
    /// Seconds of silence before each recording and at the end, at least.
    pub shortest: f64,
    /// And at most.
    pub longest: f64,
    /// White noise under all of it, as its deviation: digital silence would be told too easily.
    pub noise: f64,
    /// All recordings of an utterance are of one speaker.
    pub same_speaker: bool,
}

impl Default for Splice {
    /// Three to seven recordings of one speaker, with 0.1 to 0.4 seconds between.
    fn default() -> Self {
        Self { least: 3, most: 7, shortest: 0.1, longest: 0.4, noise: 1e-3, same_speaker: true }
    }
}

/// Where a recording lies in an utterance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its class.
    pub label: usize,
    /// Its first sample.
    pub from: usize,
    /// The first sample behind it.
    pub to: usize,
}

/// An utterance.
#[derive(Debug, Clone, PartialEq)]
pub struct Spliced {
    /// What is heard.
    pub sound: Sound,
    /// What is said, in order.
    pub segments: Vec<Segment>,
}

impl Spliced {
    /// The class at each of `frames` frames, frame `t` being centred on sample `t · hop`; `silence` where nothing is said.
    pub fn frame_labels(&self, frames: usize, hop: usize, silence: usize) -> Vec<usize> {
        let at = |sample: usize| self.segments.iter().find(|s| (s.from..s.to).contains(&sample)).map_or(silence, |s| s.label);
        (0..frames).map(|t| at(t * hop)).collect()
    }

    /// The classes in order.
    pub fn labels(&self) -> Vec<usize> {
        self.segments.iter().map(|segment| segment.label).collect()
    }
}

impl Splice {
    /// Whether every number is in its range.
    ///
    /// # Errors
    /// [`DataError::Invalid`] with all of them.
    pub fn check(&self) -> Result<(), DataError> {
        let Self { least, most, shortest, longest, noise, .. } = *self;
        let silence_fits = shortest >= 0.0 && longest >= shortest && longest <= 60.0;
        if least == 0 || most < least || most > 1000 || !silence_fits || !(0.0..=1.0).contains(&noise) {
            return Err(DataError::Invalid(format!("{self:?}: 1 ≤ least ≤ most ≤ 1000, 0 ≤ shortest ≤ longest ≤ 60 and 0 ≤ noise ≤ 1 are needed")));
        }
        Ok(())
    }

    /// One utterance of the recordings of a set.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if a number is out of range, the set is empty, or its recordings have different rates.
    pub fn utter(&self, set: &SoundSet, seed: u64, epoch: u64, index: u64) -> Result<Spliced, DataError> {
        self.utter_with(set, seed, epoch, index, |_, sound| sound.clone())
    }

    /// The same with each recording changed by a function of its place in the utterance, from 0, before it is put in.
    ///
    /// # Errors
    /// As [`Splice::utter`].
    pub fn utter_with(&self, set: &SoundSet, seed: u64, epoch: u64, index: u64, change: impl Fn(u64, &Sound) -> Sound) -> Result<Spliced, DataError> {
        self.check()?;
        let Self { least, most, shortest, longest, noise, same_speaker } = *self;
        let rate = set.sounds.first().map(|first| first.rate).ok_or_else(|| DataError::Invalid("utterances of no recordings".into()))?;
        if let Some(at) = set.sounds.iter().position(|sound| sound.rate != rate) {
            return Err(DataError::Invalid(format!("recording {at} has {} samples a second, the first {rate}: resample them", set.sounds[at].rate)));
        }
        let mut stream = Stream::new(Purpose::Splice, &[seed, epoch, index]);
        let speaker = set.speakers[stream.below(set.len() as u64) as usize];
        let choice: Vec<usize> = (0..set.len()).filter(|&i| !same_speaker || set.speakers[i] == speaker).collect();
        let count = least + stream.below((most - least + 1) as u64) as usize;
        let silence = |stream: &mut Stream, samples: &mut Vec<f32>| {
            let seconds = shortest + (longest - shortest) * stream.uniform();
            samples.resize(samples.len() + (seconds * f64::from(rate)).round() as usize, 0.0);
        };
        let (mut samples, mut segments) = (vec![], vec![]);
        for place in 0..count as u64 {
            silence(&mut stream, &mut samples);
            let chosen = choice[stream.below(choice.len() as u64) as usize];
            let from = samples.len();
            samples.extend(change(place, &set.sounds[chosen]).samples);
            segments.push(Segment { label: set.labels[chosen] as usize, from, to: samples.len() });
        }
        silence(&mut stream, &mut samples);
        if noise > 0.0 {
            samples.iter_mut().for_each(|x| *x += (stream.normal() * noise) as f32);
        }
        Ok(Spliced { sound: Sound { rate, samples }, segments })
    }
}
