//! Texts as sequences of numbered pieces.

mod train;

use crate::{DataError, read::Source};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::HashMap, path::Path, sync::Arc};

/// What a tokenizer's pieces are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenizerKind {
    /// The pairs of neighbours that are joined, the most frequent first, within words: Sennrich, Haddow and Birch, "Neural machine translation of rare
    /// words with subword units", 2016. A character that the training text lacks is `<unk>`; a space at a text's beginning is forgotten.
    Bpe,
    /// The same over the bytes of UTF-8, words split as in GPT-2: Radford et al., "Language models are unsupervised multitask learners", 2019. Nothing is
    /// unknown, and decoding gives back every text.
    ByteBpe,
    /// Pairs joined as in BPE, read longest first, pieces within words marked `##`, cased: Schuster and Nakajima, "Japanese and Korean voice search", 2012. A
    /// word with a character that the training text lacks is `[UNK]`; decoding puts a space between words and around punctuation.
    WordPiece,
    /// The pieces, and the ways to split words, that are most probable together: Kudo, "Subword regularization", 2018. Spaces and unknown characters as in BPE;
    /// words of more than 256 characters are not learned from.
    Unigram,
    /// Characters; one that the training text lacks is `<unk>`.
    Characters,
}

/// A text's pieces and their numbers, from 0, by a model of the crate `tokenizers`; made in training, or read from Hugging Face's `tokenizer.json`.
///
/// ```
/// use fornax_data::{Tokenizer, TokenizerKind};
/// let text = ["the cat sat on the mat", "the dog sat on the cat"];
/// let tokenizer = Tokenizer::train(TokenizerKind::ByteBpe, 300, text)?;
/// let numbers = tokenizer.encode("the bird sat")?;
/// assert_eq!(tokenizer.decode(&numbers)?, "the bird sat");
/// # Ok::<(), fornax_data::DataError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    pieces: Arc<[String]>,
}

/// In messages.
const KIND: &str = "tokenizer";

impl Tokenizer {
    /// Reads a `tokenizer.json`, which need not be one of ours. Texts are neither cut to a length nor padded, whatever it says.
    ///
    /// # Errors
    /// [`DataError`] for a file that cannot be read, is damaged or of another kind, or whose pieces are not numbered from 0 without a gap.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        Self::parse(path, &Source::open(KIND, path, false)?.rest()?)
    }

    /// Reads GPT-2's two files: a JSON object of pieces and their numbers, and the pairs that are joined, one a line, the first first.
    ///
    /// # Errors
    /// As [`Tokenizer::read`].
    pub fn read_gpt2(vocabulary: &Path, merges: &Path) -> Result<Self, DataError> {
        let bytes = Source::open(KIND, vocabulary, false)?.rest()?;
        let pieces: HashMap<String, u32> = serde_json::from_slice(&bytes)
            .map_err(|why| DataError::damaged(KIND, vocabulary, format!("no JSON object of pieces and their numbers: {why}")))?;
        let bytes = Source::open(KIND, merges, false)?.rest()?;
        let text = String::from_utf8(bytes).map_err(|_| DataError::damaged(KIND, merges, "it is not UTF-8"))?;
        let skipped = |number: usize, line: &str| line.is_empty() || number == 0 && line.starts_with("#version");
        let lines = text.lines().enumerate().filter(|(number, line)| !skipped(*number, line));
        let pairs = lines.map(|(number, line)| match line.split_once(' ') {
            Some((first, second)) => Ok([first, second]),
            None => Err(DataError::damaged(KIND, merges, format!("line {} is no pair of pieces", number + 1))),
        });
        let model = json!({"type": "BPE", "vocab": pieces, "merges": pairs.collect::<Result<Vec<_>, _>>()?});
        Self::parse(merges, whole(TokenizerKind::ByteBpe, model).to_string().as_bytes())
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, DataError> {
        let bad = |why: String| DataError::damaged(KIND, path, why);
        let value: Value = serde_json::from_slice(bytes).map_err(|why| bad(format!("it is no JSON: {why}")))?;
        let model = value.get("model").filter(|model| model.is_object());
        check_merges(model.ok_or_else(|| bad("it has no `model`: is it a tokenizer.json?".into()))?).map_err(bad)?;
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|why| bad(why.to_string()))?;
        inner.with_truncation(None).map_err(|why| bad(why.to_string()))?.with_padding(None);
        let mut numbered: Vec<(u32, String)> = inner.get_vocab(true).into_iter().map(|(piece, number)| (number, piece)).collect();
        numbered.sort_unstable();
        if numbered.is_empty() || numbered.iter().any(|(_, piece)| piece.is_empty()) {
            return Err(bad("it has no piece, or an empty one".into()));
        }
        if let Some(at) = (0..numbered.len()).find(|&at| numbered[at].0 as usize != at) {
            return Err(bad(format!("its {} pieces are not numbered from 0 without a gap: {at} is missing, or twice there", numbered.len())));
        }
        Ok(Self { inner: Arc::new(inner), pieces: numbered.into_iter().map(|(_, piece)| piece).collect() })
    }

    /// As `tokenizer.json`, the same bytes for the same tokenizer.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if the crate cannot write it.
    pub fn to_json(&self) -> Result<String, DataError> {
        self.inner.to_string(true).map_err(|why| DataError::Invalid(format!("cannot write the tokenizer: {why}")))
    }

    /// The pieces, by their numbers, as the model writes them.
    pub fn pieces(&self) -> &[String] {
        &self.pieces
    }

    /// The numbers of a text's pieces; no piece is added at its ends.
    ///
    /// # Errors
    /// [`DataError::Invalid`] for a text with what the tokenizer neither knows nor has a piece for.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let encoded = self.inner.encode_fast(text, false).map_err(|why| DataError::Invalid(format!("cannot take a text apart: {why}")))?;
        Ok(encoded.get_ids().to_vec())
    }

    /// The text that pieces are.
    ///
    /// # Errors
    /// [`DataError::Invalid`] for a number that no piece has.
    pub fn decode(&self, numbers: &[u32]) -> Result<String, DataError> {
        if let Some(number) = numbers.iter().find(|number| **number as usize >= self.pieces.len()) {
            return Err(DataError::Invalid(format!("piece {number} is none of the tokenizer's {}", self.pieces.len())));
        }
        self.inner.decode(numbers, false).map_err(|why| DataError::Invalid(format!("cannot put a text together: {why}")))
    }
}

