//! The data sets by name: one file each, and a line in [`DATA_SETS`].

mod cmudict;
mod electricity;
mod fashion_mnist;
mod fsdd;
mod japanese_vowels;
mod mnist;
pub(crate) mod movie_sentences;
mod multi30k;
mod shakespeare;

pub use cmudict::CMUDICT;
pub use electricity::ELECTRICITY;
pub use fashion_mnist::FASHION_MNIST;
pub use fsdd::FSDD;
pub use japanese_vowels::JAPANESE_VOWELS;
pub use mnist::MNIST;
pub use movie_sentences::MOVIE_SENTENCES;
pub use multi30k::MULTI30K;
pub use shakespeare::TINY_SHAKESPEARE;

use crate::{DataError, ImageSet, PairSet, SentenceSet, SeriesSet, Signal, SoundSet, Split, TextPairs, idx};
use std::path::{Path, PathBuf};

/// Every data set that has a name.
pub const DATA_SETS: &[DataSet] = &[MNIST, FASHION_MNIST, JAPANESE_VOWELS, TINY_SHAKESPEARE, FSDD, CMUDICT, MULTI30K, ELECTRICITY, MOVIE_SENTENCES];

/// A data set by its name.
pub fn find(name: &str) -> Option<&'static DataSet> {
    DATA_SETS.iter().find(|set| set.name == name)
}

/// A published data set: where its files are, what they must be, how to read them.
#[derive(Debug, Clone, Copy)]
pub struct DataSet {
    /// On the command line, and the folder in the cache.
    pub name: &'static str,
    /// In sentences.
    pub title: &'static str,
    /// One line: what it shows, how much of it.
    pub about: &'static str,
    /// Its licence.
    pub licence: &'static str,
    /// Examples, of a text characters, in all.
    pub size: usize,
    /// Its page, where people read about it and get it.
    pub home: &'static str,
    /// What `fetch` gets.
    pub files: &'static [RemoteFile],
    /// What comes with this crate, for the user: "the … that come with Fornax (…)".
    pub embedded: Option<&'static str>,
    /// What its examples are, and how they are read.
    pub content: Content,
}

/// What the examples of a data set are, and how they are read.
#[derive(Debug, Clone, Copy)]
pub enum Content {
    /// Images.
    Images(Readers<ImageSet>),
    /// Series of vectors.
    Series(Readers<SeriesSet>),
    /// One long text.
    Text(Readers<String>),
    /// Recordings.
    Sounds(Readers<SoundSet>),
    /// Sequences of symbols with what they become.
    Pairs(Readers<PairSet>),
    /// Sentences with their translations.
    Translations(Readers<TextPairs>),
    /// Measurements of which the end is to be forecast.
    Signal(Readers<Signal>),
    /// Sentences with a class each: the function gives those that come with this crate, all in one; for those in files see [`crate::sentences`].
    Sentences(Option<fn() -> Result<SentenceSet, DataError>>),
}

/// Reads one split, and opens no file of another one.
#[derive(Debug)]
pub struct Readers<T> {
    /// From a folder.
    pub folder: fn(&Path, Split) -> Result<T, DataError>,
    /// From what comes with this crate.
    pub embedded: Option<fn(Split) -> Result<T, DataError>>,
}

impl<T> Clone for Readers<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Readers<T> {}

impl Content {
    /// In the plural.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Images(_) => "images",
            Self::Series(_) => "series",
            Self::Text(_) => "text",
            Self::Sounds(_) => "recordings",
            Self::Pairs(_) => "pairs",
            Self::Translations(_) => "translations",
            Self::Signal(_) => "signals",
            Self::Sentences(_) => "sentences",
        }
    }
}

/// A file at its canonical address.
#[derive(Debug, Clone, Copy)]
pub struct RemoteFile {
    /// Its name, there and here.
    pub name: &'static str,
    /// Its address.
    pub url: &'static str,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: &'static str,
    /// Size once unpacked.
    pub content_bytes: u64,
    /// SHA-256 once unpacked: what a copy packed by another program still has.
    pub content_sha256: &'static str,
}

