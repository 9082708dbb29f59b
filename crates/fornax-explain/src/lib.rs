//! Why a model said so: attribution methods that read any model through its [`fornax_layers::Tap`] seam.
#![recursion_limit = "256"]

/// The Burn that this crate is built on, for those who depend on this crate alone.
pub use burn;

mod grad_cam;
mod heat;

pub use grad_cam::{CamTap, grad_cam};
pub use heat::overlay;
