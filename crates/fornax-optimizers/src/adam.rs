use crate::rule::{Hyper, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use fornax_kernels::step;

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

/// How λ acts.
#[derive(Debug, Clone, Copy)]
enum Decay {
    /// As an L2 penalty, in the gradient.
    Coupled(f64),
    /// On the parameter itself.
    Decoupled(f64),
}

impl Decay {
    fn coupled(self) -> f64 {
        if let Self::Coupled(decay) = self { decay } else { 0.0 }
    }
    fn decoupled(self) -> f64 {
        if let Self::Decoupled(decay) = self { decay } else { 0.0 }
    }
    fn apply(self, lr: f64, param: Tensor<1>, grad: Tensor<1>) -> (Tensor<1>, Tensor<1>) {
        match self {
            Self::Coupled(0.0) | Self::Decoupled(0.0) => (param, grad),
            Self::Coupled(decay) => (param.clone(), grad + param * decay),
            Self::Decoupled(decay) => (param * (1.0 - lr * decay), grad),
        }
    }
}

/// [`Adam`] and [`AdamW`] in one pass, rounded as the operations of [`Adam::step`].
#[derive(Debug)]
struct Pass {
    /// β
    keep: [f32; 2],
    /// `1 − β`
    take: [f32; 2],
    epsilon: f32,
    /// `η / (1 − β₁ᵗ)`
    size: f32,
    /// `√(1 − β₂ᵗ)`
    root: f32,
    /// `1 − η λ`, decoupled
    shrink: f32,
    /// λ, coupled
    penalty: f32,
}

impl step::Update<2> for Pass {
    #[inline(always)]
    fn update(&self, param: &mut [f32], grad: &[f32], [first, second]: [&mut [f32]; 2]) {
        for (((p, g), m), v) in param.iter_mut().zip(grad).zip(first).zip(second) {
            let g = g + *p * self.penalty;
            *m = *m * self.keep[0] + g * self.take[0];
            *v = *v * self.keep[1] + g * g * self.take[1];
            let denominator = v.sqrt() / self.root + self.epsilon;
            *p = *p * self.shrink - *m / denominator * self.size;
        }
    }
}

impl Adam {
    fn step(&self, lr: f64, decay: Decay, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let (first, second) = (state.take_or_zeros("exp_avg", &grad), state.take_or_zeros("exp_avg_sq", &grad));
        let t = state.step as i32;
        let (bias1, bias2) = (1.0 - self.beta1.powi(t), 1.0 - self.beta2.powi(t));
        let slots = [first, second];
        if step::takes(&param, &grad, &slots) {
            let pass = Pass {
                keep: [self.beta1 as f32, self.beta2 as f32],
                take: [(1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32],
                epsilon: self.epsilon as f32,
                size: (lr / bias1) as f32,
                root: bias2.sqrt() as f32,
                shrink: (1.0 - lr * decay.decoupled()) as f32,
                penalty: decay.coupled() as f32,
            };
            let (param, [first, second]) = step::step(pass, param, grad, slots);
            state.put("exp_avg", first);
            state.put("exp_avg_sq", second);
            return param;
        }
        let [first, second] = slots;
        let (param, grad) = decay.apply(lr, param, grad);
        let first = first * self.beta1 + grad.clone() * (1.0 - self.beta1);
        let second = second * self.beta2 + grad.clone() * grad * (1.0 - self.beta2);
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
        self.step(hyper.lr, Decay::Coupled(hyper.weight_decay), param, grad, state)
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
        self.0.step(hyper.lr, Decay::Decoupled(hyper.weight_decay), param, grad, state)
    }
}
