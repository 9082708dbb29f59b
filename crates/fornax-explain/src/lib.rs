//! Why a model said so: attribution methods that read any model through a closure or its [`fornax_layers::Tap`] seam, and measures of them.
#![recursion_limit = "256"]

/// The Burn that this crate is built on, for those who depend on this crate alone.
pub use burn;

mod curves;
mod feature_ablation;
mod features;
mod gauss_legendre;
mod grad_cam;
mod heat;
mod infidelity;
mod input_x_gradient;
mod integrated_gradients;
mod layer;
mod methods;
mod noise_tunnel;
mod occlusion;
mod saliency;
mod score;
mod sensitivity;
mod shapley;

pub use curves::{Curve, deletion, insertion};
pub use feature_ablation::feature_ablation;
pub use features::Features;
pub use grad_cam::{CamTap, grad_cam};
pub use heat::overlay;
pub use infidelity::infidelity;
pub use input_x_gradient::input_x_gradient;
pub use integrated_gradients::{Integrated, integrated_gradients};
pub use layer::{LayerTap, layer_activation, layer_conductance};
pub use methods::{METHODS, Method, Question};
pub use noise_tunnel::{Smooth, noise_tunnel, normal_noise};
pub use occlusion::occlusion;
pub use saliency::saliency;
pub use sensitivity::sensitivity_max;
pub use shapley::{random_orders, shapley_sampling};
