//! Sentences and their translations, from the command line.

use crate::support::{backends, bad, fornax, good, last_json};
use fornax_data::{Tokenizer, TokenizerKind};
use serde_json::Value;
use std::{fs, io::Write, path::Path, process::Stdio};

const SMALL: &[&str] = &[
    "--quiet",
    "--threads=2",
    "--data=captions",
    "--set=data.pieces=270",
    "--set=data.beam=3",
    "--set=model.width=16",
    "--set=model.heads=2",
    "--set=model.hidden=32",
    "--set=model.encoder_layers=1",
    "--set=model.decoder_layers=1",
    "--set=trainer.batch_size=4",
    "--set=trainer.eval_every=4",
    "--set=trainer.ema_decay=0.9",
    "--set=trainer.log_every=1",
];

const PAIRS: [(&str, &str); 6] = [
    ("Ein Hund läuft.", "A dog runs."),
    ("Eine Frau läuft.", "A woman runs."),
    ("Zwei Hunde laufen.", "Two dogs run."),
    ("Ein Mann schläft.", "A man sleeps."),
    ("Ein Hund schläft.", "A dog sleeps."),
    ("Eine Frau singt.", "A woman sings."),
];

/// Six pairs to learn, two to validate, and two to test, gzipped.
fn captions(folder: &Path) {
    let folder = folder.join("captions");
    fs::create_dir(&folder).unwrap();
    let lines = |pairs: &[(&str, &str)], side: fn(&(&str, &str)) -> String| pairs.iter().map(|pair| side(pair) + "\n").collect::<String>();
    for (name, pairs) in [("train", &PAIRS[..]), ("val", &PAIRS[..2]), ("test_2016_flickr", &PAIRS[2..4])] {
        for (language, text) in [("de", lines(pairs, |pair| pair.0.into())), ("en", lines(pairs, |pair| pair.1.into()))] {
            if name == "val" {
                fs::write(folder.join(format!("{name}.{language}")), text).unwrap();
            } else {
                let file = fs::File::create(folder.join(format!("{name}.{language}.gz"))).unwrap();
                let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::default());
                packer.write_all(text.as_bytes()).unwrap();
                packer.finish().unwrap();
            }
        }
    }
}

fn train(folder: &Path, out: &str, more: &[&str]) {
    good(folder, &[&["train", "translate-de-en", "--out", out], SMALL, more].concat());
}

fn read(folder: &Path, out: &str, name: &str) -> String {
    fs::read_to_string(folder.join(out).join(name)).unwrap()
}

#[test]
fn sentences_train_resume_exactly_and_are_tested() {
    let f = tempfile::tempdir().unwrap();
    captions(f.path());
    for backend in backends() {
        let (whole, cut) = (format!("whole-{backend}"), format!("cut-{backend}"));
        train(f.path(), &whole, &["--steps=10", "--backend", &backend]);
        train(f.path(), &cut, &["--steps=10", "--backend", &backend, "--time-limit", "0.000001"]);
        assert!(read(f.path(), &cut, "metrics.jsonl").len() < read(f.path(), &whole, "metrics.jsonl").len(), "the limit stopped it");
        train(f.path(), &cut, &["--steps=10", "--backend", &backend, "--resume"]);
        for name in ["metrics.jsonl", "tokenizer.json"] {
            assert_eq!(read(f.path(), &cut, name), read(f.path(), &whole, name), "{name}");
        }
        let config: Value = serde_json::from_str(&read(f.path(), &whole, "config.json")).unwrap();
        assert!((258..=271).contains(&config["classes"].as_array().unwrap().len()));
        assert!(read(f.path(), &whole, "report.html").contains("The first 2 validation sentences"));
        assert!(read(f.path(), &whole, "report.html").contains("Where each step looks: Ein Hund läuft."));
        let last: Value = serde_json::from_str(read(f.path(), &whole, "metrics.jsonl").lines().last().unwrap()).unwrap();
        assert!(last["valid"]["bleu"].is_number() && last["valid"]["beam_bleu"].is_null(), "the beam waits for the end: {last}");

        for split in ["valid", "test"] {
            let output = fornax(f.path(), &["eval", &whole, "--split", split, "--json"]).output().unwrap();
            let json = last_json(&String::from_utf8(output.stdout).unwrap());
            assert_eq!(json[split]["examples"], 2);
            for name in ["bleu", "lowercase_bleu", "beam_bleu", "beam_lowercase_bleu"] {
                assert!((0.0..=100.0).contains(&json[split][name].as_f64().unwrap_or(-1.0)), "{name}: {json}");
            }
            let says = String::from_utf8(output.stderr).unwrap();
            assert!(says.contains("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp") && says.contains("|case:lc|"), "{says}");
        }
        let report: Value = serde_json::from_str(&read(f.path(), &whole, "report.json")).unwrap();
        let valid = last_json(&good(f.path(), &["eval", &whole, "--split", "valid", "--json"]));
        for name in ["loss", "bleu", "beam_bleu"] {
            assert_eq!(valid["valid"][name], report["valid"][name], "{name}");
        }
    }
}

