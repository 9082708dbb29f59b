//! `ci`: all that a change has to pass, and `check`: the backends that need not build here.

use crate::shell::{Workspace, code_of, has_subcommand, spell};
use crate::test::FEATURES;
use crate::{test, tidy};
use anyhow::{Result, bail};
use std::process::Command;
use std::time::Instant;

/// Runs every step, and says at the end which failed.
pub(crate) fn ci(workspace: &Workspace) -> Result<u8> {
    let start = Instant::now();
    let mut failed = vec![];
    let mut skipped = vec![];
    let mut step = |name: &'static str, run: &mut dyn FnMut() -> Result<u8>| -> Result<()> {
        let start = Instant::now();
        eprintln!("\n== {name}");
        let code = run()?;
        eprintln!("== {name}: {} ({:.0} s)", if code == 0 { "ok" } else { "FAILED" }, start.elapsed().as_secs_f64());
        if code != 0 {
            failed.push(name);
        }
        Ok(())
    };
    step("tidy", &mut || tidy::run(workspace))?;
    step("fmt", &mut || code_of(&mut workspace.cargo(["fmt", "--all", "--check"])))?;
    if has_subcommand("deny") {
        step("deny", &mut || code_of(&mut workspace.cargo(["deny", "check", "bans", "licenses", "sources"])))?;
    } else {
        skipped.push("deny (`cargo install cargo-deny --locked` installs it)");
    }
    // The release profile here too: build scripts and procedural macros are then those of the tests.
    step("clippy", &mut || code_of(&mut workspace.cargo(["clippy", "--release", "--workspace", "--all-targets", FEATURES, "--", "-D", "warnings"])))?;
    step("test", &mut || test::test(workspace, &[]))?;
    step("doctests", &mut || code_of(&mut workspace.cargo(["test", "--doc", "--release", "--workspace", FEATURES])))?;
    // Libraries alone: the facade and the binary share the name `fornax`, and would write one page over the other.
    step("docs", &mut || {
        code_of(workspace.cargo(["doc", "--no-deps", "--release", "--workspace", "--lib", FEATURES]).env("RUSTDOCFLAGS", "-D warnings"))
    })?;

    eprintln!();
    for step in skipped {
        eprintln!("SKIPPED, not passed: {step}");
    }
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    if failed.is_empty() {
        eprintln!("All steps that ran passed, in {minutes:.1} minutes.");
        return Ok(0);
    }
    eprintln!("FAILED: {} ({minutes:.1} minutes)", failed.join(", "));
    Ok(1)
}

/// Type-checks the binary with a backend that needs a GPU to run.
pub(crate) fn check(workspace: &Workspace, args: &[String]) -> Result<u8> {
    let mut command = check_command(workspace, args)?;
    eprintln!("A type check only: nothing is linked and nothing runs. The first time takes about five minutes on two cores.");
    let code = code_of(&mut command)?;
    eprintln!("{} {}.", spell(&command), if code == 0 { "passed: the code type-checks, which says nothing of how it runs" } else { "FAILED" });
    Ok(code)
}

fn check_command(workspace: &Workspace, args: &[String]) -> Result<Command> {
    let (feature, docs_rs) = match args {
        [backend] if backend == "wgpu" => ("wgpu", false),
        // The one way past a build script that downloads a bundle of LLVM.
        [backend] if backend == "cuda" => ("cuda", true),
        _ => bail!("usage: cargo xtask check wgpu|cuda"),
    };
    let mut command = workspace.cargo(["check", "--package", "fornax-recipes", "--features", feature]);
    if docs_rs {
        command.env("DOCS_RS", "1");
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cuda_passes_by_the_download() {
        let workspace = Workspace { root: ".".into(), target: "target".into(), metadata: serde_json::Value::Null };
        let has_docs_rs = |backend: &str| check_command(&workspace, &[backend.into()]).unwrap().get_envs().any(|(name, _)| name == "DOCS_RS");
        assert!(has_docs_rs("cuda") && !has_docs_rs("wgpu"));
        assert!(spell(&check_command(&workspace, &["wgpu".into()]).unwrap()).ends_with("check --package fornax-recipes --features wgpu"));
        for bad in [&[][..], &["tch".into()], &["wgpu".into(), "cuda".into()]] {
            assert!(check_command(&workspace, bad).unwrap_err().to_string().starts_with("usage:"));
        }
    }
}
