//! Classes of sentences.

use crate::{
    answers::read,
    bench,
    cli::PredictArgs,
    config::Config,
    error::usage,
    eval::Trained,
    explain_words::Sentence,
    images::{Verdict, measure, verdict},
    loaded::Loaded,
    task::{Opened, Shown, Task},
    train::RunConfig,
    ui,
};
use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_architectures::{TextCnn, TextCnnConfig};
use fornax_data::{Loader, SentenceDataset, SentenceExample, SentenceSet, Split, Vocabulary, sentences::words};
use fornax_explain::words_for_terminal;
use fornax_layers::loss::cross_entropy;
use fornax_trainer::Evaluation;
use serde_json::json;
use std::{path::Path, sync::Arc};

/// Sentences that an evaluation takes at once.
const EVAL_BATCH: usize = 200;
/// Mistakes in a report.
const WORST: usize = 40;

/// Sentences with one class each, for a convolutional network over their words.
pub(crate) struct Sentences(pub(crate) TextCnnConfig);

/// Between the classes and the words in a run's list; no word is so, for it holds no letter.
const THEN_WORDS: &str = "→";

/// The classes and the words of a run's list.
fn parts(list: &[String]) -> (&[String], &[String]) {
    let at = list.iter().position(|item| item == THEN_WORDS).unwrap_or(list.len());
    (&list[..at], list.get(at + 1..).unwrap_or_default())
}

impl Task for Sentences {
    type Model = TextCnn;
    type Data = SentenceSet;
    type Source = Loaded<SentenceDataset, Batch>;

    const EXAMPLES: &'static str = "sentences";
    const EXPLAINS: bool = true;

    fn open<'a>(&self, run: &'a RunConfig, given: Option<&Path>) -> Result<Opened<'a, SentenceSet>> {
        let data = run.config.data.sentences();
        let set = fornax_data::find(&data.name).context("the name was checked before")?;
        let found = fornax_data::resolve(set, given)?;
        let about = match given {
            Some(path) => format!("sentences from {}", path.display()),
            None => found.describe(),
        };
        let load = move |split: Split| {
            let sentences = found.load_sentences(split, data.fold, data.folds)?;
            anyhow::ensure!(!sentences.is_empty(), "the {split} split has no sentence");
            let limited = split == Split::Train && data.limit > 0 && data.limit < sentences.len();
            Ok(if limited { sentences.subset(&(0..data.limit).collect::<Vec<_>>()) } else { sentences })
        };
        Ok(Opened { about, load: Box::new(load) })
    }
    fn classes(&self, train: &SentenceSet, _valid: &SentenceSet) -> Vec<String> {
        [&train.classes[..], &[THEN_WORDS.to_string()], &Vocabulary::of(train)].concat()
    }
    fn examples(&self, data: &SentenceSet) -> usize {
        data.len()
    }
    fn model(&self, list: &[String], device: &Device) -> TextCnn {
        let (classes, words) = parts(list);
        TextCnnConfig { vocabulary: words.len() + 1, classes: classes.len(), ..self.0.clone() }.init(device)
    }
    fn source(&self, run: &RunConfig, data: SentenceSet, device: &Device, overfit: Option<usize>) -> Result<Self::Source> {
        let config = &run.config;
        let dropout = if overfit.is_some() { 0.0 } else { config.data.sentences().word_dropout };
        let dataset = SentenceDataset::new(&data, &Vocabulary::new(parts(&run.classes).1), dropout, config.seed);
        let lengths = dataset.lengths();
        let loader = Loader::new(Arc::new(dataset), config.trainer.batch_size, config.seed).with_buckets(lengths);
        let device = device.clone();
        Ok(Loaded::new(loader, overfit, move |examples: &[SentenceExample]| {
            Batch::new(examples.iter().map(|example| (&example.words[..], example.label)), &device)
        }))
    }
    fn example_losses(&self, run: &RunConfig, data: &SentenceSet, model: &TextCnn, device: &Device) -> Result<Vec<f64>> {
        let data = data.clone().with_classes(parts(&run.classes).0)?;
        Ok(verdicts(run, &data, model, device).iter().map(|verdict| verdict.loss).collect())
    }
    fn loss(&self, model: &TextCnn, batch: Batch) -> Tensor<1> {
        cross_entropy(model.forward(batch.words, Some(&batch.lengths)), batch.targets, 0.0)
    }
    fn measure(&self, run: &RunConfig, data: &SentenceSet, model: &TextCnn, device: &Device) -> Result<Evaluation> {
        let data = data.clone().with_classes(parts(&run.classes).0)?;
        Ok(measure(&verdicts(run, &data, model, device), &data.labels, data.classes.len()))
    }
    fn show(&self, run: &RunConfig, data: &SentenceSet, model: &TextCnn, device: &Device) -> Result<Shown> {
        let data = data.clone().with_classes(parts(&run.classes).0)?;
        let verdicts = verdicts(run, &data, model, device);
        let mut wrong: Vec<usize> = (0..data.len()).filter(|&i| verdicts[i].predicted != data.labels[i] as usize).collect();
        let title = format!("{} of {} validation sentences are wrong; those of which the model was surest", wrong.len(), data.len());
        wrong.sort_by(|&a, &b| verdicts[b].loss.total_cmp(&verdicts[a].loss));
        let line = |&i: &usize| {
            let (said, right) = (verdicts[i].predicted, data.labels[i] as usize);
            let sure = 100.0 * verdicts[i].probabilities[said];
            format!("{} ({sure:.0} %), right: {}: {}\n", data.classes[said], data.classes[right], data.sentences[i])
        };
        Ok(Shown { texts: vec![(title, wrong.iter().take(WORST).map(line).collect())], ..Shown::default() })
    }
    fn predict(&self, args: &PredictArgs, trained: &Trained) -> Result<u8> {
        let (classes, words) = parts(&trained.run.classes);
        let sentences: Vec<String> = read(&args.inputs, true)?.into_iter().filter(|sentence| !sentence.is_empty()).collect();
        if sentences.is_empty() {
            return Err(usage("a sentence is empty: give at least one word"));
        }
        let vocabulary = Vocabulary::new(words);
        let model = trained.load(self.model(&trained.run.classes, &trained.device))?;
        let mut answers = vec![];
        for part in sentences.chunks(EVAL_BATCH) {
            let numbers: Vec<Vec<u32>> = part.iter().map(|sentence| vocabulary.encode(sentence)).collect();
            let logits = logits(&model, &numbers, &trained.device);
            for ((sentence, numbers), row) in part.iter().zip(&numbers).zip(logits.chunks(classes.len())) {
                let probabilities = verdict(row, 0).probabilities;
                let mut order: Vec<usize> = (0..classes.len()).collect();
                order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
                let top: Vec<_> = order.iter().take(args.top_k.max(1)).map(|&class| (&classes[class], probabilities[class])).collect();
                let unknown = numbers.iter().filter(|word| **word == 0).count();
                let worth = args.explain.as_deref().map(|method| explain(&model, numbers, order[0], method)).transpose()?;
                let said = spoken(sentence);
                let pairs: Vec<(&str, f64)> = said.iter().map(String::as_str).zip(worth.iter().flatten().copied()).collect();
                if !args.json {
                    let list: Vec<_> = top.iter().map(|(class, p)| format!("{class} {:.2} %", 100.0 * p)).collect();
                    let unknown = if unknown > 0 { format!("  ({unknown} of {} words unknown)", numbers.len()) } else { String::new() };
                    ui::out(format!("{sentence}: {}{unknown}", list.join("  ")));
                    if worth.is_some() {
                        ui::out(if ui::coloured() { words_for_terminal(&pairs) } else { plain(&pairs) });
                    }
                }
                let list: Vec<_> = top.iter().map(|(class, p)| json!({"class": class, "probability": p})).collect();
                let mut answer = json!({"input": sentence, "class": top[0].0, "unknown_words": unknown, "classes": list});
                if worth.is_some() {
                    answer["words"] = pairs.iter().map(|(word, worth)| json!({"word": word, "worth": worth})).collect();
                }
                answers.push(answer);
            }
        }
        if args.json {
            ui::out(json!({"predictions": answers}).to_string());
        }
        Ok(0)
    }
    fn bench(&self, settings: &bench::Settings, config: &Config) -> Result<bench::Report> {
        // About as many words as the movie sentences have, and two classes.
        bench::sentences(settings, &TextCnnConfig { vocabulary: 20_000, classes: 2, ..self.0.clone() }, config.trainer.batch_size)
    }
}

