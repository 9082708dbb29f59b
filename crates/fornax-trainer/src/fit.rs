//! The loop.

use crate::{
    Backprop, Batches, Callback, Evaluate, Evaluation, EvaluationReport, Flow, RunDir, StepReport, TrainConfig, TrainError,
    checkpoint::{Checkpoint, Checkpoints, Position},
    run_dir::MetricsLog,
};
use burn::module::Module;
use fornax_kernels::random::{Key, set_step_key};
use fornax_optimizers::{Average, Gradients, Optimizer, Schedule};
use fornax_weights::{Tensors, load_state, state};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// What a run needs.
pub struct Fit<'a, M, D, G, E, O> {
    /// On an autodiff device.
    pub model: M,
    /// What to train on.
    pub batches: &'a D,
    /// How batches become gradients.
    pub backprop: G,
    /// How models are measured.
    pub evaluate: E,
    /// How gradients change the model.
    pub optimizer: O,
    /// Factor on `lr` by step.
    pub schedule: Schedule,
    /// Peak learning rate.
    pub lr: f64,
    /// Keys dropout and everything else that the steps draw.
    pub seed: u64,
    /// The loop's own numbers.
    pub config: TrainConfig,
    /// Where to write; None keeps everything in memory.
    pub run: Option<RunDir>,
    /// All that defines the run, as JSON; a checkpoint of another config is refused.
    pub identity: String,
    /// Go on from the newest whole checkpoint, if there is one.
    pub resume: bool,
    /// Stop after so long.
    pub time_limit: Option<Duration>,
    /// Stop when this is not 0 (the number of a signal).
    pub interrupt: Arc<AtomicUsize>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All steps are done.
    Finished,
    /// Nothing got better for `patience` evaluations.
    EarlyStopped,
    /// A callback asked for it.
    Stopped,
    /// The time is up.
    TimeUp,
    /// By this signal.
    Interrupted(usize),
}

/// What a run leaves.
#[derive(Debug)]
pub struct Outcome<M> {
    /// The model after the last step, not averaged.
    pub model: M,
    /// Steps done.
    pub step: u64,
    /// Epochs done.
    pub epochs: f64,
    /// How it ended.
    pub ended: Ended,
    /// The best evaluation: its step and its value of `monitor`.
    pub best: Option<(u64, f64)>,
    /// Mean loss since the evaluation before the last.
    pub train_loss: f64,
    /// The last evaluation of this process, if there was one.
    pub evaluation: Option<Evaluation>,
    /// Seconds trained, before a resume included.
    pub seconds: f64,
    /// Batches that this process trained on.
    pub batches: u64,
    /// Seconds that this process spent on training steps, evaluations and checkpoints left out.
    pub step_seconds: f64,
    /// What was said on the way: refused checkpoints, where a resumed run went on.
    pub notes: Vec<String>,
}

/// Trains until the steps are done or something stops it.
///
/// Step `s` averages the gradients of `accumulate` batches, clips them, moves the weights by `lr · schedule(s)`, and then their average.
/// An optimizer that searches gets their mean loss and gradients at other weights, unclipped.
/// Everything that is drawn in it follows from `(seed, s)`. A schedule with a plateau hears of each regular evaluation.
///
/// # Errors
/// If a loss or gradient is not finite, data or files cannot be read or written, or a checkpoint does not fit.
pub fn fit<M, D, G, E, O>(fit: Fit<'_, M, D, G, E, O>, callbacks: &mut [&mut dyn Callback]) -> Result<Outcome<M>, TrainError>
where
    M: Module,
    D: Batches,
    G: Backprop<M, D::Batch>,
    E: Evaluate<M>,
    O: Optimizer,
{
    let mut run = Run::start(fit)?;
    let result = run.train(callbacks);
    // Every callback ends, and what stopped the training is told before what its end met.
    let ends = callbacks.iter_mut().map(|callback| callback.on_end()).fold(Ok(()), Result::and);
    let ended = result?;
    ends?;
    Ok(run.outcome(ended))
}

struct Run<'a, M, D, G, E, O> {
    fit: Fit<'a, M, D, G, E, O>,
    model: Option<M>,
    ema: Option<Average>,
    position: Position,
    checkpoints: Option<Checkpoints>,
    log: Option<MetricsLog>,
    last_saved: Option<u64>,
    evaluation: Option<Evaluation>,
    began: Instant,
    batches: u64,
    step_seconds: f64,
    notes: Vec<String>,
}

