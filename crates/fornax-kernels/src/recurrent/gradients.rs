//! Gradients of input and weights, one product each, when those of all gates are there.

use super::backward::Backward;
use super::cell::Cell;
use super::lanes::cut;
use super::layer::{Sequences, Sizes, Weights};
use crate::gemm::{Matrix, Threads, gemm};
use rayon::prelude::*;

/// Gradients of input and weights; what is not wanted is empty.
#[derive(Debug, Default)]
pub(super) struct Gradients {
    /// `[N, I]`
    pub(super) x: Vec<f32>,
    pub(super) w_ih: Vec<f32>,
    pub(super) w_hh: Vec<f32>,
    pub(super) b_ih: Vec<f32>,
    pub(super) b_hh: Vec<f32>,
    pub(super) w_hr: Vec<f32>,
}

/// One product each; `wanted` in the order of [`Gradients`].
pub(super) fn gradients<C: Cell<V>, const V: usize>(
    sizes: Sizes,
    sequences: &Sequences,
    weights: Weights,
    [x, h0]: [&[f32]; 2],
    [y, units]: [&[f32]; 2],
    after: &mut Backward,
    wanted: [bool; 6],
) -> Gradients {
    let Sizes { inputs, hidden, outputs } = sizes;
    let (n, width) = (sequences.rows(), C::SLOTS * hidden);
    let slots = &mut after.slots[..];
    let mut out = Gradients::default();
    if wanted[0] {
        out.x = vec![0.0; n * inputs];
        let slots = Matrix::strided(slots, [n, V * hidden], [width, 1]);
        gemm(&mut out.x, inputs, slots, Matrix::new(weights.w_ih, V * hidden, inputs), false, Threads::Pool);
    }
    if wanted[1] {
        out.w_ih = vec![0.0; V * hidden * inputs];
        let slots = Matrix::strided(slots, [n, V * hidden], [width, 1]);
        gemm(&mut out.w_ih, inputs, slots.t(), Matrix::new(x, n, inputs), false, Threads::Pool);
    }
    if wanted[3] || wanted[4] {
        let sums = column_sums(slots, width);
        out.b_ih = sums[..V * hidden].to_vec();
        out.b_hh = C::RECURRENT.iter().flat_map(|slot| &sums[slot * hidden..(slot + 1) * hidden]).copied().collect();
    }
    if wanted[5] {
        out.w_hr = vec![0.0; outputs * hidden];
        let projected = Matrix::new(&after.projected, n, outputs);
        gemm(&mut out.w_hr, hidden, projected.t(), Matrix::new(units, n, hidden), false, Threads::Pool);
    }
    if wanted[2] {
        out.w_hh = state_gradient::<C, V>(sizes, sequences, h0, y, slots);
    }
    out
}

/// The gradient of `w_hh`: the slots of every step against `h` of the one before. Clears the slots of first steps.
fn state_gradient<C: Cell<V>, const V: usize>(sizes: Sizes, sequences: &Sequences, h0: &[f32], y: &[f32], slots: &mut [f32]) -> Vec<f32> {
    let Sizes { hidden, outputs, .. } = sizes;
    let (n, width, batch) = (sequences.rows(), C::SLOTS * hidden, sequences.lengths.len());
    // First steps come after `h0`, and all others after the row beside theirs.
    let mut first = vec![0.0; batch * width];
    let rows = cut(slots, &sequences.lengths, width);
    for ((rows, first), &length) in rows.into_iter().zip(first.chunks_exact_mut(width)).zip(&sequences.lengths) {
        if let Some(t) = sequences.first(length) {
            let row = &mut rows[t * width..(t + 1) * width];
            first.copy_from_slice(row);
            row.fill(0.0);
        }
    }
    let mut dw = vec![0.0; V * hidden * outputs];
    let mut add = |slots: &[f32], h: &[f32], rows: usize| {
        // Gates whose slots are adjacent go together.
        for run in C::RECURRENT.chunk_by(|a, b| a + 1 == *b) {
            let gate = C::RECURRENT.iter().position(|slot| *slot == run[0]).unwrap_or_default();
            let slots = Matrix::strided(&slots[run[0] * hidden..], [rows, run.len() * hidden], [width, 1]);
            gemm(&mut dw[gate * hidden * outputs..], outputs, slots.t(), Matrix::new(h, rows, outputs), true, Threads::Pool);
        }
    };
    if n > 0 {
        add(&first, h0, batch);
    }
    if n > 1 {
        let (slots, h) = if sequences.reverse { (&slots[..(n - 1) * width], &y[outputs..]) } else { (&slots[width..], &y[..(n - 1) * outputs]) };
        add(slots, h, n - 1);
    }
    dw
}

/// Rows that are summed in f32 before the sums are added in f64.
const BLOCK: usize = 64;
/// Columns a task.
const COLUMNS: usize = 256;

/// The sum of every column, in a fixed order.
fn column_sums(x: &[f32], columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; columns];
    out.par_chunks_mut(COLUMNS).enumerate().for_each(|(task, out)| {
        let (from, n) = (task * COLUMNS, out.len());
        let mut total = [0f64; COLUMNS];
        for block in x.chunks(BLOCK * columns) {
            let mut sums = [0f32; COLUMNS];
            for row in block.chunks_exact(columns) {
                sums.iter_mut().zip(&row[from..from + n]).for_each(|(sum, x)| *sum += x);
            }
            total.iter_mut().zip(sums).for_each(|(total, sum)| *total += f64::from(sum));
        }
        out.iter_mut().zip(total).for_each(|(out, total)| *out = total as f32);
    });
    out
}
