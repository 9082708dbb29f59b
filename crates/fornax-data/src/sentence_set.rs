//! Sentences with one class each.

use crate::{DataError, Split};
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// Sentences with one class each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentenceSet {
    /// `N` sentences, as they were written.
    pub sentences: Vec<String>,
    /// The class of each.
    pub labels: Vec<u32>,
    /// The names of the classes.
    pub classes: Vec<String>,
}

impl SentenceSet {
    /// A set whose parts fit together.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if there is not one label a sentence, a label has no class, or a sentence holds nothing but spaces.
    pub fn new(sentences: Vec<String>, labels: Vec<u32>, classes: Vec<String>) -> Result<Self, DataError> {
        if sentences.len() != labels.len() {
            return Err(DataError::Invalid(format!("{} labels for {} sentences", labels.len(), sentences.len())));
        }
        if let Some(label) = labels.iter().find(|label| **label as usize >= classes.len()) {
            return Err(DataError::Invalid(format!("label {label}, but there are {} classes", classes.len())));
        }
        if let Some(at) = sentences.iter().position(|sentence| sentence.trim().is_empty()) {
            return Err(DataError::Invalid(format!("sentence {at} is empty")));
        }
        Ok(Self { sentences, labels, classes })
    }

    /// The number of sentences.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sentence.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// How many sentences each class has.
    pub fn count_by_class(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        self.labels.iter().for_each(|&label| counts[label as usize] += 1);
        counts
    }

    /// The sentences at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    pub fn subset(&self, indices: &[usize]) -> Self {
        let sentences = indices.iter().map(|&i| self.sentences[i].clone()).collect();
        Self { sentences, labels: indices.iter().map(|&i| self.labels[i]).collect(), classes: self.classes.clone() }
    }

    /// The same sentences with their classes in another list's order.
    ///
    /// # Errors
    /// [`DataError::Invalid`] with the first class that is not in the list.
    pub fn with_classes(self, classes: &[String]) -> Result<Self, DataError> {
        let number = |class: &String| {
            let found = classes.iter().position(|other| other == class);
            found
                .map(|number| number as u32)
                .ok_or_else(|| DataError::Invalid(format!("the class `{class}` is none of those that were learned from: {}", classes.join(", "))))
        };
        let numbers = self.classes.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        let labels = self.labels.iter().map(|&label| numbers[label as usize]).collect();
        Ok(Self { labels, classes: classes.to_vec(), ..self })
    }

    /// A part of a set that nobody has split: fold `fold` of `folds` tests, a tenth of the others validates, and the rest is learned from.
    ///
    /// A sentence is in fold `d mod folds`, and validates if `⌊d / folds⌋ mod 10 = 0`, where `d` is its [`digest`]: what is in a fold depends on nothing but the
    /// sentence, so that one that stands twice, or in another collection too, is always in the same.
    ///
    /// # Panics
    /// If `fold` is not below `folds`.
    pub fn part(&self, fold: usize, folds: usize, split: Split) -> Self {
        assert!(fold < folds, "fold {fold} of {folds}");
        let split_of = |sentence: &String| {
            let (rest, digest) = (digest(sentence) % folds as u64, digest(sentence) / folds as u64);
            match rest == fold as u64 {
                true => Split::Test,
                false if digest.is_multiple_of(10) => Split::Valid,
                false => Split::Train,
            }
        };
        let kept: Vec<usize> = (0..self.len()).filter(|&i| split_of(&self.sentences[i]) == split).collect();
        self.subset(&kept)
    }

    /// A tenth that validates, or the nine others: as in [`SentenceSet::part`], without a fold that tests.
    pub fn tenth(&self, split: Split) -> Self {
        let kept: Vec<usize> = (0..self.len()).filter(|&i| digest(&self.sentences[i]).is_multiple_of(10) == (split == Split::Valid)).collect();
        self.subset(&kept)
    }

    /// Without the sentences that are, but for case and punctuation, among others.
    pub fn without(&self, others: &Self) -> Self {
        let others: HashSet<u64> = others.sentences.iter().map(|sentence| digest(sentence)).collect();
        let kept: Vec<usize> = (0..self.len()).filter(|&i| !others.contains(&digest(&self.sentences[i]))).collect();
        self.subset(&kept)
    }
}

