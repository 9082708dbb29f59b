use super::{Frames, Stft, StftConfig};
use crate::DataError;

/// How pitch grows with frequency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MelScale {
    /// `2595 log₁₀(1 + f / 700)`: O'Shaughnessy, "Speech communication", 1987; HTK's, and torchaudio's default.
    Htk,
    /// Linear below 1 kHz, logarithmic above: Slaney, "Auditory toolbox", 1998; librosa's default.
    Slaney,
}

impl MelScale {
    /// Of hertz.
    pub fn mel(self, hertz: f64) -> f64 {
        match self {
            Self::Htk => 2595.0 * (1.0 + hertz / 700.0).log10(),
            Self::Slaney if hertz < 1000.0 => hertz * 3.0 / 200.0,
            Self::Slaney => 15.0 + (hertz / 1000.0).ln() * 27.0 / 6.4f64.ln(),
        }
    }

    /// Back to hertz.
    pub fn hertz(self, mel: f64) -> f64 {
        match self {
            Self::Htk => 700.0 * (10f64.powf(mel / 2595.0) - 1.0),
            Self::Slaney if mel < 15.0 => mel * 200.0 / 3.0,
            Self::Slaney => 1000.0 * ((mel - 15.0) * 6.4f64.ln() / 27.0).exp(),
        }
    }
}

/// Configuration of [`Mel`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MelConfig {
    /// Samples a second.
    pub rate: u32,
    /// The transform below.
    pub stft: StftConfig,
    /// `M`, triangular filters.
    pub filters: usize,
    /// Where the first begins, in hertz.
    pub low: f64,
    /// Where the last ends, in hertz: half the rate if none.
    pub high: Option<f64>,
    /// On which the filters are evenly spaced.
    pub scale: MelScale,
    /// Filters of the same area (Slaney's) in place of the same height.
    pub same_area: bool,
}

impl MelConfig {
    /// The defaults of torchaudio's `MelSpectrogram`: 128 filters on HTK's scale, transforms of 400 samples every 200.
    pub fn torchaudio(rate: u32) -> Self {
        Self { rate, stft: StftConfig::torchaudio(400), filters: 128, low: 0.0, high: None, scale: MelScale::Htk, same_area: false }
    }
    /// The defaults of librosa's `melspectrogram`: 128 filters of the same area on Slaney's scale, transforms of 2,048 samples every 512.
    pub fn librosa(rate: u32) -> Self {
        Self { stft: StftConfig::librosa(2048), scale: MelScale::Slaney, same_area: true, ..Self::torchaudio(rate) }
    }
    /// 25 ms every 10 ms, the usual frames of speech, in transforms of a power of two.
    pub fn speech(rate: u32, filters: usize) -> Self {
        let (window, hop) = (rate as usize / 40, rate as usize / 100);
        let stft = StftConfig::torchaudio(window.next_power_of_two()).with_window(window, hop);
        Self { stft, filters, ..Self::torchaudio(rate) }
    }

    /// Makes the filters and the transform below.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if a number is out of range.
    pub fn build(&self) -> Result<Mel, DataError> {
        let high = self.high.unwrap_or(f64::from(self.rate) / 2.0);
        if self.filters == 0 || self.low.is_nan() || self.low < 0.0 || self.low >= high || high > f64::from(self.rate) / 2.0 {
            let Self { filters, low, rate, .. } = self;
            return Err(DataError::Invalid(format!(
                "{filters} mel filters from {low} to {high} Hz at {rate} samples a second: one at least, within 0 to half the rate"
            )));
        }
        let (first, last) = (self.scale.mel(self.low), self.scale.mel(high));
        let edge = |i: usize| self.scale.hertz(first + (last - first) * i as f64 / (self.filters + 1) as f64);
        let edges: Vec<f64> = (0..self.filters + 2).map(edge).collect();
        let filter = |edges: &[f64]| {
            let [low, mid, high] = *edges else { unreachable!("windows of three") };
            let height = if self.same_area { 2.0 / (high - low) } else { 1.0 };
            let at = |bin: usize| {
                let hertz = bin as f64 * f64::from(self.rate) / self.stft.size as f64;
                ((hertz - low) / (mid - low)).min((high - hertz) / (high - mid)).max(0.0) * height
            };
            let weights: Vec<f64> = (0..self.stft.bins()).map(at).collect();
            let from = weights.iter().position(|w| *w > 0.0).unwrap_or(0);
            let to = weights.iter().rposition(|w| *w > 0.0).map_or(from, |last| last + 1);
            Filter { from, weights: weights[from..to].to_vec() }
        };
        Ok(Mel { stft: self.stft.build()?, filters: edges.windows(3).map(filter).collect() })
    }
}

/// A triangle: its weights from bin `from` on.
#[derive(Debug, Clone)]
struct Filter {
    from: usize,
    weights: Vec<f64>,
}

/// Power in bands that are evenly spaced in pitch.
///
/// Source: Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", 1980.
#[derive(Debug, Clone)]
pub struct Mel {
    stft: Stft,
    filters: Vec<Filter>,
}

impl Mel {
    /// The transform below.
    pub fn stft(&self) -> &Stft {
        &self.stft
    }

    /// `[T, M]`, of samples at the rate of the config.
    ///
    /// # Errors
    /// [`DataError::Invalid`] for a sound that is too short.
    pub fn forward(&self, samples: &[f32]) -> Result<Frames, DataError> {
        let (mut values, mut power) = (vec![], vec![]);
        self.stft.each_frame(samples, |spectrum| {
            power.clear();
            power.extend(spectrum.iter().map(|[re, im]| re * re + im * im));
            let band = |filter: &Filter| filter.weights.iter().zip(&power[filter.from..]).map(|(w, p)| w * p).sum::<f64>() as f32;
            values.extend(self.filters.iter().map(band));
        })?;
        Ok(Frames { values, width: self.filters.len() })
    }
}

