use crate::{DataError, read::Source};
use std::{
    io::{Cursor, Seek, Write},
    path::Path,
};

const KIND: &str = "WAV";

/// A recording, one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    /// Samples a second.
    pub rate: u32,
    /// Whole numbers are scaled to `[−1, 1)`.
    pub samples: Vec<f32>,
}

impl Sound {
    /// In seconds.
    pub fn duration(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate)
    }

    /// Each sample less `coefficient` times the one before it, `y_t = x_t − c x_{t−1}` and `y_0 = x_0`: torchaudio's `preemphasis`, whose default is 0.97.
    #[must_use]
    pub fn preemphasis(&self, coefficient: f64) -> Self {
        let before = std::iter::once(0.0).chain(self.samples.iter().copied());
        let samples = self.samples.iter().zip(before).map(|(x, before)| x - coefficient as f32 * before).collect();
        Self { rate: self.rate, samples }
    }
}

/// Reads a WAV file: whole numbers of 8, 16, 24 or 32 bits, or floats of 32, any rate; channels are mixed to their mean.
///
/// # Errors
/// [`DataError`] for a file that holds no samples, is cut off or of another kind, or has a sample that is no number.
pub fn read_wav(path: &Path) -> Result<Sound, DataError> {
    decode(&Source::open(KIND, path, false)?.rest()?, path)
}

/// The same from memory; `name` is what errors call it.
///
/// # Errors
/// As [`read_wav`].
pub fn wav_from_bytes(name: &Path, bytes: &[u8]) -> Result<Sound, DataError> {
    decode(bytes, name)
}

/// Writes 16-bit samples; what is outside `[−1, 1)` is cut.
///
/// # Errors
/// [`DataError`] where the file cannot be written.
pub fn write_wav(path: &Path, sound: &Sound) -> Result<(), DataError> {
    let file = std::fs::File::create(path).map_err(DataError::io("write", path))?;
    encode(std::io::BufWriter::new(file), sound).map_err(|error| match error {
        hound::Error::IoError(error) => DataError::io("write", path)(error),
        other => DataError::damaged(KIND, path, other.to_string()),
    })
}

fn encode(out: impl Write + Seek, sound: &Sound) -> hound::Result<()> {
    let spec = hound::WavSpec { channels: 1, sample_rate: sound.rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::new(out, spec)?;
    for x in &sound.samples {
        writer.write_sample((x * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16)?;
    }
    writer.finalize()
}

fn decode(bytes: &[u8], path: &Path) -> Result<Sound, DataError> {
    let damaged = |why: String| DataError::damaged(KIND, path, why);
    let explain = |error: hound::Error| match error {
        // From memory nothing can fail but a read behind the end.
        hound::Error::IoError(_) => damaged("cut off".into()),
        // The first is what hound says to floats of 64 bits.
        hound::Error::FormatError("bits per sample is not 32") | hound::Error::Unsupported => {
            damaged("samples in a format other than whole numbers of 8 to 32 bits and floats of 32".into())
        }
        hound::Error::FormatError(why) => damaged(why.into()),
        other => damaged(other.to_string()),
    };
    if bytes.is_empty() {
        return Err(damaged("it is empty".into()));
    }
    let mut reader = hound::WavReader::new(Cursor::new(bytes)).map_err(explain)?;
    let spec = reader.spec();
    if spec.channels == 0 || spec.sample_rate == 0 || !(1..=32).contains(&spec.bits_per_sample) {
        return Err(damaged(format!("{} channels, {} samples a second, {} bits a sample", spec.channels, spec.sample_rate, spec.bits_per_sample)));
    }
    let scale = 1.0 / (1u64 << (spec.bits_per_sample - 1)) as f64;
    let samples: Result<Vec<f64>, hound::Error> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().map(|x| x.map(f64::from)).collect(),
        hound::SampleFormat::Int => reader.samples::<i32>().map(|x| x.map(|x| f64::from(x) * scale)).collect(),
    };
    let samples = samples.map_err(explain)?;
    if let Some(at) = samples.iter().position(|x| !x.is_finite()) {
        return Err(damaged(format!("sample {at} is no number")));
    }
    let channels = usize::from(spec.channels);
    if samples.is_empty() || !samples.len().is_multiple_of(channels) {
        return Err(damaged(if samples.is_empty() { "it holds no samples".into() } else { "its last samples lack a channel".into() }));
    }
    let mix = |frame: &[f64]| (frame.iter().sum::<f64>() / channels as f64) as f32;
    Ok(Sound { rate: spec.sample_rate, samples: samples.chunks_exact(channels).map(mix).collect() })
}