#[test]
fn what_was_learned_is_translated() {
    let f = tempfile::tempdir().unwrap();
    captions(f.path());
    let heart = ["--steps=200", "--set=trainer.eval_every=200", "--set=model.dropout=0", "--set=model.width=32", "--set=data.smoothing=0"];
    train(f.path(), "run", &heart);
    // A run needs neither its data nor its place.
    fs::remove_dir_all(f.path().join("captions")).unwrap();
    fs::rename(f.path().join("run"), f.path().join("moved")).unwrap();
    let predict = |more: &[&str]| good(f.path(), &[&["predict", "moved"], more].concat());
    for (german, english) in PAIRS {
        assert_eq!(predict(&[german]), format!("{english}\n"));
    }
    fs::write(f.path().join("lines.txt"), "Ein Hund läuft.\n\n  Eine Frau singt. \n").unwrap();
    assert_eq!(predict(&["lines.txt", "--beam=1"]), "A dog runs.\n\nA woman sings.\n", "line beside line");
    let json = last_json(&predict(&["lines.txt", "--json", "--top-k=2"]));
    let list = json["predictions"].as_array().unwrap();
    assert_eq!(list.iter().map(|one| one["targets"].as_array().unwrap().len()).collect::<Vec<_>>(), [2, 0, 2]);
    assert_eq!(list[2]["target"], "A woman sings.");
    let mut child = fornax(f.path(), &["predict", "moved", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all("Ein Mann schläft.\n".as_bytes()).unwrap();
    assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap(), "A man sleeps.\n");
    // Text of any kind is bytes that the tokenizer knows.
    assert_eq!(predict(&["猫 ß"]).lines().count(), 1);

    let error = |more: &[&str]| bad(f.path(), &[1, 2], &[&["predict", "moved"], more].concat());
    fs::write(f.path().join("empty.txt"), "\n").unwrap();
    fs::write(f.path().join("bytes.txt"), [b'a', 0xFF]).unwrap();
    assert!(error(&["empty.txt"]).contains("no sentence, one a line, in empty.txt"));
    assert!(error(&["bytes.txt"]).contains("sentences in UTF-8 from bytes.txt"));
    assert!(error(&[&"Hund ".repeat(300)]).contains("give sentences of 256 at most"));
    assert!(error(&["Hund", "--beam=0"]).contains("--beam must be from 1 to 64, not 0"));

    // The tokenizer is a part of the run.
    let path = f.path().join("moved/tokenizer.json");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(error(&["Hund"]).contains("not a readable tokenizer file: it is no JSON"));
    let other = Tokenizer::train(TokenizerKind::Characters, 0, ["ab"]).unwrap();
    fs::write(&path, other.to_json().unwrap()).unwrap();
    assert!(error(&["Hund"]).contains("not the tokenizer of this run"));
    fs::remove_file(&path).unwrap();
    assert!(error(&["Hund"]).contains("tokenizer.json"));
    assert!(bad(f.path(), &[1], &["eval", "moved"]).contains("captions"), "its data are gone");
}

#[test]
fn bad_captions_and_settings_are_told() {
    let f = tempfile::tempdir().unwrap();
    captions(f.path());
    let run = |more: &[&str]| bad(f.path(), &[1, 2], &[&["train", "translate-de-en", "--out=n", "--steps=2"], SMALL, more].concat());
    let with = |de: &[u8], en: &[u8]| {
        fs::write(f.path().join("captions/val.de"), de).unwrap();
        fs::write(f.path().join("captions/val.en"), en).unwrap();
        run(&[])
    };
    assert!(with(b"a\nb\n", b"a\n").contains("it has 1 lines"));
    assert!(with(b"a\n\n", b"a\nb\n").contains("line 2 is empty"));
    assert!(with(b"a\n", b"\xFF\n").contains("line 1 is not UTF-8"));
    assert!(with(b"", b"").contains("it has no line"));
    fs::remove_file(f.path().join("captions/train.en.gz")).unwrap();
    assert!(run(&[]).contains("train.en or train.en.gz is missing"));
    assert!(run(&["--set=data.tokenizer=bpee"]).contains("byte-bpe"));
    assert!(run(&["--set=data.length_penalty=-1"]).contains("data.length_penalty must be from 0 to 10, not -1"));
    assert!(run(&["--set=data.name=cmudict"]).contains("CMUdict holds pairs, but the model takes translations"));
    assert!(
        bad(f.path(), &[2], &["train", "g2p-transformer", "--set=data.name=multi30k"])
            .contains("Multi30k holds translations, but the model takes pairs")
    );
    assert!(bad(f.path(), &[2], &["train", "g2p-transformer", "--set=model.shared=true"]).contains("model.shared must be false"));
    assert!(bad(f.path(), &[1], &["train", "translate-de-en", "--out=n"]).contains("fornax data fetch multi30k"));
    assert!(!f.path().join("n").exists(), "nothing is left of what could not begin");
    captions_again(f.path());
    assert!(run(&["--set=data.pieces=100"]).contains("a number of pieces from 256 to 1000000 is possible, not 100"));
}

fn captions_again(folder: &Path) {
    fs::remove_dir_all(folder.join("captions")).unwrap();
    captions(folder);
}
