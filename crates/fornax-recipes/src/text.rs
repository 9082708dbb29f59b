//! Language models over the characters of a text.

use crate::{
    bench,
    cli::GenerateArgs,
    config::Config,
    eval::Trained,
    found::FILE,
    generate,
    task::{Opened, Shown, Task},
    train::RunConfig,
};
use anyhow::{Context, Result};
use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_architectures::{LanguageModel, Sampling, generate};
use fornax_data::Split;
use fornax_kernels::random::Key;
use fornax_layers::loss::cross_entropy;
use fornax_trainer::{Batches, Evaluation, SourceError};
use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

/// Tokens that an evaluation takes at once.
const EVAL_TOKENS: usize = 1 << 13;
/// Characters of a sample.
const SAMPLE: usize = 200;

/// A language model that the function makes for a vocabulary, and its context.
pub(crate) struct Text<F>(pub(crate) F, pub(crate) usize);

impl<M: LanguageModel, F: Fn(usize, &Device) -> M> Task for Text<F> {
    type Model = M;
    type Data = String;
    type Source = Source;

    const EXAMPLES: &'static str = "characters";

    fn open<'a>(&self, config: &'a Config, given: Option<&Path>) -> Result<Opened<'a, String>> {
        open(config, given)
    }
    fn classes(&self, train: &String, valid: &String) -> Vec<String> {
        let all: BTreeSet<char> = train.chars().chain(valid.chars()).collect();
        all.into_iter().map(String::from).collect()
    }
    fn examples(&self, data: &String) -> usize {
        data.chars().count()
    }
    fn examples_of(&self, batch_size: usize) -> usize {
        batch_size * self.1
    }
    fn model(&self, classes: &[String], device: &Device) -> M {
        (self.0)(classes.len(), device)
    }
    fn source(&self, run: &RunConfig, data: String, device: &Device, overfit: Option<usize>) -> Result<Source> {
        let tokens = encode(&data, &run.classes)?;
        anyhow::ensure!(tokens.len() > self.1, "the training text has {} characters, but the model's context is {}", tokens.len(), self.1);
        let batch = run.config.trainer.batch_size;
        let per_epoch = overfit.unwrap_or_else(|| (tokens.len() / (batch * self.1)).max(1));
        Ok(Source {
            tokens: tokens.into(),
            batch,
            time: self.1,
            per_epoch,
            overfit: overfit.is_some(),
            seed: run.config.seed,
            device: device.clone(),
        })
    }
    fn loss(&self, model: &M, batch: Batch) -> Tensor<1> {
        cross_entropy(model.forward(batch.tokens).flatten(0, 1), batch.targets, 0.0)
    }
    fn measure(&self, run: &RunConfig, data: &String, model: &M, device: &Device) -> Result<Evaluation> {
        let tokens = encode(data, &run.classes)?;
        let scores = scores(model, &tokens, self.1, device)?;
        let count = scores.len() as f64;
        let loss = scores.iter().map(|score| score.loss).sum::<f64>() / count;
        let right = scores.iter().filter(|score| score.right).count() as f64;
        let metrics = [("loss", loss), ("perplexity", loss.exp()), ("accuracy", right / count)];
        let sample = sample(model, &tokens[..1], &run.classes, run.config.seed, device);
        let metrics = metrics.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        Ok(Evaluation { examples: scores.len(), metrics, samples: vec![sample], ..Evaluation::default() })
    }
    fn show(&self, run: &RunConfig, data: &String, model: &M, device: &Device) -> Result<Shown> {
        let tokens = encode(data, &run.classes)?;
        let texts =
            (0..3).map(|i| (format!("Sample {}, temperature {}", i + 1, LIVELY.temperature), sample(model, &tokens[..1], &run.classes, i, device)));
        Ok(Shown { texts: texts.collect(), ..Shown::default() })
    }
    fn token_losses(&self, run: &RunConfig, data: &String, model: &M, device: &Device) -> Result<Vec<f64>> {
        let scores = scores(model, &encode(data, &run.classes)?, self.1, device)?;
        Ok(scores.into_iter().map(|score| score.loss).collect())
    }
    fn generate(&self, args: &GenerateArgs, trained: &Trained) -> Result<u8> {
        let model = trained.load(self.model(&trained.run.classes, &trained.device))?;
        generate::text(args, trained, &model)
    }
    fn bench(&self, settings: &bench::Settings, config: &Config) -> Result<bench::Report> {
        // As many characters as in tiny Shakespeare.
        let model = (self.0)(65, &settings.device.clone().autodiff());
        bench::language_model(settings, model, 65, [config.trainer.batch_size, self.1])
    }
}

/// A published text by its name, or a file.
fn open<'a>(config: &'a Config, given: Option<&Path>) -> Result<Opened<'a, String>> {
    let data = config.data.text();
    let cut = |text: String, split: Split| {
        let limit = if split == Split::Train { data.limit } else { data.valid_limit };
        if limit > 0 { text.chars().take(limit).collect() } else { text }
    };
    if data.name == FILE {
        let path = given.context("data.name=file needs --data FILE, a text in UTF-8")?;
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {} as a text in UTF-8", path.display()))?;
        let nine_tenths = text.chars().count() * 9 / 10;
        let load = move |split: Split| match split {
            Split::Train => Ok(cut(text.chars().take(nine_tenths).collect(), split)),
            Split::Valid => Ok(cut(text.chars().skip(nine_tenths).collect(), split)),
            Split::Test => anyhow::bail!("a text file has no test split: its last tenth validates, --split valid"),
        };
        return Ok(Opened { about: format!("{}: the last tenth validates", path.display()), load: Box::new(load) });
    }
    let set = fornax_data::find(&data.name).context("the name was checked before")?;
    let found = fornax_data::resolve(set, given)?;
    Ok(Opened { about: found.describe(), load: Box::new(move |split| Ok(cut(found.load_text(split)?, split))) })
}

