//! Sentences and their classes, from the command line.

use crate::support::{backends, bad, good, last_json};
use std::{fs, path::Path};

const SMALL: &[&str] = &[
    "--quiet",
    "--threads=2",
    "--set=model.width=8",
    "--set=model.maps=4",
    "--set=trainer.batch_size=16",
    "--set=trainer.eval_every=4",
    "--set=trainer.log_every=1",
];

fn train(folder: &Path, out: &str, more: &[&str]) {
    good(folder, &[&["train", "sentence-cnn", "--out", out], SMALL, more].concat());
}

fn metrics(folder: &Path, out: &str) -> String {
    fs::read_to_string(folder.join(out).join("metrics.jsonl")).unwrap()
}

#[test]
fn embedded_sentences_train_resume_exactly_and_are_tested() {
    let f = tempfile::tempdir().unwrap();
    for backend in backends() {
        let (whole, cut) = (format!("whole-{backend}"), format!("cut-{backend}"));
        let limit = "--set=data.limit=300";
        train(f.path(), &whole, &["--steps=10", limit, "--backend", &backend]);
        train(f.path(), &cut, &["--steps=10", limit, "--backend", &backend, "--time-limit", "0.000001"]);
        assert!(metrics(f.path(), &cut).len() < metrics(f.path(), &whole).len(), "the limit stopped it");
        train(f.path(), &cut, &["--steps=10", limit, "--backend", &backend, "--resume"]);
        assert_eq!(metrics(f.path(), &cut), metrics(f.path(), &whole));
        for split in ["valid", "test"] {
            let json = last_json(&good(f.path(), &["eval", &whole, "--split", split, "--json"]));
            let accuracy = json[split]["accuracy"].as_f64().unwrap();
            assert!((900.0..1_200.0).contains(&json[split]["examples"].as_f64().unwrap()) && (0.0..=1.0).contains(&accuracy), "{json}");
        }
        let report = fs::read_to_string(f.path().join(&whole).join("report.html")).unwrap();
        assert!(report.contains("validation sentences are wrong") && report.contains("negative"), "its mistakes are shown");
    }
}

#[test]
fn any_labelled_lines_are_learned() {
    let f = tempfile::tempdir().unwrap();
    let lines = |range: std::ops::Range<usize>| -> String {
        range.map(|i| format!("{} line {i} is {}\n", ["bad", "good", "odd"][i % 3], ["dull", "bright", "strange"][i % 3])).collect()
    };
    fs::create_dir(f.path().join("own")).unwrap();
    fs::write(f.path().join("own/own.train.all"), lines(0..150)).unwrap();
    fs::write(f.path().join("own/own.test.all"), lines(200..230)).unwrap();
    let more = ["--data=own", "--steps=120", "--set=trainer.eval_every=120", "--set=optimizer.lr=1e-2", "--set=model.dropout=0"];
    train(f.path(), "run", &more);
    let json = last_json(&good(f.path(), &["eval", "run", "--split=test", "--json"]));
    assert_eq!((json["test"]["examples"].as_f64(), json["test"]["accuracy"].as_f64()), (Some(30.0), Some(1.0)));
    fs::write(f.path().join("more.txt"), "it is bright!\n\n Line 7 is dull\n").unwrap();
    let json = last_json(&good(f.path(), &["predict", "run", "a strange one", "more.txt", "--json"]));
    let said: Vec<&str> = json["predictions"].as_array().unwrap().iter().map(|p| p["class"].as_str().unwrap()).collect();
    assert_eq!(said, ["odd", "good", "bad"]);
    assert_eq!(json["predictions"][0]["unknown_words"], 2);
    let text = good(f.path(), &["predict", "run", "bright"]);
    assert!(text.starts_with("bright: good "), "{text}");

    // A fold of a file that nobody has split.
    fs::write(f.path().join("own/all.txt"), lines(0..150)).unwrap();
    let error = |more: &[&str]| bad(f.path(), &[1, 2], &[&["train", "sentence-cnn", "--out=n"], more].concat());
    assert!(error(&["--data=own"]).contains("it has all, own"));
    train(f.path(), "fold", &["--data=own/all.txt", "--steps=3", "--set=data.folds=5", "--set=data.fold=4"]);
    let tested = last_json(&good(f.path(), &["eval", "fold", "--split=test", "--json"]))["test"]["examples"].as_f64().unwrap();
    assert!((15.0..45.0).contains(&tested), "{tested} of 150 test");

    // Both folds and their mean.
    train(f.path(), "other", &["--data=own/all.txt", "--steps=3", "--set=data.folds=5"]);
    let both = last_json(&good(f.path(), &["eval", "fold", "other", "--json"]));
    let accuracy = |i: usize| both["runs"][i]["test"]["accuracy"].as_f64().unwrap();
    let mean = both["mean"]["accuracy"]["mean"].as_f64().unwrap();
    assert!((mean - (accuracy(0) + accuracy(1)) / 2.0).abs() < 1e-12 && both["mean"]["accuracy"]["sd"].is_number(), "{both}");
    assert!(good(f.path(), &["eval", "fold", "other"]).contains("mean and deviation of 2 runs: accuracy"));
    assert!(bad(f.path(), &[2], &["eval", "fold", "other", "--dump-nll=x"]).contains("one run"));

    fs::remove_file(f.path().join("own/all.txt")).unwrap();
    fs::write(f.path().join("own/own.test.all"), "worse line 3 is bleak\n").unwrap();
    assert!(
        bad(f.path(), &[1], &["eval", "run", "--split=test"]).contains("the class `worse` is none of those that were learned from: bad, good, odd")
    );
    assert!(bad(f.path(), &[2], &["generate", "run"]).contains("fornax predict"));
    for method in ["integrated-gradients", "input-x-gradient", "feature-ablation", "shapley-sampling", "kernel-shap"] {
        let json = last_json(&good(f.path(), &["predict", "run", "a Strange one", "--json", "--explain", method]));
        let words = json["predictions"][0]["words"].as_array().unwrap();
        let worth: Vec<f64> = words.iter().map(|word| word["worth"].as_f64().unwrap()).collect();
        assert!(words[1]["word"] == "strange" && worth.len() == 3 && worth[1] > worth[0].abs() && worth[1] > worth[2].abs(), "{method}: {json}");
    }
    assert!(good(f.path(), &["predict", "run", "strange", "--explain=saliency"]).contains("\nstrange (+"));
    assert!(bad(f.path(), &[2], &["predict", "run", "x", "--explain=grad-cam"]).contains("--explain of sentences takes saliency, "));
    assert!(bad(f.path(), &[2], &["predict", "run", " "]).contains("a sentence is empty"));
    assert!(error(&["--data=nowhere"]).contains("nowhere"));
    assert!(error(&["--set=data.fold=10"]).contains("data.fold must be below data.folds, which is at least 2: 10 of 10"));
    assert!(error(&["--set=data.word_dropout=1"]).contains("data.word_dropout must be in [0, 1), not 1"));
    assert!(error(&["--set=model.kernels=[]"]).contains("model.kernels must be one or more"));
    assert!(error(&["--set=model.classes=2"]).contains("model.vocabulary and model.classes must be 0"));
    assert!(error(&["--set=model.vectors=static"]).contains("model.vectors must be rand"));
    assert!(error(&["--set=data.name=mnist"]).contains("MNIST holds images, but the model takes sentences"));
    assert!(!f.path().join("n").exists(), "nothing is left of what could not begin");
}
