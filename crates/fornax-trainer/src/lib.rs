//! A training loop with three seams and exact resume.
//!
//! [`Backprop`] alone turns batches into gradients, [`Evaluate`] reads a model and returns numbers, a [`Callback`] sees reports and may
//! stop; none of them knows the others. [`fit`] owns the rest: accumulation, clipping, schedule, averaging of weights, evaluation,
//! checkpoints, early stopping. A run that is killed and resumed ends in the same bits as one that is not.
//!
//! The trainer names no model, no optimizer and no data set.
#![recursion_limit = "256"]

/// The Burn that this crate is built on, for those who depend on this crate alone.
pub use burn;

mod backprop;
mod bleu;
pub mod checkpoint;
mod config;
mod error;
mod fit;
pub mod lr_finder;
pub mod metrics;
mod progress;
pub mod report;
mod run_dir;
mod sam;
mod seams;
mod sequence_errors;
pub mod system;
mod tensorboard;

pub use backprop::{Plain, Scaled};
pub use config::TrainConfig;
pub use error::TrainError;
pub use fit::{Ended, Fit, Outcome, fit};
pub use progress::ProgressBar;
pub use run_dir::RunDir;
pub use sam::Sam;
pub use seams::{Backprop, Batches, Callback, Evaluate, Evaluation, EvaluationReport, Flow, SourceError, StepReport};
pub use tensorboard::TensorBoard;
