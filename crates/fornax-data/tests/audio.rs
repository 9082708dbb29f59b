//! Sound: every WAV format, torchaudio's and librosa's values (`reference/audio.py`), and files that are no sound.

use fornax_data::audio::{Edge, Frames, Log, MelConfig, MelScale, MfccConfig, Sound, StftConfig, deltas, read_wav, wav_from_bytes, write_wav};
use proptest::prelude::*;
use serde_json::Value;
use std::path::Path;

const FOLDER: &str = "tests/reference";

fn json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(Path::new(FOLDER).join(name)).expect("a fixture of `python reference/audio.py`")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

fn speech() -> Sound {
    read_wav(&Path::new(FOLDER).join("speech.wav")).unwrap()
}

#[test]
fn every_format_is_read() {
    let formats = json("audio.json")["formats"].as_object().unwrap().clone();
    assert_eq!(formats.len(), 10);
    for (name, want) in formats {
        let sound = read_wav(&Path::new(FOLDER).join(&name)).unwrap();
        assert_eq!(f64::from(sound.rate), want["rate"].as_f64().unwrap(), "{name}");
        let want = numbers(&want["samples"]);
        assert_eq!(sound.samples.len(), want.len(), "{name}");
        for (got, want) in sound.samples.iter().zip(&want) {
            assert!((f64::from(*got) - want).abs() < 1e-7, "{name}: {got} instead of {want}");
        }
    }
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wav");
    write_wav(&path, &speech()).unwrap();
    assert_eq!(read_wav(&path).unwrap(), speech());
    write_wav(&path, &Sound { rate: 16_000, samples: vec![2.0, -2.0, 0.5] }).unwrap();
    assert_eq!(read_wav(&path).unwrap().samples, [32_767.0 / 32_768.0, -1.0, 0.5]);
    let error = write_wav(&folder.path().join("no/x.wav"), &speech()).unwrap_err().to_string();
    assert!(error.starts_with("cannot write"), "{error}");
    assert_eq!(speech().duration(), 0.375);
}

#[test]
fn what_is_no_sound_is_said_in_a_line() {
    let whole = std::fs::read(Path::new(FOLDER).join("float_mono.wav")).unwrap();
    let mut nan = whole.clone();
    let at = nan.len() - 4;
    nan[at..].copy_from_slice(&f32::NAN.to_le_bytes());
    let silent = |bits: u16| {
        let mut bytes = std::io::Cursor::new(vec![]);
        let spec = hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: bits, sample_format: hound::SampleFormat::Int };
        hound::WavWriter::new(&mut bytes, spec).unwrap().finalize().unwrap();
        bytes.into_inner()
    };
    for (bytes, says) in [
        (vec![], "it is empty"),
        (silent(16), "it holds no samples"),
        (silent(24), "it holds no samples"),
        (whole[..whole.len() - 40].to_vec(), "cut off"),
        (whole[..20].to_vec(), "cut off"),
        (nan, "sample 59 is no number"),
        (b"RIFF....WAVErubbish".to_vec(), ""),
        (b"OggS and so on and so on and so on".to_vec(), "no RIFF tag found"),
    ] {
        let error = wav_from_bytes("x.wav".as_ref(), &bytes).unwrap_err().to_string();
        assert!(
            error.starts_with("not a readable WAV file: ") && error.contains(says) && error.ends_with(": x.wav") && error.lines().count() == 1,
            "{error}"
        );
    }
    assert!(read_wav("/nowhere/x.wav".as_ref()).unwrap_err().to_string().starts_with("cannot open"));
    assert!(read_wav(FOLDER.as_ref()).unwrap_err().to_string().contains("it is a folder"));
}

proptest! {
    #[test]
    fn no_bytes_panic(name in prop::sample::select(vec!["pcm_u8_mono.wav", "pcm_24_stereo.wav", "float_stereo.wav"]), changes in proptest::collection::vec((0usize..60, any::<u8>()), 1..4), cut in 0usize..200) {
        let mut bytes = std::fs::read(Path::new(FOLDER).join(name)).unwrap();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        let _ = wav_from_bytes("x".as_ref(), &bytes);
        bytes.truncate(cut);
        let _ = wav_from_bytes("x".as_ref(), &bytes);
    }
}

