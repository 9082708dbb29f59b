//! The update rules, one a file. Each is a plain struct of its numbers whose `Default` has those of PyTorch or the paper.
//! Each is held, over 50 steps, in both types and in three settings, to a public implementation: PyTorch's, its authors', Optax's or `pytorch_optimizer`'s
//! (`reference/rules.py`).
//!
//! Where to begin:
//!
//! | for | take | memory beside the weights |
//! | --- | --- | --- |
//! | nearly everything | [`AdamW`] | 2 × |
//! | images, with a tuned η | [`Sgd`] with momentum | 1 × |
//! | hidden matrices of transformers | [`Muon`] | 1 ×, and 2 × of embeddings and heads |
//! | the fewest steps, dear ones allowed | [`Soap`], [`Shampoo`] | 2 ×, and two squares of each axis |
//! | little memory | [`Lion`], [`Adafactor`] | 1 ×; a row and a column |
//! | no schedule | [`ScheduleFreeAdamW`], [`ScheduleFreeSgd`] | 2 ×, 1 × |
//! | no learning rate | [`Prodigy`], [`DAdaptAdam`] | 4 ×, 3 × |
//! | very large batches | [`Lamb`], [`Lars`] | 2 ×, 1 × |
//! | smooth losses over the whole set | [`Lbfgs`](crate::Lbfgs), [`Rprop`] | 200 ×, 2 × |

use crate::{Hyper, RuleEntry, State};
use burn::tensor::Tensor;
use fornax_kernels::reduce::{sum, sum_of_squares};

mod adabelief;
mod adadelta;
mod adafactor;
mod adagrad;
mod adam;
mod adamax;
mod adan;
mod ademamix;
mod amsgrad;
mod axes;
mod cautious;
mod d_adapt_adam;
mod grokfast;
mod lamb;
mod lars;
mod lion;
mod mars;
mod muon;
mod nadam;
mod one_pass;
mod prodigy;
mod radam;
mod rmsprop;
mod rprop;
mod schedule_free;
mod sgd;
mod shampoo;
mod soap;
mod sophia;
mod yogi;

pub use adabelief::AdaBelief;
pub use adadelta::Adadelta;
pub use adafactor::Adafactor;
pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use adamax::Adamax;
pub use adan::Adan;
pub use ademamix::AdEMAMix;
pub use amsgrad::AmsGrad;
pub use cautious::{CautiousAdamW, CautiousLion};
pub use d_adapt_adam::DAdaptAdam;
pub use grokfast::GrokfastAdamW;
pub use lamb::Lamb;
pub use lars::Lars;
pub use lion::Lion;
pub use mars::Mars;
pub use muon::Muon;
pub use nadam::NAdam;
pub use prodigy::Prodigy;
pub use radam::RAdam;
pub use rmsprop::RmsProp;
pub use rprop::Rprop;
pub use schedule_free::{ScheduleFreeAdamW, ScheduleFreeSgd};
pub use sgd::Sgd;
pub use shampoo::Shampoo;
pub use soap::Soap;
pub use sophia::SophiaG;
pub use yogi::Yogi;

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
    crate::lbfgs::ENTRY,
    adafactor::ENTRY,
    muon::ENTRY,
    lion::ENTRY,
    schedule_free::ENTRY,
    schedule_free::ENTRY_ADAMW,
    soap::ENTRY,
    prodigy::ENTRY,
    lamb::ENTRY,
    lars::ENTRY,
    adabelief::ENTRY,
    yogi::ENTRY,
    adan::ENTRY,
    ademamix::ENTRY,
    d_adapt_adam::ENTRY,
    sophia::ENTRY,
    shampoo::ENTRY,
    mars::ENTRY,
    cautious::ENTRY,
    cautious::ENTRY_LION,
    grokfast::ENTRY,
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

/// `‖x‖₁`, on the host.
fn norm_of_one(x: &Tensor<1>) -> f64 {
    sum(x.clone().abs())
}
