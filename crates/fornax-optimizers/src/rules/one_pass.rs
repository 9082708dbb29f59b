//! The rules that train most networks, in one pass over the memory of a parameter, with the bits of their tensor operations.

use super::{adam::Adam, bias, sgd::Sgd};
use crate::{Hyper, State};
use burn::tensor::Tensor;
use fornax_kernels::step;

/// The next parameter, or parameter and gradient as they came where the tensor operations have to do it.
type Outcome = Result<Tensor<1>, (Tensor<1>, Tensor<1>)>;

/// How λ acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decay {
    /// As an L2 penalty, in the gradient.
    Coupled,
    /// On the parameter itself.
    Decoupled,
}

fn run<const N: usize>(update: impl step::Update<N>, names: [&'static str; N], param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Outcome {
    if !step::takes(&param, &grad, &[]) {
        return Err((param, grad));
    }
    let slots = names.map(|name| state.take_or_zeros(name, &grad));
    let (param, slots) = step::step(update, param, grad, slots);
    names.into_iter().zip(slots).for_each(|(name, slot)| state.put(name, slot));
    Ok(param)
}

/// [`Adam`]'s step and AdamW's.
pub(super) fn adam(rule: &Adam, hyper: &Hyper<'_>, decay: Decay, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Outcome {
    let lambda = |of: Decay| if of == decay { hyper.weight_decay } else { 0.0 };
    let pass = AdamPass {
        keep: [rule.beta1 as f32, rule.beta2 as f32],
        take: [(1.0 - rule.beta1) as f32, (1.0 - rule.beta2) as f32],
        epsilon: rule.epsilon as f32,
        size: (hyper.lr / bias(rule.beta1, state.step)) as f32,
        root: (1.0 / bias(rule.beta2, state.step).sqrt()) as f32,
        shrink: (1.0 - hyper.lr * lambda(Decay::Decoupled)) as f32,
        penalty: lambda(Decay::Coupled) as f32,
    };
    run(pass, ["exp_avg", "exp_avg_sq"], param, grad, state)
}

#[derive(Debug)]
struct AdamPass {
    /// β
    keep: [f32; 2],
    /// `1 − β`
    take: [f32; 2],
    epsilon: f32,
    /// `η / (1 − β₁ᵗ)`
    size: f32,
    /// `1 / √(1 − β₂ᵗ)`: a division less for each element
    root: f32,
    /// `1 − η λ`, decoupled
    shrink: f32,
    /// λ, coupled
    penalty: f32,
}

impl step::Update<2> for AdamPass {
    #[inline(always)]
    fn update(&self, param: &mut [f32], grad: &[f32], [first, second]: [&mut [f32]; 2]) {
        for (((p, g), m), v) in param.iter_mut().zip(grad).zip(first).zip(second) {
            let g = g + *p * self.penalty;
            *m = *m * self.keep[0] + g * self.take[0];
            *v = *v * self.keep[1] + g * g * self.take[1];
            let denominator = v.sqrt() * self.root + self.epsilon;
            *p = *p * self.shrink - *m / denominator * self.size;
        }
    }
}

/// [`Sgd`]'s step.
pub(super) fn sgd(rule: &Sgd, hyper: &Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Outcome {
    if rule.momentum == 0.0 {
        let pass = PlainPass { lr: hyper.lr as f32, penalty: hyper.weight_decay as f32 };
        return run(pass, [], param, grad, state);
    }
    // b₁ = g₁ whatever the dampening, and μ b₀ + g₁ with b₀ = 0 is the same.
    let share = if state.step == 1 { 1.0 } else { (1.0 - rule.dampening) as f32 };
    let pass = SgdPass { lr: hyper.lr as f32, momentum: rule.momentum as f32, share, nesterov: rule.nesterov, penalty: hyper.weight_decay as f32 };
    run(pass, ["momentum"], param, grad, state)
}

#[derive(Debug)]
struct PlainPass {
    lr: f32,
    penalty: f32,
}

impl step::Update<0> for PlainPass {
    #[inline(always)]
    fn update(&self, param: &mut [f32], grad: &[f32], _: [&mut [f32]; 0]) {
        for (p, g) in param.iter_mut().zip(grad) {
            *p -= (g + *p * self.penalty) * self.lr;
        }
    }
}

#[derive(Debug)]
struct SgdPass {
    lr: f32,
    momentum: f32,
    /// `1 − τ`
    share: f32,
    nesterov: bool,
    penalty: f32,
}

impl step::Update<1> for SgdPass {
    #[inline(always)]
    fn update(&self, param: &mut [f32], grad: &[f32], [momentum]: [&mut [f32]; 1]) {
        let (now, then) = if self.nesterov { (1.0, self.momentum) } else { (0.0, 1.0) };
        for ((p, g), b) in param.iter_mut().zip(grad).zip(momentum) {
            let g = g + *p * self.penalty;
            *b = *b * self.momentum + g * self.share;
            *p -= (g * now + *b * then) * self.lr;
        }
    }
}
