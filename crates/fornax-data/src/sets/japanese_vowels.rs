use super::{Content, DataSet, Readers};
use crate::{DataError, SeriesSet, Split, ts};
use std::path::Path;

/// Nine men say /ae/: 12 LPC cepstrum coefficients a step, 7 to 29 steps, and who it was. 270 to learn from, 370 to test.
///
/// Source: Kudo, Toyama, Shimbo, "Multidimensional curve classification using passing-through regions", 1999.
pub const JAPANESE_VOWELS: DataSet = DataSet {
    name: "japanese-vowels",
    title: "JapaneseVowels",
    about: "which of nine speakers said a vowel, series of 12 coefficients over 7 to 29 steps: 270 train, 370 test",
    licence: "BSD-3-Clause (sktime)",
    size: 640,
    home: "https://archive.ics.uci.edu/ml/datasets/Japanese+Vowels",
    files: &[],
    embedded: Some("JapaneseVowels, which comes with Fornax as a whole (270 train, 370 test)"),
    content: Content::Series(Readers { folder, embedded: Some(embedded) }),
};

const TRAIN: &[u8] = include_bytes!("../../data/japanese-vowels/JapaneseVowels_TRAIN.ts.gz");
const TEST: &[u8] = include_bytes!("../../data/japanese-vowels/JapaneseVowels_TEST.ts.gz");

/// `JapaneseVowels_{TRAIN,TEST}.ts`, plain or `.gz`.
fn folder(folder: &Path, split: Split) -> Result<SeriesSet, DataError> {
    let name = format!("JapaneseVowels_{}.ts", part(split)?);
    let path = [name.clone(), format!("{name}.gz")].iter().map(|file| folder.join(file)).find(|path| path.is_file());
    let fix = || "without --data DIR the series that come with Fornax are used".into();
    ts::read(&path.ok_or_else(|| DataError::Missing { what: name, fix: fix(), folder: folder.into() })?)
}

/// See `data/README.md`.
fn embedded(split: Split) -> Result<SeriesSet, DataError> {
    ts::from_bytes(format!("JapaneseVowels_{}.ts", part(split)?).as_ref(), if split == Split::Test { TEST } else { TRAIN })
}

fn part(split: Split) -> Result<&'static str, DataError> {
    match split {
        Split::Train => Ok("TRAIN"),
        Split::Test => Ok("TEST"),
        Split::Valid => Err(DataError::NoSplit {
            source_name: "JapaneseVowels".into(),
            split,
            fix: "hold folds of its training series out instead: 270 are too few for a part of their own".into(),
        }),
    }
}
