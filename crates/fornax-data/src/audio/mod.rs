//! Sound: reading, resampling, spectra, and changes that keep what was said.
//!
//! ```
//! # fn main() -> Result<(), fornax_data::DataError> {
//! use fornax_data::audio::{Log, MelConfig, Sound};
//! let tone = Sound { rate: 8000, samples: (0..8000).map(|i| (i as f32 * 0.3).sin()).collect() };
//! let mut frames = MelConfig::speech(8000, 40).build()?.forward(&tone.samples)?;
//! Log::NATURAL.apply(&mut frames);
//! assert_eq!((frames.len(), frames.width), (101, 40));
//! # Ok(()) }
//! ```

mod augment;
mod fft;
mod filter_augment;
mod mel;
mod resample;
mod spec_augment;
mod splice;
mod stft;
mod vocal_tract;
mod wav;

pub use augment::{SoundAugment, mix};
pub use filter_augment::FilterAugment;
pub use mel::{Log, Mel, MelConfig, MelScale, Mfcc, MfccConfig, deltas};
pub use spec_augment::SpecAugment;
pub use splice::{Segment, Splice, Spliced};
pub use stft::{Edge, Stft, StftConfig};
pub use vocal_tract::VocalTract;
pub use wav::{Sound, read_wav, wav_from_bytes, write_wav};

/// Features of a sound, frame by frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Frames {
    /// `[T, D]`, row-major.
    pub values: Vec<f32>,
    /// `D`
    pub width: usize,
}

impl Frames {
    /// `T`
    pub fn len(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// All values together with mean 0 and deviation 1: how loud a sound is does not count, and which features are large does. Values that are all the
    /// same become 0.
    pub fn standardize_together(&mut self) {
        let count = self.values.len().max(1) as f64;
        let mean = self.values.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
        let deviation = (self.values.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / count).sqrt().max(1e-6);
        self.values.iter_mut().for_each(|x| *x = ((f64::from(*x) - mean) / deviation) as f32);
    }

    /// Each feature with mean 0 and deviation 1 over the frames; one that never changes becomes 0.
    pub fn standardize(&mut self) {
        let (count, width) = (self.len() as f64, self.width);
        for d in 0..width {
            let column = || self.values.iter().skip(d).step_by(width).map(|x| f64::from(*x));
            let mean = column().sum::<f64>() / count;
            let deviation = (column().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
            let scale = if deviation > 1e-6 { 1.0 / deviation } else { 0.0 };
            self.values.iter_mut().skip(d).step_by(width).for_each(|x| *x = ((f64::from(*x) - mean) * scale) as f32);
        }
    }
}
