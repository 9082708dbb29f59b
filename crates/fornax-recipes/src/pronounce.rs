//! `fornax predict` on words.

use crate::{
    cli::PredictArgs,
    error::usage,
    eval::Trained,
    pairs::{Alphabets, written},
    ui,
};
use anyhow::{Context, Result};
use fornax_architectures::{Beam, EncoderDecoder};
use serde_json::json;
use std::{fs, path::PathBuf};

/// Letters of the longest word that is taken.
const LONGEST: usize = 256;

/// Prints what the words become.
pub(crate) fn words<M: EncoderDecoder>(args: &PredictArgs, trained: &Trained, load: impl Fn() -> Result<M>) -> Result<u8> {
    let alphabets = Alphabets::of(&trained.run.classes);
    let words = lines(&args.inputs, "word")?;
    // All are looked at before the first is said.
    let sources = words.iter().map(|word| encode(word, alphabets.sources)).collect::<Result<Vec<_>>>()?;
    let width = trained.run.config.data.pairs().beam.max(args.top_k);
    let found = written(&load()?, &sources, Beam { keep: args.top_k, ..Beam::new(width) }, &trained.device);
    let mut answers = vec![];
    for (word, found) in words.iter().zip(found) {
        let list: Vec<_> = found.into_iter().map(|one| (alphabets.target(one.labels), one.log_probability.exp())).collect();
        if !args.json {
            let said: Vec<_> = list.iter().map(|(symbols, p)| format!("{symbols} ({:.1} %)", 100.0 * p)).collect();
            ui::out(format!("{word}: {}", said.join("; ")));
        }
        let all: Vec<_> = list.iter().map(|(symbols, p)| json!({"target": symbols, "probability": p})).collect();
        answers.push(json!({"input": word, "target": list[0].0, "targets": all}));
    }
    if args.json {
        ui::out(json!({"predictions": answers}).to_string());
    }
    Ok(0)
}

/// What stands among the arguments, and in files that are among them, one a line.
pub(crate) fn lines(inputs: &[PathBuf], what: &str) -> Result<Vec<String>> {
    let mut all = vec![];
    for input in inputs {
        if !input.is_file() {
            all.push(input.to_str().with_context(|| format!("not a {what} in UTF-8: {}", input.display()))?.trim().to_string());
            continue;
        }
        let text = fs::read_to_string(input).with_context(|| format!("cannot read {what}s in UTF-8 from {}", input.display()))?;
        let before = all.len();
        all.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from));
        anyhow::ensure!(all.len() > before, "there is no {what}, one a line, in {}", input.display());
    }
    Ok(all)
}

/// The numbers of a word's letters; capital ones are as small ones, and a typographic apostrophe is as a plain one.
fn encode(word: &str, alphabet: &[String]) -> Result<Vec<u32>> {
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

    #[test]
    fn words_are_told_by_their_letters() {
        let alphabet: Vec<String> = ["'", "a", "b"].map(String::from).to_vec();
        assert_eq!(encode("Ab’A", &alphabet).unwrap(), [1, 2, 0, 1]);
        let error = |word: &str| encode(word, &alphabet).unwrap_err().to_string();
        assert_eq!(error("abc"), "`abc`: letter 3, 'c', is none of the 3 that the model knows: 'ab");
        assert!(error("").starts_with("a word is empty"));
        assert!(error(&"a".repeat(257)).contains("257 letters"));
    }
}
