//! Differential privacy for Burn models.
//!
//! [`DpSgd`] is a `Backprop` of the trainer: gradients of each example, clipped, summed, with noise. [`Poisson`] makes the batches that its
//! guarantee counts on, [`accountant`] says what a run costs and how much noise a budget needs, [`check`] names layers that cannot be
//! private, [`audit`] attacks the result.
//!
//! Shapes: `B` examples, `T` positions, `P` elements of a parameter.
//!
//! ```
//! use fornax_privacy::accountant::{Accountant, SubsampledGaussian};
//! // How much noise do 15 epochs over 60,000 examples in batches of about 256 need for (3, 1e-5)?
//! let (rate, steps) = (256.0 / 60_000.0, 15 * 60_000 / 256);
//! let noise = Accountant::Rdp.noise(3.0, 1e-5, rate, steps).unwrap();
//! assert!(noise > 0.6 && noise < 0.8, "{noise}");
//! assert!(Accountant::Prv.epsilon(SubsampledGaussian { rate, noise }, steps, 1e-5) < 3.0);
//! ```
#![recursion_limit = "256"]

/// The Burn that this crate is built on, for those who depend on this crate alone.
pub use burn;

pub mod accountant;
pub mod audit;
pub mod check;
mod clipping;
mod dp_sgd;
mod per_example;
mod piece;
mod poisson;
mod secret;

pub use clipping::Clipping;
pub use dp_sgd::{Clipped, DpSgd, Mechanism};
pub use per_example::PerExample;
pub use poisson::{Build, Drawn, Poisson};
pub use secret::{Secret, SecretError};