impl<'a, M, D, G, E, O> Run<'a, M, D, G, E, O>
where
    M: Module,
    D: Batches,
    G: Backprop<M, D::Batch>,
    E: Evaluate<M>,
    O: Optimizer,
{
    fn start(mut fit: Fit<'a, M, D, G, E, O>) -> Result<Self, TrainError> {
        if fit.batches.per_epoch() == 0 {
            return Err(TrainError::NoBatches);
        }
        let checkpoints = fit.run.as_ref().map(|run| Checkpoints::new(run.checkpoints(), fit.config.keep_checkpoints));
        let mut ema = fit.config.average(fit.batches.per_epoch());
        let mut model = fit.model.clone();
        let (mut position, mut notes, mut last_saved) = (Position::default(), vec![], None);
        let found = match (&checkpoints, fit.resume) {
            (Some(checkpoints), true) => checkpoints.newest()?,
            _ => None,
        };
        if let Some((path, checkpoint, refused)) = found {
            notes.extend(refused.into_iter().map(|line| format!("{line}; using the one before")));
            let refuse = |why: String| TrainError::Checkpoint { why, path: path.clone() };
            if checkpoint.config != fit.identity {
                return Err(refuse(format!("it belongs to another configuration ({})", first_difference(&checkpoint.config, &fit.identity))));
            }
            model = load_state(model, &checkpoint.part("model"), "")?;
            fit.optimizer.load_state(&model, &checkpoint.part("optimizer")).map_err(|e| refuse(e.to_string()))?;
            if let Some(ema) = &mut ema {
                ema.load_state(&model, &checkpoint.part("ema")).map_err(|name| refuse(format!("no average of `{name}`")))?;
            }
            let backprop = &mut fit.backprop;
            let loaded = backprop.load_state(&checkpoint.position.backprop).and_then(|()| backprop.load_carried(checkpoint.part("carried")));
            loaded.map_err(|what| refuse(format!("it does not have {what} of this run")))?;
            position = checkpoint.position;
            last_saved = Some(position.step);
            notes.push(format!("resumed after step {} from {}", position.step, path.display()));
        }
        let log = fit.run.as_ref().map(|run| MetricsLog::open(run.metrics_path(), position.metrics_bytes)).transpose()?;
        Ok(Self {
            fit,
            model: Some(model),
            ema,
            position,
            checkpoints,
            log,
            last_saved,
            evaluation: None,
            began: Instant::now(),
            batches: 0,
            step_seconds: 0.0,
            notes,
        })
    }

    fn train(&mut self, callbacks: &mut [&mut dyn Callback]) -> Result<Ended, TrainError> {
        let config = self.fit.config.clone();
        let source = self.fit.batches;
        let per_epoch = source.per_epoch() as u64;
        let accumulate = config.accumulate as u64;
        let total = config.total_steps(per_epoch as usize);
        let eval_every = config.steps_between_evaluations(per_epoch as usize);
        let checkpoint_every = if config.checkpoint_every == 0 { eval_every } else { config.checkpoint_every };
        if self.position.finished {
            return Ok(if self.position.step < total { Ended::EarlyStopped } else { Ended::Finished });
        }

        let mut epoch = self.position.step * accumulate / per_epoch;
        let mut batch = self.position.step * accumulate % per_epoch;
        let mut batches = source.epoch(epoch, batch as usize);
        while self.position.step < total {
            let model = self.model.take().unwrap_or_else(|| unreachable!("the model is there between steps"));
            let began = Instant::now();
            let step = self.position.step;
            let key = Key::new(self.fit.seed).fold(step);
            set_step_key(key);
            let searches = self.fit.optimizer.searches();
            let (mut mean, mut kept) = (Mean::default(), vec![]);
            for _ in 0..accumulate {
                if batch == per_epoch {
                    (epoch, batch) = (epoch + 1, 0);
                    batches = source.epoch(epoch, 0);
                }
                let data = batches.next().unwrap_or_else(|| Err("the source ended before its epoch".into()));
                let data = data.map_err(|source| TrainError::Data { epoch, batch: batch as usize, source })?;
                kept.extend(searches.then(|| data.clone()));
                mean.add(self.fit.backprop.gradients(&model, data));
                batch += 1;
            }
            let (loss, mut gradients) = mean.get();
            let grad_norm = gradients.norm();
            let lr = self.fit.lr * self.fit.schedule.factor(step) * self.position.plateau.factor;
            if self.fit.backprop.leaves_out(grad_norm.is_finite()) {
                self.model = Some(model);
            } else {
                self.check_finite("loss", loss)?;
                self.check_finite("gradient norm", grad_norm)?;
                if config.clip_norm > 0.0 {
                    gradients.clip(grad_norm, config.clip_norm);
                }
                let Fit { optimizer, backprop, .. } = &mut self.fit;
                // The same batches, with the same draws.
                let mut again = |model: &M| {
                    set_step_key(key);
                    let mut mean = Mean::default();
                    kept.iter().for_each(|data| mean.add(backprop.gradients(model, data.clone())));
                    mean.get()
                };
                let model = optimizer.step_with(lr, model, (loss, &gradients), &mut again);
                if let Some(ema) = &mut self.ema {
                    ema.update(&model);
                }
                self.model = Some(model);
            }
            let p = &mut self.position;
            p.step += 1;
            if loss.is_finite() {
                (p.loss_sum, p.loss_count) = (p.loss_sum + loss, p.loss_count + 1);
            }
            self.batches += accumulate;
            self.step_seconds += began.elapsed().as_secs_f64();

            let done = self.position.step;
            let epoch_done = (done * accumulate) as f64 / per_epoch as f64;
            let report = StepReport { step: done, steps: total, epoch: epoch_done, loss, lr, grad_norm, shown: self.fit.backprop.shows() };
            let mut ended = (done == total).then_some(Ended::Finished);
            if done.is_multiple_of(config.log_every) || ended.is_some() {
                let mut line = json!({"step": done, "epoch": report.epoch, "loss": loss, "lr": lr, "grad_norm": grad_norm});
                if let Some((name, value)) = report.shown {
                    line[name] = json!(value);
                }
                self.write(line)?;
            }
            for callback in callbacks.iter_mut() {
                if callback.on_step(&report)? == Flow::Stop {
                    ended = ended.or(Some(Ended::Stopped));
                }
            }
            let signal = self.fit.interrupt.load(Ordering::Relaxed);
            if signal != 0 && ended.is_none() {
                ended = Some(Ended::Interrupted(signal));
            }
            if ended.is_none() && self.fit.time_limit.is_some_and(|limit| self.began.elapsed() >= limit) {
                ended = Some(Ended::TimeUp);
            }
            // A run that was cut short is evaluated as well, except by a signal: who sent it waits.
            let cut = matches!(ended, Some(Ended::Stopped | Ended::TimeUp));
            if done.is_multiple_of(eval_every) || ended == Some(Ended::Finished) || cut {
                let flow = self.evaluate(callbacks, !cut || done.is_multiple_of(eval_every))?;
                if flow == Flow::Stop && ended.is_none() {
                    ended = Some(Ended::Stopped);
                }
                if config.patience > 0 && self.position.stale >= config.patience && ended.is_none() {
                    ended = Some(Ended::EarlyStopped);
                }
            }
            self.position.finished = matches!(ended, Some(Ended::Finished | Ended::EarlyStopped));
            if done.is_multiple_of(checkpoint_every) || ended.is_some() {
                self.save(callbacks)?;
            }
            if let Some(ended) = ended {
                return Ok(ended);
            }
        }
        Ok(Ended::Finished)
    }

    fn model(&self) -> &M {
        self.model.as_ref().unwrap_or_else(|| unreachable!("the model is there between steps"))
    }

    fn write(&mut self, line: serde_json::Value) -> Result<(), TrainError> {
        self.log.as_mut().map_or(Ok(()), |log| log.write(&line))
    }

    fn check_finite(&self, what: &'static str, value: f64) -> Result<(), TrainError> {
        if value.is_finite() {
            return Ok(());
        }
        let checkpoint = match (&self.fit.run, self.last_saved) {
            (Some(run), Some(step)) => format!("the last good checkpoint is step {step} in {}", run.checkpoints().display()),
            _ => "there is no checkpoint yet".into(),
        };
        Err(TrainError::NonFinite { what, value, step: self.position.step, checkpoint })
    }

    /// `regular` evaluations go to metrics.jsonl; one at an accidental end does not, or a resumed run would have a line too many.
    fn evaluate(&mut self, callbacks: &mut [&mut dyn Callback], regular: bool) -> Result<Flow, TrainError> {
        let model = match &self.ema {
            Some(ema) => ema.apply(self.model().clone()).valid(),
            None => self.fit.optimizer.eval_weights(self.model()).unwrap_or_else(|| self.model().clone()).valid(),
        };
        let evaluation = self.fit.evaluate.evaluate(&model)?;
        let step = self.position.step;
        let config = &self.fit.config;
        let Some(&value) = evaluation.metrics.get(&config.monitor) else {
            let given = evaluation.metrics.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(TrainError::Monitor { wanted: config.monitor.clone(), given });
        };
        let best = self.position.best.is_none_or(|(_, old)| config.is_better(value, old));
        if regular {
            let p = &mut self.position;
            p.stale = if best { 0 } else { p.stale + 1 };
            if best {
                p.best = Some((step, value));
            }
            if let Some(plateau) = self.fit.schedule.plateau() {
                p.plateau = plateau.observe(p.plateau, value, config.maximizes());
            }
            let mean = p.loss_sum / p.loss_count.max(1) as f64;
            (p.train_loss, p.loss_sum, p.loss_count) = (Some(mean), 0.0, 0);
            self.write(json!({"step": step, "train": {"loss": mean}, "valid": evaluation.metrics}))?;
            if let (true, Some(checkpoints)) = (best, &self.checkpoints) {
                // Before the step's own checkpoint: if that one is there, this one is.
                // No run goes on from it, so that it can be given away without what only a run may know.
                self.snapshot().write(&checkpoints.best())?;
            }
        }
        let report = EvaluationReport { step, evaluation: &evaluation, best };
        let mut flow = Flow::Continue;
        for callback in callbacks.iter_mut() {
            if callback.on_evaluation(&report)? == Flow::Stop {
                flow = Flow::Stop;
            }
        }
        self.evaluation = Some(evaluation);
        Ok(flow)
    }

    fn seconds(&self) -> f64 {
        self.position.seconds + self.began.elapsed().as_secs_f64()
    }

    fn snapshot(&self) -> Checkpoint {
        let model = self.model();
        let position = Position { seconds: self.seconds(), backprop: self.fit.backprop.state(), ..self.position.clone() };
        let ema = self.ema.as_ref().map_or_else(Tensors::new, |ema| ema.state(model));
        let eval = self.fit.optimizer.eval_weights(model).map_or_else(Tensors::new, |model| state(&model));
        Checkpoint::new(&position, &self.fit.identity, state(model), ema, self.fit.optimizer.state(model)).with("eval", eval)
    }

    fn save(&mut self, callbacks: &mut [&mut dyn Callback]) -> Result<(), TrainError> {
        let Some(checkpoints) = self.checkpoints.clone() else { return Ok(()) };
        if let Some(log) = &mut self.log {
            self.position.metrics_bytes = log.sync()?;
        }
        let path = checkpoints.save(&self.snapshot().with("carried", self.fit.backprop.carried()))?;
        self.last_saved = Some(self.position.step);
        for callback in callbacks.iter_mut() {
            callback.on_checkpoint(&path)?;
        }
        Ok(())
    }

    fn outcome(self, ended: Ended) -> Outcome<M> {
        let per_epoch = self.fit.batches.per_epoch() as f64;
        let p = &self.position;
        let recent = (p.loss_count > 0).then(|| p.loss_sum / p.loss_count as f64);
        Outcome {
            step: p.step,
            epochs: (p.step * self.fit.config.accumulate as u64) as f64 / per_epoch,
            ended,
            best: p.best,
            train_loss: p.train_loss.or(recent).unwrap_or(f64::NAN),
            seconds: self.seconds(),
            batches: self.batches,
            step_seconds: self.step_seconds,
            evaluation: self.evaluation,
            notes: self.notes,
            model: self.model.unwrap_or_else(|| unreachable!("the model is there between steps")),
        }
    }
}

