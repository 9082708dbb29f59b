//! The update rules, one a file. Each is a plain struct of its numbers whose `Default` has those of PyTorch or the paper.

use crate::{Hyper, RuleEntry, State};
use burn::tensor::Tensor;
use fornax_kernels::reduce::sum_of_squares;

mod adadelta;
mod adafactor;
mod adagrad;
mod adam;
mod adamax;
mod amsgrad;
mod nadam;
mod radam;
mod rmsprop;
mod rprop;
mod sgd;

pub use adadelta::Adadelta;
pub use adafactor::Adafactor;
pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use adamax::Adamax;
pub use amsgrad::AmsGrad;
pub use nadam::NAdam;
pub use radam::RAdam;
pub use rmsprop::RmsProp;
pub use rprop::Rprop;
pub use sgd::Sgd;

pub(crate) use adam::ENTRY_W as ADAMW;

/// Every rule by name.
pub const RULES: &[RuleEntry] = &[
    sgd::ENTRY,
    adagrad::ENTRY,
    adadelta::ENTRY,
    rmsprop::ENTRY,
    rprop::ENTRY,
    adam::ENTRY,
    adam::ENTRY_W,
    amsgrad::ENTRY,
    adamax::ENTRY,
    nadam::ENTRY,
    radam::ENTRY,
    adafactor::ENTRY,
];

/// Decay as an L2 penalty: `gₜ + λ θₜ₋₁`.
fn penalized(hyper: &Hyper<'_>, param: &Tensor<1>, grad: Tensor<1>) -> Tensor<1> {
    if hyper.weight_decay == 0.0 { grad } else { grad + param.clone() * hyper.weight_decay }
}

/// Decay apart from the gradient: `(1 − η λ) θₜ₋₁`.
fn decayed(hyper: &Hyper<'_>, param: Tensor<1>) -> Tensor<1> {
    if hyper.weight_decay == 0.0 { param } else { param * (1.0 - hyper.lr * hyper.weight_decay) }
}

/// One of the two: what a flag `decoupled_weight_decay` of PyTorch chooses.
fn decay(decoupled: bool, hyper: &Hyper<'_>, param: Tensor<1>, grad: Tensor<1>) -> (Tensor<1>, Tensor<1>) {
    if decoupled {
        return (decayed(hyper, param), grad);
    }
    let grad = penalized(hyper, &param, grad);
    (param, grad)
}

/// Moves an average on and gives it: `aₜ = β aₜ₋₁ + (1 − β) xₜ` from `a₀ = 0`.
fn average(state: &mut State, slot: &'static str, x: Tensor<1>, beta: f64) -> Tensor<1> {
    let new = match state.take(slot) {
        None => x * (1.0 - beta),
        Some(old) => old * beta + x * (1.0 - beta),
    };
    state.put(slot, new.clone());
    new
}

/// `1 − βᵗ`: what an average from 0 falls short of after t steps.
fn bias(beta: f64, step: u64) -> f64 {
    1.0 - beta.powf(step as f64)
}

fn square(x: &Tensor<1>) -> Tensor<1> {
    x.clone() * x.clone()
}

/// `‖x‖`, on the host.
fn norm(x: &Tensor<1>) -> f64 {
    sum_of_squares(x.clone()).sqrt()
}
