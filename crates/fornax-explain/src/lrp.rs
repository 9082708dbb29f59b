use crate::{
    NotCovered,
    pieces::{gradient, trace},
};
use burn::tensor::{Tensor, activation::relu};
use fornax_layers::dissect::{Piece, What};

/// How relevance goes back through a dense layer or a convolution `zⱼ = Σᵢ xᵢ wᵢⱼ + bⱼ`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LrpRule {
    /// `Rᵢ = Σⱼ xᵢ wᵢⱼ / (zⱼ + ε sign zⱼ) Rⱼ`: Bach et al., 2015, equation 58.
    Epsilon(f64),
    /// As `Epsilon(1e-9)` with weights `w + γ w⁺` and biases `b + γ b⁺`: Montavon et al., 2019, section 10.2.1.
    Gamma(f64),
    /// `Rᵢ = Σⱼ (α (xᵢ wᵢⱼ)⁺ / zⱼ⁺ − β (xᵢ wᵢⱼ)⁻ / zⱼ⁻) Rⱼ`, with `zⱼ⁺ = Σᵢ (xᵢ wᵢⱼ)⁺ + bⱼ⁺`: Bach et al., equation 60. Conserves where `α − β = 1`.
    AlphaBeta {
        /// Of what speaks for it.
        alpha: f64,
        /// Of what speaks against it.
        beta: f64,
    },
}

impl LrpRule {
    /// `Rᵢ = Σⱼ (xᵢ wᵢⱼ)⁺ / zⱼ⁺ Rⱼ`: α 1, β 0, the z⁺ rule of Montavon et al., "Deep Taylor decomposition", 2017.
    pub const Z_PLUS: Self = Self::AlphaBeta { alpha: 1.0, beta: 0.0 };
}

/// [`LrpRule::Z_PLUS`] in convolutions, ε = 1e-6 in dense layers: for convolutional networks.
///
/// Source: the composite "ε-plus" of Kohlbrenner et al., "Towards best practice in explaining neural network decisions with LRP", 2020
/// (<https://arxiv.org/abs/1910.09840>).
pub fn epsilon_plus(_layer: usize, what: &What) -> LrpRule {
    match what {
        What::Conv { .. } => LrpRule::Z_PLUS,
        _ => LrpRule::Epsilon(1e-6),
    }
}

/// The logit handed back layer by layer, each giving what it got to its inputs: relevance `[B, …] -> [B, …]`, without autodiff.
///
/// `rule(n, what)` says how, for each dense layer and convolution, counted from 0; [`epsilon_plus`] is one, `|_, _| LrpRule::Epsilon(1e-6)`
/// another. An activation hands on what it got, max-pooling gives it to the maximum, a sum to its parts in proportion. Without biases
/// and with small ε the relevance of an example adds up to its logit; biases keep their share. `forward` runs a frozen model on an autodiff
/// device; `classes` names one class an example.
///
/// Source: Bach et al., "On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance propagation", 2015
/// (<https://doi.org/10.1371/journal.pone.0130140>); rules: Montavon et al., "Layer-wise relevance propagation: an overview", 2019
/// (<https://doi.org/10.1007/978-3-030-28954-6_10>).
///
/// # Errors
/// If the model has layers that are no dense layer, convolution, activation or max-pooling.
///
/// # Panics
/// If `x` is on a device without autodiff, the classes are not one an example, or the model wants a [`junction`](fornax_layers::dissect::junction).
pub fn lrp<const D: usize>(
    x: Tensor<D>,
    classes: &[usize],
    rule: impl Fn(usize, &What) -> LrpRule,
    forward: impl FnOnce(Tensor<D>) -> Tensor<2>,
) -> Result<Tensor<D>, NotCovered> {
    let trace = trace(x.clone(), classes, forward)?;
    let layers: Vec<usize> = trace
        .pieces
        .iter()
        .scan(0, |count, piece| {
            let number = *count;
            *count += usize::from(matches!(piece.what, What::Linear { .. } | What::Conv { .. }));
            Some(number)
        })
        .collect();
    // What is led back is relevance divided by the value that has it, so that sums, means and shapes between pieces are right by themselves.
    let ratio = trace.back(|n, piece, m| match &piece.what {
        what @ (What::Linear { .. } | What::Conv { .. }) => layer(piece, rule(layers[n], what), m),
        What::Activation(_) => handed_on(piece, m),
        what @ What::MaxPool { .. } => gradient(what, &piece.x, m),
    });
    Ok(ratio * x.inner())
}

