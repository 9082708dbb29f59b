//! What training on Burn needs below the layers: devices by name, fused operations with gradients written by hand (convolution, batch
//! norm, max-pooling, recurrent layers), reductions whose bits do not depend on scheduling, and randomness that is a pure function of a key.
//!
//! This is the only crate that names a backend. The crates above take a [`burn::tensor::Device`].
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use fornax_kernels::device::BackendName;
//! let device = "flex".parse::<BackendName>().unwrap().device(None).unwrap();
//! let x = burn::tensor::Tensor::<1>::from_floats([3.0, 4.0], &device);
//! assert_eq!(fornax_kernels::reduce::sum_of_squares(x), 25.0);
//! # }
//! ```
#![recursion_limit = "256"]

/// The Burn that this crate is built on, for those who depend on this crate alone.
pub use burn;

pub mod activation;
pub mod attention;
pub mod batch_norm;
pub mod conv;
pub mod cross_entropy;
pub mod device;
pub mod embedding;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod gemm;
pub mod layer_norm;
pub mod linear;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod memory;
mod op;
pub mod pool;
pub mod random;
pub mod recurrent;
pub mod reduce;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod scratch;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod simd;
pub mod step;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod transpose;
