use std::path::{Path, PathBuf};

/// Why data could not be found, fetched or read. One line each: what, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The system refused.
    #[error("cannot {doing}: {source}: {}", path.display())]
    Io {
        /// `read`, `write` …
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
        /// The file or folder.
        path: PathBuf,
    },
    /// A file that is cut, altered, of another kind, or too large to be believed.
    #[error("not a readable {kind} file: {why}: {}", path.display())]
    Damaged {
        /// `IDX`, `NPY`, `CSV`, `image` …
        kind: &'static str,
        /// What is wrong with it.
        why: String,
        /// The file.
        path: PathBuf,
    },
    /// A folder lacks something.
    #[error("{what} is missing; {fix}: {}", folder.display())]
    Missing {
        /// The file, or what else should be there.
        what: String,
        /// What to do.
        fix: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A data set that is nowhere on this machine.
    #[error("{name} is not on this machine{detail}; `fornax data fetch {name}` downloads it, or give its folder with --data DIR")]
    NotHere {
        /// The data set.
        name: &'static str,
        /// What was found instead, or nothing.
        detail: String,
    },
    /// A data set that is nowhere on this machine and that no command fetches.
    #[error("{name} is not on this machine; get it from {home} and give its folder with --data DIR")]
    GetItYourself {
        /// The data set.
        name: &'static str,
        /// Its page.
        home: &'static str,
    },
    /// A split that this source does not have.
    #[error("{source_name} has no {split} split; {fix}")]
    NoSplit {
        /// What was asked.
        source_name: String,
        /// Which split.
        split: crate::Split,
        /// What to do.
        fix: String,
    },
    /// A download failed.
    #[error("cannot download {url}: {why}; {fix}")]
    Download {
        /// The address.
        url: String,
        /// What happened.
        why: String,
        /// What to do.
        fix: &'static str,
    },
    /// A file's content is not the published one.
    #[error("wrong content: {name} has SHA-256 {found}, published is {wanted}; {fix}: {}", path.display())]
    WrongHash {
        /// The file of the data set.
        name: String,
        /// The hash of what came.
        found: String,
        /// The hash that it should have.
        wanted: String,
        /// What to do.
        fix: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A loader's worker panicked.
    #[error("a data worker panicked: {0}")]
    Worker(String),
    /// A value that a caller gave is out of range.
    #[error("{0}")]
    Invalid(String),
}

impl DataError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { doing, source, path }
    }

    pub(crate) fn damaged(kind: &'static str, path: &Path, why: impl Into<String>) -> Self {
        Self::Damaged { kind, why: why.into(), path: path.to_path_buf() }
    }
}
