use crate::{TrainError, metrics::Confusion};
use fornax_optimizers::Gradients;
use fornax_weights::Tensors;
use std::{collections::BTreeMap, path::Path};

/// Why a source of batches failed.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// The batches of an epoch, in an order that is a pure function of the epoch.
pub trait Batches {
    /// One batch; a clone is for who goes over it twice.
    type Batch: Clone;
    /// Batches an epoch.
    fn per_epoch(&self) -> usize;
    /// The batches of `epoch` from number `first` on.
    fn epoch(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Result<Self::Batch, SourceError>> + '_>;
}

/// How a batch becomes gradients: the one seam that may change them.
pub trait Backprop<M, B> {
    /// The mean loss of the batch and its gradients.
    fn gradients(&mut self, model: &M, batch: B) -> (f64, Gradients);
    /// Told once a step whether the gradients are finite; whether to leave the step out. Otherwise those that are not end the run.
    fn leaves_out(&mut self, _finite: bool) -> bool {
        false
    }
    /// A number of its own for the reports of steps, by name: what has been spent of a budget.
    fn shows(&self) -> Option<(&'static str, f64)> {
        None
    }
    /// The numbers that it remembers, for a checkpoint.
    fn state(&self) -> Vec<f64> {
        vec![]
    }
    /// Takes back what [`Backprop::state`] gave.
    ///
    /// # Errors
    /// What does not fit.
    fn load_state(&mut self, state: &[f64]) -> Result<(), String> {
        if state.is_empty() { Ok(()) } else { Err("the state of another back-propagation".into()) }
    }
    /// The tensors that it carries from a batch to the next, for a checkpoint to go on from; `best.safetensors`, from which no run goes on,
    /// does not have them.
    fn carried(&self) -> Tensors {
        Tensors::new()
    }
    /// Takes back what [`Backprop::carried`] gave.
    ///
    /// # Errors
    /// What does not fit.
    fn load_carried(&mut self, carried: Tensors) -> Result<(), String> {
        if carried.is_empty() { Ok(()) } else { Err("what another back-propagation carries".into()) }
    }
}

/// Reads a model and measures it.
pub trait Evaluate<M> {
    /// Measures `model`, which is on a device without autodiff: dropout is off, statistics stand still.
    ///
    /// # Errors
    /// If the data cannot be read.
    fn evaluate(&mut self, model: &M) -> Result<Evaluation, TrainError>;
}

/// What an evaluation found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    /// How many examples it saw.
    pub examples: usize,
    /// Numbers by name: `loss`, `accuracy`, `perplexity` …
    pub metrics: BTreeMap<String, f64>,
    /// Of a classifier.
    pub confusion: Option<Confusion>,
    /// What a generator makes, for people to look at.
    pub samples: Vec<String>,
}

/// What a callback says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Train on.
    Continue,
    /// End the run after this step; a checkpoint is written.
    Stop,
}

/// A step that is done.
#[derive(Debug, Clone, Copy)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Epochs done.
    pub epoch: f64,
    /// Mean loss of the step's batches.
    pub loss: f64,
    /// Learning rate used.
    pub lr: f64,
    /// Global norm before clipping.
    pub grad_norm: f64,
    /// What [`Backprop::shows`].
    pub shown: Option<(&'static str, f64)>,
}

/// An evaluation that is done.
#[derive(Debug)]
pub struct EvaluationReport<'a> {
    /// Steps done.
    pub step: u64,
    /// What was found.
    pub evaluation: &'a Evaluation,
    /// Whether it is the best so far.
    pub best: bool,
}

/// Sees what happens; may stop; never reaches the model.
pub trait Callback {
    /// After every step.
    ///
    /// # Errors
    /// Ends the run.
    fn on_step(&mut self, _report: &StepReport) -> Result<Flow, TrainError> {
        Ok(Flow::Continue)
    }
    /// After every evaluation.
    ///
    /// # Errors
    /// Ends the run.
    fn on_evaluation(&mut self, _report: &EvaluationReport<'_>) -> Result<Flow, TrainError> {
        Ok(Flow::Continue)
    }
    /// After a checkpoint is safe on disk.
    ///
    /// # Errors
    /// Ends the run.
    fn on_checkpoint(&mut self, _path: &Path) -> Result<(), TrainError> {
        Ok(())
    }
    /// At the end, however it came.
    ///
    /// # Errors
    /// Reported to the caller of the run.
    fn on_end(&mut self) -> Result<(), TrainError> {
        Ok(())
    }
}