impl RemoteFile {
    /// Where `folder` has this file: packed as published, or unpacked under its name without `.gz`.
    pub fn locate(&self, folder: &Path) -> Option<PathBuf> {
        let plain = self.name.strip_suffix(".gz").unwrap_or(self.name);
        [plain, self.name].into_iter().map(|name| folder.join(name)).find(|path| path.is_file())
    }
}

impl DataSet {
    /// The names of the files that `folder` lacks.
    pub fn missing(&self, folder: &Path) -> Vec<&'static str> {
        self.files.iter().filter(|file| file.locate(folder).is_none()).map(|file| file.name).collect()
    }
}

/// The four files of MNIST and its drop-in replacements: `{train,t10k}-{images-idx3,labels-idx1}-ubyte`, each plain or `.gz`.
///
/// A twelfth of the training images is held out for validation, by class, with seed 0: 5,000 of 60,000.
fn read_four_files(name: &str, classes: &[&str], folder: &Path, split: Split) -> Result<ImageSet, DataError> {
    let part = if split == Split::Test { "t10k" } else { "train" };
    let locate = |kind: &str| {
        let plain = format!("{part}-{kind}-ubyte");
        [plain.clone(), format!("{plain}.gz")].iter().map(|file| folder.join(file)).find(|path| path.is_file()).ok_or_else(|| {
            let fix = format!("`fornax data fetch {name}` downloads the data set, or give the folder that has it with --data DIR");
            DataError::Missing { what: format!("{plain}.gz"), fix, folder: folder.into() }
        })
    };
    // Both are looked for before either is read.
    let (images, labels) = (locate("images-idx3")?, locate("labels-idx1")?);
    let all = pair(idx::read_images(&images)?, idx::read_labels(&labels)?, classes, &labels)?;
    Ok(match split {
        Split::Test => all,
        Split::Train => all.hold_out(all.len() / 12, 0).0,
        Split::Valid => all.hold_out(all.len() / 12, 0).1,
    })
}

