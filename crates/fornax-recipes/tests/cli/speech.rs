//! Recipes that listen, from the command line, on tones in place of digits.

use crate::support::{backends, bad, good, last_json};
use fornax_data::audio::{Sound, write_wav};
use serde_json::Value;
use std::{f32::consts::TAU, fs, path::Path};

/// Class 0 is low, class 1 high.
const HERTZ: [f32; 2] = [300.0, 1500.0];

fn tone(hertz: f32, rate: u32, samples: usize) -> Vec<f32> {
    (0..samples).map(|i| (TAU * hertz * i as f32 / rate as f32).sin() * 0.5).collect()
}

/// A folder as FSDD's, of two "speakers".
fn tones(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for take in [0, 5, 6, 10, 11, 12, 13] {
        for (digit, hertz) in HERTZ.into_iter().enumerate() {
            for (speaker, detune) in [("ann", 1.0), ("bob", 1.1)] {
                let sound = Sound { rate: 8000, samples: tone(hertz * detune, 8000, 1600 + 100 * take) };
                write_wav(&folder.join(format!("{digit}_{speaker}_{take}.wav")), &sound).unwrap();
            }
        }
    }
}

/// Classes 1, 0, 0 in 1.6 seconds, each for 0.3 seconds, from 0.2, 0.6 and 1.2 seconds on.
fn string(path: &Path) {
    let mut samples: Vec<f32> = (0..12_800).map(|i| ((i * 7919) % 101) as f32 / 50_000.0 - 1e-3).collect();
    for (from, class) in [(1600, 1), (4800, 0), (9600, 0)] {
        samples[from..from + 2400].copy_from_slice(&tone(HERTZ[class], 8000, 2400));
    }
    write_wav(path, &Sound { rate: 8000, samples }).unwrap();
}

/// A WAV file of one channel, `format` 1 for whole numbers and 3 for floats.
fn wav(path: &Path, rate: u32, format: u16, bits: u16, data: &[u8]) {
    let (bytes, size) = (bits / 8, data.len() as u32);
    let mut file = [b"RIFF", &(36 + size).to_le_bytes()[..], b"WAVEfmt ", &16u32.to_le_bytes(), &format.to_le_bytes(), &1u16.to_le_bytes()].concat();
    file.extend([&rate.to_le_bytes()[..], &(rate * u32::from(bytes)).to_le_bytes(), &bytes.to_le_bytes(), &bits.to_le_bytes()].concat());
    file.extend([b"data", &size.to_le_bytes()[..], data].concat());
    fs::write(path, file).unwrap();
}

fn predictions(folder: &Path, run: &str, file: &str) -> Value {
    last_json(&good(folder, &["predict", run, file, "--json"]))["predictions"][0].clone()
}

/// Files that are no sound, and sounds of other formats than the model's.
fn hears_every_format(folder: &Path, run: &str, read: impl Fn(&Value) -> String) {
    let high = tone(HERTZ[1], 8000, 2400);
    let floats: Vec<u8> = high.iter().flat_map(|x| x.to_le_bytes()).collect();
    let whole: Vec<u8> = high.iter().flat_map(|x| ((x * 8_388_607.0) as i32).to_le_bytes()[..3].to_vec()).collect();
    let fast: Vec<u8> = tone(HERTZ[1], 96_000, 28_800).iter().flat_map(|x| ((x * 32_767.0) as i16).to_le_bytes()).collect();
    wav(&folder.join("float.wav"), 8000, 3, 32, &floats);
    wav(&folder.join("24.wav"), 8000, 1, 24, &whole);
    wav(&folder.join("96k.wav"), 96_000, 1, 16, &fast);
    for file in ["float.wav", "24.wav", "96k.wav"] {
        assert_eq!(read(&predictions(folder, run, file)), "1", "{run} {file}");
    }
    fs::write(folder.join("none.wav"), "").unwrap();
    fs::write(folder.join("cut.wav"), "RIFF").unwrap();
    wav(&folder.join("empty.wav"), 8000, 1, 16, &[]);
    wav(&folder.join("short.wav"), 8000, 1, 16, &[0; 40]);
    for (file, says) in [
        ("none.wav", "it is empty"),
        ("cut.wav", "cut off"),
        ("empty.wav", "it holds no samples"),
        ("short.wav", "a sound of 20 samples is too short"),
        ("nowhere.wav", "cannot open"),
    ] {
        let error = bad(folder, &[1], &["predict", run, file]);
        assert!(error.contains(says) && error.contains(file), "{error}");
    }
    assert!(bad(folder, &[2], &["predict", run, "float.wav", "--explain", "grad-cam"]).contains("for pictures"));
}

