use super::{Content, DataSet, Readers};
use crate::{DataError, PairSet, Split, read::Source};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

/// The CMU Pronouncing Dictionary: 124,926 English words of letters and apostrophe, each with its listed pronunciations in ARPAbet, stress with the vowels.
///
/// It is split by word: with `d` the SHA-256 of the word's bytes, in small letters as in the file and without the `(2)` of a further pronunciation, read as a
/// big-endian integer, a word tests if `d mod 10 = 0` and validates if `d mod 50 = 1`. All pronunciations of a word are in its split.
///
/// Source: Carnegie Mellon University, "The CMU Pronouncing Dictionary", 1993 to 2015.
pub const CMUDICT: DataSet = DataSet {
    name: "cmudict",
    title: "CMUdict",
    about: "how 124,926 English words are said, in phonemes: 109,814 train, 2,494 valid, 12,618 test",
    licence: "CMU's own, like BSD-2-Clause",
    size: 124_926,
    home: "https://github.com/cmusphinx/cmudict",
    files: &[],
    embedded: Some("CMUdict, which comes with Fornax as a whole (109,814 words train, 2,494 valid, 12,618 test)"),
    content: Content::Pairs(Readers { folder, embedded: Some(embedded) }),
};

const DICTIONARY: &[u8] = include_bytes!("../../data/cmudict/cmudict.dict.gz");
/// What words are made of; those with other characters are left out.
const LETTERS: &str = "'abcdefghijklmnopqrstuvwxyz";
const NAME: &str = "cmudict.dict";
const KIND: &str = "CMUdict";

/// `cmudict.dict`, plain or `.gz`.
fn folder(folder: &Path, split: Split) -> Result<PairSet, DataError> {
    let path = [NAME.to_string(), format!("{NAME}.gz")].iter().map(|file| folder.join(file)).find(|path| path.is_file());
    let fix = || "without --data DIR the dictionary that comes with Fornax is used".into();
    let path = path.ok_or_else(|| DataError::Missing { what: NAME.into(), fix: fix(), folder: folder.into() })?;
    read(Source::open(KIND, &path, true)?, split)
}

/// See `data/README.md`.
fn embedded(split: Split) -> Result<PairSet, DataError> {
    read(Source::bytes(KIND, NAME.as_ref(), DICTIONARY, true)?, split)
}

/// Lines `word PHONEME PHONEME …`, `word(2) …` for a second pronunciation, and comments after `#`.
fn read(mut source: Source, split: Split) -> Result<PairSet, DataError> {
    let text = String::from_utf8(source.rest()?).map_err(|_| source.damaged("it is not UTF-8"))?;
    let (mut words, mut found): (Vec<&str>, HashMap<&str, Vec<Vec<&str>>>) = (vec![], HashMap::new());
    let mut phonemes = BTreeSet::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mut parts = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(head) = parts.next() else { continue };
        let pronunciation: Vec<&str> = parts.collect();
        let known = |phoneme: &&str| phoneme.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        if pronunciation.is_empty() || !pronunciation.iter().all(known) {
            return Err(source.damaged(format!("line {number} is no word with its phonemes")));
        }
        let word = word_of(head);
        if word.is_empty() || !word.chars().all(|c| LETTERS.contains(c)) {
            continue;
        }
        // Of all splits, so that each has the same symbols.
        phonemes.extend(pronunciation.iter().copied());
        if split_of(word) == split {
            let listed = found.entry(word).or_insert_with(|| {
                words.push(word);
                vec![]
            });
            if !listed.contains(&pronunciation) {
                listed.push(pronunciation);
            }
        }
    }
    if words.is_empty() {
        return Err(source.damaged(format!("it has no word of the {split} split")));
    }
    let phonemes: Vec<&str> = phonemes.into_iter().collect();
    let number = |symbol: &&str| phonemes.binary_search(symbol).expect("a phoneme that was collected") as u32;
    let targets = words.iter().map(|word| found[word].iter().map(|listed| listed.iter().map(number).collect()).collect()).collect();
    let letter = |c: char| LETTERS.find(c).expect("a letter that was checked") as u32;
    let sources = words.iter().map(|word| word.chars().map(letter).collect()).collect();
    PairSet::new(LETTERS.chars().map(String::from).collect(), phonemes.into_iter().map(String::from).collect(), sources, targets)
}