/// The logarithm of power.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Log {
    /// `10 log₁₀ max(x, floor)`, and nothing below the loudest value of the sound less `range`.
    Decibel {
        /// 1e-10 in torchaudio and librosa.
        floor: f64,
        /// 80 in librosa and in torchaudio's MFCC.
        range: Option<f64>,
    },
    /// `ln(x + offset)`: 1e-6 in torchaudio's MFCC with `log_mels`.
    Natural {
        /// What keeps silence finite.
        offset: f64,
    },
}

impl Log {
    /// Decibel with a floor of 1e-10 and a range of 80: librosa's `power_to_db`, and torchaudio's `AmplitudeToDB("power", 80)`.
    pub const DECIBEL: Self = Self::Decibel { floor: 1e-10, range: Some(80.0) };
    /// `ln(x + 1e-6)`
    pub const NATURAL: Self = Self::Natural { offset: 1e-6 };

    /// In place.
    pub fn apply(self, frames: &mut Frames) {
        match self {
            Self::Natural { offset } => frames.values.iter_mut().for_each(|x| *x = (f64::from(*x) + offset).ln() as f32),
            Self::Decibel { floor, range } => {
                frames.values.iter_mut().for_each(|x| *x = (10.0 * f64::from(*x).max(floor).log10()) as f32);
                let loudest = frames.values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let least = range.map_or(f32::NEG_INFINITY, |range| loudest - range as f32);
                frames.values.iter_mut().for_each(|x| *x = x.max(least));
            }
        }
    }
}

/// Configuration of [`Mfcc`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MfccConfig {
    /// The bands below.
    pub mel: MelConfig,
    /// Of the bands.
    pub log: Log,
    /// `C`, kept from the first on; at most as many as filters.
    pub coefficients: usize,
}

impl MfccConfig {
    /// The defaults of torchaudio's `MFCC`: 40 coefficients of decibels.
    pub fn torchaudio(rate: u32) -> Self {
        Self { mel: MelConfig::torchaudio(rate), log: Log::DECIBEL, coefficients: 40 }
    }
    /// The defaults of librosa's `mfcc`: 20 coefficients of decibels.
    pub fn librosa(rate: u32) -> Self {
        Self { mel: MelConfig::librosa(rate), log: Log::DECIBEL, coefficients: 20 }
    }

    /// Makes filters, cosines and the transform below.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if a number is out of range.
    pub fn build(&self) -> Result<Mfcc, DataError> {
        let (filters, count) = (self.mel.filters, self.coefficients);
        if count == 0 || count > filters {
            return Err(DataError::Invalid(format!("{count} cepstral coefficients of {filters} mel filters: from 1 to as many")));
        }
        let cosine = |c: usize, m: usize| {
            let norm = if c == 0 { 1.0 / filters as f64 } else { 2.0 / filters as f64 };
            norm.sqrt() * (std::f64::consts::PI * c as f64 * (m as f64 + 0.5) / filters as f64).cos()
        };
        let cosines = (0..count).flat_map(|c| (0..filters).map(move |m| cosine(c, m))).collect();
        Ok(Mfcc { mel: self.mel.build()?, log: self.log, cosines })
    }
}

/// Mel-frequency cepstral coefficients: an orthonormal cosine transform (DCT-II) of logarithmic mel bands.
///
/// Source: Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", 1980.
#[derive(Debug, Clone)]
pub struct Mfcc {
    mel: Mel,
    log: Log,
    /// `[C, M]`
    cosines: Vec<f64>,
}

impl Mfcc {
    /// `[T, C]`, of samples at the rate of the config.
    ///
    /// # Errors
    /// [`DataError::Invalid`] for a sound that is too short.
    pub fn forward(&self, samples: &[f32]) -> Result<Frames, DataError> {
        let mut bands = self.mel.forward(samples)?;
        self.log.apply(&mut bands);
        let product = |band: &[f32], cosines: &[f64]| band.iter().zip(cosines).map(|(x, c)| f64::from(*x) * c).sum::<f64>() as f32;
        let rows = || self.cosines.chunks_exact(bands.width);
        let values = bands.values.chunks_exact(bands.width).flat_map(|band| rows().map(move |row| product(band, row))).collect();
        Ok(Frames { values, width: rows().len() })
    }
}

/// Differences over time: `d_t = Σ_n n (x_{t+n} − x_{t−n}) / (2 Σ n²)`, `n` from 1 to `reach`, with the first and last frame repeated.
/// As torchaudio's `compute_deltas` with a window of `2 reach + 1`: `[T, D] -> [T, D]`
///
/// # Panics
/// If `reach` is 0.
pub fn deltas(frames: &Frames, reach: usize) -> Frames {
    assert!(reach > 0, "differences over no frames");
    let (count, width) = (frames.len(), frames.width);
    let scale = 1.0 / (2 * (1..=reach).map(|n| n * n).sum::<usize>()) as f64;
    let at = |t: usize, d: usize| f64::from(frames.values[t * width + d]);
    let delta = |t: usize, d: usize| {
        let difference = |n: usize| n as f64 * (at((t + n).min(count - 1), d) - at(t.saturating_sub(n), d));
        ((1..=reach).map(difference).sum::<f64>() * scale) as f32
    };
    let values = (0..count).flat_map(|t| (0..width).map(move |d| (t, d))).map(|(t, d)| delta(t, d)).collect();
    Frames { values, width }
}