/// The numbers of a text's characters.
pub(crate) fn encode(text: &str, classes: &[String]) -> Result<Vec<u32>> {
    let number = |(at, c): (usize, char)| {
        let mut buffer = [0; 4];
        let found = classes.binary_search_by(|class| class.as_str().cmp(c.encode_utf8(&mut buffer)));
        found
            .map(|i| i as u32)
            .map_err(|_| anyhow::anyhow!("character {} of the text, {c:?}, is none of the {} that the model knows", at + 1, classes.len()))
    };
    text.chars().enumerate().map(number).collect()
}

const LIVELY: Sampling = Sampling { temperature: 0.8, top_k: 0, top_p: 1.0 };

fn sample<M: LanguageModel>(model: &M, prompt: &[u32], classes: &[String], seed: u64, device: &Device) -> String {
    let (key, mut drawn) = (Key::new(seed), 0);
    let draw = || {
        drawn += 1;
        key.uniform(drawn)
    };
    generate(model, prompt, SAMPLE, LIVELY, device, draw, |_| ()).into_iter().map(|token| classes[token as usize].as_str()).collect()
}

/// `[B, T]`, and the token after each, `[B · T]`.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    tokens: Tensor<2, Int>,
    targets: Tensor<1, Int>,
}

impl Batch {
    /// Of stretches of `time + 1` tokens.
    fn new<'a>(stretches: impl Iterator<Item = &'a [u32]>, time: usize, device: &Device) -> Self {
        let (mut tokens, mut targets) = (vec![], vec![]);
        for stretch in stretches {
            tokens.extend(stretch[..time].iter().map(|&token| i64::from(token)));
            targets.extend(stretch[1..=time].iter().map(|&token| i64::from(token)));
        }
        let count = targets.len();
        Self {
            tokens: Tensor::from_data(TensorData::new(tokens, [count / time, time]), device),
            targets: Tensor::from_data(TensorData::new(targets, [count]), device),
        }
    }
}

/// Stretches that begin anywhere: which ones follows from (seed, epoch, number).
pub(crate) struct Source {
    tokens: Arc<[u32]>,
    batch: usize,
    time: usize,
    per_epoch: usize,
    /// The first epoch, again and again.
    overfit: bool,
    seed: u64,
    device: Device,
}

impl Batches for Source {
    type Batch = Batch;

    fn per_epoch(&self) -> usize {
        self.per_epoch
    }

    fn epoch(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Result<Batch, SourceError>> + '_> {
        let key = Key::new(self.seed).fold(if self.overfit { 0 } else { epoch });
        let starts = (self.tokens.len() - self.time) as f64;
        Box::new((first..self.per_epoch).map(move |index| {
            let start = |row: usize| (key.uniform((index * self.batch + row) as u64) * starts) as usize;
            Ok(Batch::new((0..self.batch).map(|row| &self.tokens[start(row)..][..=self.time]), self.time, &self.device))
        }))
    }
}

/// What a model thinks of a token.
struct Score {
    loss: f64,
    right: bool,
}

/// Of every token but the first, seen after those before it in blocks of `time` that do not overlap.
fn scores<M: LanguageModel>(model: &M, tokens: &[u32], time: usize, device: &Device) -> Result<Vec<Score>> {
    anyhow::ensure!(tokens.len() > 1, "a text of {} characters has nothing to predict", tokens.len());
    let whole = (tokens.len() - 1) / time;
    let blocks: Vec<&[u32]> = (0..whole).map(|i| &tokens[i * time..][..=time]).collect();
    let rest = &tokens[whole * time..];
    let mut all = Vec::with_capacity(tokens.len() - 1);
    for part in blocks.chunks((EVAL_TOKENS / time).max(1)) {
        score(model, part, time, device, &mut all);
    }
    if rest.len() > 1 {
        score(model, &[rest], rest.len() - 1, device, &mut all);
    }
    Ok(all)
}

fn score<M: LanguageModel>(model: &M, blocks: &[&[u32]], time: usize, device: &Device, all: &mut Vec<Score>) {
    let logits = model.forward(Batch::new(blocks.iter().copied(), time, device).tokens);
    let [_, _, vocabulary] = logits.dims();
    let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
    let targets = blocks.iter().flat_map(|block| &block[1..]);
    all.extend(logits.chunks(vocabulary).zip(targets).map(|(row, &target)| {
        let verdict = crate::images::verdict(row, target as usize);
        Score { loss: verdict.loss, right: verdict.predicted == target as usize }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_character_is_named() {
        let classes: Vec<String> = ["\n", "a", "ü"].map(String::from).to_vec();
        assert_eq!(encode("aü\n", &classes).unwrap(), [1, 2, 0]);
        let error = encode("ab", &classes).unwrap_err().to_string();
        assert_eq!(error, "character 2 of the text, 'b', is none of the 3 that the model knows");
    }
}
