//! Classifiers of series, from the command line.

use crate::support::{backends, bad, good, last_json};
use std::{fs, path::Path};

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