/// `z` away from 0 by ε.
fn stable(z: Tensor<4>, epsilon: f64) -> Tensor<4> {
    let sign = z.zeros_like().mask_fill(z.clone().greater_equal_elem(0.0), 2.0) - 1.0;
    z + sign * epsilon
}

/// `a / z`, 0 where `z` is.
fn share(a: Tensor<4>, z: Tensor<4>) -> Tensor<4> {
    let none = z.clone().equal_elem(0.0);
    (a / z.mask_fill(none.clone(), 1.0)).mask_fill(none, 0.0)
}

fn handed_on(piece: &Piece, m: Tensor<4>) -> Tensor<4> {
    let (z, y) = (piece.x.clone().inner(), piece.y.clone().inner());
    let none = z.clone().equal_elem(0.0);
    share(m.clone() * y, z).mask_where(none, gradient(&piece.what, &piece.x, m))
}

fn layer(piece: &Piece, rule: LrpRule, m: Tensor<4>) -> Tensor<4> {
    let (what, x, y) = (&piece.what, piece.x.clone().detach(), piece.y.clone().inner());
    let relevance = m * y.clone();
    match rule {
        LrpRule::Epsilon(epsilon) => gradient(what, &x, relevance / stable(y, epsilon)),
        LrpRule::Gamma(gamma) => {
            let favoured = with(what, Part::Favoured(gamma), true);
            let z = favoured.forward(x.clone()).inner();
            gradient(&favoured, &x, relevance / stable(z, 1e-9))
        }
        LrpRule::AlphaBeta { alpha, beta } => {
            let [up, down] = [Part::Positive, Part::Negative].map(|part| with(what, part, true));
            let [up_alone, down_alone] = [Part::Positive, Part::Negative].map(|part| with(what, part, false));
            let (above, below) = (Part::Positive.of(x.clone()), Part::Negative.of(x.clone()));
            let speaks_for = (up.forward(above.clone()) + down_alone.forward(below.clone())).inner();
            let against = (down.forward(above) + up_alone.forward(below)).inner();
            let (s, t) = (share(relevance.clone(), speaks_for) * alpha, share(relevance, against) * -beta);
            let of_above = gradient(&up, &x, s.clone()) + gradient(&down, &x, t.clone());
            let of_below = gradient(&down, &x, s) + gradient(&up, &x, t);
            of_below.mask_where(x.inner().greater_equal_elem(0.0), of_above)
        }
    }
}

/// What of each number is taken.
#[derive(Debug, Clone, Copy)]
enum Part {
    Positive,
    Negative,
    /// All, and `γ` times what is positive besides.
    Favoured(f64),
}

impl Part {
    fn of<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Positive => relu(x),
            Self::Negative => -relu(-x),
            Self::Favoured(gamma) => x.clone() + relu(x) * gamma,
        }
    }
}

/// The same layer with a part of its weights, and of its biases or none.
fn with(what: &What, part: Part, biased: bool) -> What {
    match what.clone() {
        What::Linear { weight, bias } => What::Linear { weight: part.of(weight), bias: bias.filter(|_| biased).map(|b| part.of(b)) },
        What::Conv { weight, bias, stride, padding } => {
            What::Conv { weight: part.of(weight), bias: bias.filter(|_| biased).map(|b| part.of(b)), stride, padding }
        }
        other => other,
    }
}