/// The mean loss of batches, and of their gradients.
#[derive(Default)]
struct Mean {
    loss: f64,
    gradients: Gradients,
    count: u64,
}

impl Mean {
    fn add(&mut self, (loss, gradients): (f64, Gradients)) {
        self.loss += loss;
        self.gradients.add(gradients);
        self.count += 1;
    }

    fn get(mut self) -> (f64, Gradients) {
        let n = self.count as f64;
        if self.count > 1 {
            self.gradients.scale(1.0 / n);
        }
        (self.loss / n, self.gradients)
    }
}

/// The first place where two JSON objects differ, as `path: then → now`.
fn first_difference(then: &str, now: &str) -> String {
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    fn walk(path: &str, a: &serde_json::Value, b: &serde_json::Value) -> Option<String> {
        match (a.as_object(), b.as_object()) {
            (Some(x), Some(y)) => {
                let keys: std::collections::BTreeSet<_> = x.keys().chain(y.keys()).collect();
                keys.into_iter().find_map(|key| walk(&format!("{path}{}{key}", if path.is_empty() { "" } else { "." }), &a[key], &b[key]))
            }
            _ if a == b => None,
            _ => Some(format!("{path} was {a}, now {b}")),
        }
    }
    walk("", &parse(then), &parse(now)).unwrap_or_else(|| "it cannot be read".into())
}
