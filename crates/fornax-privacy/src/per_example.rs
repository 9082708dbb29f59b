//! Exact gradients of each example of a batch, by one forward and one backward pass.

use crate::piece::{Piece, windows};
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use fornax_layers::per_example::{Use, record};

/// The gradients of the loss of each example of a batch, by parameter, in the model's order.
#[derive(Debug)]
pub struct PerExample {
    /// The mean loss.
    pub loss: f64,
    count: usize,
    parameters: Vec<(ParamId, Piece)>,
}

/// Trainable parameters, and whether one got a gradient by itself.
struct Residue<'a> {
    gradients: &'a mut burn::tensor::Gradients,
    trainable: Vec<ParamId>,
    found: bool,
}

impl ModuleVisitor for Residue<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.val().is_require_grad() && !self.trainable.contains(&param.id) {
            self.trainable.push(param.id);
            self.found |= param.val().grad_remove(self.gradients).is_some();
        }
    }
}

impl PerExample {
    /// Runs `loss: [1]`, the mean over the losses of `count` examples, forward and back.
    ///
    /// None where a layer with parameters does not take part in [`record`], or has examples along another dimension than the first: then
    /// only batches of one tell examples apart.
    pub fn of<M: Module>(model: &M, count: usize, loss: impl FnOnce() -> Tensor<1>) -> Option<Self> {
        let (loss, uses) = record(loss);
        if uses.is_empty() || !loss.is_tracked() {
            return None;
        }
        let value = f64::from(loss.clone().into_scalar::<f32>());
        let mut gradients = loss.backward();
        let mut pieces = vec![];
        for what in uses {
            add(what, count, &gradients, &mut pieces)?;
        }
        let mut residue = Residue { gradients: &mut gradients, trainable: vec![], found: false };
        model.visit(&mut residue);
        if residue.found {
            return None;
        }
        let mut of = |id: &ParamId| {
            let mut own = vec![];
            let mut i = 0;
            while i < pieces.len() {
                if pieces[i].0 == *id { own.push(pieces.swap_remove(i).1) } else { i += 1 }
            }
            // Uses of one parameter add up before there is a norm.
            match own.len() {
                0 | 1 => own.pop(),
                _ => own.iter().map(Piece::each).reduce(|a, b| a + b).map(Piece::Rows),
            }
        };
        let parameters = residue.trainable.iter().filter_map(|id| Some((*id, of(id)?))).collect();
        Some(Self { loss: value, count, parameters })
    }

    /// The gradients themselves, `[B, P]` each.
    pub fn each(&self) -> Vec<(ParamId, Tensor<2>)> {
        // The loss is a mean.
        self.parameters.iter().map(|(id, piece)| (*id, piece.each() * self.count as f64)).collect()
    }

    /// The squared norm of each example's gradient of each parameter.
    pub fn squares(&self) -> Vec<(ParamId, Vec<f64>)> {
        let factor = (self.count * self.count) as f64;
        let host = |piece: &Piece| piece.squares().into_data().convert::<f64>().iter::<f64>().map(|square| square.max(0.0) * factor).collect();
        self.parameters.iter().map(|(id, piece)| (*id, host(piece))).collect()
    }

    /// The sum of all gradients, each times a factor of its own: `factors(i)` of the `i`-th parameter.
    pub fn weighted<'a>(&self, factors: impl Fn(usize) -> &'a [f64]) -> Vec<(ParamId, Tensor<1>)> {
        let one = |(i, (id, piece)): (usize, &(ParamId, Piece))| {
            let factors: Vec<f32> = factors(i).iter().map(|factor| (factor * self.count as f64) as f32).collect();
            let (device, dtype) = match piece {
                Piece::Product(x, _) | Piece::Table(_, x, _) => (x.device(), x.dtype()),
                Piece::Rows(x) => (x.device(), x.dtype()),
            };
            let factors = Tensor::<1>::from_data(&factors[..], (&device, dtype));
            (*id, piece.weighted(&factors))
        };
        self.parameters.iter().enumerate().map(one).collect()
    }
}

/// The pieces of one use; None if its first dimension does not hold `count` examples.
fn add(what: Use, count: usize, gradients: &burn::tensor::Gradients, pieces: &mut Vec<(ParamId, Piece)>) -> Option<()> {
    let bias_piece = |bias: Option<ParamId>, g: &Tensor<3>| bias.map(|id| (id, Piece::sum_over_positions(g.clone())));
    match what {
        Use::Linear { weight, bias, transposed, x, y, scale } => {
            let fits = x.dims()[0] == count && y.dims()[0] == count;
            let Some(g) = y.grad(gradients) else { return fits.then_some(()) };
            let g = match scale {
                Some(scale) => g * scale,
                None => g,
            };
            let bias = fits.then(|| bias_piece(bias, &g))?;
            pieces.extend(bias);
            pieces.push((weight, if transposed { Piece::product(g, x) } else { Piece::product(x, g) }));
        }
        Use::Conv { weight, bias, kernel, stride, padding, x, y } => {
            let fits = x.dims()[0] == count;
            let [_, _, height, width] = y.dims();
            let Some(g) = y.grad(gradients) else { return fits.then_some(()) };
            let g: Tensor<3> = g.flatten::<3>(2, 3).swap_dims(1, 2);
            let bias = fits.then(|| bias_piece(bias, &g))?;
            pieces.extend(bias);
            pieces.push((weight, Piece::product(g, windows(x, kernel, stride, padding, [height, width]))));
        }
        Use::Embedding { weight, count: rows, ids, y } => {
            let fits = ids.dims()[0] == count;
            let Some(g) = y.grad(gradients) else { return fits.then_some(()) };
            fits.then(|| pieces.push((weight, Piece::Table(ids, g, rows))))?;
        }
        Use::Scale { weight, bias, x, y } => {
            let fits = x.dims()[0] == count;
            let Some(g) = y.grad(gradients) else { return fits.then_some(()) };
            let bias = fits.then(|| bias_piece(bias, &g))?;
            pieces.extend(bias);
            pieces.push((weight, Piece::sum_over_positions(g * x)));
        }
    }
    Some(())
}
