use crate::{DataError, PairSet, Tokenizer};

/// Sentences, each with one or more translations that are right, as people write them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPairs {
    /// `N` sentences.
    pub sources: Vec<String>,
    /// Of each sentence every translation that is right, the usual one first.
    pub targets: Vec<Vec<String>>,
}

impl TextPairs {
    /// Sentences whose translations are beside them.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if the lists differ in length, or a sentence has no translation.
    pub fn new(sources: Vec<String>, targets: Vec<Vec<String>>) -> Result<Self, DataError> {
        if sources.len() != targets.len() {
            return Err(DataError::Invalid(format!("{} sentences with translations for {}: one list each", sources.len(), targets.len())));
        }
        match targets.iter().position(Vec::is_empty) {
            Some(at) => Err(DataError::Invalid(format!("sentence {at} has no translation"))),
            None => Ok(Self { sources, targets }),
        }
    }

    /// The number of sentences.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether there is no sentence.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// No more than the first so many.
    pub fn first(mut self, count: usize) -> Self {
        self.sources.truncate(count);
        self.targets.truncate(count);
        self
    }

    /// All sentences and all translations: what both sides' pieces are learned from.
    pub fn lines(&self) -> impl Iterator<Item = &String> {
        self.sources.iter().chain(self.targets.iter().flatten())
    }

    /// Both sides as a tokenizer's pieces.
    ///
    /// # Errors
    /// [`DataError::Invalid`] for a text that the tokenizer cannot take apart, and for a sentence without a piece.
    pub fn encode(&self, tokenizer: &Tokenizer) -> Result<PairSet, DataError> {
        let all = |texts: &[String]| texts.iter().map(|text| tokenizer.encode(text)).collect::<Result<Vec<_>, _>>();
        let targets = self.targets.iter().map(|texts| all(texts)).collect::<Result<_, _>>()?;
        PairSet::new(tokenizer.pieces().to_vec(), tokenizer.pieces().to_vec(), all(&self.sources)?, targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenizerKind;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn both_sides_have_the_same_pieces() {
        let pairs = TextPairs::new(strings(&["ab", "b"]), vec![strings(&["ba", "bb"]), strings(&["a"])]).unwrap();
        let tokenizer = Tokenizer::train(TokenizerKind::Characters, 0, pairs.lines()).unwrap();
        let set = pairs.encode(&tokenizer).unwrap();
        assert_eq!(set.source_symbols, ["<unk>", "a", "b"]);
        assert_eq!((&set.source_symbols, &set.sources), (&set.target_symbols, &vec![vec![1, 2], vec![2]]));
        assert_eq!(set.targets, [vec![vec![2, 1], vec![2, 2]], vec![vec![1]]]);
        assert_eq!(pairs.clone().first(1).len(), 1);
        assert_eq!(pairs.clone().first(9), pairs);
        assert!(pairs.lines().eq(["ab", "b", "ba", "bb", "a"]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let error = |sources: &[&str], targets: Vec<Vec<String>>| TextPairs::new(strings(sources), targets).unwrap_err().to_string();
        assert!(error(&["a"], vec![]).contains("1 sentences with translations for 0"));
        assert!(error(&["a"], vec![vec![]]).contains("sentence 0 has no translation"));
    }
}
