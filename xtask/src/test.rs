//! `test`: every test of every crate in one build.

use crate::libtorch;
use crate::shell::{Workspace, code_of, has_subcommand};
use anyhow::{Result, bail};
use std::time::Instant;

/// One set of features for every step, so that nothing is built twice.
pub(crate) const FEATURES: &str = "--features=fornax-recipes/ndarray";
const FEATURES_TCH: &str = "--features=fornax-recipes/ndarray,fornax-recipes/tch";

/// Every test of every crate; what is left of `args` goes to nextest.
pub(crate) fn test(workspace: &Workspace, args: &[String]) -> Result<u8> {
    let (backend, rest) = backend(args)?;
    let mut environment = vec![];
    if let Some(backend) = &backend {
        environment.push(("FORNAX_TEST_BACKEND", backend.clone()));
    }
    if backend.as_deref() == Some("tch") {
        environment.extend(libtorch::environment(workspace)?);
    }
    if !workspace.has_built("burn-flex") {
        eprintln!("Compiling Burn and Fornax: the first time takes about fifteen minutes on two cores, later seconds.");
    }
    let nextest = has_subcommand("nextest");
    let features = if backend.as_deref() == Some("tch") { FEATURES_TCH } else { FEATURES };
    let mut command = if nextest {
        workspace.cargo(["nextest", "run", "--release", "--workspace", features])
    } else {
        eprintln!(
            "cargo-nextest is not installed (`cargo install cargo-nextest --locked`): running `cargo test`, one test at a time, as seeds and data types belong to a process."
        );
        workspace.cargo(["test", "--release", "--workspace", "--tests", features])
    };
    command.args(&rest).envs(environment);
    if !nextest {
        command.args(if rest.iter().any(|arg| arg == "--") { &["--test-threads=1"][..] } else { &["--", "--test-threads=1"] });
    }
    let start = Instant::now();
    let code = code_of(&mut command)?;
    let on = backend.as_deref().unwrap_or("flex and ndarray");
    let outcome = if code == 0 { "passed" } else { "FAILED" };
    eprintln!("Tests {outcome}, the shared ones on {on}, in {:.0} s.", start.elapsed().as_secs_f64());
    Ok(code)
}

/// Takes `--backend NAME` out of the arguments.
fn backend(args: &[String]) -> Result<(Option<String>, Vec<String>)> {
    let (mut backend, mut rest) = (None, vec![]);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let name = match arg.strip_prefix("--backend=") {
            Some(name) => Some(name.to_owned()),
            None if arg == "--backend" => Some(args.next().cloned().unwrap_or_default()),
            None => None,
        };
        match name {
            None => rest.push(arg.clone()),
            Some(name) if ["flex", "ndarray", "tch"].contains(&name.as_str()) => backend = Some(name),
            Some(name) => bail!(
                "`--backend {name}`: tests run on flex, ndarray and tch; `cargo xtask check wgpu` and `cargo xtask check cuda` type-check the other two"
            ),
        }
    }
    Ok((backend, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Result<(Option<String>, Vec<String>)> {
        backend(&text.split_whitespace().map(Into::into).collect::<Vec<_>>())
    }

    #[test]
    fn the_backend_is_taken_out_and_the_rest_is_kept() {
        assert_eq!(split("").unwrap(), (None, vec![]));
        assert_eq!(split("--backend tch -E test(resume)").unwrap(), (Some("tch".into()), vec!["-E".into(), "test(resume)".into()]));
        assert_eq!(split("resume --backend=ndarray").unwrap(), (Some("ndarray".into()), vec!["resume".into()]));
    }

    #[test]
    fn a_backend_that_runs_no_tests_is_refused_with_what_does() {
        for text in ["--backend wgpu", "--backend=cuda", "--backend"] {
            let error = split(text).unwrap_err().to_string();
            assert!(error.contains("flex, ndarray and tch"), "{error}");
        }
    }
}
