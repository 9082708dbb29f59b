//! Speech in recordings, from the command line, with seeded weights.

use crate::support::{backends, bad, good, last_json, run};
use burn::tensor::{Device, Tensor, TensorData};
use fornax_architectures::{SileroVad, SileroVadConfig, SpeechSegments};
use fornax_data::audio::{Sound, read_wav};
use fornax_kernels::{
    device::BackendName,
    random::{Key, set_step_key},
};
use fornax_weights::{TensorFile, state};
use serde_json::Value;
use std::{fs, path::Path};

fn device() -> Device {
    BackendName::Flex.device(None).unwrap()
}

/// Weights by seed; the head is made large and its logits brought around 0, so that the probabilities differ.
fn model(rate: u32) -> SileroVad {
    set_step_key(Key::new(u64::from(rate)));
    let mut model = SileroVadConfig { rate, ..SileroVadConfig::v6_16k() }.init(&device());
    model.head.weight = model.head.weight.map(|weight| weight * 400.0);
    model.head.bias = model.head.bias.map(|bias| bias.map(|bias| bias.zeros_like() - 4.5));
    model
}

/// A field of a Protocol Buffers message.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let (mut length, mut bytes) = (content.len(), vec![number << 3 | 2]);
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    [bytes, content.to_vec()].concat()
}

/// An ONNX tensor in 32-bit floats.
fn tensor(name: &str, data: &TensorData) -> Vec<u8> {
    let shape: Vec<u8> = data.shape().iter().flat_map(|&d| if d < 128 { vec![d as u8] } else { vec![d as u8 | 0x80, (d >> 7) as u8] }).collect();
    [field(1, &shape), vec![2 << 3, 1], field(8, name.as_bytes()), field(9, data.as_bytes())].concat()
}

/// Both networks in one ONNX file: one as initializers, one as constants in a branch of an `If`.
fn onnx() -> Vec<u8> {
    let initializers: Vec<u8> = state(&model(16_000)).iter().flat_map(|(name, data)| field(5, &tensor(&format!("high.{name}"), data))).collect();
    let constant = |(name, data): (&String, &TensorData)| {
        let value = [field(1, b"value"), field(5, &tensor("", data))].concat();
        field(1, &[field(2, format!("low.{name}").as_bytes()), field(4, b"Constant"), field(5, &value)].concat())
    };
    let branch: Vec<u8> = state(&model(8000)).iter().flat_map(constant).collect();
    let node = [field(4, b"If"), field(5, &[field(1, b"else_branch"), field(6, &branch)].concat())].concat();
    [vec![1 << 3, 8], field(7, &[initializers, field(1, &node)].concat())].concat()
}

/// A WAV file; `kind` is 1 for whole numbers and 3 for floats.
fn wav(path: &Path, rate: u32, channels: u16, [kind, bits]: [u16; 2], samples: &[f32]) {
    let one = |x: f32| match (kind, bits) {
        (3, 64) => f64::from(x).to_le_bytes().to_vec(),
        (3, _) => x.to_le_bytes().to_vec(),
        (_, 8) => vec![(x * 128.0 + 128.0) as u8],
        (_, bits) => ((f64::from(x) * f64::from(1u32 << (bits - 1))) as i32).to_le_bytes()[..usize::from(bits / 8)].to_vec(),
    };
    let data: Vec<u8> = samples.iter().flat_map(|&x| one(x).repeat(usize::from(channels))).collect();
    let (frame, size) = (channels * bits / 8, data.len() as u32);
    let numbers = [&kind.to_le_bytes()[..], &channels.to_le_bytes(), &rate.to_le_bytes(), &(rate * u32::from(frame)).to_le_bytes()].concat();
    let format = [&16u32.to_le_bytes()[..], &numbers, &frame.to_le_bytes(), &bits.to_le_bytes()].concat();
    fs::write(path, [b"RIFF", &(36 + size).to_le_bytes()[..], b"WAVEfmt ", &format, b"data", &size.to_le_bytes(), &data].concat()).unwrap();
}

