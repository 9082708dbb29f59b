//! Files of labelled sentences, `label text` a line, as published for MR, SST, TREC, Subj and others.
//!
//! A collection is one file that nobody has split (`mr.all`, `subj.all`, `reviews.txt`), or a file a split whose names begin alike and say which:
//! `TREC.train.all` and `TREC.test.all`; `stsa.binary.train`, `.dev` and `.test`. Each may be packed (`.gz`).

pub use crate::sentence_set::{digest, words};
use crate::{DataError, SentenceSet, Split, read::Source};

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const KIND: &str = "`label text`";

/// The files of one collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// All in one.
    Whole(PathBuf),
    /// A file a split.
    Split {
        /// To learn from.
        train: PathBuf,
        /// To validate on, if it is there.
        valid: Option<PathBuf>,
        /// To test on, if it is there.
        test: Option<PathBuf>,
    },
}

impl Files {
    /// The collection that a path names: a folder with one collection in it, or a file of one of those in its folder.
    ///
    /// # Errors
    /// [`DataError`] if there is none, or several in a folder.
    pub fn find(path: &Path) -> Result<Self, DataError> {
        let one_file = path.is_file();
        let folder = if one_file { path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(".".as_ref()) } else { path };
        let mut collections: BTreeMap<String, BTreeMap<Part, PathBuf>> = BTreeMap::new();
        let entries = fs::read_dir(folder).map_err(DataError::io("read", folder))?;
        for entry in entries {
            let file = entry.map_err(DataError::io("read", folder))?.path();
            let name = file.file_name().unwrap_or_default().to_string_lossy().to_string();
            if file.is_file() && !name.starts_with('.') && !name.to_lowercase().starts_with("readme") && !name.to_lowercase().starts_with("license") {
                let (stem, part) = parse(&name);
                collections.entry(stem).or_default().insert(part, file);
            }
        }
        if one_file {
            let (stem, part) = parse(&path.file_name().unwrap_or_default().to_string_lossy());
            if part == Part::Whole {
                return Ok(Self::Whole(path.into()));
            }
            collections.retain(|other, _| *other == stem);
        }
        let names: Vec<String> = collections.keys().cloned().collect();
        let mut rest = collections.into_values();
        let (Some(mut parts), None) = (rest.next(), rest.next()) else {
            let fix = match names.len() {
                0 => "give a folder with files of `label text` lines, such as reviews.all, or x.train and x.test, with --data".to_string(),
                _ => format!("name a file of one of them with --data: it has {}", names.join(", ")),
            };
            return Err(DataError::Missing { what: "one collection of labelled sentences".into(), fix, folder: folder.into() });
        };
        match (parts.remove(&Part::Of(Split::Train)), parts.remove(&Part::Whole)) {
            (Some(train), None) => {
                Ok(Self::Split { train, valid: parts.remove(&Part::Of(Split::Valid)), test: parts.remove(&Part::Of(Split::Test)) })
            }
            (None, Some(whole)) => Ok(Self::Whole(whole)),
            (Some(_), Some(whole)) => Err(DataError::Missing {
                what: "the answer to which of two is meant".into(),
                fix: format!("{} is whole, but there is a file to train on besides: take one of them away", whole.display()),
                folder: folder.into(),
            }),
            (None, None) => Err(DataError::Missing {
                what: format!("{}.train", names[0]),
                fix: "a collection that is split has a file to learn from".into(),
                folder: folder.into(),
            }),
        }
    }

    /// One split. Of a collection in one file, fold `fold` of `folds` tests and a tenth of the rest validates ([`SentenceSet::part`]); where a file of a split is
    /// missing, a tenth of the training sentences validates.
    ///
    /// What is tested or validated on, but for case and punctuation, is left out of what is learned from.
    ///
    /// # Errors
    /// [`DataError`] for files that are missing or damaged, and for classes that the training file does not have.
    pub fn load(&self, split: Split, fold: usize, folds: usize) -> Result<SentenceSet, DataError> {
        let (train, valid, test) = match self {
            Self::Whole(path) => return Ok(read(path)?.part(fold, folds, split)),
            Self::Split { train, valid, test } => (train, valid, test),
        };
        let learned = read(train)?;
        let other = |path: &Path| read(path)?.with_classes(&learned.classes);
        let needed = |path: &Option<PathBuf>| path.as_deref().map(other).transpose();
        match split {
            Split::Test => needed(test)?.ok_or_else(|| DataError::NoSplit {
                source_name: train.display().to_string(),
                split,
                fix: "there is no file with its name and `test` in place of `train`".into(),
            }),
            Split::Valid => Ok(match needed(valid)? {
                Some(valid) => valid,
                None => without(learned.tenth(Split::Valid), needed(test)?),
            }),
            Split::Train => Ok(match needed(valid)? {
                Some(valid) => without(learned.without(&valid), needed(test)?),
                None => without(learned.tenth(Split::Train), needed(test)?),
            }),
        }
    }
}