/// `tomato(2)` is `tomato`.
fn word_of(head: &str) -> &str {
    let variant = head.strip_suffix(')').and_then(|rest| rest.rsplit_once('('));
    match variant {
        Some((word, number)) if !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit()) => word,
        _ => head,
    }
}

fn split_of(word: &str) -> Split {
    let modulo = |divisor: u32| Sha256::digest(word).iter().fold(0, |rest, &byte| (rest * 256 + u32::from(byte)) % divisor);
    match modulo(50) {
        rest if rest % 10 == 0 => Split::Test,
        1 => Split::Valid,
        _ => Split::Train,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(set: &PairSet) -> Vec<String> {
        set.sources.iter().map(|word| word.iter().map(|&c| set.source_symbols[c as usize].as_str()).collect()).collect()
    }

    /// Counted by a program in Python.
    #[test]
    fn the_splits_are_those_of_the_hash() {
        let sets = [Split::Train, Split::Valid, Split::Test].map(|split| embedded(split).unwrap());
        assert_eq!(sets.each_ref().map(PairSet::len), [109_814, 2_494, 12_618]);
        let pronunciations = |set: &PairSet| set.targets.iter().map(Vec::len).sum::<usize>();
        assert_eq!(sets.each_ref().map(pronunciations), [117_755, 2_668, 13_548]);
        let plain = sets.clone().map(|set| set.map_targets(|phoneme| phoneme.trim_end_matches(char::is_numeric).into()));
        assert_eq!(plain.each_ref().map(pronunciations), [117_480, 2_663, 13_524]);
        assert!(sets.iter().all(|set| set.source_symbols.len() == 27 && set.target_symbols.len() == 69));
        assert!(plain.iter().all(|set| set.target_symbols.len() == 39));
        let all: Vec<Vec<String>> = sets.iter().map(words).collect();
        assert_eq!(all[0][..4], ["'bout", "'cause", "'course", "'cuse"]);
        assert_eq!(all[1][..4], ["abare", "abbett", "abc's", "abramczyk"]);
        assert_eq!(all[2][..4], ["'kay", "aaa", "aardvarks", "aaron"]);
        let distinct: BTreeSet<&String> = all.iter().flatten().collect();
        assert_eq!(distinct.len(), 124_926, "no word is in two splits");
    }

    #[test]
    fn files_are_read_and_bad_ones_told() {
        let place = tempfile::tempdir().unwrap();
        let read = |split| folder(place.path(), split).map_err(|error| error.to_string());
        assert!(read(Split::Test).unwrap_err().starts_with("cmudict.dict is missing; without --data DIR"));
        let write = |text: &[u8]| std::fs::write(place.path().join(NAME), text).unwrap();
        write(b"aaron EH1 R AH0 N # name\naaron(2) AE1 R AH0 N\naaron(3) EH1 R AH0 N\na.b EY1\n\nx-ray EH1 K S\n(2 T UW1\n");
        let set = read(Split::Test).unwrap();
        assert_eq!(
            (words(&set), set.target_symbols.clone()),
            (vec!["aaron".to_string()], ["AE1", "AH0", "EH1", "N", "R"].map(String::from).to_vec())
        );
        assert_eq!(set.targets, [vec![vec![2, 4, 1, 3], vec![0, 4, 1, 3]]]);
        assert!(read(Split::Train).unwrap_err().contains("no word of the train split"));
        for (text, part) in
            [(&b"aaron\n"[..], "line 1 is no word"), (b"x T\naaron eh1\n", "line 2 is no word"), (&[b'a', 0xFF], "not UTF-8"), (b"", "no word")]
        {
            write(text);
            assert!(read(Split::Test).unwrap_err().contains(part), "{part}");
        }
    }
}
