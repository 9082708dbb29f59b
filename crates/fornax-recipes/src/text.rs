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
use fornax_weights::Tensors;
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// Tokens that an evaluation takes at once.
const EVAL_TOKENS: usize = 1 << 13;
/// Tokens that a model with a memory takes at once in an evaluation.
const CARRIED_AT_ONCE: usize = 1 << 10;
/// Characters of a sample.
const SAMPLE: usize = 200;

/// A language model that the function makes for a vocabulary.
pub(crate) struct Text<F> {
    model: F,
    /// Of a training sequence.
    time: usize,
    carried: Mutex<Carried>,
}

impl<F> Text<F> {
    pub(crate) fn new(model: F, time: usize) -> Self {
        Self { model, time, carried: Mutex::default() }
    }
}

/// The memory of a model that carries one, in training.
#[derive(Default)]
struct Carried {
    /// The batch that was seen last; nothing after a resume.
    at: Option<(u64, usize)>,
    before: Vec<Tensor<3>>,
    after: Vec<Tensor<3>>,
}

impl Carried {
    /// What a batch starts from, also when it is seen again.
    fn start(&mut self, at: (u64, usize)) -> Vec<Tensor<3>> {
        if self.at != Some(at) {
            self.before = if at.1 == 0 { vec![] } else { std::mem::take(&mut self.after) };
            self.at = Some(at);
        }
        self.before.clone()
    }
}

impl<M: LanguageModel, F: Fn(usize, &Device) -> M> Task for Text<F> {
    type Model = M;
    type Data = String;
    type Source = Source;

    const EXAMPLES: &'static str = "characters";

    fn open<'a>(&self, run: &'a RunConfig, given: Option<&Path>) -> Result<Opened<'a, String>> {
        open(&run.config, given)
    }
    fn classes(&self, train: &String, valid: &String) -> Vec<String> {
        let all: BTreeSet<char> = train.chars().chain(valid.chars()).collect();
        all.into_iter().map(String::from).collect()
    }
    fn examples(&self, data: &String) -> usize {
        data.chars().count()
    }
    fn examples_of(&self, batch_size: usize) -> usize {
        batch_size * self.time
    }
    fn model(&self, classes: &[String], device: &Device) -> M {
        (self.model)(classes.len(), device)
    }
    fn source(&self, run: &RunConfig, data: String, device: &Device, overfit: Option<usize>) -> Result<Source> {
        let tokens = encode(&data, &run.classes)?;
        let (count, time, batch) = (tokens.len(), self.time, run.config.trainer.batch_size);
        anyhow::ensure!(count > time, "the training text has {count} characters, but the model's context is {time}");
        let (per_epoch, streams) = if M::CARRIES {
            let length = count.saturating_sub(time + 1) / batch;
            anyhow::ensure!(length >= time, "the training text has {count} characters, too few for {batch} streams of {time} at a time");
            (length / time, Some(length))
        } else {
            ((count / (batch * time)).max(1), None)
        };
        Ok(Source {
            tokens: tokens.into(),
            batch,
            time,
            per_epoch: overfit.map_or(per_epoch, |n| if M::CARRIES { n.min(per_epoch) } else { n }),
            streams,
            overfit: overfit.is_some(),
            seed: run.config.seed,
            device: device.clone(),
        })
    }
    fn loss(&self, model: &M, batch: Batch) -> Tensor<1> {
        let mut carried = self.carried.lock().unwrap_or_else(PoisonError::into_inner);
        let start = if M::CARRIES { carried.start(batch.at) } else { vec![] };
        let (logits, after) = model.forward_from(batch.tokens, &start);
        // Here back-propagation through time is cut.
        carried.after = after.into_iter().map(Tensor::detach).collect();
        cross_entropy(logits.flatten(0, 1), batch.targets, 0.0)
    }
    fn carried(&self) -> Tensors {
        let carried = self.carried.lock().unwrap_or_else(PoisonError::into_inner);
        carried.after.iter().enumerate().map(|(i, tensor)| (format!("{i:03}"), tensor.to_data())).collect()
    }
    fn carry(&self, carried: Tensors, device: &Device) {
        let after = carried.into_values().map(|data| Tensor::from_data(data, device)).collect();
        *self.carried.lock().unwrap_or_else(PoisonError::into_inner) = Carried { after, ..Carried::default() };
    }
    fn measure(&self, run: &RunConfig, data: &String, model: &M, device: &Device) -> Result<Evaluation> {
        let tokens = encode(data, &run.classes)?;
        let scores = scores(model, &tokens, self.time, device)?;
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
        let scores = scores(model, &encode(data, &run.classes)?, self.time, device)?;
        Ok(scores.into_iter().map(|score| score.loss).collect())
    }
    fn generate(&self, args: &GenerateArgs, trained: &Trained) -> Result<u8> {
        let model = trained.load(self.model(&trained.run.classes, &trained.device))?;
        generate::text(args, trained, &model)
    }
    fn bench(&self, settings: &bench::Settings, config: &Config) -> Result<bench::Report> {
        // As many characters as in tiny Shakespeare.
        let model = (self.model)(65, &settings.device.clone().autodiff());
        bench::language_model(settings, model, 65, [config.trainer.batch_size, self.time])
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

const LIVELY: Sampling = Sampling { temperature: 0.8, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0 };

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
    /// Epoch and number.
    at: (u64, usize),
}