#[test]
fn recordings_train_and_are_recognized() {
    let f = tempfile::tempdir().unwrap();
    tones(&f.path().join("fsdd"));
    let small = [
        "--quiet",
        "--data=fsdd",
        "--set=data.filters=12",
        "--set=model.encoder.inputs=12",
        "--set=model.encoder.hidden=8",
        "--set=trainer.batch_size=8",
    ];
    let train = |more: &[&'static str]| [&["train", "speech-digits"], &small[..], more].concat();
    good(f.path(), &train(&["--out=run", "--steps=40", "--set=trainer.eval_every=20", "--set=trainer.ema_decay=0.5"]));
    let json = last_json(&good(f.path(), &["predict", "run", "fsdd/1_ann_0.wav", "fsdd/0_bob_0.wav", "--json"]));
    let classes: Vec<&str> = json["predictions"].as_array().unwrap().iter().map(|p| p["class"].as_str().unwrap()).collect();
    assert_eq!(classes, ["1", "0"]);
    assert_eq!(last_json(&good(f.path(), &["eval", "run", "--data=fsdd", "--json"]))["test"]["examples"], 4);
    hears_every_format(f.path(), "run", |answer| answer["class"].as_str().unwrap().into());
    good(f.path(), &train(&["--out=bob", "--steps=2", "--set=data.leave_out=bob"]));
    assert!(bad(f.path(), &[1], &train(&["--out=eve", "--set=data.leave_out=eve"])).contains("there are ann, bob"));
    assert!(
        bad(f.path(), &[2], &train(&["--out=n", "--set=data.warp=0.9"])).contains("data.warp: vocal tract: `warp` must be from 0 to 0.5, not 0.9")
    );
    assert!(bad(f.path(), &[2], &train(&["--out=n", "--set=data.range=-1"])).contains("data.range must be from 0 to 200 decibels"));
    assert!(
        bad(f.path(), &[2], &train(&["--out=n", "--set=data.filter.decibels=99"])).contains("data.filter: filter: `decibels` must be from 0 to 60")
    );
    assert!(bad(f.path(), &[1], &["train", "speech-digits", "--out=n"]).contains("fsdd"));
}

/// Few and small utterances.
const SMALL: &[&str] = &[
    "--quiet",
    "--threads=2",
    "--data=fsdd",
    "--set=data.sounds.filters=12",
    "--set=data.train=64",
    "--set=data.valid=6",
    "--set=data.splice.most=4",
    "--set=model.encoder.inputs=12",
    "--set=model.encoder.hidden=12",
    "--set=trainer.batch_size=8",
    "--set=trainer.eval_every=20",
    "--set=trainer.ema_decay=0.8",
];

fn train(folder: &Path, recipe: &str, out: &str, more: &[&str]) -> String {
    good(folder, &[&["train", recipe, "--out", out], SMALL, more].concat())
}

fn metrics(folder: &Path, out: &str) -> String {
    fs::read_to_string(folder.join(out).join("metrics.jsonl")).unwrap()
}

#[test]
fn frames_are_labelled_with_their_times() {
    let f = tempfile::tempdir().unwrap();
    tones(&f.path().join("fsdd"));
    for backend in backends() {
        let (whole, cut) = (format!("whole-{backend}"), format!("cut-{backend}"));
        let run = |out: &str, more: &[&str]| train(f.path(), "speech-frames", out, &[&["--steps=6", "--backend", &backend], more].concat());
        run(&whole, &["--set=trainer.eval_every=2"]);
        run(&cut, &["--set=trainer.eval_every=2", "--time-limit", "0.000001"]);
        assert_ne!(metrics(f.path(), &cut), metrics(f.path(), &whole), "the limit stopped it");
        run(&cut, &["--set=trainer.eval_every=2", "--resume"]);
        assert_eq!(metrics(f.path(), &cut), metrics(f.path(), &whole));
    }
    train(f.path(), "speech-frames", "run", &["--steps=60", "--set=optimizer.lr=0.02"]);
    let tested = last_json(&good(f.path(), &["eval", "run", "--json"]))["test"].clone();
    assert!(tested["examples"] == 6 && tested["accuracy"].as_f64().unwrap() > 0.9, "{tested}");
    let report = fs::read_to_string(f.path().join("run/report.html")).unwrap();
    for part in ["figure class=\"wide\"", "Heard: ", "silence", "Confusion"] {
        assert!(report.contains(part), "{part}");
    }
    string(&f.path().join("string.wav"));
    let answer = predictions(f.path(), "run", "string.wav");
    let long = |segment: &&Value| segment["class"] != "silence" && segment["to"].as_f64().unwrap() - segment["from"].as_f64().unwrap() > 0.1;
    let found: Vec<_> = answer["segments"].as_array().unwrap().iter().filter(long).collect();
    let classes: Vec<&str> = found.iter().map(|segment| segment["class"].as_str().unwrap()).collect();
    assert_eq!(classes, ["1", "0", "0"], "{answer}");
    for (segment, from) in found.iter().zip([0.2, 0.6, 1.2]) {
        let (begins, ends) = (segment["from"].as_f64().unwrap() - from, segment["to"].as_f64().unwrap() - from - 0.3);
        assert!(begins.abs() < 0.05 && ends.abs() < 0.05 && segment["probability"].as_f64().unwrap() > 0.5, "{segment}");
    }
    assert!(good(f.path(), &["predict", "run", "string.wav"]).contains(" s  silence  "));
    hears_every_format(f.path(), "run", |answer| {
        let segments = answer["segments"].as_array().unwrap().iter();
        let length = |segment: &&Value| ((segment["to"].as_f64().unwrap() - segment["from"].as_f64().unwrap()) * 1e6) as u64;
        segments.max_by_key(length).unwrap()["class"].as_str().unwrap().into()
    });
    train(f.path(), "speech-frames", "forward", &["--steps=2", "--set=model.encoder.bidirectional=false"]);
    let error = |set: &str| bad(f.path(), &[1, 2], &[&["train", "speech-frames", "--out=n"], SMALL, &["--set", set]].concat());
    assert!(error("model.classes=10").contains("set model.classes=11"));
    assert!(error("model.encoder.inputs=13").contains("set model.encoder.inputs=12"));
    assert!(error("model.encoder.hidden=0").contains("model.encoder.hidden must be at least 1"));
    assert!(error("data.splice.least=0").contains("1 ≤ least"));
    assert!(error("data.valid=0").contains("data.train and data.valid must be at least 1"));
    assert!(error("data.sounds.leave_out=eve").contains("there are ann, bob"));
    assert!(error("data.sounds.name=mnist").contains("MNIST holds images"));
    assert!(!f.path().join("n").exists(), "nothing is left of what could not begin");
}

#[test]
fn strings_are_transcribed_with_times() {
    let f = tempfile::tempdir().unwrap();
    tones(&f.path().join("fsdd"));
    // Of 12 bands the recipe's three strides would leave two.
    let spectral = r#"--set=model.encoder.spectral=[{"channels":16,"kernel":[3,3],"stride":[1,2]},{"channels":16,"kernel":[3,3],"stride":[2,2]}]"#;
    let more = [spectral, "--set=model.encoder.hidden=32", "--set=model.dropout=0", "--set=data.splice.least=1", "--set=data.train=200"];
    train(f.path(), "speech-ctc", "run", &[&["--steps=300", "--set=optimizer.lr=0.05", "--set=optimizer.adamw_lr_scale=0.5"], &more[..]].concat());
    let measured = last_json(&good(f.path(), &["eval", "run", "--split=valid", "--json"]))["valid"].clone();
    assert!(measured["examples"] == 6 && measured["wer"].as_f64().unwrap() < 0.2, "{measured}");
    assert!(measured["string_error"].as_f64().unwrap() >= measured["wer"].as_f64().unwrap(), "{measured}");
    let report = fs::read_to_string(f.path().join("run/report.html")).unwrap();
    assert!(report.contains("of 6 validation utterances") && report.contains("heard "));
    string(&f.path().join("string.wav"));
    let answer = predictions(f.path(), "run", "string.wav");
    assert_eq!(answer["text"], "1 0 0");
    for (word, from) in answer["words"].as_array().unwrap().iter().zip([0.2, 0.6, 1.2]) {
        // CTC with both directions says a word at any time about when it is heard.
        let after = word["from"].as_f64().unwrap() - from;
        assert!((-0.25..0.4).contains(&after), "{answer}");
    }
    assert!(good(f.path(), &["predict", "run", "string.wav"]).starts_with("string.wav: 1 0 0\n"));
    hears_every_format(f.path(), "run", |answer| answer["text"].as_str().unwrap().into());
    let error = |set: &str| bad(f.path(), &[1, 2], &[&["train", "speech-ctc", "--out=n"], SMALL, &["--set", set]].concat());
    assert!(error("model.classes=10").contains("with the blank"));
    assert!(error("data={\"kind\":\"text\"}").contains("`data` is a group; set one of its fields"));
}