fn without(set: SentenceSet, others: Option<SentenceSet>) -> SentenceSet {
    others.map_or_else(|| set.clone(), |others| set.without(&others))
}

/// Which part of a collection a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Of(Split),
    Whole,
}

/// `TREC.train.all` is the part `train` of `TREC`; `mr.all` is `mr` as a whole.
fn parse(name: &str) -> (String, Part) {
    let mut parts: Vec<&str> = name.split('.').collect();
    while parts.len() > 1 && ["gz", "all", "txt", "data"].contains(&parts[parts.len() - 1]) {
        parts.pop();
    }
    let part = match parts[parts.len() - 1].to_lowercase().as_str() {
        "train" => Part::Of(Split::Train),
        "dev" | "valid" | "val" => Part::Of(Split::Valid),
        "test" => Part::Of(Split::Test),
        _ => Part::Whole,
    };
    if part != Part::Whole {
        parts.pop();
    }
    (parts.join("."), part)
}

/// Reads lines `label text`, in UTF-8, or, where they are not, in Latin-1. Blank lines are skipped. Classes are in the order of their numbers, or of the alphabet.
///
/// # Errors
/// [`DataError`] if the file cannot be read or unpacked, holds no sentence, or has a line with a label alone.
pub fn read(path: &Path) -> Result<SentenceSet, DataError> {
    parse_lines(Source::open(KIND, path, true)?)
}

/// The same from memory.
pub(crate) fn from_bytes(name: &Path, bytes: &[u8]) -> Result<SentenceSet, DataError> {
    parse_lines(Source::bytes(KIND, name, bytes, true)?)
}

fn parse_lines(mut source: Source) -> Result<SentenceSet, DataError> {
    let bytes = source.rest()?;
    let text = String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().iter().map(|&byte| char::from(byte)).collect());
    if text.contains('\0') {
        return Err(source.damaged("it is no text"));
    }
    let mut lines = vec![];
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let split = line.trim().split_once(char::is_whitespace).map(|(label, text)| (label, text.trim())).filter(|(_, text)| !text.is_empty());
        lines.push(split.ok_or_else(|| source.damaged(format!("line {number} is not a label and a sentence")))?);
    }
    if lines.is_empty() {
        return Err(source.damaged("there is no sentence in it"));
    }
    let distinct: BTreeSet<&str> = lines.iter().map(|(label, _)| *label).collect();
    if distinct.len() > MOST_CLASSES {
        return Err(source
            .damaged(format!("it has {} different labels, more than the {MOST_CLASSES} that are accepted: is the label first?", distinct.len())));
    }
    let mut classes: Vec<&str> = distinct.into_iter().collect();
    if classes.iter().all(|class| class.parse::<i64>().is_ok()) {
        classes.sort_by_key(|class| class.parse::<i64>().unwrap_or_default());
    }
    let number = |label: &str| classes.iter().position(|class| *class == label).expect("a label that was collected") as u32;
    let labels = lines.iter().map(|(label, _)| number(label)).collect();
    SentenceSet::new(lines.iter().map(|(_, text)| text.to_string()).collect(), labels, classes.iter().map(ToString::to_string).collect())
}

