//! Sequences of symbols that become others: words and their phonemes.

use crate::{
    bench,
    cli::PredictArgs,
    config::Config,
    eval::Trained,
    loaded::Loaded,
    pronounce,
    task::{Opened, Shown, Task},
    train::RunConfig,
};
use anyhow::{Context, Result};
use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_architectures::{Beam, EncoderDecoder, search};
use fornax_data::{Loader, PairDataset, PairExample, PairSet, Split};
use fornax_kernels::cross_entropy::cross_entropy;
use fornax_layers::Hypothesis;
use fornax_trainer::{Evaluation, metrics::SequenceErrors};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Sources that an evaluation takes at once.
const EVAL_BATCH: usize = 256;
/// Mistakes in a report, and samples in an evaluation.
const SHOWN: usize = 40;
const SAMPLES: usize = 5;
/// The target of padding.
const NONE: i64 = -1;

/// Pairs for an encoder and decoder that the function makes, for so many symbols of sources and of targets.
pub(crate) struct Pairs<F>(pub(crate) F);

/// The symbols of sources and of targets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alphabets<'a> {
    pub(crate) sources: &'a [String],
    pub(crate) targets: &'a [String],
}

/// Between the two alphabets in a run's list of classes.
const BECOMES: &str = "→";

impl<'a> Alphabets<'a> {
    pub(crate) fn of(classes: &'a [String]) -> Self {
        let mut parts = classes.splitn(2, |class| class == BECOMES);
        Self { sources: parts.next().unwrap_or_default(), targets: parts.next().unwrap_or_default() }
    }

    fn sizes(&self) -> [usize; 2] {
        [self.sources.len(), self.targets.len()]
    }

    /// As people read a target.
    pub(crate) fn target(&self, symbols: impl IntoIterator<Item = usize>) -> String {
        symbols.into_iter().map(|symbol| self.targets[symbol].as_str()).collect::<Vec<_>>().join(" ")
    }

    fn source(&self, symbols: &[u32]) -> String {
        symbols.iter().map(|&symbol| self.sources[symbol as usize].as_str()).collect()
    }
}

impl<M: EncoderDecoder, F: Fn([usize; 2], &Device) -> M> Task for Pairs<F> {
    type Model = M;
    type Data = PairSet;
    type Source = Loaded<PairDataset, Batch>;

    const EXAMPLES: &'static str = "words";

