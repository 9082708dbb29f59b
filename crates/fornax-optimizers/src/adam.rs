use crate::rule::{Hyper, Rule, RuleEntry, State};
use burn::tensor::Tensor;

/// Adam, as PyTorch's: decay is an L2 penalty, `gₜ ← gₜ + λ θₜ₋₁`.
///
/// `mₜ = β₁ mₜ₋₁ + (1 − β₁) gₜ`; `vₜ = β₂ vₜ₋₁ + (1 − β₂) gₜ²`; `θₜ = θₜ₋₁ − η (mₜ / (1 − β₁ᵗ)) / (√(vₜ / (1 − β₂ᵗ)) + ε)`.
///
/// Source: Kingma and Ba, "Adam", 2015.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// β₁: 0.9.
    pub beta1: f64,
    /// β₂: 0.999.
    pub beta2: f64,
    /// ε: 1e-8.
    pub epsilon: f64,
    /// λ: 0.
    pub weight_decay: f64,
}

/// Adam with decay apart from the gradient: `θₜ₋₁ ← (1 − η λ) θₜ₋₁`, then as [`Adam`] without penalty. As PyTorch's.
///
/// Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW(
    /// Its numbers; λ is 1e-2 by default.
    pub Adam,
);

impl Default for Adam {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

impl Default for AdamW {
    fn default() -> Self {
        Self(Adam { weight_decay: 1e-2, ..Adam::default() })
    }
}

fn adam(c: &crate::RuleConfig) -> Adam {
    Adam { beta1: c.beta1, beta2: c.beta2, epsilon: c.epsilon, weight_decay: c.weight_decay }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry { name: "adam", build: |c| Box::new(adam(c)) };
pub(crate) const ENTRY_W: RuleEntry = RuleEntry { name: "adamw", build: |c| Box::new(AdamW(adam(c))) };

impl Adam {
    fn step(&self, lr: f64, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let first = state.take_or_zeros("exp_avg", &grad) * self.beta1 + grad.clone() * (1.0 - self.beta1);
        let second = state.take_or_zeros("exp_avg_sq", &grad) * self.beta2 + grad.clone() * grad * (1.0 - self.beta2);
        let t = state.step as i32;
        let (bias1, bias2) = (1.0 - self.beta1.powi(t), 1.0 - self.beta2.powi(t));
        // η m̂ / (√v̂ + ε), with the two corrections drawn out of the tensors.
        let denominator = second.clone().sqrt() / bias2.sqrt() + self.epsilon;
        let update = first.clone() / denominator * (lr / bias1);
        state.put("exp_avg", first);
        state.put("exp_avg_sq", second);
        param - update
    }
}

const SLOTS: &[&str] = &["exp_avg", "exp_avg_sq"];

impl Rule for Adam {
    fn slots(&self) -> &'static [&'static str] {
        SLOTS
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let grad = if hyper.weight_decay == 0.0 { grad } else { grad + param.clone() * hyper.weight_decay };
        self.step(hyper.lr, param, grad, state)
    }
}

impl Rule for AdamW {
    fn slots(&self) -> &'static [&'static str] {
        SLOTS
    }
    fn weight_decay(&self) -> f64 {
        self.0.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let param = if hyper.weight_decay == 0.0 { param } else { param * (1.0 - hyper.lr * hyper.weight_decay) };
        self.0.step(hyper.lr, param, grad, state)
    }
}
