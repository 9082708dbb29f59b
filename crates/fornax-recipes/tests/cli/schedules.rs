//! Schedules, groups and what stands around the rule, from the command line.

use crate::support::{bad, good, last_json, run, train_args};
use serde_json::Value;
use std::fs;

fn hash(folder: &std::path::Path, out: &str) -> String {
    good(folder, &["inspect", out, "--hash"]).lines().last().unwrap().to_string()
}

fn rates(folder: &std::path::Path, out: &str) -> Vec<f64> {
    let text = fs::read_to_string(folder.join(out).join("metrics.jsonl")).unwrap();
    text.lines().filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["lr"].as_f64()).collect()
}

#[test]
fn a_schedule_by_name_brings_its_options() {
    let f = tempfile::tempdir().unwrap();
    let config =
        |more: &[&str]| -> Value { serde_json::from_str(&good(f.path(), &[&["train", "mnist-cnn", "--show-config"], more].concat())).unwrap() };
    // In any order, and what both schedules have stays.
    let step = config(&["--set", "schedule.gamma=0.5", "--set", "schedule.name=step"]);
    assert_eq!(step["schedule"], serde_json::json!({"name": "step", "warmup": 0.1, "gamma": 0.5, "size": 0.3}));
    assert_eq!(config(&["--set", "schedule.name=linear"])["schedule"]["end"], 0.01);
    let cycle = config(&["--set", "schedule.name=one-cycle", "--set", "schedule.three_phases=true", "--set", "schedule.anneal=linear"]);
    assert_eq!((cycle["schedule"]["warmup"].as_f64(), cycle["schedule"]["three_phases"].as_bool()), (Some(0.0), Some(true)));

    for (args, part) in [
        (&["schedule.name=step", "schedule.gama=0.5"][..], "has gamma, name, size, warmup"),
        (&["schedule.size=0.5"], "has end, name, warmup"),
        (&["schedule.name=step", "schedule.size=2"], "schedule.size must be a share of the steps in (0, 1], not 2"),
        (&["schedule.name=step", "schedule.gamma=x"], "schedule.gamma takes a number, not `x`"),
        (&["schedule.name=cosin"], "did you mean `cosine`?"),
        (&["schedule.name=noam", "schedule.warmup=0.1"], "schedule.warmup must be 0 before `noam`"),
        (&["schedule.name=wsd", "schedule.shape=round"], "unknown variant `round`"),
        (&["schedule.name=chained", "schedule.parts=[{\"name\":\"step\",\"gama\":1}]"], "parts have a `step` whose gama is not an option"),
    ] {
        let sets = args.iter().flat_map(|set| ["--set", set]);
        let line = bad(f.path(), &[2], &["train", "mnist-cnn"].into_iter().chain(sets).collect::<Vec<_>>());
        assert!(line.contains(part), "{args:?}: {line}");
    }
}

#[test]
fn a_run_follows_its_schedule_and_inspect_draws_it() {
    let f = tempfile::tempdir().unwrap();
    let more =
        ["--epochs", "1", "--set", "schedule.name=step", "--set", "schedule.size=0.5", "--set", "schedule.warmup=0.0", "--set", "optimizer.lr=0.01"];
    good(f.path(), &train_args("run", &more));
    let used = rates(f.path(), "run");
    assert!(used.len() == 30 && used[..15].iter().all(|&lr| lr == 0.01) && used[15..].iter().all(|&lr| (lr - 0.001).abs() < 1e-12), "{used:?}");

    let text = good(f.path(), &["inspect", "run", "--schedule"]);
    assert!(text.starts_with("step over 30 steps, peak 1e-2") && text.contains('•') && text.contains("1.00e-2"), "{text}");
    assert!(fs::read_to_string(f.path().join("run/schedule.svg")).unwrap().contains("<svg"));
    let json = last_json(&good(f.path(), &["inspect", "run", "--schedule", "--json"]));
    let planned: Vec<f64> = json["planned"].as_array().unwrap().iter().map(|point| point["lr"].as_f64().unwrap()).collect();
    assert_eq!((json["steps"].as_u64(), planned.len()), (Some(30), 30));
    assert!(planned.iter().zip(&used).all(|(a, b)| (a - b).abs() < 1e-15));
    assert_eq!(json["used"].as_array().unwrap().len(), 30);

    assert!(good(f.path(), &["inspect", "--help"]).contains("--schedule") && good(f.path(), &["inspect", "--help"]).contains("--groups"));
    assert!(bad(f.path(), &[2], &["inspect", "run", "--json"]).contains("--schedule or --groups"));
    assert_eq!(run(f.path(), &["inspect", "run", "--schedule", "--hash"]).status.code(), Some(2));
    bad(f.path(), &[1], &["inspect", "absent", "--schedule"]);
}

