//! A run from its first step to its predictions, on every backend.

use crate::support::{backends, bad, good, last_json, run, train_args};
use serde_json::Value;
use std::{fs, path::Path};

fn metrics(out: &Path) -> Vec<Value> {
    fs::read_to_string(out.join("metrics.jsonl")).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn train_eval_predict_inspect() {
    for backend in backends() {
        let f = tempfile::tempdir().unwrap();
        let stdout = good(f.path(), &train_args("run", &["--backend", &backend, "--steps", "30", "--json"]));
        let report = last_json(&stdout);
        for key in
            ["recipe", "backend", "seed", "params", "steps", "epochs", "train", "valid", "wall_s", "examples_per_s", "peak_rss_mb", "git", "versions"]
        {
            assert!(report.get(key).is_some(), "{key}");
        }
        // 4·25 + 8 (convolution 1 with its norm), 8·4·9 + 16, 16·128 + 16 … counted by hand:
        // conv1 4·1·25 = 100, bn1 8; conv2 8·4·9 = 288, bn2 16; dense 8·5·5·16 + 16 = 3216; head 16·10 + 10 = 170.
        assert_eq!(report["params"], 3798);
        assert_eq!((report["backend"].as_str(), report["steps"].as_u64()), (Some(backend.as_str()), Some(30)));
        let out = f.path().join("run");
        for name in ["config.json", "metrics.jsonl", "report.html", "report.json", "checkpoints/best.safetensors"] {
            assert!(out.join(name).is_file(), "{name}");
        }
        assert!(fs::read_dir(&out).unwrap().flatten().any(|e| e.file_name().to_string_lossy().contains("tfevents")));
        assert_eq!(serde_json::from_str::<Value>(&fs::read_to_string(out.join("report.json")).unwrap()).unwrap(), report);
        let lines = metrics(&out);
        assert_eq!(lines.iter().filter(|line| line.get("loss").is_some()).count(), 30);
        assert!(lines.iter().any(|line| line["valid"]["accuracy"].is_number()));

        let valid = last_json(&good(f.path(), &["eval", "run", "--split", "valid", "--json"]));
        assert_eq!(valid["valid"]["examples"], 1000);
        for key in ["loss", "accuracy"] {
            let (a, b) = (valid["valid"][key].as_f64().unwrap(), report["valid"][key].as_f64().unwrap());
            assert!((a - b).abs() < 1e-9, "{key}: {a} {b}");
        }
        // What comes with Fornax has no test split, and says what has.
        assert!(bad(f.path(), &[1], &["eval", "run"]).contains("fornax data fetch mnist"));

        let picture = image::GrayImage::from_fn(60, 80, |x, y| image::Luma([if (25..33).contains(&x) && (10..70).contains(&y) { 10 } else { 240 }]));
        picture.save(f.path().join("one.png")).unwrap();
        let answer = last_json(&good(f.path(), &["predict", "run", "one.png", "--top-k", "10", "--explain", "grad-cam", "--out", "why", "--json"]));
        let classes = answer["predictions"][0]["classes"].as_array().unwrap();
        let sum: f64 = classes.iter().map(|c| c["probability"].as_f64().unwrap()).sum();
        assert!(classes.len() == 10 && (sum - 1.0).abs() < 1e-6);
        assert!(answer["predictions"][0]["fitting"].to_string().contains("inverted"));
        assert!(f.path().join("why/one.grad-cam.png").is_file());
        for method in ["grad-cam-plus-plus", "guided-grad-cam"] {
            good(f.path(), &["predict", "run", "one.png", "--explain", method, "--out", "why"]);
            assert!(f.path().join(format!("why/one.{method}.png")).is_file());
        }
        let methods = [
            "saliency",
            "input-x-gradient",
            "integrated-gradients",
            "smooth-grad",
            "gradient-shap",
            "guided-backprop",
            "deconvolution",
            "deep-lift",
            "lrp",
            "occlusion",
            "feature-ablation",
            "shapley-sampling",
            "kernel-shap",
            "lime",
        ];
        for method in methods {
            good(f.path(), &["predict", "run", "one.png", "--explain", method, "--out", "why"]);
            let map = image::open(f.path().join(format!("why/one.{method}.png"))).unwrap().to_rgb8();
            // The hottest place is red, and most of the picture is not.
            let red = map.pixels().filter(|pixel| i32::from(pixel.0[0]) - i32::from(pixel.0[2]) > 60).count();
            assert!(0 < red && red < map.pixels().count() / 2, "{method}: {red}");
        }
        assert!(bad(f.path(), &[2], &["predict", "run", "one.png", "--beam", "3"]).contains("--beam is for words and sentences"));
        let unknown = bad(f.path(), &[2], &["predict", "run", "one.png", "--explain", "tea-leaves"]);
        assert!(unknown.contains("guided-grad-cam, saliency") && unknown.contains("`tea-leaves`"), "{unknown}");

        let hash = good(f.path(), &["inspect", "run", "--hash"]);
        let last = hash.lines().last().unwrap();
        assert!(last.len() == 64 && last.bytes().all(|b| b.is_ascii_hexdigit()), "{last}");
        assert!(hash.contains("model.features.0.conv.weight"));
    }
}

#[test]
fn one_seed_gives_one_run_and_two_seeds_two() {
    let f = tempfile::tempdir().unwrap();
    let hash = |out: &str, more: &[&str]| {
        good(f.path(), &train_args(out, &[&["--steps", "12"], more].concat()));
        good(f.path(), &["inspect", out, "--hash"]).lines().last().unwrap().to_string()
    };
    let first = hash("a", &[]);
    assert_eq!(first, hash("b", &[]));
    assert_eq!(first, hash("c", &["--set", "data.workers=3"]), "the number of workers changed the run");
    assert_ne!(first, hash("d", &["--seed", "1"]));
}

#[test]
fn backends_agree_on_the_first_loss_and_after_fifty_steps() {
    let all = backends();
    if all.len() < 2 {
        return;
    }
    let f = tempfile::tempdir().unwrap();
    let losses: Vec<(f64, f64)> = all
        .iter()
        .map(|backend| {
            good(f.path(), &train_args(backend, &["--backend", backend, "--steps", "50", "--set", "model.dropout=0.1"]));
            let lines = metrics(&f.path().join(backend));
            let loss = |step: u64| lines.iter().find(|l| l["step"] == step && l.get("loss").is_some()).unwrap()["loss"].as_f64().unwrap();
            (loss(1), loss(50))
        })
        .collect();
    for pair in losses.windows(2) {
        assert!((pair[0].0 / pair[1].0 - 1.0).abs() < 1e-5, "{losses:?}");
        assert!((pair[0].1 / pair[1].1 - 1.0).abs() < 1e-2, "{losses:?}");
    }
}

#[test]
fn a_run_is_not_overwritten_and_early_stopping_stops() {
    let f = tempfile::tempdir().unwrap();
    // The rate is too small to change anything, so nothing gets better.
    let more = ["--set", "optimizer.lr=1e-30", "--set", "trainer.eval_every=2", "--set", "trainer.patience=2", "--steps", "40", "--json"];
    let report = last_json(&good(f.path(), &train_args("run", &more)));
    assert_eq!((report["ended"].as_str(), report["steps"].as_u64()), (Some("EarlyStopped"), Some(6)));
    let line = bad(f.path(), &[1], &train_args("run", &more));
    assert!(line.contains("--resume"), "{line}");
    // A finished run, resumed, stays as it is.
    let again = last_json(&good(f.path(), &["train", "mnist-best", "--quiet", "--out", "run", "--resume", "--json"]));
    assert_eq!(again["steps"], report["steps"]);
    // And a checkpoint of another configuration is refused by the field that differs.
    let line = bad(f.path(), &[1], &["train", "mnist-best", "--out", "run", "--resume", "--set", "optimizer.lr=0.1"]);
    assert!(line.contains("config.optimizer.lr was 1e-30, now 0.1"), "{line}");
}

#[test]
fn a_loss_that_explodes_stops_with_the_step_and_the_last_good_checkpoint() {
    let f = tempfile::tempdir().unwrap();
    let line = bad(
        f.path(),
        &[1],
        &train_args("run", &["--set", "optimizer.name=sgd", "--set", "optimizer.lr=1e30", "--set", "trainer.checkpoint_every=1", "--steps", "30"]),
    );
    assert!(line.contains("at step") && line.contains("the last good checkpoint is step"), "{line}");
}

#[test]
fn the_short_ways_work() {
    let f = tempfile::tempdir().unwrap();
    let report = last_json(&good(f.path(), &train_args("dev", &["--fast-dev-run", "--json"])));
    assert_eq!(report["steps"], 3);
    let report =
        last_json(&good(f.path(), &train_args("over", &["--overfit-batches", "1", "--steps", "120", "--set", "model.dropout=0.0", "--json"])));
    assert!(report["train"]["loss"].as_f64().unwrap() < 0.1, "{report}");
    assert!(good(f.path(), &train_args("lr", &["--find-lr"])).contains("the loss falls"));
    assert!(fs::read_to_string(f.path().join("lr/lr_finder.svg")).unwrap().contains("<svg"));
    let accumulated = last_json(&good(f.path(), &train_args("acc", &["--set", "trainer.accumulate=4", "--epochs", "1", "--json"])));
    assert_eq!(accumulated["steps"], 8);
}

#[test]
fn gradients_of_small_batches_average_to_those_of_a_large_one() {
    // Without batch norm, dropout and augmentation, four batches of 16 and one of 64 are the same step.
    let f = tempfile::tempdir().unwrap();
    let loss = |out: &str, more: &[&str]| {
        let base = [
            "--set",
            "model.batch_norm=false",
            "--set",
            "model.dropout=0.0",
            "--set",
            "data.augment.shift=0",
            "--set",
            "data.augment.rotate=0",
            "--set",
            "data.augment.scale=0",
            "--set",
            "data.augment.shear=0",
            // Not Adam: it does not see the scale of its gradients.
            "--set",
            "optimizer.name=sgd",
            "--set",
            "optimizer.lr=0.05",
            "--steps",
            "5",
        ];
        good(f.path(), &train_args(out, &[&base, more].concat()));
        metrics(&f.path().join(out)).iter().filter_map(|l| l["loss"].as_f64()).collect::<Vec<_>>()
    };
    let (small, large) = (loss("a", &["--set", "trainer.accumulate=4"]), loss("b", &["--set", "trainer.batch_size=64"]));
    for (a, b) in small.iter().zip(&large) {
        assert!((a - b).abs() < 1e-4 * b.abs(), "{small:?} {large:?}");
    }
}

/// Trains into `out`, sends the signal after a few steps, checks the exit code, and resumes to the end.
#[cfg(unix)]
fn cut_and_resume(folder: &Path, out: &str, more: &[&str], (signal, code): (&str, i32)) {
    let mut child = crate::support::fornax(folder, &train_args(out, more)).spawn().unwrap();
    let metrics = folder.join(out).join("metrics.jsonl");
    while fs::metadata(&metrics).map_or(0, |m| m.len()) < 300 {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let kill = std::process::Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(code));
    assert!(run(folder, &["train", "mnist-best", "--quiet", "--resume", "--out", out]).status.success());
}

/// The hash of a run's weights, and all its metrics.
#[cfg(unix)]
fn end(folder: &Path, out: &str) -> (String, Vec<u8>) {
    let hash = good(folder, &["inspect", out, "--hash"]).lines().last().unwrap().to_string();
    (hash, fs::read(folder.join(out).join("metrics.jsonl")).unwrap())
}

#[test]
#[cfg(unix)]
fn a_signal_writes_a_checkpoint_and_the_run_goes_on_to_the_same_end() {
    let f = tempfile::tempdir().unwrap();
    good(f.path(), &train_args("whole", &["--steps", "60"]));
    for stop in [("INT", 130), ("TERM", 143)] {
        let out = format!("cut-{}", stop.0);
        cut_and_resume(f.path(), &out, &["--steps", "60"], stop);
        assert_eq!(end(f.path(), "whole"), end(f.path(), &out));
    }
}

#[test]
#[cfg(unix)]
fn rules_with_more_state_than_adam_resume_and_publish_what_they_evaluate() {
    let f = tempfile::tempdir().unwrap();
    for rule in ["schedule-free-adamw", "prodigy", "soap"] {
        let (name, cut) = (format!("optimizer.name={rule}"), format!("{rule}-cut"));
        let more = ["--set", name.as_str(), "--set", "trainer.ema_decay=0.0", "--steps", "60", "--json"];
        let report = last_json(&good(f.path(), &train_args(rule, &more)));
        cut_and_resume(f.path(), &cut, &more, ("INT", 130));
        assert_eq!(end(f.path(), rule), end(f.path(), &cut), "{rule}");
        // With Schedule-Free these are not the weights that gradients are taken at.
        let valid = last_json(&good(f.path(), &["eval", rule, "--split", "valid", "--json"]));
        let (a, b) = (valid["valid"]["loss"].as_f64().unwrap(), report["valid"]["loss"].as_f64().unwrap());
        assert!((a - b).abs() < 1e-9, "{rule}: {a} {b}");
        assert_eq!(good(f.path(), &["inspect", rule]).contains("eval.features.0.conv.weight"), rule == "schedule-free-adamw", "{rule}");
    }
}

#[test]
#[cfg(unix)]
fn l_bfgs_trains_by_name_with_and_without_a_line_search_and_resumes() {
    let f = tempfile::tempdir().unwrap();
    for search in ["fixed", "strong-wolfe"] {
        let set = format!("--set=optimizer.line_search={search}");
        let cut = format!("{search}-cut");
        // The whole set, in two parts, a step.
        let more = [
            "--set=optimizer.name=lbfgs",
            set.as_str(),
            "--set=optimizer.history_size=10",
            "--set=trainer.clip_norm=0.0",
            "--set=trainer.ema_decay=0.0",
            "--set=model.dropout=0.0",
            "--set=schedule.name=constant",
            "--set=schedule.warmup=0.0",
            "--set=trainer.batch_size=240",
            "--set=trainer.accumulate=2",
            "--steps=20",
            "--json",
        ];
        let report = last_json(&good(f.path(), &train_args(search, &more)));
        assert!(report["train"]["loss"].as_f64().unwrap() < 2.2, "{report}");
        cut_and_resume(f.path(), &cut, &more, ("INT", 130));
        assert_eq!(end(f.path(), search), end(f.path(), &cut), "{search}");
    }
    assert!(bad(f.path(), &[2], &["inspect", "fixed", "--groups"]).contains("`lbfgs` takes all parameters as one vector"));
}

#[test]
fn class_folders_train_and_predict() {
    let f = tempfile::tempdir().unwrap();
    // Two classes that a glance tells apart: upright and flat bars, in colour.
    for (class, upright) in [("flat", false), ("upright", true)] {
        let folder = f.path().join("bars/train").join(class);
        fs::create_dir_all(&folder).unwrap();
        for i in 0..40u32 {
            let inside = |x: u32, y: u32| if upright { x.abs_diff(8 + i % 12) < 3 } else { y.abs_diff(8 + i % 12) < 3 };
            let picture = image::RgbImage::from_fn(28, 28, |x, y| image::Rgb(if inside(x, y) { [220, 40, (i * 3) as u8] } else { [10, 10, 30] }));
            picture.save(folder.join(format!("{i}.png"))).unwrap();
        }
    }
    let more = ["--data", "bars", "--set", "data.name=folder", "--set", "model.image=[3,28,28]", "--steps", "40", "--json"];
    let line = bad(f.path(), &[1], &train_args("run", &more));
    assert!(line.contains("set model.classes=2"), "{line}");
    let report = last_json(&good(f.path(), &train_args("run", &[&more[..], &["--set", "model.classes=2"]].concat())));
    assert_eq!(report["valid"]["accuracy"], 1.0, "{report}");
    let answer = last_json(&good(f.path(), &["predict", "run", "bars/train/upright/3.png", "--json"]));
    assert_eq!(answer["predictions"][0]["class"], "upright");
    assert!(bad(f.path(), &[1], &["eval", "run"]).contains("test/CLASS"));
}
