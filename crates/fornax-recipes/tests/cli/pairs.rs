//! Words and their phonemes, from the command line.

use crate::support::{backends, bad, good, last_json};
use serde_json::Value;
use std::{fs, path::Path};

const SMALL: &[&str] = &[
    "--quiet",
    "--threads=2",
    "--set=data.limit=300",
    "--set=data.valid_limit=40",
    "--set=model.hidden=12",
    "--set=model.embedding=6",
    "--set=trainer.batch_size=16",
    "--set=trainer.eval_every=4",
    "--set=trainer.ema_decay=0.9",
    "--set=trainer.log_every=1",
];

fn train(folder: &Path, out: &str, more: &[&str]) {
    good(folder, &[&["train", "g2p-lstm", "--out", out], SMALL, more].concat());
}

fn metrics(folder: &Path, out: &str) -> String {
    fs::read_to_string(folder.join(out).join("metrics.jsonl")).unwrap()
}

#[test]
fn words_train_resume_exactly_and_are_tested() {
    let f = tempfile::tempdir().unwrap();
    for backend in backends() {
        let (whole, cut) = (format!("whole-{backend}"), format!("cut-{backend}"));
        train(f.path(), &whole, &["--steps=10", "--backend", &backend]);
        train(f.path(), &cut, &["--steps=10", "--backend", &backend, "--time-limit", "0.000001"]);
        assert!(metrics(f.path(), &cut).len() < metrics(f.path(), &whole).len(), "the limit stopped it");
        train(f.path(), &cut, &["--steps=10", "--backend", &backend, "--resume"]);
        assert_eq!(metrics(f.path(), &cut), metrics(f.path(), &whole));

        let json = last_json(&good(f.path(), &["eval", &whole, "--split", "valid", "--json"]));
        let of = |name: &str| json["valid"][name].as_f64().unwrap_or_else(|| panic!("no {name}: {json}"));
        assert_eq!(of("examples"), 40.0);
        for name in ["wer", "beam_wer"] {
            assert!((0.0..=1.0).contains(&of(name)) && of(&name.replace("wer", "per")) >= 0.0, "{name}: {json}");
        }
        let last: Value = serde_json::from_str(metrics(f.path(), &whole).lines().last().unwrap()).unwrap();
        assert!(last["valid"]["wer"].is_number() && last["valid"]["beam_per"].is_number(), "{last}");
        assert!(fs::read_to_string(f.path().join(&whole).join("report.html")).unwrap().contains("of 40 validation words are wrong"));
        assert!(fs::read_to_string(f.path().join(&whole).join("report.html")).unwrap().contains("Where each step looks"));
        let classes = fs::read_to_string(f.path().join(&whole).join("config.json")).unwrap();
        let classes: Value = serde_json::from_str(&classes).unwrap();
        assert_eq!(classes["classes"].as_array().unwrap().len(), 27 + 1 + 39);
    }
}

#[test]
fn a_word_that_was_learned_is_said() {
    let f = tempfile::tempdir().unwrap();
    // Words of the training split; `read` has two pronunciations, of which the first epoch has one.
    fs::create_dir(f.path().join("few")).unwrap();
    fs::write(f.path().join("few/cmudict.dict"), "a AH0\na(2) EY1\nabbett AE1 B IH0 T\ncat K AE1 T\nthe DH AH0\ndog D AO1 G # noun\nx-ray EH1 K S\n")
        .unwrap();
    let heart =
        ["--data=few", "--steps=150", "--set=trainer.eval_every=150", "--set=model.dropout=0", "--set=optimizer.lr=1e-2", "--set=model.hidden=24"];
    train(f.path(), "run", &heart);
    let stress = [&heart[..], &["--set=data.stress=true"]].concat();
    train(f.path(), "stress", &stress);
    let predict = |run: &str, more: &[&str]| good(f.path(), &[&["predict", run], more].concat());
    assert!(predict("run", &["cat"]).starts_with("cat: K AE T ("), "{}", predict("run", &["cat"]));
    assert!(predict("stress", &["cat"]).starts_with("cat: K AE1 T ("));
    fs::write(f.path().join("words.txt"), "The\n\n  dog \n").unwrap();
    let json = last_json(&predict("run", &["CAT", "words.txt", "--top-k=6", "--json"]));
    let said: Vec<&str> = json["predictions"].as_array().unwrap().iter().map(|p| p["target"].as_str().unwrap()).collect();
    assert_eq!(said, ["K AE T", "DH AH", "D AO G"]);
    let all = json["predictions"][0]["targets"].as_array().unwrap();
    let probabilities: Vec<f64> = all.iter().map(|one| one["probability"].as_f64().unwrap()).collect();
    assert!(all.len() == 6 && probabilities.is_sorted_by(|a, b| a >= b) && probabilities.iter().sum::<f64>() <= 1.0 + 1e-6, "{json}");

    let error = |more: &[&str]| bad(f.path(), &[1, 2], &[&["predict", "run"], more].concat());
    assert!(error(&["cat", "naïve"]).contains("`naïve`: letter 3, 'ï', is none of the 27 that the model knows: 'abcdefghijklmnopqrstuvwxyz"));
    assert!(error(&[""]).contains("a value is required"));
    assert!(error(&["cat", " "]).contains("a word is empty"));
    assert!(error(&[&"a".repeat(300)]).contains("300 letters"));
    assert!(error(&["cat", "--explain=grad-cam"]).contains("pictures"));
    fs::write(f.path().join("empty.txt"), "\n").unwrap();
    fs::write(f.path().join("bytes.txt"), [b'a', 0xFF]).unwrap();
    assert!(error(&["empty.txt"]).contains("no word, one a line, in empty.txt"));
    assert!(error(&["bytes.txt"]).contains("words in UTF-8 from bytes.txt"));
    assert!(bad(f.path(), &[2], &["generate", "run"]).contains("fornax predict"));
}

#[test]
fn what_does_not_go_together_is_told() {
    let f = tempfile::tempdir().unwrap();
    let error = |set: &str| bad(f.path(), &[1, 2], &["train", "g2p-lstm", "--out=n", "--set", set]);
    assert!(error("data.name=mnist").contains("MNIST holds images, but the model takes pairs"));
    assert!(error("data.name=cmudic").contains("did you mean `cmudict`?"));
    assert!(error("data.beam=0").contains("data.beam must be from 1 to 64, not 0"));
    assert!(error("data.smoothing=1").contains("data.smoothing must be in [0, 1), not 1"));
    assert!(error("model.hidden=7").contains("model.hidden must be even"));
    assert!(error("model.decoder_layers=3").contains("model.decoder_layers must be at most model.encoder_layers, 2, not 3"));
    assert!(error("model.targets=3").contains("model.sources and model.targets must be 0"));
    assert!(error("model.dropout=1").contains("model.dropout must be in [0, 1)"));
    assert!(bad(f.path(), &[2], &["train", "mnist-cnn", "--set=data.name=cmudict"]).contains("CMUdict holds pairs, but the model takes images"));
    fs::create_dir(f.path().join("few")).unwrap();
    assert!(bad(f.path(), &[1], &["train", "g2p-lstm", "--out=n", "--data=few"]).contains("cmudict.dict is missing"));
    fs::write(f.path().join("few/cmudict.dict"), "cat K AE1 T\nthe\n").unwrap();
    assert!(bad(f.path(), &[1], &["train", "g2p-lstm", "--out=n", "--data=few"]).contains("line 2 is no word with its phonemes"));
    assert!(!f.path().join("n").exists(), "nothing is left of what could not begin");
}
