//! `a(x W + b)` on slices of f32.

use crate::activation::Activation;
use crate::gemm::{Matrix, Threads, gemm};
use crate::op::{self, Array, Op, Tape, View};
use crate::simd::{add, vectorized};
use burn::tensor::Tensor;
use rayon::prelude::*;

/// Rows a task of what follows the product.
const ROWS: usize = 32;
/// Rows a partial sum of the bias's gradient.
const PARTIAL: usize = 64;

#[derive(Debug)]
struct Linear {
    activation: Activation,
    /// The weight is `[N, K]`.
    transposed: bool,
}

/// Whether [`linear`] is for these.
pub(super) fn takes<const D: usize>(x: &Tensor<D>, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> bool {
    op::takes([op::kind(x), op::kind(weight), bias.map_or_else(|| op::kind(weight), op::kind)])
}

/// See [`super::linear`].
pub(super) fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>, activation: Activation) -> Tensor<D> {
    let (op, x, weight) = (Linear { activation, transposed: false }, x.into_dispatch(), weight.into_dispatch());
    let [y, ..] = match bias {
        Some(bias) => op::apply(op, [x, weight, bias.into_dispatch()]),
        None => op::apply(op, [x, weight]),
    };
    Tensor::from_dispatch(y)
}

/// See [`super::linear_transposed`].
pub(super) fn linear_transposed<const D: usize>(x: Tensor<D>, weight: Tensor<2>) -> Tensor<D> {
    let [y, ..] = op::apply(Linear { activation: Activation::Identity, transposed: true }, [x.into_dispatch(), weight.into_dispatch()]);
    Tensor::from_dispatch(y)
}

impl Linear {
    /// `W: [K, N]` of the weight as it lies.
    fn weight<'a>(&self, w: View<'a>) -> (Matrix<'a>, [usize; 2]) {
        let [rows, cols] = [w.shape[0], w.shape[1]];
        let matrix = Matrix::new(w.data, rows, cols);
        if self.transposed { (matrix.t(), [cols, rows]) } else { (matrix, [rows, cols]) }
    }
}

/// Rows of `before = x W + b` and of `y = a(before)`. Where nobody needs `before`, it is empty and the sum is made in `y`.
struct Block<'a> {
    before: &'a mut [f32],
    y: &'a mut [f32],
}

impl Block<'_> {
    /// Where the product goes.
    fn sum(&mut self) -> &mut [f32] {
        if self.before.is_empty() { self.y } else { self.before }
    }

    /// `b` and the activation, behind the product.
    fn finish(mut self, bias: Option<&[f32]>, activation: Activation) {
        if let Some(bias) = bias {
            let sum = self.sum();
            vectorized(
                #[inline(always)]
                || sum.chunks_exact_mut(bias.len()).for_each(|row| add(row, bias)),
            );
        }
        let Self { before, y } = self;
        if !before.is_empty() {
            y.copy_from_slice(before);
        }
        activation.run(y);
    }
}

/// The sum of the rows, in a fixed order.
fn column_sums(x: &[f32], width: usize) -> Vec<f32> {
    let partial = |rows: &[f32]| {
        let mut sum = vec![0.0; width];
        vectorized(
            #[inline(always)]
            || rows.chunks_exact(width).for_each(|row| add(&mut sum, row)),
        );
        sum
    };
    let partials: Vec<Vec<f32>> = x.par_chunks(width * PARTIAL).map(partial).collect();
    let mut sum = vec![0.0; width];
    partials.iter().for_each(|partial| add(&mut sum, partial));
    sum
}

impl Op for Linear {
    fn forward(&self, inputs: &[View], train: bool) -> (Vec<Array>, Vec<Vec<f32>>) {
        let activation = self.activation;
        let x = inputs[0];
        let (w, [k, n]) = self.weight(inputs[1]);
        let mut shape = x.shape.to_vec();
        let rows: usize = shape[..shape.len() - 1].iter().product();
        *shape.last_mut().expect("a linear layer's input has dimensions") = n;
        let bias = inputs.get(2).map(|bias| bias.data);
        let mut y = vec![0.0; rows * n];
        let mut before = vec![0.0; if train && !activation.reads_result() { y.len() } else { 0 }];
        if !y.is_empty() {
            let mut all = Block { before: &mut before, y: &mut y };
            gemm(all.sum(), n, Matrix::new(x.data, rows, k), w, false, Threads::Pool);
            let mut befores = before.chunks_mut(n * ROWS);
            let blocks: Vec<Block> = y.chunks_mut(n * ROWS).map(|y| Block { before: befores.next().unwrap_or_default(), y }).collect();
            blocks.into_par_iter().for_each(|block| block.finish(bias, activation));
        }
        (vec![Array::new(y, shape)], vec![before])
    }

    fn backward(&self, tape: &Tape, dy: &[Option<View>], wanted: &[bool]) -> Vec<Option<Array>> {
        let activation = self.activation;
        let Some(dy) = dy[0] else { return wanted.iter().map(|_| None).collect() };
        let x = tape.input(0);
        let (w, [k, n]) = self.weight(tape.input(1));
        let rows = dy.data.len().checked_div(n).unwrap_or(0);
        let mut chained = vec![];
        let g = if activation == Activation::Identity {
            dy.data
        } else {
            let of = if activation.reads_result() { tape.output(0).data } else { &tape.saved[0] };
            chained.resize(dy.data.len(), 0.0);
            let task = (n * PARTIAL).max(1);
            chained.par_chunks_mut(task).zip(dy.data.par_chunks(task)).zip(of.par_chunks(task)).for_each(|((g, dy), of)| {
                g.copy_from_slice(dy);
                activation.differentiate(g, of);
            });
            &chained
        };
        let dx = wanted[0].then(|| {
            let mut dx = vec![0.0; rows * k];
            if !dx.is_empty() {
                gemm(&mut dx, k, Matrix::new(g, rows, n), w.t(), false, Threads::Pool);
            }
            Array::new(dx, x.shape.to_vec())
        });
        let dw = wanted[1].then(|| {
            let mut dw = vec![0.0; k * n];
            let (x, g) = (Matrix::new(x.data, rows, k), Matrix::new(g, rows, n));
            let (width, a, b) = if self.transposed { (k, g, x) } else { (n, x, g) };
            gemm(&mut dw, width, a.t(), b, false, Threads::Pool);
            Array::new(dw, if self.transposed { [n, k] } else { [k, n] })
        });
        let db = wanted.get(2).map(|&wanted| wanted.then(|| Array::new(if n == 0 { vec![] } else { column_sums(g, n) }, [n])));
        [dx, dw].into_iter().chain(db).collect()
    }

    fn keeps_input(&self, index: usize) -> bool {
        index < 2
    }
    fn keeps_output(&self, _index: usize) -> bool {
        self.activation != Activation::Identity && self.activation.reads_result()
    }
}
