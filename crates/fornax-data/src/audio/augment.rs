use super::Sound;
use crate::{
    DataError,
    random::{Purpose, Stream},
};
use serde::{Deserialize, Serialize};

/// Random changes to a sound that keep what was said; the default changes nothing.
///
/// A pure function of (seed, epoch, index), as [`Augment`](crate::Augment).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SoundAugment {
    /// At most this many seconds, either way; silence comes in.
    pub shift: f64,
    /// At most this many seconds of silence are put before it, and behind it: as if somebody else had cut the recording.
    pub pad: f64,
    /// At most this many decibels, either way.
    pub gain: f64,
    /// At most this relative change of speed, and of pitch with it: 0.1 is 0.9 to 1.1.
    ///
    /// Source: Ko et al., "Audio augmentation for speech recognition", 2015.
    pub speed: f64,
    /// The probability that white noise is added.
    pub noise: f64,
    /// Least signal-to-noise ratio of it, in decibels; the ratio is uniform from here to 30 dB more.
    pub noise_ratio: f64,
}

impl SoundAugment {
    /// Whether every field is in its range.
    ///
    /// # Errors
    /// [`DataError::Invalid`] naming the field, its value and its range.
    pub fn check(&self) -> Result<(), DataError> {
        let fields = [
            ("shift", self.shift, 0.0..=60.0),
            ("pad", self.pad, 0.0..=60.0),
            ("gain", self.gain, 0.0..=60.0),
            ("speed", self.speed, 0.0..=0.5),
            ("noise", self.noise, 0.0..=1.0),
            ("noise_ratio", self.noise_ratio, -20.0..=100.0),
        ];
        for (name, value, range) in fields {
            if !range.contains(&value) {
                let (low, high) = (range.start(), range.end());
                return Err(DataError::Invalid(format!("augmentation of sound: `{name}` must be from {low} to {high}, not {value}")));
            }
        }
        Ok(())
    }

    /// One sound, changed. A changed speed and padding change the number of samples, and nothing else does.
    pub fn apply(&self, seed: u64, epoch: u64, index: u64, sound: &Sound) -> Sound {
        // Seven draws always, so that one field does not move another's.
        let mut stream = Stream::new(Purpose::Sound, &[seed, epoch, index, 0]);
        let shift = (stream.symmetric(self.shift) * f64::from(sound.rate)).round() as i64;
        let gain = 10f64.powf(stream.symmetric(self.gain) / 20.0);
        let speed = 1.0 + stream.symmetric(self.speed);
        let (noisy, ratio) = (stream.uniform() < self.noise, self.noise_ratio + 30.0 * stream.uniform());
        let pads = [0; 2].map(|_: i32| (stream.uniform() * self.pad * f64::from(sound.rate)).round() as usize);
        let mut sound = if speed == 1.0 { sound.clone() } else { faster(sound, speed) };
        if shift != 0 {
            let sample = |i: i64| usize::try_from(i - shift).ok().and_then(|i| sound.samples.get(i)).copied().unwrap_or(0.0);
            sound.samples = (0..sound.samples.len() as i64).map(sample).collect();
        }
        if pads != [0, 0] {
            let silence = |count: usize| std::iter::repeat_n(0.0, count);
            sound.samples = silence(pads[0]).chain(sound.samples).chain(silence(pads[1])).collect();
        }
        if gain != 1.0 {
            sound.samples.iter_mut().for_each(|x| *x = (f64::from(*x) * gain) as f32);
        }
        if noisy {
            let mut stream = Stream::new(Purpose::Sound, &[seed, epoch, index, 1]);
            let noise: Vec<f32> = (0..sound.samples.len()).map(|_| stream.normal() as f32).collect();
            mix(&mut sound.samples, &noise, ratio);
        }
        sound
    }
}

/// Adds a second sound, so loud that the first one's power is `ratio` decibels above its own. It is repeated to the first one's length.
///
/// Where either is silence, or empty, nothing is added.
pub fn mix(samples: &mut [f32], noise: &[f32], ratio: f64) {
    let power = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / x.len().max(1) as f64;
    // That of the part that is heard.
    let heard = &noise[..noise.len().min(samples.len())];
    let (signal, added) = (power(samples), power(heard));
    if signal > 0.0 && added > 0.0 {
        let scale = (signal / added / 10f64.powf(ratio / 10.0)).sqrt();
        samples.iter_mut().zip(noise.iter().cycle()).for_each(|(x, noise)| *x = (f64::from(*x) + f64::from(*noise) * scale) as f32);
    }
}

/// At a thousandth's speeds: as if it were recorded at a rate that is `speed` times as high.
fn faster(sound: &Sound, speed: f64) -> Sound {
    let thousandths = (speed * 1000.0).round() as u32;
    let samples = Sound { rate: thousandths, samples: sound.samples.clone() }.resample(1000).samples;
    Sound { rate: sound.rate, samples }
}
