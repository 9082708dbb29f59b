//! Update rules, schedules, clipping and weight averaging, with PyTorch's defaults.
//!
//! A rule is one file and one line in [`RULES`]. Most rules are pure functions of one parameter ([`Rule`], run by [`PerTensor`]); one with
//! state over all of them implements [`Optimizer`] itself.
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use burn::{module::{Module, Param}, tensor::{Device, Tensor}};
//! use fornax_optimizers::{AdamW, Gradients, Optimizer, PerTensor};
//! #[derive(Module, Debug)]
//! struct Point { x: Param<Tensor<1>> }
//! let device = Device::flex().autodiff();
//! let mut point = Point { x: Param::from_tensor(Tensor::from_floats([3.0], &device)) };
//! let mut optimizer = PerTensor::new(AdamW::default());
//! for _ in 0..500 {
//!     let loss = (point.x.val() - 1.0).square().sum();
//!     let gradients = Gradients::of(&loss, &point);
//!     point = optimizer.step(1e-2, point, &gradients);
//! }
//! assert!((point.x.val().into_scalar::<f32>() - 1.0).abs() < 0.05);
//! # }
//! ```
#![recursion_limit = "256"]

/// The Burn that this crate is built on, for those who depend on this crate alone.
pub use burn;

mod adam;
mod adjust;
mod average;
mod decay;
mod gradients;
mod lookahead;
mod loss_scale;
mod parameters;
mod per_tensor;
mod rule;
pub mod schedule;
mod sgd;
pub mod transform;

pub use adam::{Adam, AdamW};
pub use adjust::{Adjust, Change, WidthRule};
pub use average::Average;
pub use decay::Decay;
pub use gradients::Gradients;
pub use lookahead::Lookahead;
pub use loss_scale::LossScale;
pub use parameters::{Parameter, name_matches, parameters};
pub use per_tensor::{Group, Optimizer, PerTensor, StateError};
pub use rule::{Hyper, RULES, Rule, RuleConfig, RuleEntry, State};
pub use schedule::Schedule;
pub use sgd::Sgd;
pub use transform::{Transform, Transformed};
