//! Sequences of symbols that become others: words and their phonemes, sentences and their translations.

use crate::{
    answers, bench,
    cli::PredictArgs,
    config::{Config, PairData},
    eval::Trained,
    loaded::Loaded,
    spelling::{Alphabets, Spelling, TOKENIZER, learned},
    task::{Opened, Shown, Task},
    train::RunConfig,
};
use anyhow::{Context, Result};
use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_architectures::{Beam, EncoderDecoder, search};
use fornax_data::{Loader, PairDataset, PairExample, PairSet, Split, TextPairs, Tokenizer};
use fornax_kernels::cross_entropy::cross_entropy;
use fornax_layers::Hypothesis;
use fornax_trainer::{
    Evaluation,
    metrics::{Bleu, BleuConfig, BleuTokens, SequenceErrors},
    report::grid,
};
use std::{path::Path, sync::Arc};

/// Sources that an evaluation takes at once.
const EVAL_BATCH: usize = 256;
/// Mistakes or sentences in a report, and samples in an evaluation.
const SHOWN: usize = 40;
const SAMPLES: usize = 5;
/// Pictures of attention in a report.
const DRAWN: usize = 2;
/// The target of padding.
const NONE: i64 = -1;
/// Of translations: as people write them, and in small letters.
const CASED: BleuConfig = BleuConfig { tokens: BleuTokens::Mteval13a, lowercase: false };
const SMALL: BleuConfig = BleuConfig { lowercase: true, ..CASED };

/// Pairs for an encoder and decoder that the function makes, for so many symbols of sources and of targets.
pub(crate) struct Pairs<F>(pub(crate) F);

/// Pairs of one split; where they are texts, those and what takes them apart.
pub(crate) struct Examples {
    set: PairSet,
    texts: Option<(TextPairs, Tokenizer)>,
}

impl Examples {
    fn spelling<'a>(&'a self, run: &'a RunConfig) -> Spelling<'a> {
        self.texts.as_ref().map_or_else(|| Spelling::Letters(Alphabets::of(&run.classes)), |(_, tokenizer)| Spelling::Pieces(tokenizer))
    }

