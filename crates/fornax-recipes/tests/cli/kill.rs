//! SIGKILL at any moment, then `--resume`: the same bits as a run that was never killed.
//!
//! FORNAX_KILLS sets the number of moments (default 6 a backend).

use crate::support::{backends, fornax, good, train_args};
use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

/// Weights, metrics and predictions.
fn end(folder: &Path, out: &str) -> (String, Vec<u8>, String) {
    let hash = good(folder, &["inspect", out, "--hash"]).lines().last().unwrap().to_string();
    let metrics = fs::read(folder.join(out).join("metrics.jsonl")).unwrap();
    let predictions = good(folder, &["predict", out, "digit.png", "--top-k", "10"]);
    (hash, metrics, predictions)
}

#[test]
fn killed_and_resumed_is_bit_identical() {
    let kills: u32 = std::env::var("FORNAX_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    for backend in backends() {
        let f = tempfile::tempdir().unwrap();
        let digit = image::GrayImage::from_fn(28, 28, |x, y| image::Luma([if (12..16).contains(&x) && (4..24).contains(&y) { 250 } else { 0 }]));
        digit.save(f.path().join("digit.png")).unwrap();
        // A checkpoint every other step: many kills fall into its writing and its rename.
        let more = ["--backend", &backend, "--epochs", "2", "--set", "trainer.checkpoint_every=2", "--set", "trainer.eval_every=7"];
        let began = Instant::now();
        good(f.path(), &train_args("whole", &more));
        let whole = began.elapsed();
        let want = end(f.path(), "whole");
        let mut killed = 0;
        for kill in 0..kills {
            let out = format!("killed-{kill}");
            let mut first = train_args(&out, &more);
            // Each run is killed twice, at moments spread over its length.
            for part in 0..2 {
                let moment = whole.mul_f64((f64::from(kill * 2 + part) + 0.5) / f64::from(kills * 2));
                let mut child = fornax(f.path(), &first).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                std::thread::sleep(moment.max(Duration::from_millis(1)));
                killed += u32::from(child.try_wait().unwrap().is_none());
                child.kill().unwrap();
                child.wait().unwrap();
                first = train_args(&out, &more);
                first.push("--resume");
            }
            good(f.path(), &first);
            assert!(end(f.path(), &out) == want, "{backend}: a run killed around {kill}/{kills} ended elsewhere");
            fs::remove_dir_all(f.path().join(&out)).unwrap();
        }
        assert!(killed > kills / 2, "{backend}: only {killed} runs were still alive to be killed");
    }
}
