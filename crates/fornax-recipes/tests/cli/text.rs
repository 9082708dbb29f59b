//! A language model and a sweep, from the command line.

use crate::support::{backends, bad, good, last_json};
use serde_json::Value;
use std::{fs, path::Path};

const SMALL: &[&str] = &[
    "--quiet",
    "--threads=2",
    "--set=data.limit=4000",
    "--set=data.valid_limit=100",
    "--set=model.layers=1",
    "--set=model.width=16",
    "--set=model.heads=2",
    "--set=model.context=16",
    "--set=trainer.batch_size=4",
    "--set=trainer.eval_every=3",
    "--set=trainer.log_every=1",
];

/// Two passes in nine steps, so that the state starts anew once.
const SMALL_LSTM: &[&str] = &[
    "--quiet",
    "--threads=2",
    "--set=data.limit=400",
    "--set=data.valid_limit=100",
    "--set=model.hidden=16",
    "--set=model.embedding=8",
    "--set=model.bptt=16",
    "--set=trainer.batch_size=4",
    "--set=trainer.eval_every=3",
    "--set=trainer.log_every=1",
];

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "char-gpt"], SMALL, more].concat()
}

fn metrics(folder: &Path, out: &str) -> String {
    fs::read_to_string(folder.join(out).join("metrics.jsonl")).unwrap()
}

#[test]
fn a_language_model_trains_resumes_exactly_and_writes() {
    let f = tempfile::tempdir().unwrap();
    let recipes = [("char-gpt", SMALL), ("char-lstm", SMALL_LSTM)];
    for (backend, (recipe, small)) in backends().into_iter().flat_map(|backend| recipes.map(|recipe| (backend.clone(), recipe))) {
        let run = |out: &str, more: &[&str]| {
            let args = [&["train", recipe], small, &["--backend", &backend, "--steps", "9", "--out", out], more].concat();
            good(f.path(), &args)
        };
        let (whole, cut) = (format!("whole-{recipe}-{backend}"), format!("cut-{recipe}-{backend}"));
        run(&whole, &["--set=model.dropout=0.1"]);
        run(&cut, &["--set=model.dropout=0.1", "--time-limit", "0.000001"]);
        assert!(metrics(f.path(), &cut).len() < metrics(f.path(), &whole).len(), "the limit stopped it");
        run(&cut, &["--resume"]);
        assert_eq!(metrics(f.path(), &cut), metrics(f.path(), &whole));

        // One value a token but the first, and their mean is the loss.
        let args = ["eval", &whole, "--split", "valid", "--dump-nll", "nll", "--json"];
        let json = last_json(&good(f.path(), &args));
        let values: Vec<f64> = fs::read_to_string(f.path().join("nll")).unwrap().lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!((values.len(), json["valid"]["examples"].as_u64()), (99, Some(99)));
        assert!((values.iter().sum::<f64>() / 99.0 - json["valid"]["loss"].as_f64().unwrap()).abs() < 1e-8);
        let loss = json["valid"]["loss"].as_f64().unwrap();
        assert!((json["valid"]["perplexity"].as_f64().unwrap() - loss.exp()).abs() < 1e-9);

        let text = |more: &[&str]| good(f.path(), &[&["generate", &whole, "--prompt", "Enter ", "--max-new-tokens", "30"], more].concat());
        assert_eq!(text(&[]), text(&["--seed", "0"]));
        assert_ne!(text(&[]), text(&["--seed", "1"]));
        assert!(text(&[]).starts_with("Enter ") && text(&[]).trim_end_matches('\n').chars().count() <= 36);
        assert_eq!(text(&["--temperature", "0"]), text(&["--temperature", "0", "--seed", "7"]));
        assert_eq!(text(&["--temperature", "0"]), text(&["--top-k", "1"]));
        assert_eq!(last_json(&text(&["--json"]))["text"].as_str().unwrap().chars().count(), 30);

        assert!(bad(f.path(), &[2], &["generate", &whole, "--prompt", "é"]).contains("character 1 of the text, 'é', is none of the"));
        assert!(bad(f.path(), &[2], &["generate", &whole, "--prompt", ""]).contains("--prompt is empty"));
        assert!(bad(f.path(), &[2], &["generate", &whole, "--top-p", "0"]).contains("(0, 1]"));
        assert!(bad(f.path(), &[2], &["predict", &whole, "x.png"]).contains("fornax generate"));
        assert!(bad(f.path(), &[1], &["eval", &whole]).contains("has no test split"));
    }
}

