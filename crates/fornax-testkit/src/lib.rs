//! Contracts that Fornax's tests share. A dev-dependency: crates use it from `tests/*.rs`, never from their own unit tests, so that
//! both sides see the same types.
//!
//! - [`device`] and [`devices`]: where tests run; `FORNAX_TEST_BACKEND=flex|ndarray|tch` picks one.
//! - [`reference`](reference()): the fixtures that `reference/generate.py` writes.
//! - [`assert_close`] and the contracts: [`check_gradients`], [`check_module_gradients`], [`check_layer`], [`check_classifier`],
//!   [`check_optimizer`], [`check_rule`].
#![recursion_limit = "256"]

mod case;
mod classifier;
mod close;
mod device;
mod gradients;
mod layer;
mod module;
mod reference;
mod rule;

pub use case::{assert_exact, check_case, each_case, sigmoid_precision};
pub use classifier::{Classifier, check_classifier};
pub use close::{Values, assert_close, assert_near, bits, uniform};
pub use device::{backends, device, devices};
pub use gradients::{check_gradients, check_module_gradients};
pub use layer::check_layer;
pub use module::{parameters, to_dtype, with_parameters};
pub use reference::{Reference, reference};
pub use rule::{Pair, check_optimizer, check_rule, follow};
