//! Update rules, schedules, clipping and weight averaging, with PyTorch's defaults.
//!
//! A rule is one file under [`rules`] and one line in [`RULES`]. Rules are pure functions of one parameter ([`Rule`], run by [`PerTensor`]), and may keep numbers
//! over all of them; what takes all parameters for one vector ([`Lbfgs`]) implements [`Optimizer`] itself.
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

mod adjust;
mod average;
mod config;
mod decay;
mod gradients;
mod lbfgs;
mod linalg;
mod lookahead;
mod loss_scale;
mod optimizer;
mod parameters;
mod per_tensor;
mod rule;
pub mod rules;
pub mod schedule;
pub mod transform;

pub use adjust::{Adjust, Change, WidthRule};
pub use average::Average;
pub use config::{Options, Range, RuleConfig, RuleEntry, RuleError};
pub use decay::Decay;
pub use gradients::Gradients;
pub use lbfgs::{Budget, Lbfgs, LbfgsConfig, LineSearch};
pub use lookahead::Lookahead;
pub use loss_scale::LossScale;
pub use optimizer::{Configured, Optimizer, StateError};
pub use parameters::{Parameter, name_matches, parameters};
pub use per_tensor::{Group, PerTensor};
pub use rule::{Hyper, Numbers, Rule, State};
pub use rules::{Adam, AdamW, RULES, Sgd};
pub use schedule::Schedule;
pub use transform::{Transform, Transformed};
