//! Which crate may depend on which.

use super::Finding;
use serde_json::Value;

const CHECK: &str = "dependencies";

/// Dependencies point down. `dev-dependencies` are free, apart from the binary.
const MAY_USE: &[(&str, &[&str])] = &[
    ("fornax-kernels", &[]),
    ("fornax-weights", &[]),
    ("fornax-data", &[]),
    ("fornax-layers", &["fornax-kernels"]),
    ("fornax-optimizers", &["fornax-kernels", "fornax-weights"]),
    ("fornax-architectures", &["fornax-layers", "fornax-weights"]),
    ("fornax-trainer", &["fornax-kernels", "fornax-optimizers", "fornax-weights"]),
    ("fornax-explain", &["fornax-kernels", "fornax-layers"]),
    ("fornax-privacy", &["fornax-layers", "fornax-optimizers", "fornax-trainer", "fornax-weights"]),
    ("fornax-adapt", &["fornax-layers", "fornax-weights"]),
    ("fornax-testkit", &["fornax-kernels", "fornax-optimizers", "fornax-weights"]),
    ("fornax", LIBRARIES),
    ("fornax-recipes", LIBRARIES),
    ("fornax-examples", LIBRARIES),
    ("fornax-benches", LIBRARIES),
    ("xtask", &[]),
];

/// All but the test kit, the facade and the binary.
const LIBRARIES: &[&str] = &[
    "fornax-kernels",
    "fornax-weights",
    "fornax-data",
    "fornax-layers",
    "fornax-optimizers",
    "fornax-architectures",
    "fornax-trainer",
    "fornax-explain",
    "fornax-privacy",
    "fornax-adapt",
];

/// The crates in which Burn's backends live, and what they wrap.
const BACKENDS: &[&str] = &["burn-flex", "burn-ndarray", "burn-tch", "burn-wgpu", "burn-cuda", "burn-cubecl", "burn-dispatch", "tch"];

/// Reads `cargo metadata --no-deps`.
pub(super) fn check(metadata: &Value) -> Vec<Finding> {
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    if packages.is_empty() {
        return vec![Finding::error(CHECK, "Cargo.toml", "cargo metadata names no package")];
    }
    packages.iter().flat_map(check_package).collect()
}

fn check_package(package: &Value) -> Vec<Finding> {
    let name = package["name"].as_str().unwrap_or_default();
    let Some((_, may_use)) = MAY_USE.iter().find(|(known, _)| *known == name) else {
        return vec![Finding::error(
            CHECK,
            name,
            "is not in the table of xtask/src/tidy/dependencies.rs: add a line that says what it may depend on",
        )];
    };
    let mut findings = vec![];
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let used = dependency["name"].as_str().unwrap_or_default();
        let is_dev = dependency["kind"] == "dev";
        let is_ours = used == "fornax" || used.starts_with("fornax-");
        let why = if used == "fornax-recipes" {
            Some("nothing depends on fornax-recipes: move what you need into a library".into())
        } else if name == "xtask" && (used.starts_with("burn") || is_ours) {
            Some(format!("xtask compiles in seconds, so it may not depend on {used}"))
        } else if is_dev {
            None
        } else if used == "fornax-testkit" {
            Some("fornax-testkit is a dev-dependency only".into())
        } else if is_ours && !may_use.contains(&used) {
            Some(format!("may not depend on {used}, only on: {}", if may_use.is_empty() { "no Fornax crate".into() } else { may_use.join(", ") }))
        } else if BACKENDS.contains(&used) && name != "fornax-kernels" {
            Some(format!("only fornax-kernels may name a backend, and {used} is one"))
        } else {
            None
        };
        findings.extend(why.map(|why| Finding::error(CHECK, name, why)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What is said of a package with one dependency.
    fn said(package: &str, dependency: &str, kind: Option<&str>) -> Vec<String> {
        let metadata = json!({"packages": [{"name": package, "dependencies": [{"name": dependency, "kind": kind}]}]});
        check(&metadata).into_iter().map(|finding| finding.says).collect()
    }

    #[test]
    fn down_is_allowed_and_up_is_not() {
        assert!(said("fornax-layers", "fornax-kernels", None).is_empty());
        assert!(said("fornax-recipes", "fornax-trainer", None).is_empty());
        assert!(said("fornax-kernels", "burn-tch", None).is_empty());
        assert!(said("fornax-kernels", "fornax-layers", None)[0].contains("only on: no Fornax crate"));
        assert!(said("fornax-trainer", "fornax-architectures", None)[0].contains("may not depend on fornax-architectures"));
        assert!(said("fornax-trainer", "fornax-layers", Some("dev")).is_empty());
        assert!(said("fornax-trainer", "fornax-layers", Some("build"))[0].contains("may not depend on fornax-layers"));
    }

    #[test]
    fn the_binary_the_test_kit_xtask_and_backends_have_rules_of_their_own() {
        assert!(said("fornax-benches", "fornax-recipes", Some("dev"))[0].contains("nothing depends on"));
        assert!(said("fornax-layers", "fornax-testkit", Some("dev")).is_empty());
        assert!(said("fornax-layers", "fornax-testkit", None)[0].contains("dev-dependency only"));
        assert!(said("xtask", "burn", Some("dev"))[0].contains("xtask compiles in seconds"));
        assert!(said("fornax-trainer", "burn-ndarray", None)[0].contains("burn-ndarray is one"));
    }

    #[test]
    fn a_new_crate_needs_a_line() {
        assert!(said("fornax-audio", "burn", None)[0].contains("add a line"));
        assert_eq!(check(&Value::Null).len(), 1);
    }
}
