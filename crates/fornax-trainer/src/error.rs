use fornax_weights::WeightError;
use std::path::PathBuf;

/// Why training stopped, or could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The loss or a gradient is NaN or infinite.
    #[error("{what} is {value} at step {step}; {checkpoint}; try a lower optimizer.lr or set trainer.clip_norm")]
    NonFinite {
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// NaN or ±∞.
        value: f64,
        /// The step, from 0.
        step: u64,
        /// What there is to go back to.
        checkpoint: String,
    },
    /// A batch could not be read.
    #[error("batch {batch} of epoch {epoch}: {source}")]
    Data {
        /// From 0.
        epoch: u64,
        /// From 0.
        batch: usize,
        /// What the source said.
        source: crate::SourceError,
    },
    /// There is nothing to train on.
    #[error("the training set gives no batch: it has fewer examples than trainer.batch_size, or none")]
    NoBatches,
    /// A checkpoint or weight file.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// A checkpoint that does not fit.
    #[error("checkpoint refused: {why}: {}", path.display())]
    Checkpoint {
        /// What is wrong.
        why: String,
        /// The file.
        path: PathBuf,
    },
    /// The metric that decides which checkpoint is best.
    #[error("trainer.monitor = `{wanted}`, but the evaluation gives {given}")]
    Monitor {
        /// As set.
        wanted: String,
        /// What there is.
        given: String,
    },
    /// The system refused.
    #[error("cannot {doing}: {source}: {}", path.display())]
    Io {
        /// `write`, `create` …
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
        /// The file or folder.
        path: PathBuf,
    },
    /// A seam of the caller's failed.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl TrainError {
    pub(crate) fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { doing, source, path }
    }
}
