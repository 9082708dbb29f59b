//! Training and using neural networks in Rust, on Burn: the crates of Fornax under one name.
//!
//! ```
//! use fornax::{architectures::{ImageClassifier, LeNet5Config}, kernels::device::BackendName};
//! use burn::tensor::Tensor;
//! # fn main() -> Result<(), fornax::kernels::device::DeviceError> {
//! let device = BackendName::Flex.device(None)?;
//! let logits = LeNet5Config::mnist().init(&device).forward(Tensor::ones([1, 1, 28, 28], &device));
//! assert_eq!(logits.dims(), [1, 10]);
//! # Ok(()) }
//! ```

pub use fornax_architectures as architectures;
pub use fornax_data as data;
pub use fornax_explain as explain;
pub use fornax_kernels as kernels;
pub use fornax_kernels::burn;
pub use fornax_layers as layers;
pub use fornax_optimizers as optimizers;
pub use fornax_privacy as privacy;
pub use fornax_trainer as trainer;
pub use fornax_weights as weights;
