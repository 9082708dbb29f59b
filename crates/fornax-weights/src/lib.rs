//! Weights of Burn models as safetensors, with the names of the modules' fields: `features.0.conv.weight`.
//!
//! Writing is atomic: a file is whole or absent. Reading never trusts the file: every length is checked against it, and a
//! file of Fornax carries a SHA-256 over names, shapes, bytes and metadata. The tensors of ONNX files are read too ([`read_onnx`]).
//!
//! ```no_run
//! # fn f(model: burn::nn::Linear) -> Result<(), fornax_weights::WeightError> {
//! use fornax_weights::{TensorFile, load_state, state};
//! TensorFile::new(state(&model)).write("linear.safetensors".as_ref())?;
//! let model = load_state(model, &TensorFile::read("linear.safetensors".as_ref())?.tensors, "")?;
//! # Ok(()) }
//! ```
#![recursion_limit = "256"]

/// The Burn that this crate is built on, for those who depend on this crate alone.
pub use burn;

pub mod atomic;
mod file;
mod onnx;
mod protobuf;
mod state;

pub use file::{TensorFile, Tensors, read_tensors, sha256_of};
pub use onnx::{onnx_from_bytes, read_onnx};
pub use state::{ModulePath, count_trainable, load_state, names_by_id, state};

use std::path::PathBuf;

/// Why weights could not be read, written or loaded.
#[derive(Debug, thiserror::Error)]
pub enum WeightError {
    /// The system refused.
    #[error("cannot {doing}: {source}: {}", path.display())]
    Io {
        /// `read`, `write` …
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// Not a file of weights, or a damaged one.
    #[error("damaged or foreign weight file: {why}: {}", path.display())]
    Damaged {
        /// What is wrong with it.
        why: String,
        /// The file.
        path: PathBuf,
    },
    /// The file lacks what the model needs.
    #[error("the weights lack {count} tensor(s) that the model needs, first `{first}`; they belong to another model")]
    Missing {
        /// How many.
        count: usize,
        /// The first by name.
        first: String,
    },
    /// The file has what the model does not know.
    #[error("the weights hold {count} tensor(s) that the model does not have, first `{first}`; they belong to another model")]
    Unexpected {
        /// How many.
        count: usize,
        /// The first by name.
        first: String,
    },
    /// Same name, another shape.
    #[error("`{name}` has shape {found:?} in the weights and {wanted:?} in the model")]
    Shape {
        /// The tensor.
        name: String,
        /// In the file.
        found: Vec<usize>,
        /// In the model.
        wanted: Vec<usize>,
    },
}

impl WeightError {
    pub(crate) fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { doing, source, path }
    }
}
