//! Why a model said so: attribution methods that read any model through its [`fornax_layers::Tap`] seam.
#![recursion_limit = "256"]

mod grad_cam;
mod heat;

pub use grad_cam::{CamTap, grad_cam};
pub use heat::overlay;