#[test]
fn any_text_file_will_do_and_bad_ones_are_told() {
    let f = tempfile::tempdir().unwrap();
    fs::write(f.path().join("ü.txt"), "Fünf böse Füchse fraßen Öl. ".repeat(20)).unwrap();
    good(f.path(), &train(&["--set=data.name=file", "--data=ü.txt", "--steps=3", "--out=run"]));
    assert!(good(f.path(), &["generate", "run", "--prompt", "Fü", "--max-new-tokens", "5"]).starts_with("Fü"));
    fs::write(f.path().join("bytes"), [b'a', 0xFF, b'b']).unwrap();
    fs::write(f.path().join("short"), "abcdefgh").unwrap();
    fs::write(f.path().join("empty"), "").unwrap();
    let error = |codes, data: &str| bad(f.path(), codes, &train(&["--set=data.name=file", data, "--steps=3", "--out=other"]));
    assert!(error(&[1], "--data=bytes").contains("bytes as a text in UTF-8"));
    assert!(error(&[1], "--data=short").contains("the training text has 7 characters, but the model's context is 16"));
    assert!(error(&[1], "--data=empty").contains("has 0 characters"));
    assert!(error(&[1], "--data=none").contains("none"));
    assert!(bad(f.path(), &[2], &train(&["--set=data.name=mnist"])).contains("MNIST holds images, but the model takes text"));
    assert!(bad(f.path(), &[2], &["train", "mnist-cnn", "--set=data.name=tiny-shakespeare"]).contains("holds text, but the model takes images"));
    let error = |sets: &[&str]| bad(f.path(), &[1, 2], &[&["train", "char-lstm"], SMALL_LSTM, &["--steps=3", "--out=other"], sets].concat());
    assert!(error(&["--set=data.limit=60"]).contains("the training text has 60 characters, too few for 4 streams of 16 at a time"));
    assert!(error(&["--set=model.bptt=0"]).contains("model.bptt must be at least 1"));
    assert!(bad(f.path(), &[2], &train(&["--set=model.heads=3"])).contains("model.heads must divide model.width, 16, not 3"));
}

#[test]
fn a_sweep_trains_a_grid_once_and_names_the_best() {
    let f = tempfile::tempdir().unwrap();
    let sets = SMALL.iter().filter(|arg| arg.starts_with("--set")).copied();
    let sweep = |more: &[&'static str]| -> Vec<&str> {
        ["sweep", "char-gpt", "--steps=3", "--out=s", "--vary=optimizer.lr=1e-9,3e-3", "--seeds=0,1", "--target=4.1"]
            .into_iter()
            .chain(sets.clone())
            .chain(more.iter().copied())
            .collect()
    };
    let json = last_json(&good(f.path(), &sweep(&["--json"])));
    let cells = json["cells"].as_array().unwrap();
    assert_eq!((cells.len(), cells[0]["runs"].as_array().unwrap().len()), (2, 2));
    let value = |cell: &Value, run: usize| cell["runs"][run]["value"].as_f64().unwrap();
    assert!(value(&cells[1], 0) < value(&cells[0], 0) && value(&cells[1], 0) != value(&cells[1], 1));
    assert_eq!(cells[1]["setting"][0], "optimizer.lr=3e-3");
    let table = fs::read_to_string(f.path().join("s/sweep.md")).unwrap();
    assert!(table.lines().nth(2).unwrap().contains("optimizer.lr=3e-3"), "{table}");
    assert!(fs::read_to_string(f.path().join("s/sweep.svg")).unwrap().contains("<svg"));

    // What is done is read, not trained again; another sweep does not mix in.
    let at = || fs::metadata(f.path().join("s/optimizer.lr=3e-3,seed=0/report.json")).unwrap().modified().unwrap();
    let before = at();
    assert_eq!(last_json(&good(f.path(), &sweep(&["--json"])))["cells"], json["cells"]);
    assert_eq!(before, at());
    assert!(bad(f.path(), &[1], &sweep(&["--set=model.dropout=0.5"])).contains("another sweep"));
    assert!(bad(f.path(), &[2], &["sweep", "char-gpt", "--out=n", "--vary=optimizer.lr=-1"]).contains("optimizer.lr must be"));
    assert!(bad(f.path(), &[2], &["sweep", "char-gpt", "--out=n"]).contains("nothing to vary"));
    fs::write(f.path().join("plan"), "[{\"nam\": 1}]").unwrap();
    assert!(bad(f.path(), &[1], &["sweep", "char-gpt", "--out=n", "--plan=plan"]).contains("not a plan"));
}
