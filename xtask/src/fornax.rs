//! Builds the binary `fornax` with the backend that `--backend` asks for, and becomes it.

use crate::libtorch;
use crate::shell::{Workspace, code_of};
use anyhow::{Result, bail};
use std::process::Command;

/// The commands that are the binary's own.
pub(crate) const COMMANDS: &[&str] = &["train", "eval", "predict", "generate", "vad", "sweep", "recipes", "data", "inspect", "bench"];

/// Those that need a feature: flex is the default one.
const FEATURES: &[&str] = &["ndarray", "tch", "wgpu", "cuda"];

/// Ends with the binary's own exit code, or with Cargo's if it does not build.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<u8> {
    match build(workspace, args)? {
        Ok(mut fornax) => become_it(&mut fornax),
        Err(code) => Ok(code),
    }
}

/// The binary with these arguments, ready to start; or Cargo's exit code if it does not build.
pub(crate) fn build(workspace: &Workspace, args: &[String]) -> Result<Result<Command, u8>> {
    let feature = feature(args);
    let libtorch = if feature == Some("tch") { libtorch::environment(workspace)? } else { vec![] };
    if let Some(notice) = notice(feature, |library| workspace.has_built(library)) {
        eprintln!("{notice}");
    }
    let mut build = workspace.cargo(["build", "--release", "--package", "fornax-recipes", "--bin", "fornax"]);
    if let Some(feature) = feature {
        build.arg(format!("--features={feature}"));
    }
    let code = code_of(build.envs(libtorch.iter().cloned()))?;
    if code != 0 {
        if feature == Some("cuda") {
            eprintln!(
                "error: the `cuda` backend did not build. If LLVM's bundle could not be downloaded: it needs a machine with access to it; `cargo xtask check cuda` type-checks \
                 the code without it, and `--backend tch` runs on CUDA after `cargo xtask setup-libtorch --cuda`"
            );
        }
        return Ok(Err(code));
    }
    let program = workspace.target.join("release").join(format!("fornax{}", std::env::consts::EXE_SUFFIX));
    let mut fornax = Command::new(program);
    fornax.args(args).envs(libtorch);
    if let Some(git) = workspace.git_describe() {
        fornax.env("FORNAX_GIT", git);
    }
    Ok(Ok(fornax))
}

/// Replaces this process, so that signals and exit code are the binary's.
#[cfg(unix)]
fn become_it(command: &mut Command) -> Result<u8> {
    let error = std::os::unix::process::CommandExt::exec(command);
    bail!("cannot start {}: {error}", crate::shell::spell(command))
}

#[cfg(not(unix))]
fn become_it(command: &mut Command) -> Result<u8> {
    code_of(command)
}

/// The feature that `--backend` needs. A name that is none goes to the binary, whose error lists those that are.
fn feature(args: &[String]) -> Option<&'static str> {
    let own = args.split(|arg| arg == "--").next().unwrap_or_default();
    let follows = own.windows(2).filter(|pair| pair[0] == "--backend").map(|pair| pair[1].as_str());
    let name = own.iter().filter_map(|arg| arg.strip_prefix("--backend=")).chain(follows).last()?;
    FEATURES.iter().copied().find(|&feature| feature == name)
}

/// What to say before a build that takes minutes.
fn notice(feature: Option<&str>, has_built: impl Fn(&str) -> bool) -> Option<String> {
    if !has_built("burn-flex") {
        return Some("Compiling Burn and Fornax: the first time takes about ten minutes on two cores, later seconds.".into());
    }
    let feature = feature?;
    let library = match feature {
        "wgpu" | "cuda" => format!("cubecl-{feature}"),
        _ => format!("burn-{feature}"),
    };
    (!has_built(&library)).then(|| format!("Compiling Burn's `{feature}` backend: the first time takes some minutes, later seconds."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Vec<String> {
        text.split_whitespace().map(Into::into).collect()
    }

    #[test]
    fn the_backend_chooses_the_feature() {
        for (text, want) in [
            ("train mnist-cnn", None),
            ("train mnist-cnn --backend flex", None),
            ("train mnist-cnn --backend ndarray --seed 1", Some("ndarray")),
            ("bench convnet --backend=tch", Some("tch")),
            ("train mnist-cnn --backend nope", None),
            ("train mnist-cnn --backend", None),
            ("predict run -- --backend tch", None),
        ] {
            assert_eq!(feature(&args(text)), want, "{text}");
        }
    }

    #[test]
    fn a_long_build_is_announced() {
        assert!(notice(None, |_| false).unwrap().contains("about ten minutes on two cores"));
        assert_eq!(notice(None, |_| true), None);
        assert!(notice(Some("tch"), |library| library == "burn-flex").unwrap().contains("`tch`"));
        assert_eq!(notice(Some("tch"), |_| true), None);
    }
}
