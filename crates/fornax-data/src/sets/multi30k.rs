use super::{Content, DataSet, Readers, RemoteFile};
use crate::{DataError, Split, TextPairs, read::Source};
use std::path::{Path, PathBuf};

/// Captions of pictures, German and English, a sentence a line: 29,000 to learn from, 1,014 to validate, and the 1,000 of 2016 to test.
///
/// A folder has `train`, `val` and `test_2016_flickr` (or `test2016`, `test`), each as `.de` and `.en`, plain or `.gz`, line beside line. White space at a
/// line's ends does not count.
///
/// Source: Elliott, Frank, Sima'an and Specia, "Multi30K: multilingual English-German image descriptions", 2016.
pub const MULTI30K: DataSet = DataSet {
    name: "multi30k",
    title: "Multi30k",
    about: "captions of pictures, German and English: 29,000 train, 1,014 valid, 1,000 test",
    licence: "not stated",
    size: 31_014,
    home: "https://github.com/multi30k/dataset",
    files: &[
        RemoteFile {
            name: "train.de.gz",
            url: "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/train.de.gz",
            bytes: 637_044,
            sha256: "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
            content_bytes: 2_110_398,
            content_sha256: "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72",
        },
        RemoteFile {
            name: "train.en.gz",
            url: "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/train.en.gz",
            bytes: 568_929,
            sha256: "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
            content_bytes: 1_801_238,
            content_sha256: "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6",
        },
        RemoteFile {
            name: "val.de.gz",
            url: "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/val.de.gz",
            bytes: 24_681,
            sha256: "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
            content_bytes: 75_981,
            content_sha256: "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660",
        },
        RemoteFile {
            name: "val.en.gz",
            url: "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/val.en.gz",
            bytes: 21_650,
            sha256: "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
            content_bytes: 63_297,
            content_sha256: "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227",
        },
    ],
    embedded: None,
    content: Content::Translations(Readers { folder, embedded: None }),
};

const KIND: &str = "text";

fn folder(folder: &Path, split: Split) -> Result<TextPairs, DataError> {
    let stems: &[&str] = match split {
        Split::Train => &["train"],
        Split::Valid => &["val", "valid"],
        Split::Test => &["test_2016_flickr", "test2016", "test"],
    };
    // Both sides are looked for before either is read.
    let (from, to) = locate(folder, stems)?;
    let (sources, targets) = (lines(&from)?, lines(&to)?);
    if sources.len() != targets.len() {
        let why =
            format!("it has {} lines, {} has {}: a sentence and its translation are on the same line", targets.len(), from.display(), sources.len());
        return Err(DataError::damaged(KIND, &to, why));
    }
    TextPairs::new(sources, targets.into_iter().map(|target| vec![target]).collect())
}

/// The German and the English file of the first name that is there.
fn locate(folder: &Path, stems: &[&str]) -> Result<(PathBuf, PathBuf), DataError> {
    let find = |stem: &str, language: &str| {
        [format!("{stem}.{language}"), format!("{stem}.{language}.gz")].iter().map(|name| folder.join(name)).find(|path| path.is_file())
    };
    let there = |stem: &&&str| find(stem, "de").is_some() || find(stem, "en").is_some();
    let stem = stems.iter().find(there).unwrap_or(&stems[0]);
    let side = |language: &str| {
        find(stem, language).ok_or_else(|| DataError::Missing {
            what: format!("{stem}.{language} or {stem}.{language}.gz"),
            fix: "give the folder that has Multi30k, or other pairs under its names, with --data DIR".into(),
            folder: folder.into(),
        })
    };
    Ok((side("de")?, side("en")?))
}

/// Every line, without white space at its ends; none may be empty.
fn lines(path: &Path) -> Result<Vec<String>, DataError> {
    let mut source = Source::open(KIND, path, true)?;
    let text = String::from_utf8(source.rest()?).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        source.damaged(format!("line {line} is not UTF-8"))
    })?;
    let lines: Vec<String> = text.lines().map(|line| line.trim().to_string()).collect();
    match lines.iter().position(String::is_empty) {
        _ if lines.is_empty() => Err(source.damaged("it has no line")),
        Some(at) => Err(source.damaged(format!("line {} is empty; leave it out on both sides", at + 1))),
        None => Ok(lines),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_data_set_and_its_users() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| std::fs::write(place.path().join(name), text).unwrap();
        let read = |split| folder(place.path(), split).map_err(|error| error.to_string());
        let missing = read(Split::Train).unwrap_err();
        assert!(missing.starts_with("train.de or train.de.gz is missing; give the folder that has Multi30k"), "{missing}");
        write("train.de", "Ein Hund läuft. \r\nZwei\u{a0}Männer.\n".as_bytes());
        assert!(read(Split::Train).unwrap_err().starts_with("train.en or train.en.gz is missing"));
        write("train.en", b"A dog runs.\nTwo men.");
        let pairs = read(Split::Train).unwrap();
        assert_eq!(pairs.sources, ["Ein Hund läuft.", "Zwei\u{a0}Männer."]);
        assert_eq!(pairs.targets, [["A dog runs."], ["Two men."]]);
        for stem in ["test", "test2016", "test_2016_flickr"] {
            write(&format!("{stem}.de"), stem.as_bytes());
            write(&format!("{stem}.en"), b"x");
            assert_eq!(read(Split::Test).unwrap().sources, [stem], "the later the name, the sooner it is taken");
        }
        assert!(read(Split::Valid).unwrap_err().starts_with("val.de"));
    }

    #[test]
    fn bad_files_are_told() {
        let place = tempfile::tempdir().unwrap();
        let error = |de: &[u8], en: &[u8]| {
            std::fs::write(place.path().join("val.de"), de).unwrap();
            std::fs::write(place.path().join("val.en"), en).unwrap();
            folder(place.path(), Split::Valid).unwrap_err().to_string()
        };
        let says = error(b"a\nb\n", b"a\n");
        assert!(says.contains("it has 1 lines") && says.contains("val.de has 2") && says.ends_with("val.en"), "{says}");
        assert!(error(b"a\n \nb\n", b"a\nb\nc\n").contains("line 2 is empty"));
        assert!(error(b"a\n\xFF\n", b"a\nb\n").contains("line 2 is not UTF-8"));
        assert!(error(b"", b"").contains("it has no line"));
        assert!(error(b"\x1f\x8b\x08", b"a").contains("damaged gzip"));
    }

    /// Needs the published files: FORNAX_DATA names the folder that holds `multi30k`.
    #[test]
    fn all_of_multi30k_is_there() {
        let Some(place) = std::env::var_os("FORNAX_DATA").map(|root| PathBuf::from(root).join("multi30k")).filter(|f| f.is_dir()) else {
            eprintln!("skipped: FORNAX_DATA names no folder with `multi30k` in it");
            return;
        };
        let [train, valid] = [Split::Train, Split::Valid].map(|split| folder(&place, split).unwrap());
        assert_eq!((train.len(), valid.len()), (29_000, 1_014));
        assert_eq!(train.sources[0], "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.");
        assert_eq!(train.targets[0], ["Two young, White males are outside near many bushes."]);
    }
}
