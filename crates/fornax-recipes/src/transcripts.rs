//! What is said in an utterance, learned without times: connectionist temporal classification.

use crate::{
    bench,
    cli::PredictArgs,
    config::Config,
    eval::Trained,
    loaded::Loaded,
    sounds::Ear,
    task::{Opened, Shown, Task},
    train::RunConfig,
    ui,
    utterances::{self, Batch, Spoken, Utterance, Utterances, each_batch},
};
use anyhow::Result;
use burn::tensor::{Device, Tensor};
use fornax_architectures::{FrameLabeler, FrameLabelerConfig};
use fornax_layers::{CtcLoss, CtcReduction, Emission, ctc_greedy};
use fornax_trainer::{
    Evaluation,
    metrics::{SequenceErrors, edit_distance},
};
use serde_json::json;
use std::path::Path;

/// Utterances in a report.
const SHOWN: usize = 30;

/// Utterances with what is said in them.
pub(crate) struct Transcripts(pub(crate) FrameLabelerConfig);

impl Transcripts {
    /// The blank is the last class, so that the others are those of the recordings.
    fn ctc(&self) -> CtcLoss {
        CtcLoss { blank: self.0.classes - 1, ..CtcLoss::default() }
    }

    /// What the most probable path says of each utterance.
    fn hear(&self, utterances: &[Utterance], model: &FrameLabeler, device: &Device) -> Vec<Vec<Emission>> {
        let mut all = vec![];
        each_batch(utterances, model, &self.0, device, |_, logits, lengths| all.extend(ctc_greedy(logits, Some(&lengths), self.ctc().blank)));
        all
    }
}

fn labels(emissions: &[Emission]) -> Vec<usize> {
    emissions.iter().map(|emission| emission.label).collect()
}

impl Task for Transcripts {
    type Model = FrameLabeler;
    type Data = Utterances;
    type Source = Loaded<Spoken, Batch>;

    const EXAMPLES: &'static str = "utterances";

    fn open<'a>(&self, run: &'a RunConfig, given: Option<&Path>) -> Result<Opened<'a, Utterances>> {
        utterances::open(&run.config, &self.0, "the blank", given)
    }
    fn classes(&self, train: &Utterances, _valid: &Utterances) -> Vec<String> {
        train.words().to_vec()
    }
    fn examples(&self, data: &Utterances) -> usize {
        data.len()
    }
    fn model(&self, _classes: &[String], device: &Device) -> FrameLabeler {
        self.0.init(device)
    }
    fn source(&self, run: &RunConfig, data: Utterances, device: &Device, overfit: Option<usize>) -> Result<Self::Source> {
        Ok(utterances::source(run, data, &self.0, device, overfit))
    }
    fn loss(&self, model: &FrameLabeler, batch: Batch) -> Tensor<1> {
        let (logits, lengths) = model.forward(batch.steps, Some(&batch.lengths));
        self.ctc().forward(logits, &batch.labels, lengths.as_deref())
    }
    /// `wer`: insertions, deletions and substitutions for each word that is said; `string_error`: the share of utterances with any.
    fn measure(&self, _run: &RunConfig, data: &Utterances, model: &FrameLabeler, device: &Device) -> Result<Evaluation> {
        let (mut loss, mut errors) = (0.0, SequenceErrors::default());
        let ctc = CtcLoss { reduction: CtcReduction::None, ..self.ctc() };
        each_batch(&data.fixed, model, &self.0, device, |part, logits, lengths| {
            let truths: Vec<Vec<usize>> = part.iter().map(|utterance| utterance.labels.clone()).collect();
            let losses = ctc.forward(logits.clone(), &truths, Some(&lengths)).into_data();
            loss += losses.iter::<f64>().zip(&truths).map(|(loss, truth)| loss / truth.len() as f64).sum::<f64>();
            for (found, truth) in ctc_greedy(logits, Some(&lengths), ctc.blank).iter().zip(&truths) {
                errors.add(&labels(found), std::slice::from_ref(truth));
            }
        });
        let examples = data.fixed.len();
        let metrics = [("loss", loss / examples.max(1) as f64), ("wer", errors.symbol_rate()), ("string_error", errors.sequence_rate())];
        Ok(Evaluation { examples, metrics: metrics.into_iter().map(|(name, value)| (name.to_string(), value)).collect(), ..Evaluation::default() })
    }
    fn show(&self, run: &RunConfig, data: &Utterances, model: &FrameLabeler, device: &Device) -> Result<Shown> {
        let text = |labels: &[usize]| labels.iter().map(|&label| run.classes[label].as_str()).collect::<Vec<_>>().join(" ");
        let found = self.hear(&data.fixed, model, device);
        // What is wrong first.
        let mut order: Vec<usize> = (0..found.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(edit_distance(&labels(&found[i]), &data.fixed[i].labels)));
        let wrong = order.iter().filter(|&&i| labels(&found[i]) != data.fixed[i].labels).count();
        let line = |&i: &usize| {
            let (heard, said) = (labels(&found[i]), &data.fixed[i].labels);
            let mark = if heard == *said { ' ' } else { '≠' };
            format!("{i:4}  said   {}\n   {mark}  heard  {}\n", text(said), text(&heard))
        };
        let lines = order.iter().take(SHOWN).map(line).collect();
        Ok(Shown { texts: vec![(format!("{wrong} of {} validation utterances are not heard right", found.len()), lines)], ..Shown::default() })
    }
    fn predict(&self, args: &PredictArgs, trained: &Trained) -> Result<u8> {
        let (data, classes) = (trained.run.config.data.utterances(), &trained.run.classes);
        let (model, ear) = (trained.load(self.0.init(&trained.device))?, Ear::new(&data.sounds)?);
        let seconds = utterances::seconds_a_step(data, &self.0);
        let mut answers = vec![];
        for path in &args.inputs {
            let heard = ear.hear(path)?;
            let utterance = Utterance { bands: heard.bands.values, labels: vec![], frames: vec![] };
            let found = &self.hear(&[utterance], &model, &trained.device)[0];
            let words: Vec<_> = found.iter().map(|emission| (&classes[emission.label], emission.step as f64 * seconds)).collect();
            let text = words.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(" ");
            if !args.json {
                ui::out(format!("{}: {}", path.display(), if text.is_empty() { "nothing is said" } else { &text }));
                words.iter().for_each(|(word, from)| ui::out(format!("  {from:6.2} s  {word}")));
                heard.fitting.iter().for_each(|how| ui::note(format!("  to fit the model: {how}")));
            }
            let list: Vec<_> = words.iter().map(|(word, from)| json!({"word": word, "from": from})).collect();
            answers.push(json!({"input": path, "seconds": heard.seconds, "text": text, "words": list}));
        }
        if args.json {
            ui::out(json!({"predictions": answers}).to_string());
        }
        Ok(0)
    }
    /// Of the model under cross-entropy: CTC's own share is small, and is not in it.
    fn bench(&self, settings: &bench::Settings, config: &Config) -> Result<bench::Report> {
        bench::labels(settings, self.0.init(&settings.device.clone().autodiff()), [config.trainer.batch_size, 350, self.0.encoder.inputs], &self.0)
    }
}
