use crate::{
    DataError, Dataset, SentenceSet,
    random::{Purpose, Stream},
    sentences::words,
};
use std::collections::HashMap;

/// A sentence as the numbers of its words, with its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentenceExample {
    /// Numbers of words; 0 is any that is not in the vocabulary. Never empty.
    pub words: Vec<u32>,
    /// The class.
    pub label: usize,
    /// Its place in the set.
    pub index: usize,
}

/// Words by number, from 1 on; 0 is any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    numbers: HashMap<String, u32>,
}

impl Vocabulary {
    /// The words of sentences, the most frequent first.
    pub fn of(set: &SentenceSet) -> Vec<String> {
        let mut counts: HashMap<String, usize> = HashMap::new();
        set.sentences.iter().flat_map(|sentence| words(sentence)).for_each(|word| *counts.entry(word).or_default() += 1);
        let mut sorted: Vec<(String, usize)> = counts.into_iter().collect();
        sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        sorted.into_iter().map(|(word, _)| word).collect()
    }

    /// Words that have the numbers from 1 on.
    pub fn new(words: &[String]) -> Self {
        Self { numbers: words.iter().cloned().zip(1..).collect() }
    }

    /// The numbers of a sentence's words; of a sentence of no words that of one unknown word.
    pub fn encode(&self, sentence: &str) -> Vec<u32> {
        let mut numbers: Vec<u32> = words(sentence).iter().map(|word| self.numbers.get(word).copied().unwrap_or(0)).collect();
        if numbers.is_empty() {
            numbers.push(0);
        }
        numbers
    }
}

/// A [`SentenceSet`] as a loader's source, with words that are taken for unknown ones by (seed, epoch, index).
#[derive(Debug, Clone)]
pub struct SentenceDataset {
    sentences: Vec<Vec<u32>>,
    labels: Vec<u32>,
    dropout: f64,
    seed: u64,
}

impl SentenceDataset {
    /// Each word becomes an unknown one with probability `dropout`, so that the model learns what to make of those.
    pub fn new(set: &SentenceSet, vocabulary: &Vocabulary, dropout: f64, seed: u64) -> Self {
        Self { sentences: set.sentences.iter().map(|sentence| vocabulary.encode(sentence)).collect(), labels: set.labels.clone(), dropout, seed }
    }

    /// Words of each sentence.
    pub fn lengths(&self) -> Vec<usize> {
        self.sentences.iter().map(Vec::len).collect()
    }
}

impl Dataset for SentenceDataset {
    type Item = SentenceExample;

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn get(&self, epoch: u64, index: usize) -> Result<SentenceExample, DataError> {
        let mut words = self.sentences[index].clone();
        if self.dropout > 0.0 {
            let mut stream = Stream::new(Purpose::Word, &[self.seed, epoch, index as u64]);
            words.iter_mut().for_each(|word| {
                if stream.uniform() < self.dropout {
                    *word = 0;
                }
            });
        }
        Ok(SentenceExample { words, label: self.labels[index] as usize, index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> SentenceSet {
        SentenceSet::new(vec!["b a b".into(), "c!".into(), "--".into()], vec![0, 1, 0], vec!["x".into(), "y".into()]).unwrap()
    }

    #[test]
    fn words_are_numbered_by_how_frequent_they_are() {
        let words = Vocabulary::of(&set());
        assert_eq!(words, ["b", "!", "a", "c"]);
        let vocabulary = Vocabulary::new(&words);
        assert_eq!(vocabulary.encode("A b? Z"), [3, 1, 0, 0]);
        assert_eq!(vocabulary.encode("..."), [0], "no words are one that is unknown");
    }

    #[test]
    fn words_are_dropped_at_their_rate_and_an_epoch_is_always_the_same() {
        let vocabulary = Vocabulary::new(&Vocabulary::of(&set()));
        let data = SentenceDataset::new(&set(), &vocabulary, 0.25, 3);
        assert_eq!(data.lengths(), [3, 2, 1]);
        let dropped = (0..4_000).map(|epoch| data.get(epoch, 0).unwrap().words.iter().filter(|word| **word == 0).count()).sum::<usize>();
        // A deviation is 47.
        assert!((2_810..3_190).contains(&dropped), "{dropped} of 12,000");
        assert!((0..50).all(|epoch| data.get(epoch, 1).unwrap() == data.get(epoch, 1).unwrap()));
        let whole = SentenceDataset::new(&set(), &vocabulary, 0.0, 3);
        assert_eq!(whole.get(9, 0).unwrap(), SentenceExample { words: vec![1, 3, 1], label: 0, index: 0 });
    }
}
