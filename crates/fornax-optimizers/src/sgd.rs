use crate::rule::{Hyper, Rule, RuleEntry, State};
use burn::tensor::Tensor;

/// Stochastic gradient descent with momentum, as PyTorch's `SGD`.
///
/// `gₜ ← gₜ + λ θₜ₋₁`; `b₁ = g₁`, `bₜ = μ bₜ₋₁ + gₜ`; `θₜ = θₜ₋₁ − η bₜ`, or with Nesterov `θₜ = θₜ₋₁ − η (gₜ + μ bₜ)`.
///
/// Source: Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sgd {
    /// μ: 0.
    pub momentum: f64,
    /// Off.
    pub nesterov: bool,
    /// λ, an L2 penalty: 0.
    pub weight_decay: f64,
}

pub(crate) const ENTRY: RuleEntry =
    RuleEntry { name: "sgd", build: |c| Box::new(Sgd { momentum: c.momentum, nesterov: c.nesterov, weight_decay: c.weight_decay }) };

impl Rule for Sgd {
    fn slots(&self) -> &'static [&'static str] {
        if self.momentum == 0.0 { &[] } else { &["momentum"] }
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let grad = if hyper.weight_decay == 0.0 { grad } else { grad + param.clone() * hyper.weight_decay };
        if self.momentum == 0.0 {
            return param - grad * hyper.lr;
        }
        let momentum = match state.take("momentum") {
            None => grad.clone(),
            Some(previous) => previous * self.momentum + grad.clone(),
        };
        state.put("momentum", momentum.clone());
        let update = if self.nesterov { grad + momentum * self.momentum } else { momentum };
        param - update * hyper.lr
    }
}