impl Batch {
    /// Of stretches of `time + 1` tokens.
    fn new<'a>(stretches: impl Iterator<Item = &'a [u32]>, time: usize, at: (u64, usize), device: &Device) -> Self {
        let (mut tokens, mut targets) = (vec![], vec![]);
        for stretch in stretches {
            tokens.extend(stretch[..time].iter().map(|&token| i64::from(token)));
            targets.extend(stretch[1..=time].iter().map(|&token| i64::from(token)));
        }
        let count = targets.len();
        Self {
            tokens: Tensor::from_data(TensorData::new(tokens, [count / time, time]), device),
            targets: Tensor::from_data(TensorData::new(targets, [count]), device),
            at,
        }
    }
}

/// Stretches of the text: which ones follows from (seed, epoch, number).
pub(crate) struct Source {
    tokens: Arc<[u32]>,
    batch: usize,
    time: usize,
    per_epoch: usize,
    /// The length of the parts that the rows of batches go through, each where the one before ended; otherwise stretches begin anywhere.
    streams: Option<usize>,
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
        // Streams are cut elsewhere in every epoch.
        let offset = (key.uniform(0) * self.time as f64) as usize;
        Box::new((first..self.per_epoch).map(move |index| {
            let start = |row: usize| match self.streams {
                Some(length) => offset + row * length + index * self.time,
                None => (key.uniform((index * self.batch + row) as u64) * starts) as usize,
            };
            let stretches = (0..self.batch).map(|row| &self.tokens[start(row)..][..=self.time]);
            Ok(Batch::new(stretches, self.time, (epoch, index), &self.device))
        }))
    }
}

/// What a model thinks of a token.
struct Score {
    loss: f64,
    right: bool,
}

/// Of every token but the first: seen after those before it in blocks of `time` that do not overlap, or after all before it if the model carries a memory.
fn scores<M: LanguageModel>(model: &M, tokens: &[u32], time: usize, device: &Device) -> Result<Vec<Score>> {
    anyhow::ensure!(tokens.len() > 1, "a text of {} characters has nothing to predict", tokens.len());
    let (time, rows) = if M::CARRIES { (CARRIED_AT_ONCE, 1) } else { (time, (EVAL_TOKENS / time).max(1)) };
    let whole = (tokens.len() - 1) / time;
    let blocks: Vec<&[u32]> = (0..whole).map(|i| &tokens[i * time..][..=time]).collect();
    let rest = &tokens[whole * time..];
    let (mut all, mut memory) = (Vec::with_capacity(tokens.len() - 1), vec![]);
    for part in blocks.chunks(rows) {
        memory = score(model, part, &memory, device, &mut all);
    }
    if rest.len() > 1 {
        score(model, &[rest], &memory, device, &mut all);
    }
    Ok(all)
}

/// Adds the scores of blocks of one length, and returns the memory after them.
fn score<M: LanguageModel>(model: &M, blocks: &[&[u32]], memory: &[Tensor<3>], device: &Device, all: &mut Vec<Score>) -> Vec<Tensor<3>> {
    let tokens = Batch::new(blocks.iter().copied(), blocks[0].len() - 1, (0, 0), device).tokens;
    let (logits, after) = model.forward_from(tokens, memory);
    let [_, _, vocabulary] = logits.dims();
    let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
    let targets = blocks.iter().flat_map(|block| &block[1..]);
    all.extend(logits.chunks(vocabulary).zip(targets).map(|(row, &target)| {
        let verdict = crate::images::verdict(row, target as usize);
        Score { loss: verdict.loss, right: verdict.predicted == target as usize }
    }));
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_is_seen_again_starts_from_the_same_state() {
        let device = Device::default();
        let state = |value: f32| vec![Tensor::<3>::from_floats([[[value]]], &device)];
        let values = |state: Vec<Tensor<3>>| state.into_iter().map(Tensor::into_scalar::<f32>).collect::<Vec<_>>();
        let mut carried = Carried::default();
        let mut see = |at, after| {
            let before = values(carried.start(at));
            carried.after = state(after);
            before
        };
        assert!(see((0, 0), 1.0).is_empty());
        assert_eq!(see((0, 1), 2.0), [1.0]);
        assert_eq!(see((0, 1), 3.0), [1.0], "a second pass over a batch, as by SAM");
        assert_eq!(see((0, 2), 4.0), [3.0]);
        assert!(see((1, 0), 5.0).is_empty(), "an epoch starts from nothing");
    }

    #[test]
    fn an_unknown_character_is_named() {
        let classes: Vec<String> = ["\n", "a", "ü"].map(String::from).to_vec();
        assert_eq!(encode("aü\n", &classes).unwrap(), [1, 2, 0]);
        let error = encode("ab", &classes).unwrap_err().to_string();
        assert_eq!(error, "character 2 of the text, 'b', is none of the 3 that the model knows");
    }
}