    /// How far the best that was found is from what is right.
    fn scores(&self, found: &[Vec<Hypothesis>]) -> Result<[(&'static str, f64); 2]> {
        let Some((texts, tokenizer)) = &self.texts else {
            let mut errors = SequenceErrors::default();
            found.iter().zip(&self.set.targets).for_each(|(found, right)| errors.add(&numbers(&found[0]), right));
            return Ok([("wer", errors.sequence_rate()), ("per", errors.symbol_rate())]);
        };
        let (mut cased, mut small) = (Bleu::new(CASED), Bleu::new(SMALL));
        for (found, right) in found.iter().zip(&texts.targets) {
            let translation = Spelling::Pieces(tokenizer).target(&numbers(&found[0]))?;
            cased.add(&translation, right);
            small.add(&translation, right);
        }
        Ok([("bleu", cased.score()), ("lowercase_bleu", small.score())])
    }

    /// The mean loss of a symbol, and what searches find.
    fn evaluate<M: EncoderDecoder>(&self, run: &RunConfig, model: &M, searches: &[(&str, Beam)], device: &Device) -> Result<Evaluation> {
        let (spelling, mut best) = (self.spelling(run), vec![]);
        let mut evaluation = Evaluation { examples: self.set.len(), ..Evaluation::default() };
        evaluation.metrics.insert("loss".into(), loss(model, &self.set, device));
        for (prefix, beam) in searches {
            best = written(model, &self.set.sources, *beam, device);
            evaluation.metrics.extend(self.scores(&best)?.map(|(name, score)| (format!("{prefix}{name}"), score)));
        }
        for (source, found) in self.set.sources.iter().zip(&best).take(SAMPLES) {
            evaluation.samples.push(format!("{}: {}", spelling.source(source)?, spelling.target(&numbers(&found[0]))?));
        }
        Ok(evaluation)
    }
}

/// Where the steps that write some targets look in their sources, as pictures: the first few.
fn looks<M: EncoderDecoder>(
    spelling: &Spelling<'_>,
    model: &M,
    sources: &[Vec<u32>],
    found: &[Vec<Hypothesis>],
    device: &Device,
) -> Result<Vec<(String, String)>> {
    let mut charts = vec![];
    for (source, found) in sources.iter().zip(found).take(DRAWN) {
        let target = numbers(&found[0]);
        let symbols = |symbols: &[u32]| symbols.iter().map(|&symbol| i64::from(symbol)).collect::<Vec<_>>();
        let (read, lengths) = padded([symbols(source).into_iter()].into_iter(), 0, device);
        let input = std::iter::once(model.begin() as i64).chain(symbols(&target)).collect::<Vec<_>>();
        let (written, steps) = padded([input.into_iter()].into_iter(), 0, device);
        let Some(shares) = model.looks((read, &lengths), (written, &steps)) else { break };
        let rows = [spelling.labels(&target, false)?, vec!["(end)".into()]].concat();
        let shares: Vec<f32> = shares.into_data().iter::<f32>().collect();
        charts.push((format!("Where each step looks: {}", spelling.source(source)?), grid(&rows, &spelling.labels(source, true)?, &shares)));
    }
    Ok(charts)
}

/// A search as a recipe has it, in a beam so wide.
pub(crate) fn search_of(data: &PairData, width: usize) -> Beam {
    Beam { length_penalty: data.length_penalty, ..Beam::new(width) }
}

/// Pairs with symbols of their own, or texts that a tokenizer takes apart: the run's, or for a new run one that learns of the training texts.
fn load<'a>(run: &'a RunConfig, found: fornax_data::Resolved) -> Result<Box<dyn Fn(Split) -> Result<Examples> + 'a>> {
    let data = run.config.data.pairs();
    let limit = |split: Split| match split {
        Split::Train if data.limit > 0 => data.limit,
        Split::Valid if data.valid_limit > 0 => data.valid_limit,
        _ => usize::MAX,
    };
    let Some(kind) = data.tokenizer else {
        return Ok(Box::new(move |split| {
            let mut set = found.load_pairs(split)?;
            if !data.stress {
                set = set.map_targets(|symbol| symbol.trim_end_matches(|c: char| c.is_ascii_digit()).into());
            }
            let count = limit(split).min(set.len());
            Ok(Examples { set: if count < set.len() { set.subset(&(0..count).collect::<Vec<_>>()) } else { set }, texts: None })
        }));
    };
    let texts = move |split: Split| -> Result<TextPairs> { Ok(found.load_translations(split)?.first(limit(split))) };
    let tokenizer = match learned(run)? {
        Some(tokenizer) => tokenizer,
        None => Tokenizer::train(kind, data.pieces, texts(Split::Train)?.lines())?,
    };
    Ok(Box::new(move |split| {
        let texts = texts(split)?;
        Ok(Examples { set: texts.encode(&tokenizer)?, texts: Some((texts, tokenizer.clone())) })
    }))
}

impl<M: EncoderDecoder, F: Fn([usize; 2], &Device) -> M> Task for Pairs<F> {
    type Model = M;
    type Data = Examples;
    type Source = Loaded<PairDataset, Batch>;

    const EXAMPLES: &'static str = "pairs";