/// Of a file whose labels are believed to be labels.
const MOST_CLASSES: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
        folder
    }

    #[test]
    fn files_say_by_their_names_what_they_are() {
        for (name, stem, part) in [
            ("mr.all", "mr", Part::Whole),
            ("TREC.train.all", "TREC", Part::Of(Split::Train)),
            ("TREC.test.all", "TREC", Part::Of(Split::Test)),
            ("stsa.binary.dev", "stsa.binary", Part::Of(Split::Valid)),
            ("train.txt.gz", "", Part::Of(Split::Train)),
            ("reviews.txt", "reviews", Part::Whole),
        ] {
            assert_eq!(parse(name), (stem.to_string(), part), "{name}");
        }
    }

    #[test]
    fn lines_are_latin_1_where_they_are_not_utf_8() {
        let place = folder(&[("a.all", b"10 br\xfbl\xe9e\r\n\n2 two  words \n"), ("b.all", "x crème\n".as_bytes())]);
        let a = read(&place.path().join("a.all")).unwrap();
        assert_eq!(
            (a.sentences, a.labels, a.classes),
            (vec!["brûlée".to_string(), "two  words".into()], vec![1, 0], vec!["2".to_string(), "10".into()])
        );
        assert_eq!(read(&place.path().join("b.all")).unwrap().sentences, ["crème"]);
    }

    #[test]
    fn what_is_evaluated_on_is_not_learned_from() {
        let train: String = (0..40).map(|i| format!("{} sentence {i} !\n", i % 2)).collect();
        let place = folder(&[("x.train", train.as_bytes()), ("x.test", b"1 Sentence 3\n0 new one\n"), ("x.dev", b"0 SENTENCE, 5\n")]);
        let load = |path: PathBuf, split| Files::find(&path).unwrap().load(split, 0, 10).unwrap();
        let [train, valid, test] = [Split::Train, Split::Valid, Split::Test].map(|split| load(place.path().into(), split));
        assert_eq!((train.len(), valid.len(), test.len()), (38, 1, 2));
        assert_eq!(load(place.path().join("x.test"), Split::Train), train, "any of its files names a collection");
        fs::remove_file(place.path().join("x.dev")).unwrap();
        let [train, valid] = [Split::Train, Split::Valid].map(|split| load(place.path().into(), split));
        assert_eq!(train.len() + valid.len(), 39);
        assert_eq!(train.without(&valid).without(&test), train);
    }

    #[test]
    fn bad_files_are_told() {
        let error = |files: &[(&str, &[u8])]| {
            let place = folder(files);
            let found = Files::find(place.path()).and_then(|files| files.load(Split::Train, 0, 2)).map_err(|error| error.to_string());
            let error = found.unwrap_err();
            assert_eq!(error.lines().count(), 1, "{error}");
            error
        };
        assert!(error(&[]).contains("one collection of labelled sentences is missing; give a folder"));
        assert!(error(&[("a.all", b"0 x\n"), ("b.all", b"0 x\n")]).contains("it has a, b"));
        assert!(error(&[("a.test", b"0 x\n")]).contains("a.train is missing"));
        assert!(error(&[("a.train", b"0 x\n"), ("a.all", b"0 x\n")]).contains("take one of them away"));
        assert!(error(&[("a.all", b"0 x\n1\n")]).contains("line 2 is not a label and a sentence"));
        assert!(error(&[("a.all", b"\n \n")]).contains("no sentence"));
        assert!(error(&[("a.all", b"0 x\0y\n")]).contains("no text"));
        assert!(error(&[("a.train", b"0 x\n"), ("a.test", b"1 y\n")]).contains("the class `1` is none of those"));
        assert!(error(&[("a.all.gz", b"\x1f\x8b\x08\x00rubbish")]).contains("gzip"));
        let many: String = (0..1_001).map(|i| format!("word{i} x\n")).collect();
        assert!(error(&[("a.all", many.as_bytes())]).contains("1001 different labels"));
    }

    /// Needs the published files: FORNAX_DATA names the folder that holds `text-classification`.
    #[test]
    fn no_sentence_of_an_evaluation_is_learned_from() {
        let Some(folder) = std::env::var_os("FORNAX_DATA").map(|root| PathBuf::from(root).join("text-classification")).filter(|f| f.is_dir()) else {
            eprintln!("skipped: FORNAX_DATA names no folder with `text-classification` in it");
            return;
        };
        let reviews = Files::find(&folder.join("mr.all")).unwrap();
        assert_eq!(read(&folder.join("mr.all")).unwrap().count_by_class(), [5331, 5331]);
        for fold in 0..10 {
            let [train, valid, test] = [Split::Train, Split::Valid, Split::Test].map(|split| reviews.load(split, fold, 10).unwrap());
            assert_eq!(train.len() + valid.len() + test.len(), 10_662);
            assert_eq!(train.without(&valid).without(&test).len(), train.len());
            // Nor is one of the sentences that come with Fornax, most of which are of the same reviews.
            let embedded = crate::sets::movie_sentences::embedded().unwrap().part(fold, 10, Split::Train);
            assert_eq!(embedded.without(&test).len(), embedded.len());
        }
        let sst = Files::find(&folder.join("stsa.binary.test")).unwrap();
        let [train, valid, test] = [Split::Train, Split::Valid, Split::Test].map(|split| sst.load(split, 0, 10).unwrap());
        assert_eq!((valid.len(), test.len()), (872, 1_821));
        assert_eq!(train.without(&valid).without(&test).len(), train.len());
    }
}
