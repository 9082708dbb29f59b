use super::{one_pass, penalized};
use crate::{Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Stochastic gradient descent with momentum, as PyTorch's `SGD`.
///
/// `gₜ ← gₜ + λ θₜ₋₁`; `b₁ = g₁`, `bₜ = μ bₜ₋₁ + (1 − τ) gₜ`; `θₜ = θₜ₋₁ − η bₜ`, or with Nesterov `θₜ = θₜ₋₁ − η (gₜ + μ bₜ)`.
///
/// Source: Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013; as in PyTorch, and unlike there, η
/// stands outside of b, so that a change of η acts at once.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sgd {
    /// μ: 0.
    pub momentum: f64,
    /// τ: 0.
    pub dampening: f64,
    /// Off.
    pub nesterov: bool,
    /// λ, an L2 penalty: 0.
    pub weight_decay: f64,
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<Sgd>("sgd", 1e-3, &[("momentum", Range::Share), ("dampening", Range::UpToOne)]);

impl Rule for Sgd {
    fn slots(&self) -> &'static [&'static str] {
        if self.momentum == 0.0 { &[] } else { &["momentum"] }
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let (param, grad) = match one_pass::sgd(self, &hyper, param, grad, state) {
            Ok(param) => return param,
            Err(as_they_came) => as_they_came,
        };
        let grad = penalized(&hyper, &param, grad);
        if self.momentum == 0.0 {
            return param - grad * hyper.lr;
        }
        let momentum = match state.take("momentum") {
            None => grad.clone(),
            Some(previous) if self.dampening == 0.0 => previous * self.momentum + grad.clone(),
            Some(previous) => previous * self.momentum + grad.clone() * (1.0 - self.dampening),
        };
        state.put("momentum", momentum.clone());
        let update = if self.nesterov { grad + momentum * self.momentum } else { momentum };
        param - update * hyper.lr
    }

    fn conflict(&self) -> Option<(&'static str, &'static str)> {
        match self.nesterov {
            true if self.momentum == 0.0 => Some(("nesterov", "needs momentum above 0")),
            true if self.dampening != 0.0 => Some(("nesterov", "needs dampening of 0")),
            _ => None,
        }
    }
}