/// The first eight bytes of the SHA-256 of a sentence's letters and digits, in small letters, as a big-endian number.
///
/// Sentences that differ only in case, spaces and punctuation, as copies of the same review do from one collection to another, have the same.
pub fn digest(sentence: &str) -> u64 {
    let plain: String = sentence.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    Sha256::digest(plain).iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// A sentence's words as Kim (2014) takes them: small letters; `n't`, `'s`, `'re`, `'ve`, `'d`, `'ll` and the signs `, ! ? ( )` stand alone; other signs are spaces.
///
/// Unlike there, letters need not be English ones.
pub fn words(sentence: &str) -> Vec<String> {
    let mut text = String::new();
    for c in sentence.replace('’', "'").to_lowercase().chars() {
        match c {
            ',' | '!' | '?' | '(' | ')' => text.extend([' ', c, ' ']),
            '\'' | '`' => text.push(c),
            c if c.is_alphanumeric() => text.push(c),
            _ => text.push(' '),
        }
    }
    text.split_whitespace().flat_map(parts).collect()
}

/// `don't` is `do n't`, `it's` is `it 's`.
fn parts(word: &str) -> Vec<String> {
    const ENDINGS: [&str; 6] = ["n't", "'s", "'ve", "'re", "'d", "'ll"];
    match ENDINGS.iter().find_map(|ending| word.strip_suffix(ending).filter(|stem| !stem.is_empty()).map(|stem| (stem, ending))) {
        Some((stem, ending)) => parts(stem).into_iter().chain([ending.to_string()]).collect(),
        None => vec![word.to_string()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(sentences: &[&str]) -> SentenceSet {
        let labels = (0..sentences.len()).map(|i| (i % 2) as u32).collect();
        SentenceSet::new(sentences.iter().map(ToString::to_string).collect(), labels, vec!["a".into(), "b".into()]).unwrap()
    }

    #[test]
    fn words_are_those_of_kim() {
        assert_eq!(
            words("It's so laddish, and I don't (really) care!"),
            "it 's so laddish , and i do n't ( really ) care !".split(' ').collect::<Vec<_>>()
        );
        assert_eq!(words("co-writer/director \"Peter\" crème brûlée"), ["co", "writer", "director", "peter", "crème", "brûlée"]);
        assert_eq!(words("we'd've 've ''"), ["we", "'d", "'ve", "'ve", "''"]);
        assert!(words(" -- ").is_empty());
    }

    #[test]
    fn a_copy_of_a_sentence_is_in_the_same_fold() {
        let copies = set(&["One, two: THREE four.", "one two three -- four", "something else"]);
        assert_eq!(digest(&copies.sentences[0]), digest(&copies.sentences[1]));
        for fold in 0..10 {
            for split in [Split::Train, Split::Valid, Split::Test] {
                let part = copies.part(fold, 10, split);
                assert_ne!(part.sentences.iter().filter(|sentence| sentence.to_lowercase().starts_with("one")).count(), 1);
            }
        }
    }

    #[test]
    fn every_sentence_tests_once() {
        let sentences: Vec<String> = (0..2_000).map(|i| format!("sentence number {i}")).collect();
        let all = set(&sentences.iter().map(String::as_str).collect::<Vec<_>>());
        let mut tested = vec![];
        for fold in 0..10 {
            let [train, valid, test] = [Split::Train, Split::Valid, Split::Test].map(|split| all.part(fold, 10, split));
            assert_eq!(train.len() + valid.len() + test.len(), all.len());
            assert!((150..250).contains(&test.len()) && (140..220).contains(&valid.len()), "{} {}", test.len(), valid.len());
            assert_eq!(train.without(&test).without(&valid), train);
            tested.extend(test.sentences);
        }
        tested.sort();
        let mut wanted = all.sentences.clone();
        wanted.sort();
        assert_eq!(tested, wanted);
        let (train, valid) = (all.tenth(Split::Train), all.tenth(Split::Valid));
        assert_eq!((train.len() + valid.len(), train.without(&valid) == train), (all.len(), true));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let with = |labels: Vec<u32>, sentence: &str| {
            SentenceSet::new(vec![sentence.into()], labels, vec!["a".into()]).map(|_| ()).map_err(|error| error.to_string())
        };
        assert!(with(vec![], "x").unwrap_err().contains("0 labels for 1 sentences"));
        assert!(with(vec![1], "x").unwrap_err().contains("label 1, but there are 1 classes"));
        assert!(with(vec![0], " \t").unwrap_err().contains("sentence 0 is empty"));
        let error = set(&["x", "y"]).with_classes(&["a".into(), "c".into()]).unwrap_err().to_string();
        assert_eq!(error, "the class `b` is none of those that were learned from: a, c");
        assert_eq!(set(&["x", "y"]).with_classes(&["b".into(), "a".into()]).unwrap().labels, [1, 0]);
    }
}
