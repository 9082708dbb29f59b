//! How texts become symbols, and symbols texts: letters of words, or the pieces of a tokenizer.

use crate::{error::usage, train::RunConfig};
use anyhow::Result;
use fornax_data::Tokenizer;

/// The tokenizer in a run's folder.
pub(crate) const TOKENIZER: &str = "tokenizer.json";
/// Letters of the longest word that is taken, and pieces of the longest sentence.
const LONGEST: usize = 256;
/// Between two alphabets in a run's list of classes, and before one that both sides have.
const BECOMES: &str = "→";

/// The symbols of sources and of targets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alphabets<'a> {
    pub(crate) sources: &'a [String],
    pub(crate) targets: &'a [String],
}

impl<'a> Alphabets<'a> {
    pub(crate) fn of(classes: &'a [String]) -> Self {
        match classes.split_first() {
            Some((first, both)) if first == BECOMES => Self { sources: both, targets: both },
            _ => {
                let mut parts = classes.splitn(2, |class| class == BECOMES);
                Self { sources: parts.next().unwrap_or_default(), targets: parts.next().unwrap_or_default() }
            }
        }
    }

    /// As a run's list of classes.
    pub(crate) fn classes(&self) -> Vec<String> {
        let becomes = [BECOMES.to_string()];
        if self.sources == self.targets { [&becomes[..], self.targets].concat() } else { [self.sources, &becomes[..], self.targets].concat() }
    }

    pub(crate) fn sizes(&self) -> [usize; 2] {
        [self.sources.len(), self.targets.len()]
    }
}

/// What takes people's texts apart, and puts texts for people together.
pub(crate) enum Spelling<'a> {
    /// Words are of letters; what they become is written with spaces.
    Letters(Alphabets<'a>),
    /// Both sides are sentences.
    Pieces(&'a Tokenizer),
}

impl Spelling<'_> {
    /// The symbols of what a user gives; of an empty sentence none.
    pub(crate) fn read(&self, text: &str) -> Result<Vec<u32>> {
        match self {
            Self::Letters(alphabets) => letters(text, alphabets.sources),
            Self::Pieces(tokenizer) => {
                let pieces = tokenizer.encode(text.trim())?;
                if pieces.len() > LONGEST {
                    let start: String = text.chars().take(40).collect();
                    return Err(usage(format!("`{start} …` has {} pieces; give sentences of {LONGEST} at most", pieces.len())));
                }
                Ok(pieces)
            }
        }
    }

    /// As people read a source.
    pub(crate) fn source(&self, symbols: &[u32]) -> Result<String> {
        match self {
            Self::Letters(alphabets) => Ok(symbols.iter().map(|&symbol| alphabets.sources[symbol as usize].as_str()).collect()),
            Self::Pieces(tokenizer) => Ok(tokenizer.decode(symbols)?.trim().to_string()),
        }
    }

    /// Each symbol of a source, or of a target, by itself.
    pub(crate) fn labels(&self, symbols: &[u32], sources: bool) -> Result<Vec<String>> {
        let one = |symbol: &u32| match self {
            Self::Letters(alphabets) => Ok(if sources { alphabets.sources } else { alphabets.targets }[*symbol as usize].clone()),
            Self::Pieces(tokenizer) => Ok(tokenizer.decode(&[*symbol])?),
        };
        symbols.iter().map(one).collect()
    }

    /// As people read a target.
    pub(crate) fn target(&self, symbols: &[u32]) -> Result<String> {
        match self {
            Self::Letters(alphabets) => Ok(symbols.iter().map(|&symbol| alphabets.targets[symbol as usize].as_str()).collect::<Vec<_>>().join(" ")),
            Self::Pieces(_) => self.source(symbols),
        }
    }
}

/// The tokenizer that a begun run learned; nothing of a run without a folder, or whose data have symbols of their own.
pub(crate) fn learned(run: &RunConfig) -> Result<Option<Tokenizer>> {
    let (Some(_), Some(folder)) = (run.config.data.pairs().tokenizer, &run.folder) else { return Ok(None) };
    let path = folder.join(TOKENIZER);
    let tokenizer = Tokenizer::read(&path)?;
    anyhow::ensure!(
        Alphabets::of(&run.classes).targets == tokenizer.pieces(),
        "not the tokenizer of this run: its pieces are not those of config.json; put the run's own back: {}",
        path.display()
    );
    Ok(Some(tokenizer))
}

/// The numbers of a word's letters; capital ones are as small ones, and a typographic apostrophe is as a plain one.
fn letters(word: &str, alphabet: &[String]) -> Result<Vec<u32>> {
    let letters: Vec<char> = word.to_lowercase().replace('’', "'").chars().collect();
    if letters.is_empty() {
        return Err(usage("a word is empty: give at least one letter"));
    }
    if letters.len() > LONGEST {
        return Err(usage(format!("a word of {} letters is too long: give one of {LONGEST} at most", letters.len())));
    }
    let number = |(at, letter): (usize, &char)| {
        let found = alphabet.iter().position(|known| known.chars().eq([*letter]));
        found.map(|number| number as u32).ok_or_else(|| {
            let known = alphabet.concat();
            usage(format!("`{word}`: letter {}, {letter:?}, is none of the {} that the model knows: {known}", at + 1, alphabet.len()))
        })
    };
    letters.iter().enumerate().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fornax_data::TokenizerKind;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn words_are_told_by_their_letters() {
        let alphabet = strings(&["'", "a", "b"]);
        assert_eq!(letters("Ab’A", &alphabet).unwrap(), [1, 2, 0, 1]);
        let error = |word: &str| letters(word, &alphabet).unwrap_err().to_string();
        assert_eq!(error("abc"), "`abc`: letter 3, 'c', is none of the 3 that the model knows: 'ab");
        assert!(error("").starts_with("a word is empty"));
        assert!(error(&"a".repeat(257)).contains("257 letters"));
    }

    #[test]
    fn alphabets_survive_a_list_of_classes() {
        let (a, b) = (strings(&["x", "y"]), strings(&["X", "→"]));
        for alphabets in [Alphabets { sources: &a, targets: &b }, Alphabets { sources: &b, targets: &b }] {
            assert_eq!(Alphabets::of(&alphabets.classes()), alphabets);
        }
        assert_eq!(Alphabets { sources: &a, targets: &b }.classes(), ["x", "y", "→", "X", "→"]);
    }

    #[test]
    fn sentences_are_of_pieces() {
        let tokenizer = Tokenizer::train(TokenizerKind::Characters, 0, ["ab c"]).unwrap();
        let spelling = Spelling::Pieces(&tokenizer);
        let symbols = spelling.read("  a cab ").unwrap();
        assert_eq!((spelling.source(&symbols).unwrap(), spelling.target(&symbols).unwrap()), ("a cab".into(), "a cab".into()));
        assert!(spelling.read(" ").unwrap().is_empty());
        assert!(spelling.read(&"a".repeat(257)).unwrap_err().to_string().contains("has 257 pieces; give sentences of 256 at most"));
    }
}
