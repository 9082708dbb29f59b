use super::{Adam, average, decayed};
use crate::{Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Momentum made orthogonal, for hidden matrices; AdamW for everything else.
///
/// `bₜ = μ bₜ₋₁ + (1 − μ) gₜ`; `uₜ = NS((1 − μ) gₜ + μ bₜ)`, or without Nesterov `NS(bₜ)`; `θₜ = (1 − η λ) θₜ₋₁ − η s uₜ`, with
/// `s = √max(1, outputs / inputs)`, or with `match_rms_adamw` `0.2 √max(outputs, inputs)`, at which AdamW's η and λ suit Muon too.
/// `NS(X)`: `X ← X / ‖X‖`, then `ns_steps` times `X ← a X + (b A + c A²) X`, `A = X Xᵀ`, `(a, b, c) = (3.4445, −4.7750, 2.0315)`.
///
/// AdamW gets vectors and parameters whose name contains one of the words in `adamw_names`: embeddings and heads. Kernels of
/// convolutions are matrices with one row an output channel.
///
/// Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; `match_rms_adamw`: Liu et al., "Muon is scalable for
/// LLM training", 2025. As PyTorch's `Muon`, which leaves the choice of parameters to the user and iterates in bfloat16; here it is the parameter's type.
/// Linear weights are `[inputs, outputs]` in Burn and are taken as such.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Muon {
    /// μ: 0.95.
    pub momentum: f64,
    /// On.
    pub nesterov: bool,
    /// 5.
    pub ns_steps: u64,
    /// The least `‖X‖` to divide by: 1e-7.
    pub epsilon: f64,
    /// Off.
    pub match_rms_adamw: bool,
    /// λ, of AdamW too: 0.1.
    pub weight_decay: f64,
    /// Words separated by commas: "embed,token,position,head".
    pub adamw_names: String,
    /// Multiplies η for AdamW: 1.
    pub adamw_lr_scale: f64,
    /// β₁ of AdamW: 0.9.
    pub adamw_beta1: f64,
    /// β₂ of AdamW: 0.95.
    pub adamw_beta2: f64,
    /// ε of AdamW: 1e-8.
    pub adamw_epsilon: f64,
}

impl Default for Muon {
    fn default() -> Self {
        Self {
            momentum: 0.95,
            nesterov: true,
            ns_steps: 5,
            epsilon: 1e-7,
            match_rms_adamw: false,
            weight_decay: 0.1,
            adamw_names: "embed,token,position,head".into(),
            adamw_lr_scale: 1.0,
            adamw_beta1: 0.9,
            adamw_beta2: 0.95,
            adamw_epsilon: 1e-8,
        }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<Muon>(
    "muon",
    1e-3,
    &[
        ("momentum", Range::Share),
        ("ns_steps", Range::FromOne),
        ("epsilon", Range::Positive),
        ("adamw_lr_scale", Range::Positive),
        ("adamw_beta1", Range::Share),
        ("adamw_beta2", Range::Share),
        ("adamw_epsilon", Range::Positive),
    ],
);

/// Jordan's quintic.
const QUINTIC: [f64; 3] = [3.4445, -4.7750, 2.0315];

/// The nearest semi-orthogonal matrix, roughly: singular values end between 0.7 and 1.2.
fn orthogonalized(x: Tensor<2>, steps: u64, epsilon: f64) -> Tensor<2> {
    let [rows, columns] = x.dims();
    if rows > columns {
        // The Gram matrix of the shorter side.
        return orthogonalized(x.transpose(), steps, epsilon).transpose();
    }
    let length = super::norm(&x.clone().reshape([rows * columns])).max(epsilon);
    let [a, b, c] = QUINTIC;
    (0..steps).fold(x / length, |x, _| {
        let gram = x.clone().matmul(x.clone().transpose());
        let update = gram.clone() * b + gram.clone().matmul(gram) * c;
        x.clone() * a + update.matmul(x)
    })
}

impl Muon {
    fn is_hidden_matrix(&self, name: &str, shape: &[usize]) -> bool {
        shape.len() >= 2 && !self.adamw_names.split(',').map(str::trim).any(|word| !word.is_empty() && name.contains(word))
    }

    /// s
    fn scale(&self, shape: &[usize]) -> f64 {
        let rest: usize = shape[1..].iter().product();
        let [outputs, inputs] = if shape.len() == 2 { [shape[1], shape[0]] } else { [shape[0], rest] }.map(|n| n as f64);
        if self.match_rms_adamw { 0.2 * outputs.max(inputs).sqrt() } else { (outputs / inputs).max(1.0).sqrt() }
    }
}

impl Rule for Muon {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq", "momentum"]
    }
    fn slot_len(&self, slot: &str, name: &str, shape: &[usize]) -> Option<usize> {
        (self.is_hidden_matrix(name, shape) == (slot == "momentum")).then(|| shape.iter().product())
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        if !self.is_hidden_matrix(hyper.name, hyper.shape) {
            let hyper = Hyper { lr: hyper.lr * self.adamw_lr_scale, ..hyper };
            let adam = Adam { beta1: self.adamw_beta1, beta2: self.adamw_beta2, epsilon: self.adamw_epsilon, weight_decay: 0.0 };
            return decayed(&hyper, param) - adam.step(hyper.lr, grad, state);
        }
        let momentum = average(state, "momentum", grad.clone(), self.momentum);
        let update = if self.nesterov { grad * (1.0 - self.momentum) + momentum * self.momentum } else { momentum };
        let (n, rows) = (update.dims()[0], hyper.shape[0]);
        let update = orthogonalized(update.reshape([rows, n / rows]), self.ns_steps, self.epsilon);
        decayed(&hyper, param) - update.reshape([n]) * (hyper.lr * self.scale(hyper.shape))
    }
}
