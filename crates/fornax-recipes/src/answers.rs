//! `fornax predict` on words and on sentences: what they become.

use crate::{
    cli::PredictArgs,
    error::usage,
    eval::Trained,
    pairs::{numbers, search_of, written},
    spelling::{Alphabets, Spelling, learned},
    ui,
};
use anyhow::{Context, Result};
use fornax_architectures::{Beam, EncoderDecoder};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Prints what the words become, or the best translation of each sentence alone, a line each; an empty sentence stays empty.
pub(crate) fn texts<M: EncoderDecoder>(args: &PredictArgs, trained: &Trained, load: impl Fn() -> Result<M>) -> Result<u8> {
    let tokenizer = learned(&trained.run)?;
    let sentences = tokenizer.is_some();
    let spelling = tokenizer.as_ref().map_or_else(|| Spelling::Letters(Alphabets::of(&trained.run.classes)), Spelling::Pieces);
    let texts = read(&args.inputs, sentences)?;
    // All are looked at before the first is said.
    let sources = texts.iter().map(|text| spelling.read(text)).collect::<Result<Vec<_>>>()?;
    let data = trained.run.config.data.pairs();
    let keep = if sentences && !args.json { 1 } else { args.top_k };
    let width = args.beam.unwrap_or(data.beam);
    if !(1..=64).contains(&width) {
        return Err(usage(format!("--beam must be from 1 to 64, not {width}")));
    }
    let full: Vec<_> = sources.iter().filter(|source| !source.is_empty()).cloned().collect();
    let beam = Beam { keep, ..search_of(data, width.max(keep)) };
    let mut found = written(&load()?, &full, beam, &trained.device).into_iter();
    let mut answers = vec![];
    for (text, source) in texts.iter().zip(&sources) {
        let found = if source.is_empty() { vec![] } else { found.next().unwrap_or_default() };
        let mut list = vec![];
        for one in &found {
            list.push((spelling.target(&numbers(one))?, one.log_probability.exp()));
        }
        let best = list.first().map(|(target, _)| target.clone()).unwrap_or_default();
        if !args.json {
            let said: Vec<_> = list.iter().map(|(symbols, p)| format!("{symbols} ({:.1} %)", 100.0 * p)).collect();
            ui::out(if sentences { best.clone() } else { format!("{text}: {}", said.join("; ")) });
        }
        let all: Vec<_> = list.iter().map(|(target, p)| json!({"target": target, "probability": p})).collect();
        answers.push(json!({"input": text, "target": best, "targets": all}));
    }
    if args.json {
        ui::out(json!({"predictions": answers}).to_string());
    }
    Ok(0)
}

/// The texts among the arguments, and those in files that are among them, one a line; `-` is standard input. Empty lines of sentences stay.
pub(crate) fn read(inputs: &[PathBuf], sentences: bool) -> Result<Vec<String>> {
    let (one, many) = if sentences { ("sentence", "sentences") } else { ("word", "words") };
    let mut texts = vec![];
    for input in inputs {
        let text = match input.to_str() {
            Some("-") => std::io::read_to_string(std::io::stdin()).with_context(|| format!("cannot read {many} in UTF-8 from standard input"))?,
            _ if input.is_file() => fs::read_to_string(input).with_context(|| format!("cannot read {many} in UTF-8 from {}", input.display()))?,
            Some(text) => {
                texts.push(text.trim().to_string());
                continue;
            }
            None => anyhow::bail!("not a {one} in UTF-8: {}", input.display()),
        };
        let lines = || text.lines().map(str::trim);
        anyhow::ensure!(lines().any(|line| !line.is_empty()), "there is no {one}, one a line, in {}", place(input));
        texts.extend(lines().filter(|line| sentences || !line.is_empty()).map(String::from));
    }
    Ok(texts)
}

fn place(input: &Path) -> String {
    if input == Path::new("-") { "standard input".into() } else { input.display().to_string() }
}
