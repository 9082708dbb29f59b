//! Making tokenizers of texts.

use super::{Tokenizer, TokenizerKind, whole, words};
use crate::DataError;
use rayon::ThreadPoolBuilder;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use tokenizers::{
    AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, PreTokenizerWrapper, Trainer,
    models::{
        bpe::{BPE, BpeTrainer},
        unigram::{Unigram, UnigramTrainer},
    },
    pre_tokenizers::byte_level::ByteLevel,
};

/// No more pieces than this.
const MOST_PIECES: usize = 1_000_000;
/// Characters of the longest word that unigram learns from: longer ones can have no finite likelihood.
const LONGEST: usize = 256;
/// What is not known.
const UNKNOWN: &str = "<unk>";

impl Tokenizer {
    /// Learns so many pieces of a text's lines, fewer where it has no more; of characters as many as there are. Which, follows from the lines alone.
    ///
    /// # Errors
    /// [`DataError::Invalid`] for a text without a character, and for fewer pieces than it has characters (WordPiece: twice as many; byte-level BPE: 256), or
    /// more than a million.
    pub fn train<S: AsRef<str>>(kind: TokenizerKind, pieces: usize, lines: impl IntoIterator<Item = S>) -> Result<Self, DataError> {
        let lines: Vec<String> = lines.into_iter().map(|line| line.as_ref().to_string()).collect();
        // One thread: with more, sums are taken in any order.
        let pool =
            ThreadPoolBuilder::new().num_threads(1).build().map_err(|why| DataError::Invalid(format!("no thread to learn pieces in: {why}")))?;
        let model = pool.install(|| model(kind, pieces, &lines))?;
        Self::parse(Path::new("(learned)"), whole(kind, model).to_string().as_bytes())
    }
}

fn failed(why: impl std::fmt::Display) -> DataError {
    DataError::Invalid(format!("cannot learn pieces of this text: {why}"))
}

fn model(kind: TokenizerKind, pieces: usize, lines: &[String]) -> Result<Value, DataError> {
    let characters: BTreeSet<char> = lines.iter().flat_map(|line| line.chars()).collect();
    if characters.is_empty() {
        return Err(failed("it has no character"));
    }
    if kind == TokenizerKind::Characters {
        let all: BTreeMap<String, usize> =
            std::iter::once(UNKNOWN.to_string()).chain(characters.iter().map(char::to_string)).enumerate().map(|(i, c)| (c, i)).collect();
        return Ok(json!({"type": "BPE", "unk_token": UNKNOWN, "vocab": all, "merges": []}));
    }
    let splitter: PreTokenizerWrapper = serde_json::from_value(words(kind)).map_err(failed)?;
    let split = |line: &str| -> tokenizers::Result<Vec<String>> {
        let mut text = PreTokenizedString::from(line);
        splitter.pre_tokenize(&mut text)?;
        Ok(text.get_splits(OffsetReferential::Original, OffsetType::Byte).into_iter().map(|(word, _, _)| word.to_string()).collect())
    };
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for line in lines {
        split(line).map_err(failed)?.into_iter().for_each(|word| *counts.entry(word).or_default() += 1);
    }
    // What stands for a word's beginning, and what is unknown, come on top.
    let least = match kind {
        TokenizerKind::ByteBpe => 256,
        TokenizerKind::WordPiece => 2 * characters.len() + 1,
        _ => characters.len() + 2,
    };
    if !(least..=MOST_PIECES).contains(&pieces) {
        return Err(failed(format!("a number of pieces from {least} to {MOST_PIECES} is possible, not {pieces}")));
    }
    let special = |piece: &str| AddedToken::from(piece, true);
    let joined = |first: Vec<AddedToken>, prefix: Option<&str>, alphabet: bool, mut model: BPE| -> Result<BPE, DataError> {
        let mut trainer = BpeTrainer::builder().vocab_size(pieces).min_frequency(2).show_progress(false).special_tokens(first);
        if alphabet {
            trainer = trainer.initial_alphabet(ByteLevel::alphabet().into_iter().collect());
        }
        if let Some(prefix) = prefix {
            trainer = trainer.continuing_subword_prefix(prefix.into());
        }
        let mut trainer = trainer.build();
        trainer.feed(lines.iter(), split).map_err(failed)?;
        trainer.train(&mut model).map_err(failed)?;
        Ok(model)
    };
    let value = |model: &BPE| serde_json::to_value(model).map_err(failed);
    match kind {
        TokenizerKind::ByteBpe => value(&joined(vec![], None, true, BPE::default())?),
        TokenizerKind::Bpe => {
            let empty = BPE::builder().unk_token(UNKNOWN.into()).fuse_unk(true).build().map_err(failed)?;
            value(&joined(vec![special(UNKNOWN)], None, false, empty)?)
        }
        TokenizerKind::WordPiece => {
            // In order, where the crate would number them as a hash map has them.
            let inner: BTreeSet<char> = counts.keys().flat_map(|word| word.chars().skip(1)).collect();
            let first = std::iter::once("[UNK]".to_string()).chain(inner.into_iter().map(|c| format!("##{c}")));
            let model = joined(first.map(|piece| special(&piece)).collect(), Some("##"), false, BPE::default())?;
            let vocabulary = value(&model)?["vocab"].take();
            Ok(
                json!({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary}),
            )
        }
        TokenizerKind::Unigram => {
            let trainer = UnigramTrainer::builder()
                .show_progress(false)
                .vocab_size(pieces as u32)
                .unk_token(Some(UNKNOWN.into()))
                .special_tokens(vec![special(UNKNOWN)])
                .build()
                .map_err(failed)?;
            let words = counts.into_iter().filter(|(word, _)| word.chars().count() <= LONGEST).collect();
            let mut model = Unigram::default();
            trainer.do_train(words, &mut model).map_err(failed)?;
            Ok(json!({"type": "Unigram", "unk_id": 0, "vocab": in_order(model.iter().cloned().collect()), "byte_fallback": false}))
        }
        TokenizerKind::Characters => unreachable!("they were counted above"),
    }
}

/// Unigram's pieces behind the first, best first and equals by name. The crate gives characters that it did not learn the lowest scores, a little apart, in the
/// order of a hash set: here the first by name has the highest.
fn in_order(mut pieces: Vec<(String, f64)>) -> Vec<(String, f64)> {
    let single = |piece: &str| piece.chars().nth(1).is_none();
    let singles = pieces[1..].iter().filter(|(piece, _)| single(piece)).count();
    let lowest = pieces[1..].iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
    let among = |(piece, score): &(String, f64)| single(piece) && *score <= lowest + 1e-4 * (singles + 1) as f64;
    let places: Vec<usize> = (1..pieces.len()).filter(|&at| among(&pieces[at])).collect();
    let mut scores: Vec<f64> = places.iter().map(|&at| pieces[at].1).collect();
    let mut names: Vec<String> = places.iter().map(|&at| pieces[at].0.clone()).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    names.sort();
    for ((at, name), score) in places.into_iter().zip(names).zip(scores) {
        pieces[at] = (name, score);
    }
    pieces[1..].sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    pieces
}