    fn open<'a>(&self, run: &'a RunConfig, given: Option<&Path>) -> Result<Opened<'a, Examples>> {
        let data = run.config.data.pairs();
        let set = fornax_data::find(&data.name).context("the name was checked before")?;
        let found = fornax_data::resolve(set, given)?;
        let scores =
            || format!("bleu is sacreBLEU's {}, lowercase_bleu its {}; beam_ for a beam of {}", CASED.signature(1), SMALL.signature(1), data.beam);
        let about = if data.tokenizer.is_some() { format!("{}\n{}", found.describe(), scores()) } else { found.describe() };
        Ok(Opened { about, load: load(run, found)? })
    }
    fn classes(&self, train: &Examples, _valid: &Examples) -> Vec<String> {
        Alphabets { sources: &train.set.source_symbols, targets: &train.set.target_symbols }.classes()
    }
    fn examples(&self, data: &Examples) -> usize {
        data.set.len()
    }
    fn files(&self, train: &Examples) -> Result<Vec<(&'static str, Vec<u8>)>> {
        train.texts.iter().map(|(_, tokenizer)| Ok((TOKENIZER, tokenizer.to_json()?.into_bytes()))).collect()
    }
    fn model(&self, classes: &[String], device: &Device) -> M {
        (self.0)(Alphabets::of(classes).sizes(), device)
    }
    fn source(&self, run: &RunConfig, data: Examples, device: &Device, overfit: Option<usize>) -> Result<Self::Source> {
        let (config, end) = (&run.config, data.set.target_symbols.len());
        let dataset = PairDataset::new(data.set, config.seed);
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
    fn measure(&self, run: &RunConfig, data: &Examples, model: &M, device: &Device) -> Result<Evaluation> {
        let pairs = run.config.data.pairs();
        let searches = [("", Beam::GREEDY), ("beam_", search_of(pairs, pairs.beam))];
        data.evaluate(run, model, &searches[..if pairs.beam > 1 { 2 } else { 1 }], device)
    }
    fn watch(&self, run: &RunConfig, data: &Examples, model: &M, device: &Device) -> Result<Evaluation> {
        match data.texts {
            Some(_) => data.evaluate(run, model, &[("", Beam::GREEDY)], device),
            None => self.measure(run, data, model, device),
        }
    }
    fn show(&self, run: &RunConfig, data: &Examples, model: &M, device: &Device) -> Result<Shown> {
        let (spelling, pairs) = (data.spelling(run), run.config.data.pairs());
        let (set, beam) = (&data.set, search_of(pairs, pairs.beam));
        let (mut text, best) =
            (String::new(), written(model, &set.sources[..if data.texts.is_some() { set.len().min(SHOWN) } else { set.len() }], beam, device));
        let title = if let Some((texts, _)) = &data.texts {
            for ((source, right), found) in texts.sources.iter().zip(&texts.targets).zip(&best) {
                text += &format!("{source}\n    {}\n    right: {}\n", spelling.target(&numbers(&found[0]))?, right.join(" or "));
            }
            format!("The first {} validation sentences", best.len())
        } else {
            let mut wrong: Vec<usize> = (0..set.len()).filter(|&i| !set.targets[i].contains(&numbers(&best[i][0]))).collect();
            wrong.sort_by(|&a, &b| best[b][0].log_probability.total_cmp(&best[a][0].log_probability));
            for &i in wrong.iter().take(SHOWN) {
                let right = set.targets[i].iter().map(|right| spelling.target(right)).collect::<Result<Vec<_>>>()?;
                let (word, found) = (spelling.source(&set.sources[i])?, spelling.target(&numbers(&best[i][0]))?);
                text += &format!("{word}: {found} ({:.0} %), right: {}\n", 100.0 * best[i][0].log_probability.exp(), right.join(" or "));
            }
            format!("{} of {} validation words are wrong; those of which the model was surest", wrong.len(), set.len())
        };
        let charts = looks(&spelling, model, &set.sources, &best, device)?;
        Ok(Shown { texts: vec![(title, text)], charts, ..Shown::default() })
    }
    fn predict(&self, args: &PredictArgs, trained: &Trained) -> Result<u8> {
        answers::texts(args, trained, || trained.load(self.model(&trained.run.classes, &trained.device)))
    }
    fn bench(&self, settings: &bench::Settings, config: &Config) -> Result<bench::Report> {
        let (batch, pieces) = (config.trainer.batch_size, config.data.pairs().pieces);
        // Captions in pieces; or as many symbols as in CMUdict, and about as long words.
        let (symbols, time) = if config.data.pairs().tokenizer.is_some() { ([pieces, pieces], 16) } else { ([27, 39], 8) };
        let model = (self.0)(symbols, &settings.device.clone().autodiff());
        bench::pairs(settings, model, symbols, [batch, time, time])
    }
}

pub(crate) fn numbers(found: &Hypothesis) -> Vec<u32> {
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
