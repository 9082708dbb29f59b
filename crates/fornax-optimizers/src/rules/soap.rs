use super::{average, axes::AxisMatrices, bias, decayed, square};
use crate::{
    Hyper, Range, Rule, RuleEntry, State,
    linalg::{columns, descending, orthogonal_factor, product, symmetric_eigen},
};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// SOAP: Adam in the eigenbasis of Shampoo's matrices.
///
/// Of each axis of a parameter, G being the gradient with that axis as rows: `Lₜ = β Lₜ₋₁ + (1 − β) G Gᵀ`, with eigenvectors Q: whole at the first
/// step, and by one power iteration and QR every `precondition_frequency` steps. `mₜ = β₁ mₜ₋₁ + (1 − β₁) gₜ`; in the basis of all Q,
/// `vₜ = β₂ vₜ₋₁ + (1 − β₂) (Qᵀ gₜ)²`; `θₜ = (1 − η λ) (θₜ₋₁ − η √(1 − β₂ᵗ) / (1 − β₁ᵗ) · Q (Qᵀ mₜ / (√vₜ + ε)))`. The first step only
/// sets up the basis: t counts from the second. Vectors take Adam's step without a basis.
///
/// Source: Vyas et al., "SOAP: improving and stabilizing Shampoo using Adam", 2024, and its code. An axis longer than
/// `max_precondition_dim` has no matrix. Bases are computed on the host, at O(n³) for an axis of n.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Soap {
    /// β₁: 0.95.
    pub beta1: f64,
    /// β₂: 0.95.
    pub beta2: f64,
    /// β: 0 for β₂.
    pub shampoo_beta: f64,
    /// ε: 1e-8.
    pub epsilon: f64,
    /// 10.
    pub precondition_frequency: u64,
    /// 10000.
    pub max_precondition_dim: u64,
    /// λ: 0.01.
    pub weight_decay: f64,
}

impl Default for Soap {
    fn default() -> Self {
        Self {
            beta1: 0.95,
            beta2: 0.95,
            shampoo_beta: 0.0,
            epsilon: 1e-8,
            precondition_frequency: 10,
            max_precondition_dim: 10_000,
            weight_decay: 1e-2,
        }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<Soap>(
    "soap",
    3e-3,
    &[
        ("beta1", Range::Share),
        ("beta2", Range::Share),
        ("shampoo_beta", Range::Share),
        ("epsilon", Range::Positive),
        ("precondition_frequency", Range::FromOne),
    ],
);

impl Soap {
    fn shampoo_beta(&self) -> f64 {
        if self.shampoo_beta == 0.0 { self.beta2 } else { self.shampoo_beta }
    }

    fn axes(&self, shape: &[usize]) -> AxisMatrices {
        AxisMatrices::new(shape, if shape.len() < 2 { 0 } else { self.max_precondition_dim })
    }

    /// One power iteration on every basis; the second moments follow where it changes the order.
    fn refine(axes: &AxisMatrices, shape: &[usize], products: &Tensor<1>, state: &mut State) {
        let (Some(bases), Some(mut second)) = (state.take("bases"), state.take("exp_avg_sq")) else { return };
        let new = axes.map(&[products, &bases], |axis, matrices, n| {
            let (matrix, basis) = (matrices[0], matrices[1]);
            let moved = product(matrix, basis, n);
            let values: Vec<f64> = (0..n).map(|j| (0..n).map(|i| basis[i * n + j] * moved[i * n + j]).sum()).collect();
            let order = descending(&values);
            second = permuted(&second, shape, axis, &order);
            orthogonal_factor(&columns(&moved, n, &order), n)
        });
        state.put("bases", new);
        state.put("exp_avg_sq", second);
    }
}

/// A flat tensor with one axis in another order.
fn permuted(x: &Tensor<1>, shape: &[usize], axis: usize, order: &[usize]) -> Tensor<1> {
    let (before, after): (usize, usize) = (shape[..axis].iter().product(), shape[axis + 1..].iter().product());
    let total = x.dims()[0];
    let x3: Tensor<3> = x.clone().reshape([before, order.len(), after]);
    Tensor::cat(order.iter().map(|&i| x3.clone().narrow(1, i, 1)).collect(), 1).reshape([total])
}

impl Rule for Soap {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq", "products", "bases"]
    }
    fn slot_len(&self, slot: &str, _name: &str, shape: &[usize]) -> Option<usize> {
        let len = match slot {
            "products" | "bases" => self.axes(shape).len(),
            _ => return Some(shape.iter().product()),
        };
        (len > 0).then_some(len)
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let axes = self.axes(hyper.shape);
        let plain = axes.len() == 0;
        if state.step == 1 {
            if !plain {
                let products = axes.products(hyper.shape, &grad) * (1.0 - self.shampoo_beta());
                state.put("bases", axes.map(&[&products], |_, matrices, n| symmetric_eigen(matrices[0], n).1));
                state.put("products", products);
            }
            state.put("exp_avg", grad.zeros_like());
            state.put("exp_avg_sq", grad.zeros_like());
            return param;
        }
        let t = state.step - 1;
        let bases = state.get("bases").cloned();
        let project = |x: Tensor<1>, back: bool| match &bases {
            Some(bases) => axes.apply(hyper.shape, x, bases, back),
            None => x,
        };
        let first = average(state, "exp_avg", grad.clone(), self.beta1);
        let second = average(state, "exp_avg_sq", square(&project(grad.clone(), false)), self.beta2);
        let update = project(project(first, false) / (second.sqrt() + self.epsilon), true);
        let step = hyper.lr * bias(self.beta2, t).sqrt() / bias(self.beta1, t);
        let moved = decayed(&hyper, param - update * step);
        if !plain {
            let products = average(state, "products", axes.products(hyper.shape, &grad), self.shampoo_beta());
            if t % self.precondition_frequency == 0 {
                Self::refine(&axes, hyper.shape, &products, state);
            }
        }
        moved
    }
}
