use crate::Hyper;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// How the decay λ acts, whatever the rule would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// As the rule has it: coupled in SGD and Adam, decoupled in AdamW.
    #[default]
    Rule,
    /// An L2 penalty, through the rule: `gₜ ← gₜ + λ θₜ₋₁`.
    Coupled,
    /// Apart from the rule: `θₜ₋₁ ← (1 − η λ) θₜ₋₁`.
    ///
    /// Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
    Decoupled,
}

impl Decay {
    /// Parameter and gradient as the rule gets them; what acts here is taken from `hyper`.
    pub(crate) fn before(self, hyper: &mut Hyper<'_>, param: Tensor<1>, grad: Tensor<1>) -> (Tensor<1>, Tensor<1>) {
        let decay = hyper.weight_decay;
        if self == Self::Rule || decay == 0.0 {
            return (param, grad);
        }
        hyper.weight_decay = 0.0;
        match self {
            Self::Coupled => (param.clone(), grad + param * decay),
            _ => (param * (1.0 - hyper.lr * decay), grad),
        }
    }
}