/// Within 1e-4 relative of each value, and of a millionth of the largest where it is smaller. Returns the worst relative difference of the others.
fn near(name: &str, frames: &[f32], want: &Value) -> f64 {
    let count: u64 = want["shape"].as_array().unwrap().iter().map(|side| side.as_u64().unwrap()).product();
    assert_eq!(frames.len() as u64, count, "{name}: shape {}", want["shape"]);
    let (step, largest) = (want["step"].as_u64().unwrap() as usize, want["largest"].as_f64().unwrap());
    let all_largest = frames.iter().fold(0f64, |max, x| max.max(f64::from(x.abs())));
    assert!((all_largest - largest).abs() <= 1e-5 * largest, "{name}: the largest is {all_largest} instead of {largest}");
    let mut worst = 0f64;
    for (i, (got, want)) in frames.iter().step_by(step).zip(numbers(&want["samples"])).enumerate() {
        let difference = (f64::from(*got) - want).abs() / want.abs().max(1e-6 * largest);
        assert!(difference <= 1e-4, "{name}, sample {i}: {got} instead of {want} (of at most {largest})");
        worst = worst.max(difference);
    }
    worst
}

/// All that the fixture has of one sound.
fn features(samples: &[f32], rate: u32) -> Vec<(&'static str, Frames)> {
    let stft = StftConfig::torchaudio(256).with_window(200, 80).build().unwrap();
    let mel = |config: MelConfig| config.build().unwrap().forward(samples).unwrap();
    let mfcc = |config: MfccConfig| config.build().unwrap().forward(samples).unwrap();
    let torch = MelConfig::torchaudio(rate);
    let every_100 = |size: usize| StftConfig::torchaudio(size).with_window(size, 100);
    let slaney = MelConfig { stft: every_100(256), filters: 40, low: 50.0, high: Some(3500.0), scale: MelScale::Slaney, same_area: true, ..torch };
    let htk = StftConfig { centre: None, ..StftConfig::librosa(512).with_window(512, 512) };
    let mut decibel = mel(MelConfig::librosa(rate));
    Log::DECIBEL.apply(&mut decibel);
    let natural = MfccConfig { mel: MelConfig { stft: every_100(256), filters: 26, ..torch }, log: Log::NATURAL, coefficients: 13 };
    vec![
        ("stft", stft.complex(samples).unwrap()),
        ("power_torchaudio", StftConfig::torchaudio(400).build().unwrap().power(samples).unwrap()),
        ("power_librosa", StftConfig::librosa(512).build().unwrap().power(samples).unwrap()),
        ("mel_torchaudio", mel(torch)),
        ("mel_librosa", mel(MelConfig::librosa(rate))),
        ("mel_slaney_torchaudio", mel(slaney)),
        ("mel_htk_librosa", mel(MelConfig { stft: htk, filters: 40, scale: MelScale::Htk, same_area: false, ..torch })),
        ("decibel_librosa", decibel),
        ("mfcc_torchaudio", mfcc(MfccConfig::torchaudio(rate))),
        ("mfcc_natural_torchaudio", mfcc(natural)),
        ("mfcc_librosa", mfcc(MfccConfig::librosa(rate))),
        ("deltas_torchaudio", deltas(&mfcc(MfccConfig::torchaudio(rate)), 2)),
    ]
}

fn check(sound: &Sound, want: &Value) {
    let of = want["features"].as_object().unwrap();
    let all = features(&sound.samples, sound.rate);
    assert_eq!(of.len(), all.len());
    for (name, frames) in all {
        eprintln!("{name}: {:e}", near(name, &frames.values, &of[name]));
    }
    for (rate, want) in want["resampled"].as_object().unwrap() {
        let samples = sound.resample(rate.parse().unwrap()).samples;
        eprintln!("resampled to {rate}: {:e}", near(&format!("resampled to {rate}"), &samples, want));
    }
}

#[test]
fn features_are_torchaudios_and_librosas() {
    check(&speech(), &json("audio.json"));
}

/// On real recordings: FORNAX_DATA names the folder that holds `fsdd`.
#[test]
fn features_of_real_recordings_are_theirs_too() {
    let Some(folder) = std::env::var_os("FORNAX_DATA").map(|root| Path::new(&root).join("fsdd")).filter(|f| f.is_dir()) else {
        eprintln!("skipped: FORNAX_DATA names no folder with `fsdd` in it");
        return;
    };
    let found = fornax_data::resolve(&fornax_data::FSDD, Some(&folder)).unwrap();
    let train = found.load_sounds(fornax_data::Split::Train).unwrap();
    let mut seen = 0;
    for (name, want) in json("recordings.json").as_object().unwrap() {
        let count = want["count"].as_u64().unwrap() as usize;
        let digit: u32 = name[..1].parse().unwrap();
        let speaker = train.speaker_names.iter().position(|s| name.contains(s.as_str())).unwrap() as u32;
        let alike = |i: &usize| train.labels[*i] == digit && train.speakers[*i] == speaker && train.sounds[*i].samples.len() == count;
        // Of the recordings of that digit, speaker and length, the one.
        let matching: Vec<usize> = (0..train.len()).filter(alike).collect();
        assert_eq!(matching.len(), 1, "{name}");
        eprintln!("{name}");
        check(&train.sounds[matching[0]], want);
        seen += 1;
    }
    assert_eq!(seen, 3);
}

