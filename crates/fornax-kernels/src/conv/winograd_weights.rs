//! The weights of [`super::winograd`]: their transform, and the sixteen products with them.

use rayon::prelude::*;

use super::tile::{COLS, DEPTH, LANES, Left, ROWS, Right, Tile, outer};
use super::winograd_tiles::POINTS;
use crate::scratch::Buffer;
use crate::simd::vectorized;

/// Pairs of channels whose weights are transformed beside each other.
const PAIRS: usize = 16;

/// `G` on three values.
#[inline(always)]
fn weight_four(a: f32, b: f32, c: f32) -> [f32; 4] {
    [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c]
}

/// `G w Gᵀ` of neighbouring pairs of channels, whose weights are `w: [n, 9]`; turned around if `turned`. Goes to `out[point][at..at + n]`.
#[inline(always)]
fn transform_pairs(w: &[f32], turned: bool, out: &mut [&mut [f32]; POINTS], at: usize) {
    let (w, _) = w.as_chunks::<9>();
    let mut taps = [[0.0; PAIRS]; 9];
    for (i, w) in w.iter().enumerate() {
        for t in 0..9 {
            taps[t][i] = w[t];
        }
    }
    if turned {
        taps.reverse();
    }
    let mut u = [[0.0; PAIRS]; POINTS];
    for i in 0..PAIRS {
        let t = |k: usize| taps[k][i];
        let columns = [weight_four(t(0), t(3), t(6)), weight_four(t(1), t(4), t(7)), weight_four(t(2), t(5), t(8))];
        for r in 0..4 {
            let four = weight_four(columns[0][r], columns[1][r], columns[2][r]);
            for s in 0..4 {
                u[4 * r + s][i] = four[s];
            }
        }
    }
    for (out, u) in out.iter_mut().zip(&u) {
        match out[at..].first_chunk_mut() {
            Some(out) if w.len() == PAIRS => *out = *u,
            _ => out[at..at + w.len()].copy_from_slice(&u[..w.len()]),
        }
    }
}

/// The weights as they lie, `[C', C, 3, 3]`, and in which of the two ways they are read.
#[derive(Clone, Copy)]
pub(super) struct Kernel<'a> {
    pub(super) weight: &'a [f32],
    /// `C`
    pub(super) inputs: usize,
    /// For the gradient of the input: its channels are the rows of the product, and the weights are turned around.
    pub(super) turned: bool,
}

/// `G w Gᵀ` of all pairs of some channels: a matrix for every point.
pub(super) struct Weights {
    pub(super) data: Buffer,
    pub(super) rows: usize,
    depth: usize,
    /// From row to row, column to column and point to point.
    strides: [usize; 3],
}

impl<'a> Kernel<'a> {
    /// Rows of the product, and its depth.
    pub(super) fn sizes(self) -> [usize; 2] {
        let outputs = self.weight.len() / 9 / self.inputs;
        if self.turned { [self.inputs, outputs] } else { [outputs, self.inputs] }
    }

    /// The transformed weights of the product's `rows`, in the memory of `data`; on every thread if `shared`.
    pub(super) fn transform(self, rows: std::ops::Range<usize>, mut data: Buffer, shared: bool) -> Weights {
        let depth = self.sizes()[1];
        // Channels out, and those channels in that are neighbours in memory.
        let (outer, inner) = if self.turned { (0..depth, rows.clone()) } else { (rows.clone(), 0..depth) };
        // No power of two, which a cache would put in one place.
        let stride = inner.len().next_multiple_of(PAIRS) | PAIRS;
        let point = outer.len() * stride + PAIRS;
        data.resize(POINTS * point);
        let each = if shared { outer.len().div_ceil(16) } else { outer.len() };
        let mut points: Vec<_> = data.chunks_exact_mut(point).map(|point| point[..outer.len() * stride].chunks_mut(each * stride)).collect();
        let task = |task: usize| -> (usize, [&mut [f32]; POINTS]) {
            (outer.start + task * each, std::array::from_fn(|p| points[p].next().expect("as many parts a point as tasks")))
        };
        let tasks: Vec<_> = (0..outer.len().div_ceil(each)).map(task).collect();
        let (this, end) = (self, outer.end);
        let run = |(first, mut out): (usize, [&mut [f32]; POINTS])| {
            vectorized(
                #[inline(always)]
                || {
                    for (row, o) in (first..(first + each).min(end)).enumerate() {
                        let w = &this.weight[(o * this.inputs + inner.start) * 9..(o * this.inputs + inner.end) * 9];
                        for (i, w) in w.chunks(PAIRS * 9).enumerate() {
                            transform_pairs(w, this.turned, &mut out, row * stride + i * PAIRS);
                        }
                    }
                },
            );
        };
        if shared {
            tasks.into_par_iter().for_each(run);
        } else {
            tasks.into_iter().for_each(run);
        }
        let strides = if self.turned { [1, stride, point] } else { [stride, 1, point] };
        Weights { data, rows: rows.len(), depth, strides }
    }
}

impl Weights {
    /// `m[point][row] = u[point] v[point]` for the rows of `tiles`.
    pub(super) fn multiply(&self, v: &[f32], columns: usize, tiles: std::ops::Range<usize>, m: &mut [Tile]) {
        let (depth, [row, step, apart]) = (self.depth, self.strides);
        for (point, m) in m.chunks_exact_mut(tiles.len()).enumerate() {
            let weights = Left { data: &self.data[point * apart..(point + 1) * apart], row, step };
            for (block, v) in v[point * point_stride(depth)..][..depth * COLS].chunks(DEPTH * COLS).enumerate() {
                let v = Right::panel(v);
                for (tile, m) in tiles.clone().zip(m.iter_mut()) {
                    let rows = (self.rows - tile * ROWS).min(ROWS);
                    outer(weights.from(tile * ROWS, block * DEPTH), v, [rows, columns], m, block > 0);
                }
            }
        }
    }
}

/// Floats from one product's panel to the next: no power of two, which a cache would put in one place.
pub(super) fn point_stride(channels: usize) -> usize {
    channels * COLS + 2 * LANES
}
