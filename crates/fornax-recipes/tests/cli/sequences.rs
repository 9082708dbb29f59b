//! Classifiers of series and of recordings, from the command line.

use crate::support::{backends, bad, good, last_json};
use std::{f32::consts::TAU, fs, path::Path};

fn metrics(folder: &Path, out: &str) -> String {
    fs::read_to_string(folder.join(out).join("metrics.jsonl")).unwrap()
}

#[test]
fn series_train_resume_exactly_and_are_tested() {
    let f = tempfile::tempdir().unwrap();
    for backend in backends() {
        let train = |out: &str, more: &[&str]| {
            let small = ["--quiet", "--threads=2", "--set=data.folds=3", "--set=model.encoder.hidden=8", "--set=trainer.eval_every=5", "--steps=12"];
            good(f.path(), &[&["train", "japanese-vowels", "--backend", &backend, "--out", out], &small[..], more].concat())
        };
        let (whole, cut) = (format!("whole-{backend}"), format!("cut-{backend}"));
        train(&whole, &[]);
        train(&cut, &["--time-limit", "0.000001"]);
        assert_ne!(metrics(f.path(), &cut), metrics(f.path(), &whole), "the limit stopped it");
        train(&cut, &["--resume"]);
        assert_eq!(metrics(f.path(), &cut), metrics(f.path(), &whole));
        let measure = |split: &str| last_json(&good(f.path(), &["eval", &whole, "--split", split, "--json"]))[split].clone();
        assert_eq!((measure("test")["examples"].as_u64(), measure("valid")["examples"].as_u64()), (Some(370), Some(90)));
        assert!(fs::read_to_string(f.path().join(&whole).join("report.html")).unwrap().contains("Confusion"));
        assert!(bad(f.path(), &[2], &["predict", &whole, "x.wav"]).contains("fornax eval"));
    }
    let error = |set: &str| bad(f.path(), &[1, 2], &["train", "japanese-vowels", "--out=n", "--set", set]);
    assert!(error("model.encoder.inputs=13").contains("set model.encoder.inputs=12"));
    assert!(error("model.classes=8").contains("set model.classes=9"));
    assert!(error("data.fold=1").contains("data.fold must be below data.folds"));
    assert!(error("data.name=mnist").contains("MNIST holds images, but the model takes series"));
    assert!(!f.path().join("n").exists(), "nothing is left of what could not begin");
}

/// Low tones are class 0, high ones class 1, by two "speakers".
fn tones(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for take in [0, 5, 6, 10, 11, 12, 13] {
        for (digit, hertz) in [(0, 300.0), (1, 1500.0)] {
            for (speaker, detune) in [("ann", 1.0), ("bob", 1.1)] {
                let samples = (0..1600 + 100 * take).map(|i| (TAU * hertz * detune * i as f32 / 8000.0).sin() * 0.5);
                let bytes: Vec<u8> = samples.flat_map(|x| ((x * 32767.0) as i16).to_le_bytes()).collect();
                let size = bytes.len() as u32;
                let mut wav =
                    [b"RIFF", &(36 + size).to_le_bytes()[..], b"WAVEfmt ", &16u32.to_le_bytes(), &1u16.to_le_bytes(), &1u16.to_le_bytes()].concat();
                wav.extend(
                    [
                        &8000u32.to_le_bytes()[..],
                        &16000u32.to_le_bytes(),
                        &2u16.to_le_bytes(),
                        &16u16.to_le_bytes(),
                        b"data",
                        &size.to_le_bytes(),
                        &bytes,
                    ]
                    .concat(),
                );
                fs::write(folder.join(format!("{digit}_{speaker}_{take}.wav")), wav).unwrap();
            }
        }
    }
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
    good(f.path(), &train(&["--out=bob", "--steps=2", "--set=data.leave_out=bob"]));
    assert!(bad(f.path(), &[1], &train(&["--out=eve", "--set=data.leave_out=eve"])).contains("there are ann, bob"));
    fs::write(f.path().join("bad.wav"), "RIFF").unwrap();
    for file in ["bad.wav", "none.wav"] {
        assert!(bad(f.path(), &[1], &["predict", "run", file]).contains(file));
    }
    assert!(bad(f.path(), &[1], &["train", "speech-digits", "--out=n"]).contains("fsdd"));
}