    fn open<'a>(&self, config: &'a Config, given: Option<&Path>) -> Result<Opened<'a, PairSet>> {
        let data = config.data.pairs();
        let set = fornax_data::find(&data.name).context("the name was checked before")?;
        let found = fornax_data::resolve(set, given)?;
        let about = found.describe();
        let load = move |split: Split| {
            let mut pairs = found.load_pairs(split)?;
            if !data.stress {
                pairs = pairs.map_targets(|symbol| symbol.trim_end_matches(|c: char| c.is_ascii_digit()).into());
            }
            let limit = match split {
                Split::Train => data.limit,
                Split::Valid => data.valid_limit,
                Split::Test => 0,
            };
            Ok(if limit > 0 && limit < pairs.len() { pairs.subset(&(0..limit).collect::<Vec<_>>()) } else { pairs })
        };
        Ok(Opened { about, load: Box::new(load) })
    }
    fn classes(&self, train: &PairSet, _valid: &PairSet) -> Vec<String> {
        [&train.source_symbols[..], &[BECOMES.to_string()], &train.target_symbols].concat()
    }
    fn examples(&self, data: &PairSet) -> usize {
        data.len()
    }
    fn model(&self, classes: &[String], device: &Device) -> M {
        (self.0)(Alphabets::of(classes).sizes(), device)
    }
    fn source(&self, run: &RunConfig, data: PairSet, device: &Device, overfit: Option<usize>) -> Result<Self::Source> {
        let (config, end) = (&run.config, data.target_symbols.len());
        let dataset = PairDataset::new(data, config.seed);
        let lengths = dataset.lengths();
        let loader = Loader::new(Arc::new(dataset), config.trainer.batch_size, config.seed).with_buckets(lengths);
        let (smoothing, device) = (config.data.pairs().smoothing, device.clone());
        Ok(Loaded::new(loader, overfit, move |examples: &[PairExample]| {
            Batch::new(examples.iter().map(|pair| (&pair.source[..], &pair.target[..])), end, smoothing, &device)
        }))
    }
    fn loss(&self, model: &M, batch: Batch) -> Tensor<1> {
        let smoothing = batch.smoothing;
        batch.loss(model, smoothing)
    }
    fn measure(&self, run: &RunConfig, data: &PairSet, model: &M, device: &Device) -> Result<Evaluation> {
        let alphabets = Alphabets::of(&run.classes);
        let width = run.config.data.pairs().beam;
        let mut metrics = BTreeMap::from([("loss".to_string(), loss(model, data, device))]);
        let mut best = vec![];
        for (prefix, beam) in [("", Beam::GREEDY), ("beam_", Beam::new(width))].into_iter().take(if width > 1 { 2 } else { 1 }) {
            best = written(model, &data.sources, beam, device);
            let mut errors = SequenceErrors::default();
            best.iter().zip(&data.targets).for_each(|(found, right)| errors.add(&numbers(&found[0]), right));
            metrics.extend([(format!("{prefix}wer"), errors.sequence_rate()), (format!("{prefix}per"), errors.symbol_rate())]);
        }
        let sample = |(source, found): (&Vec<u32>, &Vec<Hypothesis>)| {
            format!("{}: {}", alphabets.source(source), alphabets.target(found[0].labels.iter().copied()))
        };
        let samples = data.sources.iter().zip(&best).take(SAMPLES).map(sample).collect();
        Ok(Evaluation { examples: data.len(), metrics, samples, ..Evaluation::default() })
    }
    fn show(&self, run: &RunConfig, data: &PairSet, model: &M, device: &Device) -> Result<Shown> {
        let alphabets = Alphabets::of(&run.classes);
        let best = written(model, &data.sources, Beam::new(run.config.data.pairs().beam), device);
        let mut wrong: Vec<usize> = (0..data.len()).filter(|&i| !data.targets[i].contains(&numbers(&best[i][0]))).collect();
        let title = format!("{} of {} validation words are wrong; those of which the model was surest", wrong.len(), data.len());
        wrong.sort_by(|&a, &b| best[b][0].log_probability.total_cmp(&best[a][0].log_probability));
        let line = |&i: &usize| {
            let right: Vec<_> = data.targets[i].iter().map(|right| alphabets.target(right.iter().map(|&symbol| symbol as usize))).collect();
            let found = &best[i][0];
            let (word, written) = (alphabets.source(&data.sources[i]), alphabets.target(found.labels.iter().copied()));
            format!("{word}: {written} ({:.0} %), right: {}\n", 100.0 * found.log_probability.exp(), right.join(" or "))
        };
        Ok(Shown { texts: vec![(title, wrong.iter().take(SHOWN).map(line).collect())], ..Shown::default() })
    }
    fn predict(&self, args: &PredictArgs, trained: &Trained) -> Result<u8> {
        pronounce::words(args, trained, || trained.load(self.model(&trained.run.classes, &trained.device)))
    }
    fn bench(&self, settings: &bench::Settings, config: &Config) -> Result<bench::Report> {
        // As many symbols as in CMUdict, and about as long words.
        let symbols = [27, 39];
        let model = (self.0)(symbols, &settings.device.clone().autodiff());
        bench::pairs(settings, model, symbols, [config.trainer.batch_size, 8, 8])
    }
}

fn numbers(found: &Hypothesis) -> Vec<u32> {
    found.labels.iter().map(|&symbol| symbol as u32).collect()
}

