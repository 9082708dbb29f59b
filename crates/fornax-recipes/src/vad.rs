//! `fornax vad`

use crate::{cli::VadArgs, config::device, error::usage, train::cores, ui};
use anyhow::{Context, Result, bail};
use burn::tensor::{Device, Tensor, TensorData};
use fornax_architectures::{SileroVad, SpeechSegments};
use fornax_data::audio::{Sound, read_wav};
use fornax_weights::{Tensors, read_tensors};
use serde_json::json;
use std::path::Path;

/// Chunks that go through the network at once: 16 s.
const AT_ONCE: usize = 512;
/// Rates that sound is recorded at; the header of a damaged file may say any.
const RATES: std::ops::RangeInclusive<u32> = 1000..=768_000;

pub(crate) fn run(args: &VadArgs) -> Result<u8> {
    if !(args.threshold > 0.0 && args.threshold < 1.0) {
        return Err(usage(format!("--threshold must be above 0 and below 1, not {}", args.threshold)));
    }
    if args.compute.threads == Some(0) {
        return Err(usage("--threads must be at least 1"));
    }
    let device = device(args.compute.backend.as_deref().unwrap_or("flex"), args.compute.device.as_deref())?;
    fornax_kernels::device::set_threads(args.compute.threads.unwrap_or_else(cores));
    let sound = read_wav(&args.file)?;
    if !RATES.contains(&sound.rate) {
        bail!("{} samples a second, not {} to {}: {}", sound.rate, RATES.start(), RATES.end(), args.file.display());
    }
    let tensors = read_tensors(&args.weights)?;
    let rate = rate(&tensors, sound.rate, &args.weights)?;
    let model = SileroVad::load(&tensors, rate, &device).with_context(|| format!("cannot use {}", args.weights.display()))?;
    let heard = sound.resample(rate);
    let probabilities = probabilities(&model, &heard, &device, &args.file)?;
    let segments = SpeechSegments::new(args.threshold).find(&probabilities, model.config.chunk(), heard.samples.len(), rate);

    let seconds = |samples: usize| samples as f64 / f64::from(rate);
    let speech: usize = segments.iter().map(|segment| segment.len()).sum();
    if sound.rate != rate {
        ui::note(format!("resampled from {} to {rate} samples a second", sound.rate));
    }
    if args.json {
        let segments: Vec<_> = segments
            .iter()
            .map(|s| json!({"start": seconds(s.start), "end": seconds(s.end), "start_sample": s.start, "end_sample": s.end}))
            .collect();
        let object = json!({
            "input": args.file, "seconds": sound.duration(), "file_rate": sound.rate, "rate": rate, "chunk": model.config.chunk(),
            "threshold": args.threshold, "segments": segments, "probabilities": probabilities,
        });
        ui::out(object.to_string());
        return Ok(0);
    }
    for segment in &segments {
        ui::out(format!("{:.3} s to {:.3} s", seconds(segment.start), seconds(segment.end)));
    }
    let count = segments.len();
    ui::note(format!("{count} segment{}, {:.2} s of speech in {:.2} s", if count == 1 { "" } else { "s" }, seconds(speech), sound.duration()));
    Ok(0)
}

/// The file's own rate if the weights are for it, else the highest that they are for.
fn rate(tensors: &Tensors, own: u32, weights: &Path) -> Result<u32> {
    let rates = SileroVad::rates_in(tensors);
    match rates.iter().find(|rate| **rate == own).or(rates.last()) {
        Some(rate) => Ok(*rate),
        None => bail!("these are no weights of Silero VAD: of {} tensors none is the basis of its transform: {}", tensors.len(), weights.display()),
    }
}

/// Of every chunk, the last one filled with silence.
fn probabilities(model: &SileroVad, sound: &Sound, device: &Device, path: &Path) -> Result<Vec<f32>> {
    let chunk = model.config.chunk();
    let (mut probabilities, mut state) = (vec![], None);
    for piece in sound.samples.chunks(AT_ONCE * chunk) {
        let length = piece.len().next_multiple_of(chunk);
        let mut samples = piece.to_vec();
        samples.resize(length, 0.0);
        let samples = Tensor::from_data(TensorData::new(samples, [1, length]), device);
        let (found, after) = model.forward(samples, state.as_ref());
        probabilities.extend(found.into_data().iter::<f32>());
        state = Some(after);
    }
    if let Some(at) = probabilities.iter().position(|p| !p.is_finite()) {
        let largest = sound.samples.iter().fold(0f32, |most, x| most.max(x.abs()));
        bail!(
            "chunk {at} has no probability: the weights hold numbers that are none, or samples of up to {largest:e} are too large: {}",
            path.display()
        );
    }
    Ok(probabilities)
}
