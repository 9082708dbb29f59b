use super::{average, penalized, square};
use crate::{Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// RMSprop, as PyTorch's.
///
/// `gₜ ← gₜ + λ θₜ₋₁`; `vₜ = α vₜ₋₁ + (1 − α) gₜ²`; centered, `ḡₜ = α ḡₜ₋₁ + (1 − α) gₜ` and `vₜ − ḡₜ²` in place of `vₜ`;
/// `uₜ = gₜ / (√vₜ + ε)`; with momentum, `bₜ = μ bₜ₋₁ + uₜ` in place of `uₜ`; `θₜ = θₜ₋₁ − η uₜ`.
///
/// Source: Hinton's lecture 6e, "Neural networks for machine learning", 2012; centered: Graves, "Generating sequences with recurrent neural
/// networks", 2013. As in PyTorch ε stands outside of the root; TensorFlow has it inside.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RmsProp {
    /// α: 0.99.
    pub alpha: f64,
    /// ε: 1e-8.
    pub epsilon: f64,
    /// μ: 0.
    pub momentum: f64,
    /// Off.
    pub centered: bool,
    /// λ, an L2 penalty: 0.
    pub weight_decay: f64,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self { alpha: 0.99, epsilon: 1e-8, momentum: 0.0, centered: false, weight_decay: 0.0 }
    }
}

pub(crate) const ENTRY: RuleEntry =
    RuleEntry::new::<RmsProp>("rmsprop", 1e-2, &[("alpha", Range::Share), ("epsilon", Range::Positive), ("momentum", Range::Share)]);

impl Rule for RmsProp {
    fn slots(&self) -> &'static [&'static str] {
        match (self.centered, self.momentum > 0.0) {
            (false, false) => &["square_avg"],
            (false, true) => &["square_avg", "momentum"],
            (true, false) => &["square_avg", "grad_avg"],
            (true, true) => &["square_avg", "grad_avg", "momentum"],
        }
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let grad = penalized(&hyper, &param, grad);
        let mut squares = average(state, "square_avg", square(&grad), self.alpha);
        if self.centered {
            // A variance is 0 or above; a rounding below would be a NaN in the root.
            squares = (squares - square(&average(state, "grad_avg", grad.clone(), self.alpha))).clamp_min(0.0);
        }
        let mut update = grad / (squares.sqrt() + self.epsilon);
        if self.momentum > 0.0 {
            update = match state.take("momentum") {
                None => update,
                Some(previous) => previous * self.momentum + update,
            };
            state.put("momentum", update.clone());
        }
        param - update * hyper.lr
    }
}