/// FSDD as it is at hand: takes 5 to 49 in an archive.
#[test]
fn spoken_digits_are_all_there() {
    let Some(folder) = std::env::var_os("FORNAX_DATA").map(|root| Path::new(&root).join("fsdd")).filter(|f| f.is_dir()) else {
        eprintln!("skipped: FORNAX_DATA names no folder with `fsdd` in it");
        return;
    };
    let found = fornax_data::resolve(&fornax_data::FSDD, Some(&folder)).unwrap();
    let [train, valid] = [fornax_data::Split::Train, fornax_data::Split::Valid].map(|split| found.load_sounds(split).unwrap());
    assert_eq!((train.len(), valid.len(), train.speaker_names.len()), (2400, 300, 6));
    let (rest, one) = train.leave_out(2);
    assert_eq!((rest.len(), one.len()), (2000, 400));
    assert!(train.sounds.iter().all(|sound| sound.rate == 8000 && sound.duration() > 0.1));
}

#[test]
fn digits_are_found_in_folders_and_archives() {
    use fornax_data::{FSDD, Split, resolve};
    let folder = tempfile::tempdir().unwrap();
    let found = resolve(&FSDD, Some(folder.path())).unwrap();
    let error = found.load_sounds(Split::Test).unwrap_err().to_string();
    assert!(error.starts_with("the test split (takes 0 to 4, `DIGIT_SPEAKER_TAKE.wav`) is missing; its recordings are at https://"), "{error}");

    let inside = folder.path().join("recordings");
    std::fs::create_dir(&inside).unwrap();
    for name in ["3_jo_ann_12.wav", "3_bo_12.wav", "9_bo_7.wav", "0_bo_2.wav"] {
        write_wav(&inside.join(name), &Sound { rate: 8000, samples: vec![0.25; name.len()] }).unwrap();
    }
    std::fs::write(inside.join("0_bo_3.wav"), "damaged, and of the test split").unwrap();
    std::fs::write(inside.join("README.md"), "no recording").unwrap();
    let train = found.load_sounds(Split::Train).unwrap();
    assert_eq!(
        (train.labels.as_slice(), train.speakers.as_slice(), train.speaker_names.as_slice()),
        (&[3, 3][..], &[0, 1][..], &["bo".to_string(), "jo_ann".into()][..])
    );
    assert_eq!(train.sounds[1].samples.len(), 15);
    assert_eq!(found.load_sounds(Split::Valid).unwrap().labels, [9]);
    let error = found.load_sounds(Split::Test).unwrap_err().to_string();
    assert!(error.contains("0_bo_3.wav"), "{error}");

    let other = tempfile::tempdir().unwrap();
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(
        std::fs::File::create(other.path().join("all.tar.gz")).unwrap(),
        flate2::Compression::fast(),
    ));
    archive.append_dir_all("deep/down", &inside).unwrap();
    archive.into_inner().unwrap().finish().unwrap();
    let packed = resolve(&FSDD, Some(other.path())).unwrap();
    assert_eq!(packed.load_sounds(Split::Train).unwrap(), train);
    std::fs::write(other.path().join("all.tar.gz"), "no archive").unwrap();
    let error = packed.load_sounds(Split::Train).unwrap_err().to_string();
    assert!(error.starts_with("not a readable tar file"), "{error}");
    let error = found.load(Split::Train).unwrap_err().to_string();
    assert!(error.contains("holds recordings, not images"), "{error}");
    let error = fornax_data::fetch_into(&FSDD, other.path(), None, &mut |_, _, _| {}).unwrap_err().to_string();
    assert!(error.contains("has nothing to fetch: get it from https://github.com/Jakobovski"), "{error}");
}

