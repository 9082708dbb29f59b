//! Rust files: names, sizes, places, and words that do not belong in code.

use super::source::Source;
use super::{File, Finding};
use std::path::Path;

/// A file may have this many lines; beyond the first number tidy warns.
const LINES: (usize, usize) = (350, 600);
const EXAMPLE_LINES: usize = 100;

/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &["base", "utils", "common", "helpers"];

/// Unfinished or forgotten.
const FORBIDDEN: &[(&str, &str)] = &[
    ("todo!", "unfinished code"),
    ("unimplemented!", "unfinished code"),
    ("dbg!", "a forgotten print"),
    ("#[ignore", "a test that does not run: make it run, or delete it"),
];

/// Names a backend; only `fornax-kernels` may.
const BACKEND_NAMES: &[&str] = &[
    "Device::flex",
    "Device::ndarray",
    "Device::libtorch",
    "Device::cuda",
    "Device::wgpu",
    "Device::default()",
    "burn_flex",
    "burn_ndarray",
    "burn_tch",
    "burn_wgpu",
    "burn_cuda",
    "feature = \"flex\"",
    "feature = \"ndarray\"",
    "feature = \"tch\"",
    "feature = \"wgpu\"",
    "feature = \"cuda\"",
];

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let rust = files.iter().filter(|file| file.path.ends_with(".rs"));
    rust.filter_map(|file| Some((file.path.as_str(), file.text.as_deref()?))).flat_map(|(path, text)| check_file(path, text)).collect()
}

fn check_file(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = vec![];
    let lines = text.lines().count();
    if lines > LINES.1 {
        findings.push(Finding::error("size", path, format!("{lines} lines, and {} is the most: split it by what its parts do", LINES.1)));
    } else if lines > LINES.0 {
        findings.push(Finding::warning("size", path, format!("{lines} lines; files of about 300 read better")));
    }
    let in_examples = path.strip_prefix("examples/").is_some_and(|file| file != "lib.rs");
    if in_examples && lines >= EXAMPLE_LINES {
        findings.push(Finding::error("size", path, format!("{lines} lines, and an example has fewer than {EXAMPLE_LINES}")));
    }
    if let Some((_, inside)) = path.split_once("src/")
        && inside.matches('/').count() > 1
    {
        findings.push(Finding::error("depth", path, "src/ is at most two levels deep: src/file.rs and src/folder/file.rs"));
    }
    let file = Path::new(path);
    let stem = if path.ends_with("/mod.rs") { file.parent().and_then(Path::file_name) } else { file.file_stem() };
    if let Some(stem) = stem.and_then(|stem| stem.to_str()).filter(|stem| EMPTY_NAMES.contains(stem)) {
        findings.push(Finding::error("names", path, format!("`{stem}` says nothing of what is inside: name the file after what it does")));
    }

    let source = Source::new(text);
    for (number, line) in (1..).zip(source.bare.lines()) {
        for (word, why) in FORBIDDEN.iter().filter(|(word, _)| contains_word(line, word)) {
            findings.push(Finding::error("unfinished", format!("{path}:{number}"), format!("`{word}` is {why}")));
        }
    }
    let is_library = path.starts_with("crates/") && path.contains("/src/");
    if is_library && !path.starts_with("crates/fornax-kernels/") && !path.starts_with("crates/fornax-testkit/") {
        for (number, line) in (1..).zip(source.without_tests().code.lines()) {
            for name in BACKEND_NAMES.iter().filter(|name| line.contains(**name)) {
                let says = format!("`{name}` names a backend, which only fornax-kernels does: take a `Device` from the caller");
                findings.push(Finding::error("backends", format!("{path}:{number}"), says));
            }
        }
    }
    findings
}

/// Whether `word` is there and is not the end of a longer name.
fn contains_word(line: &str, word: &str) -> bool {
    let starts_a_name = word.starts_with(char::is_alphanumeric);
    line.match_indices(word).any(|(at, _)| !starts_a_name || !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, text: &str) -> Vec<(&'static str, String)> {
        check(&[File::new(path, text)]).into_iter().map(|finding| (finding.check, finding.place)).collect()
    }

    #[test]
    fn good_files_pass() {
        assert!(said("crates/fornax-layers/src/dropout.rs", "//! `Device::flex` in a comment, and todo!() too.\nfn f() {}\n").is_empty());
        assert!(said("examples/a.rs", &"x\n".repeat(99)).is_empty());
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(said("xtask/src/a.rs", &"\n".repeat(601))[0].0, "size");
        let warned = check(&[File::new("xtask/src/a.rs", &"\n".repeat(351))]);
        assert!(warned[0].warning && warned.len() == 1);
        assert!(said("xtask/src/a.rs", &"\n".repeat(350)).is_empty());
        assert_eq!(said("examples/a.rs", &"x\n".repeat(100))[0].0, "size");
    }

    #[test]
    fn places_and_names_are_checked() {
        assert_eq!(said("crates/fornax-data/src/a/b/c.rs", "")[0].0, "depth");
        assert!(said("crates/fornax-data/src/a/b.rs", "").is_empty());
        for path in ["crates/fornax-data/src/utils.rs", "crates/fornax-data/tests/common/mod.rs", "benches/helpers.rs", "xtask/src/base.rs"] {
            assert_eq!(said(path, ""), [("names", path.to_owned())]);
        }
    }

    #[test]
    fn unfinished_code_is_found_in_code_alone() {
        let text = "fn f() {\n    todo!()\n}\n#[ignore = \"slow\"]\nfn g() { dbg!(1); \"todo!\"; my_todo!(); }\n";
        assert_eq!(
            said("benches/a.rs", text).into_iter().map(|(_, place)| place).collect::<Vec<_>>(),
            ["benches/a.rs:2", "benches/a.rs:4", "benches/a.rs:5"]
        );
        assert_eq!(said("benches/a.rs", "unimplemented!()")[0].0, "unfinished");
    }

    #[test]
    fn backends_are_named_by_the_kernels_alone() {
        let text = "#[cfg(feature = \"tch\")]\nfn f() { Device::default() }\n#[cfg(test)]\nmod tests { fn g() { Device::flex() } }\n";
        let path = "crates/fornax-trainer/src/a.rs";
        assert_eq!(said(path, text), [("backends", format!("{path}:1")), ("backends", format!("{path}:2"))]);
        for free in ["crates/fornax-kernels/src/a.rs", "crates/fornax-testkit/src/a.rs", "crates/fornax-trainer/tests/a.rs", "examples/a.rs"] {
            assert!(said(free, text).is_empty(), "{free}");
        }
    }
}
