use crate::score::score;
use burn::tensor::{Tensor, activation::relu};
use fornax_layers::{PROBABILITIES, Site, Tap};

/// A tap that reads the probabilities of attention and, where it is asked for them, their gradients.
#[derive(Debug)]
pub struct AttentionTap {
    site: Site,
    gradients: bool,
    seen: Vec<(Tensor<4>, Option<Tensor<4>>)>,
}

impl Tap for AttentionTap {
    const ATTENTION: bool = true;

    fn tap<const D: usize>(&mut self, site: Site, x: Tensor<D>) -> Tensor<D> {
        if site != self.site || D != 4 {
            return x;
        }
        let dims = x.dims();
        let shape: [usize; 4] = std::array::from_fn(|d| dims[d]);
        let weights: Tensor<4> = x.reshape(shape);
        let inner = if weights.is_autodiff() { weights.clone().inner() } else { weights.clone() };
        let leaf = self.gradients.then(|| weights.clone().detach().zeros_like().require_grad());
        self.seen.push((inner, leaf.clone()));
        let weights = match leaf {
            Some(leaf) => weights + leaf,
            None => weights,
        };
        weights.reshape(dims)
    }
}

/// What the attention of each block looked at, in their order: `[B, H, T, S]` each, without autodiff.
///
/// `site` is [`PROBABILITIES`], or [`CROSS_PROBABILITIES`](fornax_layers::CROSS_PROBABILITIES) of a decoder; `forward` runs a model with the
/// tap that it is given, on any device. Nothing of a model without attention.
pub fn attention_probabilities<R>(site: Site, forward: impl FnOnce(&mut AttentionTap) -> R) -> Vec<Tensor<4>> {
    let mut tap = AttentionTap { site, gradients: false, seen: vec![] };
    forward(&mut tap);
    tap.seen.into_iter().map(|(weights, _)| weights).collect()
}

/// How much of each token is left in each place of the last block, if attention alone moved them: `R = Â_L ⋯ Â₁`.
///
/// `Â = ½ (Ā + I)` with the mean `Ā` over heads, for the identity beside attention. Row `t` of `R` says where place `t` comes from, and adds up to
/// 1. `[B, H, T, T]` each, as [`attention_probabilities`] reads them, to `[B, T, T]`; None without a block.
///
/// Source: Abnar and Zuidema, "Quantifying attention flow in Transformers", 2020 (<https://arxiv.org/abs/2005.00928>), equation 1.
///
/// # Panics
/// If the blocks do not look at the same tokens.
pub fn attention_rollout(probabilities: &[Tensor<4>]) -> Option<Tensor<3>> {
    let blocks = probabilities.iter().map(|weights| {
        let mean: Tensor<3> = weights.clone().mean_dim(1).squeeze_dim(1);
        (mean.clone() + identity(&mean)) * 0.5
    });
    blocks.reduce(|rollout, block| block.matmul(rollout))
}

/// The relevance of each token for a class, by attention and its gradient: `R ← R + Ā R` from `R = I` on, over the blocks in their order, with
/// `Ā = E_h[max(A ⊙ ∂yᶜ/∂A, 0)]`.
///
/// Row `t` of `R` says what place `t` of the last block got from each token: of interest is the row of what the head reads, the class token or the
/// last one. `forward` runs a frozen model of self-attention with the tap that it is given, on an autodiff device, and returns logits `[B, K]`;
/// `classes` names one class an example. `[B, T, T]`, without autodiff; None of a model without attention.
///
/// Source: Chefer, Gur and Wolf, "Generic attention-model explainability", 2021 (<https://arxiv.org/abs/2103.15679>), equations 5 and 6.
///
/// # Panics
/// If `forward` runs on a device without autodiff, or the classes are not one an example.
pub fn gradient_x_attention(classes: &[usize], forward: impl FnOnce(&mut AttentionTap) -> Tensor<2>) -> Option<Tensor<3>> {
    let mut tap = AttentionTap { site: PROBABILITIES, gradients: true, seen: vec![] };
    let gradients = score(forward(&mut tap), classes).sum().backward();
    let mut relevance: Option<Tensor<3>> = None;
    for (weights, leaf) in tap.seen {
        let gradient = leaf.and_then(|leaf| leaf.grad(&gradients)).unwrap_or_else(|| weights.zeros_like());
        let mean: Tensor<3> = relu(weights * gradient).mean_dim(1).squeeze_dim(1);
        let before = relevance.unwrap_or_else(|| identity(&mean));
        relevance = Some(before.clone() + mean.matmul(before));
    }
    relevance
}

/// `[B, T, T]`
fn identity(like: &Tensor<3>) -> Tensor<3> {
    let [batch, t, _] = like.dims();
    let eye: Tensor<3> = Tensor::<2>::eye(t, &like.device()).cast(burn::tensor::FloatDType::from(like.dtype())).unsqueeze();
    eye.expand([batch, t, t])
}
