use super::Frames;
use crate::random::{Purpose, Stream};
use serde::{Deserialize, Serialize};

/// Blanks bands of time and of frequency of a spectrogram; the default blanks nothing.
///
/// Each band's width is uniform in `0..=most`, and its place uniform among those that fit. A pure function of (seed, epoch, index). Blanked values become 0:
/// the mean, after [`Frames::standardize`].
///
/// Source: Park et al., "SpecAugment", 2019; without its time warping, which the paper finds the least effective.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpecAugment {
    /// Bands of time.
    pub time_masks: usize,
    /// Frames of one, at most.
    pub time_width: usize,
    /// Frames of one, at most, as a share of all: 1 unless set lower.
    pub time_share: Option<f64>,
    /// Bands of frequency.
    pub frequency_masks: usize,
    /// Features of one, at most.
    pub frequency_width: usize,
}

impl SpecAugment {
    /// The paper's policy "LibriSpeech basic" (table 1), for 80 mel bands every 10 ms: one band each, of at most 27 and 100.
    pub fn librispeech_basic() -> Self {
        Self { time_masks: 1, time_width: 100, time_share: None, frequency_masks: 1, frequency_width: 27 }
    }

    /// In place.
    pub fn apply(&self, seed: u64, epoch: u64, index: u64, frames: &mut Frames) {
        let mut stream = Stream::new(Purpose::Spectrogram, &[seed, epoch, index]);
        let (count, width) = (frames.len(), frames.width);
        let longest = self.time_share.map_or(count, |share| (share.clamp(0.0, 1.0) * count as f64) as usize);
        for _ in 0..self.time_masks {
            let band = draw(&mut stream, self.time_width.min(longest), count);
            frames.values[band.start * width..band.end * width].fill(0.0);
        }
        for _ in 0..self.frequency_masks {
            let band = draw(&mut stream, self.frequency_width.min(width), width);
            frames.values.chunks_exact_mut(width).for_each(|frame| frame[band.clone()].fill(0.0));
        }
    }
}

/// A band of at most `most` of `all`.
fn draw(stream: &mut Stream, most: usize, all: usize) -> std::ops::Range<usize> {
    let width = stream.below(most as u64 + 1) as usize;
    let from = stream.below((all - width) as u64 + 1) as usize;
    from..from + width
}
