//! `Cargo.toml` of each member: versions and lints stand in the root alone, and every target has its file.

use super::{File, Finding};
use std::collections::BTreeSet;

const CHECK: &str = "manifests";

/// These keys of `[package]` are the root's.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license"];

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = vec![];
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let members = files.iter().filter(|file| file.path.ends_with("/Cargo.toml"));
    for (path, text) in members.filter_map(|file| Some((file.path.as_str(), file.text.as_deref()?))) {
        findings.extend(inheritance(path, text));
        let folder = path.trim_end_matches("Cargo.toml");
        let listed = targets(text);
        for (number, target) in &listed {
            if !paths.contains(format!("{folder}{target}").as_str()) {
                findings.push(Finding::error(CHECK, format!("{path}:{number}"), format!("names {target}, which is not there")));
            }
        }
        // Cargo finds targets by itself in folders that have these names, and neither here.
        if folder == "examples/" || folder == "benches/" {
            let here = paths.iter().filter_map(|file| file.strip_prefix(folder)).filter(|file| file.ends_with(".rs") && !file.contains('/'));
            for file in here.filter(|file| !listed.iter().any(|(_, target)| target == file)) {
                findings.push(Finding::error(
                    CHECK,
                    format!("{folder}{file}"),
                    format!("is no target of {path}, so nothing compiles it: list it there"),
                ));
            }
        }
    }
    findings
}

/// Line numbers with the section and key of each `key = value`.
fn entries(text: &str) -> impl Iterator<Item = (usize, String, String, String)> {
    let mut section = String::new();
    let mut found = vec![];
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.starts_with('[') && line.ends_with(']') && !line.contains('=') {
            section = line.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, value)) = line.split_once('=').map(|(key, value)| (key.trim(), value.trim()))
            && !key.is_empty()
            && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.\"".contains(c))
        {
            found.push((number, section.clone(), key.to_owned(), value.to_owned()));
        }
    }
    found.into_iter()
}

fn inheritance(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = vec![];
    let mut inherits_lints = false;
    let mut seen = BTreeSet::new();
    for (number, section, key, value) in entries(text) {
        let mut wrong = |says: String| findings.push(Finding::error(CHECK, format!("{path}:{number}"), says));
        let (name, is_inherited) = match key.strip_suffix(".workspace") {
            Some(name) => (name, value == "true"),
            None => (key.as_str(), value.contains("workspace = true")),
        };
        let is_table_of_dependencies = section.split('.').next_back().is_some_and(|last| last.ends_with("dependencies"));
        if section == "package" && INHERITED.contains(&name) {
            seen.insert(name.to_owned());
            if !is_inherited {
                wrong(format!("`{name}` is the root's: write `{name}.workspace = true`"));
            }
        } else if is_table_of_dependencies && !is_inherited {
            wrong(format!("the version of `{name}` belongs in the root: write `{name}.workspace = true` and add it to [workspace.dependencies]"));
        } else if section.contains("dependencies.") && (name == "version" || name == "path" || name == "git") {
            wrong(format!("the `{name}` of [{section}] belongs in the root: write `workspace = true`"));
        } else if section == "lints" && key == "workspace" && value == "true" {
            inherits_lints = true;
        } else if section.starts_with("lints.") {
            wrong("lints belong in the root, under [workspace.lints]".into());
        } else if section.starts_with("profile") {
            wrong("profiles belong in the root".into());
        }
    }
    if !inherits_lints {
        findings.push(Finding::error(CHECK, path, "does not inherit the root's lints: add `[lints]` with `workspace = true`"));
    }
    for key in INHERITED.iter().filter(|key| !seen.contains(**key)) {
        findings.push(Finding::error(CHECK, path, format!("lacks `{key}.workspace = true`")));
    }
    findings
}

/// The paths of `[lib]`, `[[bin]]`, `[[example]]`, `[[bench]]` and `[[test]]`.
fn targets(text: &str) -> Vec<(usize, String)> {
    let is_target = |section: &str| ["lib", "bin", "example", "bench", "test"].contains(&section);
    let paths = entries(text).filter(|(_, section, key, _)| key == "path" && is_target(section));
    paths.map(|(number, _, _, value)| (number, value.trim_matches('"').to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"a\"\nversion.workspace = true\nedition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
                        [lints]\nworkspace = true\n[dependencies]\nburn = { workspace = true, features = [\"flex\"] }\nserde.workspace = true\n";

    fn said(more: &str) -> Vec<String> {
        check(&[File::new("crates/a/Cargo.toml", &format!("{GOOD}{more}"))]).into_iter().map(|finding| finding.says).collect()
    }

    #[test]
    fn a_member_that_inherits_passes() {
        assert_eq!(said(""), Vec::<String>::new());
        assert_eq!(
            said("[features]\ndefault = [\"flex\"]\n[dev-dependencies.rand]\nworkspace = true\nfeatures = [\n    \"std\",\n]\n"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn versions_lints_and_profiles_of_a_members_own_are_found() {
        for (more, want) in [
            ("rand = \"1\"\n", "`rand.workspace = true`"),
            ("[target.'cfg(unix)'.dependencies]\nlibc = { version = \"0.2\" }\n", "`libc.workspace = true`"),
            ("[dev-dependencies.rand]\nversion = \"1\"\n", "`version` of [dev-dependencies.rand]"),
            ("[lints.clippy]\nall = \"allow\"\n", "lints belong in the root"),
            ("[profile.release]\nlto = true\n", "profiles belong in the root"),
        ] {
            let said = said(more);
            assert!(said.len() == 1 && said[0].contains(want), "{more}: {said:?}");
        }
        let own = GOOD.replace("version.workspace = true\nedition", "version = \"1.0.0\"\nedition").replace("[lints]\nworkspace = true\n", "");
        let findings = inheritance("crates/a/Cargo.toml", &own);
        assert!(findings.len() == 2 && findings[0].place.ends_with(":3") && findings[1].says.contains("inherit the root's lints"), "{findings:?}");
        assert!(inheritance("a", &GOOD.replace("license.workspace = true\n", ""))[0].says.contains("lacks `license.workspace"));
    }

    #[test]
    fn targets_and_files_agree() {
        let manifest = format!("{GOOD}[[example]]\nname = \"b\"\npath = \"b.rs\"\n[lib]\npath = \"lib.rs\"\n");
        let with = |files: &[&str]| {
            let mut all = vec![File::new("examples/Cargo.toml", &manifest)];
            all.extend(files.iter().map(|file| File::new(file, "")));
            check(&all).into_iter().map(|finding| finding.place).collect::<Vec<_>>()
        };
        assert!(with(&["examples/b.rs", "examples/lib.rs"]).is_empty());
        assert_eq!(with(&["examples/lib.rs"]), ["examples/Cargo.toml:14"]);
        assert_eq!(with(&["examples/b.rs", "examples/lib.rs", "examples/c.rs"]), ["examples/c.rs"]);
    }
}