/// Grey images with their labels.
fn pair(images: idx::IdxArray, labels: Vec<u8>, classes: &[&str], path: &Path) -> Result<ImageSet, DataError> {
    let shape = [1, images.dims[1], images.dims[2]];
    if images.dims[0] != labels.len() {
        let why = format!("it has {} labels for {} images", labels.len(), images.dims[0]);
        return Err(DataError::damaged("IDX", path, why));
    }
    let labels = labels.into_iter().map(u32::from).collect();
    ImageSet::new(shape, images.data, labels, classes.iter().map(|&class| class.into()).collect())
        .map_err(|error| DataError::damaged("IDX", path, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four tiny files: 24 training and 2 test images of 2×2.
    fn four_files(folder: &Path) {
        for (part, count) in [("train", 24u8), ("t10k", 2)] {
            let mut images = vec![0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 2];
            images.extend((0..count).flat_map(|i| [i; 4]));
            let mut labels = vec![0, 0, 8, 1, 0, 0, 0, count];
            labels.extend((0..count).map(|i| i % 2));
            std::fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
            std::fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
        }
    }

    fn read(folder: &Path, split: Split) -> Result<ImageSet, String> {
        read_four_files("mnist", &["a", "b"], folder, split).map_err(|error| error.to_string())
    }

    #[test]
    fn training_images_are_held_out_and_test_images_are_not_mixed_in() {
        let folder = tempfile::tempdir().unwrap();
        four_files(folder.path());
        let [train, valid, test] = [Split::Train, Split::Valid, Split::Test].map(|split| read(folder.path(), split).unwrap());
        assert_eq!((train.count_by_class(), valid.count_by_class()), (vec![11, 11], vec![1, 1]));
        assert_eq!((test.len(), test.shape), (2, [1, 2, 2]));
        assert_eq!(test.image(1), [1; 4]);
        let mut seen: Vec<u8> = train.pixels.iter().chain(&valid.pixels).step_by(4).copied().collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..24).collect::<Vec<u8>>());
    }

    #[test]
    fn training_needs_no_test_files() {
        let folder = tempfile::tempdir().unwrap();
        four_files(folder.path());
        std::fs::write(folder.path().join("t10k-images-idx3-ubyte"), "rubbish").unwrap();
        std::fs::remove_file(folder.path().join("t10k-labels-idx1-ubyte")).unwrap();
        assert!(read(folder.path(), Split::Train).is_ok() && read(folder.path(), Split::Valid).is_ok());
        let error = read(folder.path(), Split::Test).unwrap_err();
        assert!(error.starts_with("t10k-labels-idx1-ubyte.gz is missing; `fornax data fetch mnist`"), "{error}");
    }

    #[test]
    fn an_empty_folder_names_file_fix_and_folder() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(folder.path(), Split::Train).unwrap_err();
        let says = ["train-images-idx3-ubyte.gz is missing", "`fornax data fetch mnist`", "--data", &folder.path().display().to_string()];
        assert!(says.iter().all(|part| error.contains(part)) && error.lines().count() == 1, "{error}");
    }

    #[test]
    fn labels_that_do_not_fit_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        four_files(folder.path());
        let path = folder.path().join("train-labels-idx1-ubyte");
        std::fs::write(&path, [0, 0, 8, 1, 0, 0, 0, 1, 0]).unwrap();
        assert!(read(folder.path(), Split::Train).unwrap_err().contains("1 labels for 24 images"));
        let labels: Vec<u8> = [0, 0, 8, 1, 0, 0, 0, 24].into_iter().chain([2; 24]).collect();
        std::fs::write(&path, labels).unwrap();
        assert!(read(folder.path(), Split::Train).unwrap_err().contains("label 2, but there are 2 classes"));
    }

    #[test]
    fn the_list_is_in_order() {
        for set in DATA_SETS {
            assert_eq!(find(set.name).unwrap().title, set.title);
            assert!(!set.about.is_empty() && !set.licence.is_empty() && set.home.starts_with("http"));
            for file in set.files {
                assert!(file.url.ends_with(file.name) && file.bytes <= file.content_bytes);
                for hash in [file.sha256, file.content_sha256] {
                    assert!(hash.len() == 64 && hash.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c)));
                }
            }
            assert_eq!(set.missing("/nowhere".as_ref()).len(), set.files.len());
        }
        assert!(find("nope").is_none());
    }

    #[test]
    fn the_embedded_digits_are_all_there() {
        let Content::Images(Readers { embedded: Some(embedded), .. }) = MNIST.content else { panic!("images, embedded") };
        let train = embedded(Split::Train).unwrap();
        let valid = embedded(Split::Valid).unwrap();
        assert_eq!((train.len(), valid.len(), train.shape), (9000, 1000, [1, 28, 28]));
        assert_eq!(train.count_by_class(), [901, 1014, 892, 929, 882, 777, 912, 963, 850, 880]);
        assert_eq!(valid.count_by_class(), [100, 113, 99, 103, 98, 86, 102, 107, 94, 98]);
        let distinct: std::collections::HashSet<&[u8]> = [&train, &valid].into_iter().flat_map(|set| set.pixels.chunks_exact(784)).collect();
        assert_eq!(distinct.len(), 10_000, "no digit is in both");
        // Classes are mixed: the first hundred hold them all.
        assert!((0..10).all(|class| train.labels[..100].contains(&class)));
        let error = embedded(Split::Test).unwrap_err().to_string();
        assert!(error.contains("no test split") && error.contains("fornax data fetch mnist"), "{error}");
    }

    /// Needs the published files: FORNAX_DATA names the folder that holds `mnist`.
    #[test]
    fn full_mnist_has_55_000_5_000_and_10_000() {
        let Some(folder) = std::env::var_os("FORNAX_DATA").map(|root| PathBuf::from(root).join("mnist")).filter(|f| f.is_dir()) else {
            eprintln!("skipped: FORNAX_DATA names no folder with `mnist` in it");
            return;
        };
        let Content::Images(readers) = MNIST.content else { panic!("images") };
        let [train, valid, test] = [Split::Train, Split::Valid, Split::Test].map(|split| (readers.folder)(&folder, split).unwrap());
        assert_eq!((train.len(), valid.len(), test.len()), (55_000, 5_000, 10_000));
        // 60,000 by class, as published: 5923 6742 5958 6131 5842 5421 5918 6265 5851 5949; a twelfth of each.
        assert_eq!(valid.count_by_class(), [494, 562, 496, 511, 487, 452, 493, 522, 487, 496]);
        assert_eq!(test.count_by_class(), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    }
}
