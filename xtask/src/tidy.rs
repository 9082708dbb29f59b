//! `tidy`: the invariants that a program can check.

mod dependencies;
mod manifests;
mod rust;
mod source;
mod tables;
mod text;

use crate::shell::{Workspace, capture};
use anyhow::{Context, Result};
use std::path::PathBuf;

/// One thing that is wrong, where, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    check: &'static str,
    place: String,
    says: String,
    /// Told, but nothing fails by it.
    warning: bool,
}

impl Finding {
    fn error(check: &'static str, place: impl Into<String>, says: impl Into<String>) -> Self {
        Self { check, place: place.into(), says: says.into(), warning: false }
    }
    fn warning(check: &'static str, place: impl Into<String>, says: impl Into<String>) -> Self {
        Self { warning: true, ..Self::error(check, place, says) }
    }
}

/// A file that git tracks, or would.
struct File {
    /// From the root, with `/`.
    path: String,
    bytes: u64,
    /// None of a picture, a weight file and the like.
    text: Option<String>,
}

impl File {
    #[cfg(test)]
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), bytes: text.len() as u64, text: Some(text.into()) }
    }
}

/// Prints the findings; 1 if one is an error.
pub(crate) fn run(workspace: &Workspace) -> Result<u8> {
    let files = files(workspace)?;
    let mut findings = dependencies::check(&workspace.metadata);
    findings.extend(manifests::check(&files));
    findings.extend(rust::check(&files));
    findings.extend(tables::check(&files));
    findings.extend(text::check(&files, &here(workspace)));
    findings.sort_by(|a, b| (!a.warning, a.check, &a.place).cmp(&(!b.warning, b.check, &b.place)));
    for Finding { check, place, says, warning } in &findings {
        eprintln!("{}: {place}: {says} [{check}]", if *warning { "warning" } else { "error" });
    }
    let errors = findings.iter().filter(|finding| !finding.warning).count();
    eprintln!("tidy: {errors} errors, {} warnings in {} files", findings.len() - errors, files.len());
    Ok(u8::from(errors > 0))
}

/// The folder around the checkout and the user's own, unless they are folders that every machine has.
fn here(workspace: &Workspace) -> Vec<String> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let around = workspace.root.parent().map(PathBuf::from);
    let own = home.into_iter().chain(around).filter(|folder| folder.parent().is_some() && *folder != std::env::temp_dir());
    own.map(|folder| format!("{}/", folder.display())).collect()
}

/// Every file that git tracks, and those that it neither tracks nor ignores.
fn files(workspace: &Workspace) -> Result<Vec<File>> {
    let list =
        capture(workspace.git().args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])).context("tidy needs a git checkout")?;
    let mut files = vec![];
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        let on_disk: PathBuf = workspace.root.join(path);
        // A tracked file may be deleted, and a link to a folder is listed by its name.
        let Ok(metadata) = on_disk.metadata() else { continue };
        if metadata.is_file() {
            let bytes = std::fs::read(&on_disk).with_context(|| format!("cannot read {}", on_disk.display()))?;
            files.push(File { path: path.into(), bytes: metadata.len(), text: String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')) });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_those_of_this_checkout() {
        let files = files(&Workspace::find().unwrap()).unwrap();
        let this = files.iter().find(|file| file.path == "xtask/src/tidy.rs").unwrap();
        assert!(this.text.as_ref().unwrap().contains("the_files_are_those_of_this_checkout"));
        assert!(files.iter().all(|file| !file.path.starts_with("target/")));
    }
}
