//! A class for every 10 ms of an utterance: framewise classification.

use crate::{
    bench,
    cli::PredictArgs,
    config::Config,
    eval::Trained,
    images::{Verdict, measure, verdict},
    loaded::Loaded,
    sounds::Ear,
    spectrogram,
    task::{Opened, Shown, Task},
    train::RunConfig,
    ui,
    utterances::{self, Batch, PADDING, Spoken, Utterance, Utterances, outputs},
};
use anyhow::Result;
use burn::tensor::{Device, Tensor};
use fornax_architectures::{FrameLabeler, FrameLabelerConfig};
use fornax_kernels::cross_entropy::cross_entropy;
use fornax_trainer::{Evaluation, report::Picture};
use serde_json::json;
use std::path::Path;

/// What is heard between recordings.
const SILENCE: &str = "silence";
/// Utterances in a report.
const SHOWN: usize = 4;

/// Utterances with a class a frame.
pub(crate) struct Frames(pub(crate) FrameLabelerConfig);

impl Task for Frames {
    type Model = FrameLabeler;
    type Data = Utterances;
    type Source = Loaded<Spoken, Batch>;

    const EXAMPLES: &'static str = "utterances";

    fn open<'a>(&self, run: &'a RunConfig, given: Option<&Path>) -> Result<Opened<'a, Utterances>> {
        utterances::open(&run.config, &self.0, SILENCE, given)
    }
    fn classes(&self, train: &Utterances, _valid: &Utterances) -> Vec<String> {
        train.words().iter().cloned().chain([SILENCE.into()]).collect()
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
        let (logits, _) = model.forward(batch.steps, Some(&batch.lengths));
        cross_entropy(logits.flatten(0, 1), batch.frames, 0.0, Some(PADDING))
    }
    /// Loss, accuracy, F1 and confusion of frames.
    fn measure(&self, _run: &RunConfig, data: &Utterances, model: &FrameLabeler, device: &Device) -> Result<Evaluation> {
        let (mut verdicts, mut labels): (Vec<Verdict>, Vec<u32>) = (vec![], vec![]);
        for output in outputs(&data.fixed, model, &self.0, device) {
            verdicts.extend(output.logits.chunks(self.0.classes).zip(&output.frames).map(|(row, &class)| verdict(row, class)));
            labels.extend(output.frames.iter().map(|&class| class as u32));
        }
        Ok(Evaluation { examples: data.fixed.len(), ..measure(&verdicts, &labels, self.0.classes) })
    }
    fn show(&self, run: &RunConfig, data: &Utterances, model: &FrameLabeler, device: &Device) -> Result<Shown> {
        let (stride, seconds) = (utterances::stride(&self.0), utterances::seconds_a_step(run.config.data.utterances(), &self.0));
        let shown = &data.fixed[..data.fixed.len().min(SHOWN)];
        let pictures = shown.iter().zip(outputs(shown, model, &self.0, device)).enumerate().map(|(i, (utterance, output))| {
            let heard: Vec<usize> = output.logits.chunks(self.0.classes).map(|row| verdict(row, 0).predicted).collect();
            let right = heard.iter().zip(&output.frames).filter(|(a, b)| a == b).count();
            let image = spectrogram::draw(&utterance.bands, self.0.encoder.inputs, stride, &[&output.frames, &heard], self.0.classes - 1);
            let said = |classes: &[usize]| {
                let parts = segments(classes).into_iter().filter(|s| run.classes[s.class] != SILENCE);
                parts
                    .map(|s| format!("{} at {:.2}–{:.2} s", run.classes[s.class], s.from as f64 * seconds, s.to as f64 * seconds))
                    .collect::<Vec<_>>()
            };
            let (truth, found) = (said(&output.frames).join(", "), said(&heard).join(", "));
            let share = 100.0 * right as f64 / heard.len().max(1) as f64;
            Picture {
                caption: format!("Validation utterance {i}, {share:.1} % of its frames right. Said: {truth}. Heard: {found}"),
                images: vec![image],
            }
        });
        Ok(Shown {
            title: "Utterances and their classes".into(),
            note: "Mel bands over time; below them the class of each frame, first as it is, then as the network hears it. Silence is white.".into(),
            pictures: pictures.collect(),
            ..Shown::default()
        })
    }
    fn predict(&self, args: &PredictArgs, trained: &Trained) -> Result<u8> {
        let (data, classes) = (trained.run.config.data.utterances(), &trained.run.classes);
        let (model, ear) = (trained.load(self.0.init(&trained.device))?, Ear::new(&data.sounds)?);
        let seconds = utterances::seconds_a_step(data, &self.0);
        let mut answers = vec![];
        for path in &args.inputs {
            let heard = ear.hear(path)?;
            let utterance = Utterance { bands: heard.bands.values, labels: vec![], frames: vec![] };
            let output = &outputs(&[utterance], &model, &self.0, &trained.device)[0];
            let verdicts: Vec<Verdict> = output.logits.chunks(self.0.classes).map(|row| verdict(row, 0)).collect();
            let found = segments(&verdicts.iter().map(|v| v.predicted).collect::<Vec<_>>()).into_iter().map(|s| {
                let mean = verdicts[s.from..s.to].iter().map(|v| v.probabilities[s.class]).sum::<f64>() / (s.to - s.from) as f64;
                (&classes[s.class], s.from as f64 * seconds, (s.to as f64 * seconds).min(heard.seconds), mean)
            });
            let found: Vec<_> = found.collect();
            if !args.json {
                ui::out(format!("{}:", path.display()));
                found.iter().for_each(|(class, from, to, mean)| ui::out(format!("  {from:6.2}–{to:.2} s  {class}  {:.1} %", 100.0 * mean)));
                heard.fitting.iter().for_each(|how| ui::note(format!("  to fit the model: {how}")));
            }
            let list = found.iter().map(|(class, from, to, mean)| json!({"class": class, "from": from, "to": to, "probability": mean}));
            answers.push(json!({"input": path, "seconds": heard.seconds, "segments": list.collect::<Vec<_>>()}));
        }
        if args.json {
            ui::out(json!({"predictions": answers}).to_string());
        }
        Ok(0)
    }
    fn bench(&self, settings: &bench::Settings, config: &Config) -> Result<bench::Report> {
        bench::labels(settings, self.0.init(&settings.device.clone().autodiff()), [config.trainer.batch_size, 350, self.0.encoder.inputs], &self.0)
    }
}

/// Steps of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    class: usize,
    from: usize,
    /// The first step behind it.
    to: usize,
}

/// Runs of the same class, in order.
fn segments(classes: &[usize]) -> Vec<Segment> {
    let mut from = 0;
    let runs = classes.chunk_by(|a, b| a == b).map(|run| {
        let segment = Segment { class: run[0], from, to: from + run.len() };
        from = segment.to;
        segment
    });
    runs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_runs() {
        assert_eq!(segments(&[]), []);
        let want = [(2, 0, 2), (1, 2, 3), (2, 3, 6)].map(|(class, from, to)| Segment { class, from, to });
        assert_eq!(segments(&[2, 2, 1, 2, 2, 2]), want);
    }
}