#[test]
fn takes_are_split_as_published() {
    use fornax_data::{FSDD, Split, resolve};
    let folder = tempfile::tempdir().unwrap();
    for take in 0..52 {
        let path = folder.path().join(format!("8_bo_{take}.wav"));
        write_wav(&path, &Sound { rate: 8000, samples: vec![0.0; take + 1] }).unwrap();
    }
    let found = resolve(&FSDD, Some(folder.path())).unwrap();
    for (split, takes) in [(Split::Test, 0..5), (Split::Valid, 5..10), (Split::Train, 10..50)] {
        let mut lengths: Vec<usize> = found.load_sounds(split).unwrap().sounds.iter().map(|sound| sound.samples.len() - 1).collect();
        lengths.sort_unstable();
        assert_eq!(lengths, takes.collect::<Vec<_>>(), "{split}");
    }
}

#[test]
fn a_tone_keeps_its_pitch_at_another_rate() {
    let tone = |rate: u32, seconds: f64| -> Vec<f32> {
        (0..(f64::from(rate) * seconds) as usize).map(|i| (std::f64::consts::TAU * 440.0 * i as f64 / f64::from(rate)).sin() as f32).collect()
    };
    for (from, to) in [(8000, 16_000), (96_000, 8000), (44_100, 16_000), (16_000, 22_051)] {
        let got = Sound { rate: from, samples: tone(from, 0.1) }.resample(to);
        assert_eq!((got.rate, got.samples.len()), (to, (f64::from(to) * 0.1).ceil() as usize));
        let want = tone(to, 0.2);
        let middle = got.samples.len() / 4..got.samples.len() * 3 / 4;
        assert!(middle.clone().all(|i| (got.samples[i] - want[i]).abs() < 2e-3), "{from} to {to}");
    }
    // What the lower rate cannot hold is gone.
    let high = Sound { rate: 16_000, samples: (0..1600).map(|i| (std::f32::consts::TAU * 7000.0 * i as f32 / 16_000.0).sin()).collect() };
    assert!(high.resample(8000).samples[100..700].iter().all(|x| x.abs() < 0.01));
    assert_eq!(high.resample(16_000), high);
    assert!(Sound { rate: 8000, samples: vec![] }.resample(16_000).samples.is_empty());
}

#[test]
fn numbers_out_of_range_are_named() {
    for (error, says) in [
        (StftConfig::torchaudio(0).build().map(|_| ()), "transforms of 0"),
        (StftConfig::torchaudio(8).with_window(9, 1).build().map(|_| ()), "a window of 9 samples"),
        (StftConfig::torchaudio(8).with_window(8, 0).build().map(|_| ()), "every 0"),
        (MelConfig { filters: 0, ..MelConfig::torchaudio(8000) }.build().map(|_| ()), "0 mel filters"),
        (MelConfig { low: 4000.0, ..MelConfig::torchaudio(8000) }.build().map(|_| ()), "from 4000 to 4000 Hz"),
        (MelConfig { high: Some(4001.0), ..MelConfig::torchaudio(8000) }.build().map(|_| ()), "to 4001 Hz at 8000"),
        (MfccConfig { coefficients: 129, ..MfccConfig::torchaudio(8000) }.build().map(|_| ()), "129 cepstral coefficients of 128"),
        (
            StftConfig::torchaudio(400).build().unwrap().power(&[0.0; 200]).map(|_| ()),
            "a sound of 200 samples is too short: transforms of 400 need at least 201",
        ),
        (StftConfig::librosa(400).build().unwrap().power(&[]).map(|_| ()), "need at least 1"),
        (StftConfig { centre: None, ..StftConfig::librosa(400) }.build().unwrap().power(&[0.0; 399]).map(|_| ()), "need at least 400"),
    ] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let frames = |centre: Option<Edge>, count: usize| {
        StftConfig { centre, ..StftConfig::librosa(400) }.build().unwrap().power(&vec![0.5; count]).unwrap().len()
    };
    assert_eq!(
        [frames(None, 400), frames(None, 499), frames(None, 500), frames(Some(Edge::Zeros), 1), frames(Some(Edge::Reflect), 201)],
        [1, 1, 2, 1, 3]
    );
}

#[test]
fn features_are_standardized_over_the_frames() {
    let mut frames = Frames { values: vec![1.0, 5.0, 3.0, 5.0], width: 2 };
    frames.standardize();
    assert_eq!(frames.values, [-1.0, 0.0, 1.0, 0.0]);
}

#[test]
fn emphasis_takes_a_share_of_the_sample_before() {
    let sound = Sound { rate: 8000, samples: vec![1.0, 1.0, -0.5] };
    assert_eq!(sound.preemphasis(0.5).samples, [1.0, 0.5, -1.0]);
    assert_eq!(sound.preemphasis(0.0), sound);
}