#[test]
fn groups_say_which_parameter_is_where() {
    let f = tempfile::tempdir().unwrap();
    let more = [
        "--steps=10",
        "--set=groups.layer_decay=0.5",
        "--set=groups.paths=[{\"path\":\"*.conv.weight\",\"lr\":4,\"weight_decay\":0.5}]",
        "--set=groups.freeze=[{\"path\":\"features.0.*\",\"until\":0.5}]",
        "--set=optimizer.lr=0.01",
    ];
    good(f.path(), &train_args("run", &more));
    let table = good(f.path(), &["inspect", "run", "--groups"]);
    let json = last_json(&good(f.path(), &["inspect", "run", "--groups", "--json"]));
    let rows = json["parameters"].as_array().unwrap();
    assert!(rows.iter().all(|row| table.contains(row["name"].as_str().unwrap())));
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name}: {table}"));
    let first = row("features.0.conv.weight");
    assert_eq!((first["weight_decay"].as_f64(), first["frozen_until"].as_u64()), (Some(0.5), Some(5)));
    assert!(table.contains("step 5") && table.contains("layer decay") && table.contains("no decay"), "{table}");
    // Four layers: two of features, the dense one, the head.
    assert_eq!((first["lr_scale"].as_f64(), row("features.1.conv.weight")["lr_scale"].as_f64()), (Some(4.0 * 0.125), Some(4.0 * 0.25)));
    let bias = rows.last().unwrap();
    assert_eq!((bias["weight_decay"].as_f64(), bias["lr_scale"].as_f64(), bias["frozen_until"].is_null()), (Some(0.0), Some(1.0), true));
    let line = bad(f.path(), &[2], &train_args("other", &["--steps=3", "--set=groups.freeze=[{\"path\":\"body.*\",\"until\":1}]"]));
    assert!(line.contains("no parameter is called `body.*`; there are features.0.conv.weight"), "{line}");
}

#[test]
fn wide_models_take_rates_from_a_narrow_one() {
    let f = tempfile::tempdir().unwrap();
    let more = ["--steps=2", "--quiet", "--set=data.limit=64", "--set=groups.mup_base=[\"hidden=[30]\"]", "--out=run"];
    good(f.path(), &[&["train", "mnist-mlp"], &more[..]].concat());
    let json = last_json(&good(f.path(), &["inspect", "run", "--groups", "--json"]));
    let scales: Vec<f64> = json["parameters"].as_array().unwrap().iter().map(|row| row["lr_scale"].as_f64().unwrap()).collect();
    // 300 hidden units in place of 30, AdamW: the weights behind them learn a tenth as fast.
    assert_eq!(scales, [1.0, 1.0, 0.1, 1.0]);
    let line = bad(f.path(), &[2], &["train", "mnist-mlp", "--set", "groups.mup_base=[\"hiden=[30]\"]"]);
    assert!(line.contains("groups.mup_base: there is no field `hiden`"), "{line}");
}