/// Of a model, the content of a tokenizer.json.
fn whole(kind: TokenizerKind, model: Value) -> Value {
    let decoder = match kind {
        TokenizerKind::Bpe | TokenizerKind::Unigram => json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}),
        TokenizerKind::ByteBpe => byte_level(),
        TokenizerKind::WordPiece => json!({"type": "WordPiece", "prefix": "##", "cleanup": false}),
        TokenizerKind::Characters => json!({"type": "Fuse"}),
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "pre_tokenizer": words(kind), "post_processor": null,
        "decoder": decoder, "model": model,
    })
}

/// How a text becomes words; null if it is one.
fn words(kind: TokenizerKind) -> Value {
    match kind {
        TokenizerKind::Bpe | TokenizerKind::Unigram => json!({"type": "Sequence", "pretokenizers": [
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}, {"type": "Punctuation", "behavior": "Isolated"},
        ]}),
        TokenizerKind::ByteBpe => byte_level(),
        TokenizerKind::WordPiece => json!({"type": "BertPreTokenizer"}),
        TokenizerKind::Characters => Value::Null,
    }
}

fn byte_level() -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true})
}

/// The crate joins pairs in a buffer as long as the longest piece, and panics where that is too short.
fn check_merges(model: &Value) -> Result<(), String> {
    let vocabulary = model.get("vocab").and_then(Value::as_object);
    let (Some(vocabulary), Some(merges)) = (vocabulary, model.get("merges").and_then(Value::as_array)) else { return Ok(()) };
    let prefix = model.get("continuing_subword_prefix").and_then(Value::as_str).unwrap_or_default();
    let joined = |merge: &Value| {
        let (first, second) = match merge {
            Value::String(pair) => pair.split_once(' ')?,
            _ => (merge.get(0)?.as_str()?, merge.get(1)?.as_str()?),
        };
        Some(format!("{first}{}", second.strip_prefix(prefix)?))
    };
    match merges.iter().position(|merge| joined(merge).is_none_or(|joined| !vocabulary.contains_key(&joined))) {
        Some(at) => Err(format!("pair {} of those that are joined is none, or gives no piece", at + 1)),
        None => Ok(()),
    }
}