/// Parts of about as long sources, as numbers of them.
fn parts(sources: &[Vec<u32>]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..sources.len()).collect();
    order.sort_by_key(|&i| sources[i].len());
    order.chunks(EVAL_BATCH).map(<[usize]>::to_vec).collect()
}

/// What a model makes of sources: the best first.
pub(crate) fn written<M: EncoderDecoder>(model: &M, sources: &[Vec<u32>], beam: Beam, device: &Device) -> Vec<Vec<Hypothesis>> {
    let mut all = vec![vec![]; sources.len()];
    for part in parts(sources) {
        let (symbols, lengths) = padded(part.iter().map(|&i| sources[i].iter().map(|&symbol| i64::from(symbol))), 0, device);
        let limits: Vec<usize> = lengths.iter().map(|length| 3 * length + 8).collect();
        let found = search(model, model.start(symbols, &lengths), &limits, beam, device);
        part.into_iter().zip(found).for_each(|(i, found)| all[i] = found);
    }
    all
}

/// The mean loss of a symbol of the first right target.
fn loss<M: EncoderDecoder>(model: &M, data: &PairSet, device: &Device) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for part in parts(&data.sources) {
        let pairs = part.iter().map(|&i| (&data.sources[i][..], &data.targets[i][0][..]));
        let batch = Batch::new(pairs, data.target_symbols.len(), 0.0, device);
        let symbols: usize = batch.target_lengths.iter().sum();
        sum += f64::from(batch.loss(model, 0.0).into_scalar::<f32>()) * symbols as f64;
        count += symbols;
    }
    sum / count.max(1) as f64
}

/// `[B, T]` with `filler` behind each sequence, and the lengths.
pub(crate) fn padded<I: Iterator<Item = i64>>(sequences: impl Iterator<Item = I>, filler: i64, device: &Device) -> (Tensor<2, Int>, Vec<usize>) {
    let sequences: Vec<Vec<i64>> = sequences.map(Iterator::collect).collect();
    let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
    let time = lengths.iter().copied().max().unwrap_or(0);
    let values: Vec<i64> = sequences.into_iter().flat_map(|sequence| sequence.into_iter().chain(std::iter::repeat(filler)).take(time)).collect();
    (Tensor::from_data(TensorData::new(values, [lengths.len(), time]), device), lengths)
}

/// `[B, T]`, `[B, U]` that begin with the last symbol, and `[B · U]` that end with it.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    sources: Tensor<2, Int>,
    source_lengths: Vec<usize>,
    inputs: Tensor<2, Int>,
    target_lengths: Vec<usize>,
    targets: Tensor<1, Int>,
    smoothing: f64,
}

impl Batch {
    fn new<'a>(pairs: impl Iterator<Item = (&'a [u32], &'a [u32])>, end: usize, smoothing: f64, device: &Device) -> Self {
        let (sources, targets): (Vec<&[u32]>, Vec<&[u32]>) = pairs.unzip();
        let symbols = |sequence: &'a [u32]| sequence.iter().map(|&symbol| i64::from(symbol));
        let ends = || std::iter::once(end as i64);
        let (sources, source_lengths) = padded(sources.iter().map(|source| symbols(source)), 0, device);
        let (inputs, target_lengths) = padded(targets.iter().map(|target| ends().chain(symbols(target))), 0, device);
        let (targets, _) = padded(targets.iter().map(|target| symbols(target).chain(ends())), NONE, device);
        Self { sources, source_lengths, inputs, target_lengths, targets: targets.flatten(0, 1), smoothing }
    }

    fn loss<M: EncoderDecoder>(self, model: &M, smoothing: f64) -> Tensor<1> {
        let logits = model.forward((self.sources, &self.source_lengths), (self.inputs, &self.target_lengths));
        cross_entropy(logits.flatten(0, 1), self.targets, smoothing, Some(NONE))
    }
}
