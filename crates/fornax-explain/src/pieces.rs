//! Back through a dissected model, by rules in place of gradients.

use crate::score::score;
use burn::tensor::Tensor;
use fornax_layers::dissect::{Dissected, Piece, What, dissect};

/// A model that a method does not lead back through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this method leads back through dense layers, convolutions, activations and max-pooling, and the model has {}: try integrated-gradients",
    .0.join(", ")
)]
pub struct NotCovered(
    /// The layers that are something else.
    pub Vec<&'static str>,
);

/// The pieces of a pass, and what leads to them.
pub(crate) struct Trace<const D: usize> {
    input: Tensor<D>,
    score: Tensor<1>,
    pub(crate) pieces: Vec<Piece>,
}

/// Runs a frozen model on an autodiff device.
pub(crate) fn trace<const D: usize>(x: Tensor<D>, classes: &[usize], forward: impl FnOnce(Tensor<D>) -> Tensor<2>) -> Result<Trace<D>, NotCovered> {
    let input = x.detach().require_grad();
    let Dissected { result, pieces, uncovered } = dissect(|| forward(input.clone()));
    if uncovered.is_empty() { Ok(Trace { input, score: score(result, classes), pieces }) } else { Err(NotCovered(uncovered)) }
}

impl<const D: usize> Trace<D> {
    /// The logits.
    pub(crate) fn scores(&self) -> Vec<f64> {
        self.score.to_data().iter::<f64>().collect()
    }

    /// What stands for `∂yᶜ/∂x`: `rule(n, piece n, what stands for the gradient at its result)` is that at its input. All without autodiff.
    pub(crate) fn back(&self, rule: impl Fn(usize, &Piece, Tensor<4>) -> Tensor<4>) -> Tensor<D> {
        let mut found: Vec<Option<Tensor<4>>> = vec![None; self.pieces.len()];
        let mut input: Option<Tensor<D>> = None;
        let mut collect = |from: Tensor<1>, found: &mut [Option<Tensor<4>>]| {
            if !from.is_tracked() {
                return;
            }
            let gradients = from.backward();
            for (piece, found) in self.pieces.iter().zip(found.iter_mut()) {
                add(found, piece.gradient(&gradients));
            }
            add(&mut input, self.input.grad(&gradients));
        };
        collect(self.score.clone().sum(), &mut found);
        for (n, piece) in self.pieces.iter().enumerate().rev() {
            if let Some(at_result) = found[n].take() {
                let at_input = rule(n, piece, at_result);
                // Only the leaves before it are in the graph of its input.
                collect((piece.x.clone() * Tensor::from_inner(at_input)).sum(), &mut found[..n]);
            }
        }
        input.unwrap_or_else(|| self.input.clone().inner().zeros_like())
    }
}

fn add<const R: usize>(sum: &mut Option<Tensor<R>>, more: Option<Tensor<R>>) {
    *sum = match (sum.take(), more) {
        (Some(sum), Some(more)) => Some(sum + more),
        (sum, more) => sum.or(more),
    };
}

/// The gradient at the input of a piece, from that at its result.
pub(crate) fn gradient(what: &What, x: &Tensor<4>, at_result: Tensor<4>) -> Tensor<4> {
    let x = x.clone().detach().require_grad();
    let gradients = (what.forward(x.clone()) * Tensor::from_inner(at_result)).sum().backward();
    x.grad(&gradients).unwrap_or_else(|| x.inner().zeros_like())
}
