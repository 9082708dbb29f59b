use crate::rule::{Hyper, Rule, RuleEntry, State};
use burn::tensor::Tensor;
use fornax_kernels::step;

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
        let (momentum, decay) = (self.momentum, hyper.weight_decay);
        let penalized = |param: &Tensor<1>, grad: Tensor<1>| if decay == 0.0 { grad } else { grad + param.clone() * decay };
        if momentum == 0.0 {
            let grad = penalized(&param, grad);
            return param - grad * hyper.lr;
        }
        // b₁ = g₁ is μ b₀ + g₁ with b₀ = 0.
        let slots = [state.take_or_zeros("momentum", &grad)];
        if step::takes(&param, &grad, &slots) {
            let pass = Pass { lr: hyper.lr as f32, momentum: momentum as f32, nesterov: self.nesterov, penalty: decay as f32 };
            let (param, [buffer]) = step::step(pass, param, grad, slots);
            state.put("momentum", buffer);
            return param;
        }
        let [buffer] = slots;
        let grad = penalized(&param, grad);
        let buffer = buffer * momentum + grad.clone();
        state.put("momentum", buffer.clone());
        let update = if self.nesterov { grad + buffer * momentum } else { buffer };
        param - update * hyper.lr
    }
}

/// [`Sgd`] with momentum in one pass, rounded as the operations above.
#[derive(Debug)]
struct Pass {
    lr: f32,
    momentum: f32,
    nesterov: bool,
    penalty: f32,
}

impl step::Update<1> for Pass {
    #[inline(always)]
    fn update(&self, param: &mut [f32], grad: &[f32], [momentum]: [&mut [f32]; 1]) {
        let (now, then) = if self.nesterov { (1.0, self.momentum) } else { (0.0, 1.0) };
        for ((p, g), b) in param.iter_mut().zip(grad).zip(momentum) {
            let g = g + *p * self.penalty;
            *b = *b * self.momentum + g;
            *p -= (g * now + *b * then) * self.lr;
        }
    }
}
