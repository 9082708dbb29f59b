//! Where the workspace is, and how its programs are started.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The workspace as Cargo sees it.
pub(crate) struct Workspace {
    /// The folder of the root manifest.
    pub(crate) root: PathBuf,
    /// Where Cargo builds, `CARGO_TARGET_DIR` and configuration included.
    pub(crate) target: PathBuf,
    /// What `cargo metadata --no-deps` says: the members and what they declare.
    pub(crate) metadata: Value,
}

impl Workspace {
    /// Asks Cargo; needs no network.
    pub(crate) fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join("Cargo.toml");
        let text = capture(cargo().args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(&manifest))?;
        let metadata: Value = serde_json::from_str(&text).context("cargo metadata does not write JSON")?;
        let path = |key: &str| metadata[key].as_str().map(PathBuf::from).with_context(|| format!("cargo metadata has no {key}"));
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")?, metadata })
    }

    /// Cargo in the root of the workspace.
    pub(crate) fn cargo<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = cargo();
        command.args(args).current_dir(&self.root);
        command
    }

    /// Whether a release build has left a library of this crate.
    pub(crate) fn has_built(&self, library: &str) -> bool {
        let prefix = format!("lib{}-", library.replace('-', "_"));
        let files = std::fs::read_dir(self.target.join("release").join("deps")).into_iter().flatten().flatten();
        files.map(|file| file.file_name()).any(|name| name.to_string_lossy().starts_with(&prefix) && name.to_string_lossy().ends_with(".rlib"))
    }

    /// The commit that is checked out, `-dirty` if files differ from it; none outside a git checkout.
    pub(crate) fn git_describe(&self) -> Option<String> {
        let text = capture(self.git().args(["describe", "--always", "--dirty"])).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// Git in the root, which may belong to another user than the one who runs this.
    pub(crate) fn git(&self) -> Command {
        let mut command = Command::new("git");
        command.args(["-c", "safe.directory=*"]).current_dir(&self.root);
        command
    }
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Whether a program answers to these arguments.
pub(crate) fn answers(program: &str, args: &[&str]) -> bool {
    let quiet = Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// Whether Cargo has this subcommand.
pub(crate) fn has_subcommand(name: &str) -> bool {
    let quiet = cargo().args([name, "--version"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// Runs it with the terminal's input and output; returns its exit code.
pub(crate) fn code_of(command: &mut Command) -> Result<u8> {
    let status = command.status().with_context(|| format!("cannot start {}", spell(command)))?;
    Ok(exit_code(status))
}

/// Runs it, and fails unless it succeeds.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    match code_of(command)? {
        0 => Ok(()),
        code => bail!("{} ended with exit code {code}", spell(command)),
    }
}

/// What it writes to standard output.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", spell(command)))?;
    if !output.status.success() {
        bail!("{} failed: {}", spell(command), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} does not write UTF-8", spell(command)))
}

/// The program and its arguments on one line.
pub(crate) fn spell(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    std::iter::once(program).chain(command.get_args()).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// As a shell counts: 128 and the number of the signal that ended it.
fn exit_code(status: std::process::ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(u8::MAX);
    }
    status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_the_one_around_this_crate() {
        let workspace = Workspace::find().unwrap();
        assert!(workspace.root.join("xtask/src/shell.rs").is_file());
        assert!(!workspace.has_built("no-such-crate"));
    }

    #[test]
    #[cfg(unix)]
    fn exit_codes_are_a_shells() {
        for (script, want) in [("exit 0", 0), ("exit 2", 2), ("kill -TERM $$", 143), ("kill -INT $$", 130)] {
            assert_eq!(code_of(Command::new("sh").args(["-c", script])).unwrap(), want, "{script}");
        }
        let error = succeed(Command::new("sh").args(["-c", "exit 3"])).unwrap_err().to_string();
        assert_eq!(error, "sh -c exit 3 ended with exit code 3");
        assert!(capture(Command::new("sh").args(["-c", "echo why >&2; exit 1"])).unwrap_err().to_string().ends_with("failed: why"));
    }

    #[test]
    fn a_program_that_is_not_there_does_not_answer() {
        assert!(!answers("no-such-program-anywhere", &[]));
        assert!(!has_subcommand("no-such-subcommand"));
        assert!(code_of(&mut Command::new("no-such-program-anywhere")).unwrap_err().to_string().contains("no-such-program-anywhere"));
    }
}