/// A sentence's words as the model sees them.
fn spoken(sentence: &str) -> Vec<String> {
    let words = words(sentence);
    if words.is_empty() { vec![sentence.to_string()] } else { words }
}

/// What each word is worth for a class.
fn explain(model: &TextCnn, words: &[u32], class: usize, method: &str) -> Result<Vec<f64>> {
    let model = model.clone().train().freeze();
    let device = model.head.weight.device();
    let batch = Batch::new([(words, 0)].into_iter(), &device);
    Sentence { vectors: model.embed(batch.words), class, model: &model }.worth(method)
}

/// Words with what they are worth, where no colour is shown.
fn plain(words: &[(&str, f64)]) -> String {
    words.iter().map(|(word, worth)| format!("{word} ({worth:+.3})")).collect::<Vec<_>>().join(" ")
}

/// What a model says of each sentence, in order.
fn verdicts(run: &RunConfig, data: &SentenceSet, model: &TextCnn, device: &Device) -> Vec<Verdict> {
    let vocabulary = Vocabulary::new(parts(&run.classes).1);
    let mut verdicts = vec![];
    for (sentences, labels) in data.sentences.chunks(EVAL_BATCH).zip(data.labels.chunks(EVAL_BATCH)) {
        let numbers: Vec<Vec<u32>> = sentences.iter().map(|sentence| vocabulary.encode(sentence)).collect();
        let logits = logits(model, &numbers, device);
        verdicts.extend(logits.chunks(data.classes.len()).zip(labels).map(|(row, &label)| verdict(row, label as usize)));
    }
    verdicts
}

/// `[B, K]`, row by row.
fn logits(model: &TextCnn, sentences: &[Vec<u32>], device: &Device) -> Vec<f32> {
    let batch = Batch::new(sentences.iter().map(|words| (&words[..], 0)), device);
    model.forward(batch.words, Some(&batch.lengths)).into_data().iter::<f32>().collect()
}

/// `[B, T]`, its lengths, and `[B]`.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    words: Tensor<2, Int>,
    lengths: Vec<usize>,
    targets: Tensor<1, Int>,
}

impl Batch {
    fn new<'a>(sentences: impl Iterator<Item = (&'a [u32], usize)>, device: &Device) -> Self {
        let (sentences, labels): (Vec<&[u32]>, Vec<usize>) = sentences.unzip();
        let words = sentences.iter().map(|words| words.iter().map(|&word| i64::from(word)));
        let (words, lengths) = crate::pairs::padded(words, 0, device);
        let targets: Vec<i64> = labels.into_iter().map(|label| label as i64).collect();
        let count = targets.len();
        Self { words, lengths, targets: Tensor::from_data(TensorData::new(targets, [count]), device) }
    }
}
