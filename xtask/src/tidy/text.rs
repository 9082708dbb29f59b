//! Any file: its size, and what belongs to one machine alone.

use super::{File, Finding};

const MAX_BYTES: u64 = 4 << 20;
/// What stands before the name of a home folder.
const HOMES: &[&str] = &["/root", "/home", "/Users", "C:\\Users"];
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// `here`: folders of the machine that this runs on, which no file may name.
pub(super) fn check(files: &[File], here: &[String]) -> Vec<Finding> {
    let mut findings = vec![];
    for file in files {
        if file.bytes > MAX_BYTES {
            let says = format!("{:.1} MiB, and git keeps at most 4: let `fornax data fetch` get it", file.bytes as f64 / f64::from(1 << 20));
            findings.push(Finding::error("size", &file.path, says));
        }
        for (number, line) in (1..).zip(file.text.as_deref().unwrap_or_default().lines()) {
            let place = || format!("{}:{number}", file.path);
            if let Some(folder) = here.iter().find(|folder| line.contains(folder.as_str())) {
                findings.push(Finding::error("machine", place(), format!("`{folder}…` is a path of this machine: write it relative to the root")));
            } else if let Some(home) = home_path(line) {
                findings.push(Finding::error("machine", place(), format!("`{home}…` is a path of one machine: write it relative to the root")));
            }
            if let Some(host) = hosts(line).find(|host| is_private(host)) {
                findings.push(Finding::error(
                    "machine",
                    place(),
                    format!("{host} is a host of one network or a registry's mirror: name the canonical address"),
                ));
            }
            if file.path == "Cargo.lock" && line.starts_with("source = ") && line != format!("source = \"{REGISTRY}\"") {
                findings.push(Finding::error("machine", place(), "a dependency that does not come from crates.io"));
            }
        }
    }
    findings
}

/// A home folder with a name in it, if the path begins there.
fn home_path(line: &str) -> Option<&'static str> {
    let begins = |before: &str| !before.ends_with(|c: char| c.is_alphanumeric() || "._-}>/".contains(c));
    let names = |after: &str| {
        let name = after.strip_prefix(['/', '\\']);
        name.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_'))
    };
    HOMES.iter().copied().find(|home| line.match_indices(home).any(|(at, _)| begins(&line[..at]) && names(&line[at + home.len()..])))
}

/// The host of every URL.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("://").map(|(at, _)| {
        let rest = &line[at + 3..];
        let authority = &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && !".-_@".contains(c)).unwrap_or(rest.len())];
        authority.rsplit('@').next().unwrap_or(authority)
    })
}

/// Whether a host exists on one network alone, or stands in for a registry.
fn is_private(host: &str) -> bool {
    let labels: Vec<&str> = host.split('.').collect();
    let numbers: Vec<u8> = labels.iter().filter_map(|label| label.parse().ok()).collect();
    let is_private_address = numbers.len() == 4 && matches!(numbers[..], [10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [169, 254, ..]);
    let is_private_name = labels.last().is_some_and(|last| labels.len() > 1 && ["internal", "local", "corp", "lan", "intranet"].contains(last));
    let is_mirror = labels.iter().any(|label| ["artifactory", "nexus", "mirror", "mirrors", "rsproxy", "devpi"].contains(label));
    is_private_address || is_private_name || is_mirror
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, text: &str) -> Vec<(&'static str, String)> {
        check(&[File::new(path, text)], &["/somewhere/here/".into()]).into_iter().map(|finding| (finding.check, finding.place)).collect()
    }

    #[test]
    fn large_files_are_found() {
        let file = |bytes| File { path: "data/a.bin".into(), bytes, text: None };
        assert!(check(&[file(MAX_BYTES)], &[]).is_empty());
        assert_eq!(check(&[file(MAX_BYTES + 1)], &[])[0].check, "size");
    }

    #[test]
    fn home_folders_are_found_and_urls_are_not() {
        for (before, name) in [("open ", "ann/data"), ("\"", "ann"), ("", ".cargo/bin")] {
            for home in HOMES {
                assert_eq!(said("README.md", &format!("line\n{before}{home}/{name}")), [("machine", "README.md:2".to_owned())], "{home}");
            }
        }
        assert_eq!(said("README.md", "cd /somewhere/here/fornax"), [("machine", "README.md:1".to_owned())]);
        for fine in ["cd /somewhere/else", "https://example.org/home/ann", "<root>/home/lib", "\"/home/\"", "{root}/home/x", "/homes/x"] {
            assert!(said("README.md", fine).is_empty(), "{fine}");
        }
    }

    #[test]
    fn private_hosts_are_found() {
        let scheme = "https://";
        for host in ["nexus.example.org", "pypi.company.internal", "10.1.2.3:8080/simple", "me@mirrors.example.org/pypi", "172.20.0.1"] {
            assert_eq!(said("a.toml", &format!("index = \"{scheme}{host}\"")), [("machine", "a.toml:1".to_owned())], "{host}");
        }
        for host in ["crates.io", "127.0.0.1:80", "{address}/file", "www.w3.org/2000/svg", "ossci-datasets.s3.amazonaws.com/mnist/", "localhost"] {
            assert!(said("a.toml", &format!("{scheme}{host}")).is_empty(), "{host}");
        }
    }

    #[test]
    fn every_dependency_comes_from_one_registry() {
        assert!(said("Cargo.lock", &format!("source = \"{REGISTRY}\"\n")).is_empty());
        assert_eq!(said("Cargo.lock", "source = \"git+https://example.org/a\"\n"), [("machine", "Cargo.lock:1".to_owned())]);
    }
}
