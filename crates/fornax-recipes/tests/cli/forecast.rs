//! Forecasts, from the command line.

use crate::support::{backends, bad, good, last_json};
use std::{f64::consts::TAU, fs};

const SMALL: &[&str] = &[
    "train",
    "forecast",
    "--quiet",
    "--threads=2",
    "--set=model.hidden=8",
    "--set=model.width=4",
    "--set=model.context=48",
    "--set=trainer.batch_size=8",
    "--set=trainer.eval_every=10",
];

/// Half hours of 5 weeks and a day: a wave a day, another a week, and a trend.
fn table(weeks: usize) -> String {
    let value = |i: usize| 30_000.0 + 5000.0 * (i as f64 / 48.0 * TAU).sin() + 2000.0 * (i as f64 / 336.0 * TAU).cos() + i as f64;
    std::iter::once("megawatts".to_string()).chain((0..weeks * 336 + 48).map(|i| format!("{:.0}", value(i)))).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_forecaster_trains_resumes_exactly_is_measured_and_looks_ahead() {
    let f = tempfile::tempdir().unwrap();
    fs::write(f.path().join("new.csv"), table(3)).unwrap();
    for backend in backends() {
        let run = |out: &str, more: &[&str]| good(f.path(), &[SMALL, &["--backend", &backend, "--steps", "30", "--out", out], more].concat());
        let (whole, cut) = (format!("whole-{backend}"), format!("cut-{backend}"));
        run(&whole, &[]);
        run(&cut, &["--time-limit", "0.000001"]);
        run(&cut, &["--resume"]);
        let metrics = |out: &str| fs::read_to_string(f.path().join(out).join("metrics.jsonl")).unwrap();
        assert_eq!(metrics(&cut), metrics(&whole));
        let page = fs::read_to_string(f.path().join(&whole).join("report.html")).unwrap();
        assert!(page.contains("90 % band") && page.contains("a season ago"));

        let test = &last_json(&good(f.path(), &["eval", &whole, "--json"]))["test"];
        assert_eq!(test["examples"], 672);
        assert!((test["naive_mae"].as_f64().unwrap() - 513.878).abs() < 0.01);
        let of_naive = test["mae"].as_f64().unwrap() / 513.878;
        assert!((test["of_naive"].as_f64().unwrap() - of_naive).abs() < 1e-4 && of_naive < 2.0);
        assert!((0.0..=1.0).contains(&test["coverage"].as_f64().unwrap()));

        // As wide as the model makes it, or as its misses say.
        let width = |run: &str| last_json(&good(f.path(), &["eval", run, "--json"]))["test"]["width"].as_f64().unwrap();
        let own = format!("own-{backend}");
        run(&own, &["--set=data.calibrate=0"]);
        assert!((width(&own) / width(&whole) - 1.0).abs() > 0.01);

        let ahead = &last_json(&good(f.path(), &["predict", &whole, "new.csv", "--json"]))["predictions"][0];
        assert_eq!((ahead["unit"].as_str(), ahead["levels"].as_array().unwrap().len()), (Some("MW"), 3));
        let steps = ahead["forecast"].as_array().unwrap();
        assert_eq!((steps.len(), steps[47]["ahead"].as_u64()), (48, Some(48)));
        let quantiles: Vec<Vec<f64>> = steps.iter().map(|step| serde_json::from_value(step["quantiles"].clone()).unwrap()).collect();
        assert!(quantiles.iter().all(|row| row[0] < row[1] && row[1] < row[2] && (20_000.0..45_000.0).contains(&row[1])));
        assert_eq!(good(f.path(), &["predict", &whole, "new.csv"]).lines().count(), 50);
    }
}

#[test]
fn bad_signals_and_settings_are_told() {
    let f = tempfile::tempdir().unwrap();
    good(f.path(), &[SMALL, &["--steps=2", "--out=run"]].concat());
    let predict = |file: &str| bad(f.path(), &[1, 2], &["predict", "run", file]);
    fs::write(f.path().join("short.csv"), "megawatts\n1\n2\n").unwrap();
    fs::write(f.path().join("wide.csv"), "a,b\n1,2\n").unwrap();
    fs::write(f.path().join("nan.csv"), "megawatts\n1\nNaN\n").unwrap();
    fs::write(f.path().join("empty.csv"), "").unwrap();
    assert!(predict("short.csv").contains("2 measurements; a season and the model's context are 384"));
    assert!(predict("wide.csv").contains("2 columns: a, b; one column"));
    assert!(predict("nan.csv").contains("not a finite number"));
    assert!(predict("empty.csv").contains("empty.csv"));
    assert!(predict("none.csv").contains("none.csv"));
    let train = |set: &str| bad(f.path(), &[1, 2], &[SMALL, &["--steps=2", "--out=other", "--set", set]].concat());
    assert!(train("model.quantiles=[0.9,0.1]").contains("model.quantiles must be levels in (0, 1), ascending"));
    assert!(train("model.horizon=0").contains("model.horizon must be at least 1"));
    assert!(train("model.horizon=400").contains("more than a season, 336, ahead"));
    assert!(train("model.context=3000").contains("3024 steps to learn from"));
    assert!(train("model.inputs=3").contains("model.inputs must be 7"));
    assert!(train("data.name=mnist").contains("holds images, but the model takes signals"));
    fs::create_dir(f.path().join("own")).unwrap();
    fs::write(f.path().join("own/demand.csv"), table(3)).unwrap();
    assert!(bad(f.path(), &[1], &[SMALL, &["--steps=2", "--out=other", "--data=own"]].concat()).contains("five weeks are the least"));
    fs::write(f.path().join("own/demand.csv"), table(6)).unwrap();
    // Every week is as the one before but for a trend; and nothing happens at all.
    good(f.path(), &[SMALL, &["--steps=2", "--out=mine", "--data=own"]].concat());
    fs::write(f.path().join("own/demand.csv"), format!("megawatts\n{}", "7\n".repeat(6 * 336))).unwrap();
    good(f.path(), &[SMALL, &["--steps=2", "--out=still", "--data=own"]].concat());
}
