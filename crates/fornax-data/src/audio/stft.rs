use super::{
    Frames,
    fft::{Complex, Fft},
};
use crate::DataError;

/// What lies before the first sample and behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The samples in a mirror, the edge itself once.
    Reflect,
    /// Zeros.
    Zeros,
}

/// Configuration of [`Stft`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StftConfig {
    /// `N`, samples of a transform.
    pub size: usize,
    /// Samples under the (periodic) Hann window, in the middle of them.
    pub window: usize,
    /// Samples from a frame to the next.
    pub hop: usize,
    /// Frame `t` is centred on sample `t · hop`, with an edge; without, frames lie within the sound.
    pub centre: Option<Edge>,
}

impl StftConfig {
    /// Centred, with mirrored edges: the defaults of torchaudio's `Spectrogram`, which hops by half a window.
    pub fn torchaudio(size: usize) -> Self {
        Self { size, window: size, hop: size / 2, centre: Some(Edge::Reflect) }
    }
    /// Centred, with zeros around: the defaults of librosa's `stft`, which hops by a quarter of a window.
    pub fn librosa(size: usize) -> Self {
        Self { size, window: size, hop: size / 4, centre: Some(Edge::Zeros) }
    }
    /// With a window of `window` samples every `hop`.
    pub fn with_window(self, window: usize, hop: usize) -> Self {
        Self { window, hop, ..self }
    }

    /// `N/2 + 1`
    pub fn bins(&self) -> usize {
        self.size / 2 + 1
    }

    /// Makes the window and the roots of the transform.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if a number is 0 or the window larger than the transform.
    pub fn build(&self) -> Result<Stft, DataError> {
        let Self { size, window, hop, .. } = *self;
        if size == 0 || hop == 0 || window == 0 || window > size {
            return Err(DataError::Invalid(format!(
                "a window of {window} samples every {hop} in transforms of {size}: 0 < window ≤ size and 0 < hop are needed"
            )));
        }
        let before = (size - window) / 2;
        let hann = |i: usize| 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / window as f64).cos();
        let place = |i: usize| i.checked_sub(before).filter(|i| *i < window).map_or(0.0, hann);
        Ok(Stft { config: *self, window: (0..size).map(place).collect(), fft: Fft::new(size) })
    }
}

/// The short-time Fourier transform, in f64.
///
/// `X_t(k) = Σ_n w(n) x(n + t · hop − N/2) e^(−2πi k n / N)`
#[derive(Debug, Clone)]
pub struct Stft {
    config: StftConfig,
    window: Vec<f64>,
    fft: Fft,
}

impl Stft {
    /// How it was built.
    pub fn config(&self) -> &StftConfig {
        &self.config
    }

    /// `|X|²` of every frame: `[T, N/2 + 1]`
    ///
    /// # Errors
    /// [`DataError::Invalid`] for a sound that is too short for a frame, or for its mirrored edge.
    pub fn power(&self, samples: &[f32]) -> Result<Frames, DataError> {
        let mut values = vec![];
        self.each_frame(samples, |spectrum| values.extend(spectrum.iter().map(|[re, im]| (re * re + im * im) as f32)))?;
        Ok(Frames { values, width: self.config.bins() })
    }

    /// Real and imaginary parts of every frame: `[T, 2 (N/2 + 1)]`, pairs beside each other.
    ///
    /// # Errors
    /// As [`Stft::power`].
    pub fn complex(&self, samples: &[f32]) -> Result<Frames, DataError> {
        let mut values = vec![];
        self.each_frame(samples, |spectrum| values.extend(spectrum.iter().flatten().map(|x| *x as f32)))?;
        Ok(Frames { values, width: 2 * self.config.bins() })
    }

    /// Calls `take` with the spectrum of each frame.
    pub(super) fn each_frame(&self, samples: &[f32], mut take: impl FnMut(&[Complex])) -> Result<(), DataError> {
        let StftConfig { size, hop, centre, .. } = self.config;
        let (half, count) = (size / 2, samples.len());
        let too_short =
            |need: usize| Err(DataError::Invalid(format!("a sound of {count} samples is too short: transforms of {size} need at least {need}")));
        let frames = match centre {
            Some(Edge::Reflect) if count <= half => return too_short(half + 1),
            Some(_) if count == 0 => return too_short(1),
            None if count < size => return too_short(size),
            Some(_) => 1 + (count + 2 * half - size) / hop,
            None => 1 + (count - size) / hop,
        };
        let before = if centre.is_some() { half as i64 } else { 0 };
        let sample = |i: i64| {
            let inside = match centre {
                Some(Edge::Reflect) => mirror(i, count as i64),
                _ => i,
            };
            usize::try_from(inside).ok().and_then(|i| samples.get(i)).map_or(0.0, |x| f64::from(*x))
        };
        let (mut input, mut output) = (vec![[0.0; 2]; size], vec![[0.0; 2]; size]);
        for t in 0..frames {
            let first = (t * hop) as i64 - before;
            input.iter_mut().zip(&self.window).zip(first..).for_each(|((x, window), i)| *x = [sample(i) * window, 0.0]);
            self.fft.transform(&input, &mut output);
            take(&output[..self.config.bins()]);
        }
        Ok(())
    }
}

/// The place of a sample beyond an edge, which is less than a sound away.
fn mirror(i: i64, count: i64) -> i64 {
    let i = i.abs();
    if i < count { i } else { 2 * (count - 1) - i }
}