/// All that has a memory or draws, together.
const AROUND: &[&str] = &[
    "--set=gradient.noise=0.001",
    "--set=gradient.centralize=true",
    "--set=gradient.clip_value=0.5",
    "--set=gradient.clip_adaptive=0.2",
    "--set=gradient.clip_percentile=60",
    "--set=gradient.loss_scale=1024",
    "--set=gradient.sam=0.05",
    "--set=average.lookahead=4",
    "--set=average.swa_lr=0.3",
    "--set=groups.freeze=[{\"path\":\"features.0.*\",\"until\":0.4}]",
    "--set=trainer.ema_decay=0.0",
    "--set=trainer.swa_start=0.5",
    "--set=trainer.swa_every=2",
    "--set=schedule.name=plateau",
    "--set=schedule.patience=0",
    "--set=trainer.eval_every=5",
    "--steps=30",
];

#[test]
fn a_run_with_everything_around_its_rule_resumes_to_the_same_bits() {
    let f = tempfile::tempdir().unwrap();
    good(f.path(), &train_args("whole", AROUND));
    let cut = [AROUND, &["--time-limit=1s"]].concat();
    // Whether the second is enough or not, the end is the same.
    good(f.path(), &train_args("cut", &cut));
    good(f.path(), &["train", "mnist-best", "--quiet", "--resume", "--out", "cut"]);
    assert_eq!(hash(f.path(), "cut"), hash(f.path(), "whole"));
    let metrics = |out: &str| fs::read(f.path().join(out).join("metrics.jsonl")).unwrap();
    assert_eq!(metrics("cut"), metrics("whole"));
}

#[test]
fn each_thing_around_the_rule_makes_a_difference_and_is_checked() {
    let f = tempfile::tempdir().unwrap();
    let base = ["--steps=6", "--set=optimizer.name=sgd", "--set=optimizer.lr=0.05", "--set=optimizer.weight_decay=0.1"];
    good(f.path(), &train_args("plain", &base));
    let plain = hash(f.path(), "plain");
    let things = [
        "gradient.sam=0.1",
        "gradient.noise=0.01",
        "gradient.centralize=true",
        "gradient.clip_value=0.001",
        "gradient.clip_adaptive=0.001",
        "gradient.clip_percentile=20",
        "average.lookahead=2",
        "groups.layer_decay=0.5",
        "groups.decay=decoupled",
        "groups.paths=[{\"path\":\"*\",\"lr\":0.5}]",
        "groups.freeze=[{\"path\":\"*.weight\",\"until\":0.5}]",
        "trainer.ema_warmup=true",
    ];
    for (i, thing) in things.iter().enumerate() {
        let (out, set) = (format!("run{i}"), format!("--set={thing}"));
        good(f.path(), &train_args(&out, &[&base[..], &[&set]].concat()));
        assert_ne!(hash(f.path(), &out), plain, "{thing} changed nothing");
    }
    let help = good(f.path(), &["train", "--help"]);
    assert!(help.contains("one-cycle") && help.contains("gradient.clip_adaptive"), "{help}");
    // A loss scale of a power of two changes nothing, in single precision.
    good(f.path(), &train_args("scaled", &[&base[..], &["--set=gradient.loss_scale=1024"]].concat()));
    assert_eq!(hash(f.path(), "scaled"), plain);

    for (set, part) in [
        ("gradient.sam=-1", "gradient.sam must be 0 (off) or above"),
        ("gradient.clip_percentile=101", "gradient.clip_percentile must be in [0, 100]"),
        ("gradient.clip=1", "gradient has centralize, clip_adaptive, clip_percentile, clip_value"),
        ("groups.decay=none", "expected one of `rule`, `coupled`, `decoupled`"),
        ("groups.layer_decay=0", "groups.layer_decay must be in (0, 1]"),
        ("groups.freeze=[{\"path\":\"*\",\"until\":3}]", "until of `*` must be a share of the run"),
        ("groups.paths=[{\"path\":\"*\",\"rate\":3}]", "unknown field `rate`"),
        ("average.lookahead_alpha=2", "average.lookahead_alpha must be in [0, 1]"),
        ("trainer.swa_start=0.5", "are two averages"),
    ] {
        let line = bad(f.path(), &[2], &["train", "mnist-cnn", "--set", set]);
        assert!(line.contains(part), "{set}: {line}");
    }
}
