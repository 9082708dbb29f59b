use super::{axes::AxisMatrices, penalized};
use crate::{
    Hyper, Range, Rule, RuleEntry, State,
    linalg::{identity, symmetric_power},
};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Shampoo: full-matrix Adagrad, one matrix for each axis of a parameter.
///
/// Of each axis i of a parameter with k axes, G being the gradient `gₜ + λ θₜ₋₁` with that axis as rows: `Lᵢ ← Lᵢ + G Gᵀ` from `ε I`;
/// `θₜ = θₜ₋₁ − η L₁^(−1/2k) ⋯ L_k^(−1/2k) gₜ`, each along its axis.
///
/// Source: Gupta, Koren and Singer, "Shampoo: preconditioned stochastic tensor optimization", 2018, algorithms 1 and 2. An axis longer than
/// `max_preconditioner_dim` has no matrix (the paper's has a diagonal one). Powers are taken on the host, at O(n³) for an axis of n: at
/// each of the first `update_every` steps, in which the matrices change most, and then every so many. Raise it for large layers, and ε
/// with it: a gradient in a direction that old powers have not seen is multiplied by as much as `ε^(−1/2k)` for each axis.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shampoo {
    /// ε: 1e-6.
    pub epsilon: f64,
    /// Steps between two computations of the powers: 1.
    pub update_every: u64,
    /// 1024.
    pub max_preconditioner_dim: u64,
    /// λ, an L2 penalty: 0.
    pub weight_decay: f64,
}

impl Default for Shampoo {
    fn default() -> Self {
        Self { epsilon: 1e-6, update_every: 1, max_preconditioner_dim: 1024, weight_decay: 0.0 }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<Shampoo>("shampoo", 1e-3, &[("epsilon", Range::Positive), ("update_every", Range::FromOne)]);

impl Rule for Shampoo {
    fn slots(&self) -> &'static [&'static str] {
        &["statistics", "roots"]
    }
    fn slot_len(&self, _slot: &str, _name: &str, shape: &[usize]) -> Option<usize> {
        let len = AxisMatrices::new(shape, self.max_preconditioner_dim).len();
        (len > 0).then_some(len)
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let grad = penalized(&hyper, &param, grad);
        let axes = AxisMatrices::new(hyper.shape, self.max_preconditioner_dim);
        if axes.len() == 0 {
            return param - grad * hyper.lr;
        }
        let products = axes.products(hyper.shape, &grad);
        let statistics = match state.take("statistics") {
            None => axes.map(&[&products], |_, _, n| identity(n).into_iter().map(|x| x * self.epsilon).collect()) + products,
            Some(before) => before + products,
        };
        let power = -1.0 / (2.0 * hyper.shape.len() as f64);
        let roots = match state.take("roots") {
            Some(roots) if state.step > self.update_every && state.step % self.update_every != 0 => roots,
            _ => axes.map(&[&statistics], |_, matrices, n| symmetric_power(matrices[0], n, power, self.epsilon)),
        };
        let update = axes.apply(hyper.shape, grad, &roots, false);
        state.put("statistics", statistics);
        state.put("roots", roots);
        param - update * hyper.lr
    }
}