/// Bursts of a tone and of noise in silence, in steps of 1/128, which every format holds.
fn sound(seconds: f32, rate: u32) -> Vec<f32> {
    let at = |i: usize| {
        let t = i as f32 / rate as f32;
        let wave = if (t as usize).is_multiple_of(2) { (t * 1500.0).sin() } else { 2.0 * Key::new(1).uniform(i as u64) as f32 - 1.0 };
        if t.fract() < 0.5 { (wave * 100.0).round() / 128.0 } else { 0.0 }
    };
    (0..(seconds * rate as f32) as usize).map(at).collect()
}

/// In one pass, without the binary.
fn probabilities(model: &SileroVad, sound: &Sound) -> Vec<f32> {
    let mut samples = sound.samples.clone();
    samples.resize(samples.len().next_multiple_of(model.config.chunk()), 0.0);
    let length = samples.len();
    model.forward(Tensor::from_data(TensorData::new(samples, [1, length]), &device()), None).0.into_data().iter::<f32>().collect()
}

fn numbers(json: &Value) -> Vec<f32> {
    json["probabilities"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap() as f32).collect()
}

#[track_caller]
fn assert_close(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(worst < 1e-5, "{worst:e} apart");
}

#[test]
fn probabilities_and_segments_are_the_networks_at_any_rate_and_format() {
    let f = tempfile::tempdir().unwrap();
    let path = |name: &str| f.path().join(name);
    fs::write(path("both.onnx"), onnx()).unwrap();
    TensorFile::new(state(&model(16_000))).write(&path("high.safetensors")).unwrap();
    let vad = |file: &str, weights: &str, more: &[&str]| good(f.path(), &[&["vad", file, "--weights", weights][..], more].concat());
    // Longer than what goes through the network at once.
    wav(&path("long.wav"), 16_000, 1, [1, 16], &sound(20.3, 16_000));
    let long = read_wav(&path("long.wav")).unwrap();
    let want = probabilities(&model(16_000), &long);
    let (low, high) = want.iter().fold((1f32, 0f32), |(low, high), p| (low.min(*p), high.max(*p)));
    assert!(low < 0.2 && high > 0.7, "probabilities from {low} to {high}");
    for backend in backends() {
        for weights in ["both.onnx", "high.safetensors"] {
            let json = last_json(&vad("long.wav", weights, &["--json", "--threshold=0.6", "--backend", &backend]));
            assert_close(&numbers(&json), &want);
            assert_eq!((json["rate"].as_u64(), json["chunk"].as_u64()), (Some(16_000), Some(512)));
            let segments = SpeechSegments::new(0.6).find(&numbers(&json), 512, long.samples.len(), 16_000);
            assert!(segments.len() > 1, "{segments:?}");
            let told: Vec<_> = json["segments"].as_array().unwrap().iter().map(|s| [s["start_sample"].as_u64(), s["end_sample"].as_u64()]).collect();
            assert_eq!(told, segments.iter().map(|s| [Some(s.start as u64), Some(s.end as u64)]).collect::<Vec<_>>());
            let lines = vad("long.wav", weights, &["--threshold=0.6", "--backend", &backend]);
            assert_eq!(lines.lines().count(), segments.len());
            assert!(lines.starts_with(&format!("{:.3} s to ", segments[0].start as f64 / 16_000.0)), "{lines}");
        }
    }
    // 8,000 a second has its own network where the weights hold it, and is resampled where they do not.
    let low = sound(3.0, 8000);
    for (name, channels, format) in [("a.wav", 1, [1, 8]), ("b.wav", 2, [1, 16]), ("c.wav", 1, [1, 24]), ("d.wav", 3, [3, 32])] {
        wav(&path(name), 8000, channels, format, &low);
        let low = Sound { rate: 8000, samples: low.clone() };
        assert_close(&numbers(&last_json(&vad(name, "both.onnx", &["--json"]))), &probabilities(&model(8000), &low));
        let json = last_json(&vad(name, "high.safetensors", &["--json"]));
        assert_eq!((json["file_rate"].as_u64(), json["rate"].as_u64()), (Some(8000), Some(16_000)));
        assert_close(&numbers(&json), &probabilities(&model(16_000), &low.resample(16_000)));
    }
    wav(&path("cd.wav"), 44_100, 2, [1, 16], &sound(1.1, 44_100));
    let output = run(f.path(), &["vad", "cd.wav", "--weights", "both.onnx", "--json"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("resampled from 44100 to 16000"));
    let want = probabilities(&model(16_000), &read_wav(&path("cd.wav")).unwrap().resample(16_000));
    assert_close(&numbers(&last_json(&String::from_utf8(output.stdout).unwrap())), &want);
}

#[test]
fn what_cannot_be_heard_is_named() {
    let f = tempfile::tempdir().unwrap();
    let path = |name: &str| f.path().join(name);
    let (whole, tensors) = (onnx(), state(&model(16_000)));
    fs::write(path("good.onnx"), &whole).unwrap();
    wav(&path("good.wav"), 16_000, 1, [1, 16], &sound(0.5, 16_000));
    good(f.path(), &["vad", "good.wav", "--weights", "good.onnx"]);

    wav(&path("none.wav"), 16_000, 1, [1, 16], &[]);
    wav(&path("nan.wav"), 16_000, 1, [3, 32], &[0.0, f32::NAN]);
    wav(&path("huge.wav"), 16_000, 1, [3, 32], &[1e30; 600]);
    wav(&path("double.wav"), 16_000, 1, [3, 64], &[0.5; 600]);
    wav(&path("slow.wav"), 3, 1, [1, 16], &sound(0.5, 16_000));
    fs::write(path("empty.wav"), "").unwrap();
    fs::write(path("text.wav"), "once upon a time").unwrap();
    let recordings = [
        ("none.wav", "holds no samples"),
        ("nan.wav", "sample 1 is no number"),
        ("huge.wav", "samples of up to 1e30 are too large"),
        ("double.wav", "whole numbers of 8 to 32 bits and floats of 32"),
        ("slow.wav", "3 samples a second"),
        ("empty.wav", "it is empty"),
        ("text.wav", "no RIFF tag"),
        ("absent.wav", "absent.wav"),
    ];
    for (file, part) in recordings {
        let line = bad(f.path(), &[1], &["vad", file, "--weights", "good.onnx"]);
        assert!(line.contains(part) && line.contains(file), "{line}");
    }

    fs::write(path("cut.onnx"), &whole[..whole.len() / 2]).unwrap();
    fs::write(path("text.onnx"), "once upon a time").unwrap();
    fs::write(path("script.jit"), b"PK\x03\x04 and more").unwrap();
    let weights = |name: &str, change: &dyn Fn(&mut fornax_weights::Tensors)| {
        let mut tensors = tensors.clone();
        change(&mut tensors);
        TensorFile::new(tensors).write(&path(name)).unwrap();
    };
    weights("other.safetensors", &|tensors| tensors.retain(|name, _| name.starts_with("head")));
    weights("less.safetensors", &|tensors| drop(tensors.remove("head.bias")));
    weights("shape.safetensors", &|tensors| drop(tensors.insert("head.bias".into(), TensorData::from([1.0f32, 2.0]))));
    weights("nan.safetensors", &|tensors| drop(tensors.insert("head.bias".into(), TensorData::from([f32::NAN]))));
    let files = [
        ("cut.onnx", "cut off"),
        ("text.onnx", "no ONNX file"),
        ("script.jit", "take a safetensors or an ONNX file"),
        ("other.safetensors", "no weights of Silero VAD"),
        ("less.safetensors", "`head.bias`"),
        ("shape.safetensors", "shape [2] in the weights and [1] in the model"),
        ("nan.safetensors", "the weights hold numbers that are none"),
        ("absent.onnx", "absent.onnx"),
    ];
    for (file, part) in files {
        let line = bad(f.path(), &[1], &["vad", "good.wav", "--weights", file]);
        assert!(line.contains(part), "{file}: {line}");
    }
    for threshold in ["0", "1", "NaN", "-1"] {
        let line = bad(f.path(), &[2], &["vad", "good.wav", "--weights", "good.onnx", &format!("--threshold={threshold}")]);
        assert!(line.contains("--threshold must be above 0 and below 1"), "{line}");
    }
    let shown = good(f.path(), &["inspect", "good.onnx"]);
    assert!(shown.contains("high.stft.weight") && shown.contains("low.stft.weight") && shown.contains("30 tensors"), "{shown}");
    assert!(bad(f.path(), &[1], &["inspect", "cut.onnx"]).contains("cut off"));
}
