//! Runs the binary.

use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Output},
};

/// `fornax ARGS`, in a folder of its own and without the caller's data and cache.
pub(crate) fn fornax(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fornax"));
    command.current_dir(folder).args(args).env_remove("FORNAX_DATA").env("FORNAX_CACHE", folder.join("cache"));
    command
}

/// Runs it to its end.
pub(crate) fn run(folder: &Path, args: &[&str]) -> Output {
    fornax(folder, args).output().expect("the binary starts")
}

/// Runs it, and asks for success.
pub(crate) fn good(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs it, and asks for one of the codes and one line on standard error, which is returned.
pub(crate) fn bad(folder: &Path, codes: &[i32], args: &[&str]) -> String {
    let output = run(folder, args);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(codes.contains(&output.status.code().unwrap_or(-1)), "{args:?}: {:?} {stderr}", output.status);
    assert!(!stderr.contains("panicked") && output.stdout.is_empty(), "{args:?}: {stderr}");
    let errors: Vec<_> = stderr.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(errors.len(), 1, "{args:?}: {stderr}");
    errors[0].to_string()
}

/// The last line of standard output as JSON.
pub(crate) fn last_json(stdout: &str) -> Value {
    serde_json::from_str(stdout.lines().last().expect("a line")).expect("JSON on the last line")
}

/// The backends to test on: FORNAX_TEST_BACKEND alone, or all that run in seconds.
pub(crate) fn backends() -> Vec<String> {
    match std::env::var("FORNAX_TEST_BACKEND") {
        Ok(name) => vec![name],
        Err(_) => [("flex", cfg!(feature = "flex")), ("ndarray", cfg!(feature = "ndarray"))]
            .iter()
            .filter(|(_, on)| *on)
            .map(|(name, _)| name.to_string())
            .collect(),
    }
}

/// A recipe with batch norm, dropout and averaged weights, made small: 30 steps an epoch.
pub(crate) const SMALL: &[&str] = &[
    "--threads=2",
    "--set=data.limit=480",
    "--set=trainer.batch_size=16",
    "--set=model.stages=[{\"channels\":4,\"kernel\":5,\"stride\":2,\"padding\":0,\"pool\":1},{\"channels\":8,\"kernel\":3,\"stride\":1,\"padding\":0,\"pool\":2}]",
    "--set=model.dense=[16]",
    "--set=trainer.ema_decay=0.9",
    "--set=trainer.log_every=1",
];

/// `train mnist-best` as [`SMALL`] into `out`, with more arguments.
pub(crate) fn train_args<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "mnist-best", "--quiet", "--out", out], SMALL, more].concat()
}
