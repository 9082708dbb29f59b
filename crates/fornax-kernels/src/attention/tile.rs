//! Attention on slices of f32, one tile of queries and keys at a time.

use crate::gemm::{Matrix, Threads, gemm};
use crate::simd::{exp, max, sum, vectorized};

/// Queries a tile, and keys: their scores fill half of a first-level cache.
pub(super) const TILE: usize = 64;

/// Heads of one matrix of rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads<'a> {
    pub(super) data: &'a [f32],
    /// From a head to the next.
    pub(super) head: usize,
    /// From a row to the next.
    pub(super) row: usize,
}

impl<'a> Heads<'a> {
    pub(super) fn new(data: &'a [f32], head: usize, row: usize) -> Self {
        Self { data, head, row }
    }
    fn rows(&self, head: usize, first: usize, [count, width]: [usize; 2]) -> Matrix<'a> {
        Matrix::strided(&self.data[head * self.head + first * self.row..], [count, width], [self.row, 1])
    }
    fn at(&self, head: usize, row: usize, width: usize) -> &'a [f32] {
        &self.data[head * self.head + row * self.row..][..width]
    }
}

/// What is added to the scores; strides are 0 along what is repeated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bias<'a> {
    pub(super) data: &'a [f32],
    pub(super) strides: [usize; 4],
}

/// Heads that a task works on: `heads` of queries from `first` on, of sequence `batch`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unit<'a> {
    pub(super) q: Heads<'a>,
    pub(super) k: Heads<'a>,
    pub(super) v: Heads<'a>,
    pub(super) batch: usize,
    pub(super) first: usize,
    pub(super) heads: usize,
}

/// The sizes, and the mask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes<'a> {
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) width: usize,
    /// Heads of queries for one of keys.
    pub(super) shared: usize,
    pub(super) causal: bool,
    /// Keys before that of the first query.
    pub(super) past: usize,
    pub(super) bias: Option<Bias<'a>>,
}

/// A gradient's place: one matrix that holds all three, or three.
pub(super) enum Places<'a> {
    One(&'a mut [f32], [usize; 3]),
    Three([&'a mut [f32]; 3]),
}

impl Places<'_> {
    fn of(&mut self, part: usize) -> &mut [f32] {
        match self {
            Self::One(all, offsets) => &mut all[offsets[part]..],
            Self::Three(parts) => parts[part],
        }
    }
}

impl Sizes<'_> {
    /// Masked scores of `n` queries from `i` on and `m` keys from `j` on; the future is left out of what `each(row, scores)` sees, and 0.
    #[inline(always)]
    fn scores(&self, scores: &mut [f32], unit: &Unit, head: usize, [i, n]: [usize; 2], [j, m]: [usize; 2], mut each: impl FnMut(usize, &mut [f32])) {
        let (q, k) = (unit.q.rows(head, i, [n, self.width]), unit.k.rows(head / self.shared, j, [m, self.width]));
        gemm(scores, m, q, k.t(), false, Threads::One);
        let scale = (1.0 / (self.width as f64).sqrt()) as f32;
        vectorized(
            #[inline(always)]
            || {
                for (row, scores) in scores.chunks_exact_mut(m).take(n).enumerate() {
                    let seen = if self.causal { (self.past + i + row + 1).saturating_sub(j).min(m) } else { m };
                    let (scores, future) = scores.split_at_mut(seen);
                    future.fill(0.0);
                    scores.iter_mut().for_each(|s| *s *= scale);
                    if let Some(Bias { data, strides }) = self.bias {
                        let start = unit.batch * strides[0] + (unit.first + head) * strides[1] + (i + row) * strides[2] + j * strides[3];
                        match strides[3] {
                            0 => scores.iter_mut().for_each(|s| *s += data[start]),
                            _ => scores.iter_mut().zip(&data[start..]).for_each(|(s, b)| *s += b),
                        }
                    }
                    each(row, scores);
                }
            },
        );
    }

    /// Whether the queries before `i + n` see keys from `j` on.
    fn sees(&self, [i, n]: [usize; 2], j: usize) -> bool {
        !self.causal || j < self.past + i + n
    }

    /// Rows of the result, `[n, heads, D]`, and the logarithms of the sums of exponentials, `[n, heads]`, of the queries from `i` on; +∞ where
    /// nothing is seen.
    pub(super) fn forward(&self, unit: &Unit, i: usize, y: &mut [f32], logs: &mut [f32]) {
        let (width, stride) = (self.width, unit.heads * self.width);
        let n = logs.len() / unit.heads;
        let mut scores = vec![0.0; TILE * TILE];
        for head in 0..unit.heads {
            let (mut most, mut total) = ([f32::NEG_INFINITY; TILE], [0.0f32; TILE]);
            let y = &mut y[head * width..];
            for j in (0..self.keys).step_by(TILE).filter(|&j| self.sees([i, n], j)) {
                let m = TILE.min(self.keys - j);
                self.scores(
                    &mut scores,
                    unit,
                    head,
                    [i, n],
                    [j, m],
                    #[inline(always)]
                    |row, scores| {
                        let before = most[row];
                        most[row] = before.max(max(scores));
                        let pivot = if most[row] == f32::NEG_INFINITY { 0.0 } else { most[row] };
                        scores.iter_mut().for_each(|s| *s = exp(*s - pivot));
                        let fade = exp(before - pivot);
                        total[row] = total[row] * fade + sum(scores, scores, |p, _| p);
                        y[row * stride..][..width].iter_mut().for_each(|y| *y *= fade);
                    },
                );
                gemm(y, stride, Matrix::new(&scores, n, m), unit.v.rows(head / self.shared, j, [m, width]), j > 0, Threads::One);
            }
            for row in 0..n {
                // Of a blind query: 0 / 1.
                let whole = if total[row] == 0.0 { 1.0 } else { total[row] };
                y[row * stride..][..width].iter_mut().for_each(|y| *y /= whole);
                logs[row * unit.heads + head] = if total[row] == 0.0 { f32::INFINITY } else { most[row] + total[row].ln() };
            }
        }
    }

    /// Adds the gradients of `q`, `k` and `v`, strided as they are, to `places`.
    ///
    /// `dv = pᵀ dy`, `ds = p ⊙ (dy vᵀ − Σ dy y)`, `dq = ds k / √D`, `dk = dsᵀ q / √D`
    pub(super) fn backward(&self, unit: &Unit, y: Heads, dy: Heads, logs: Heads, places: &mut Places) {
        let width = self.width;
        let scale = (1.0 / (width as f64).sqrt()) as f32;
        let (mut p, mut ds) = (vec![0.0; TILE * TILE], vec![0.0; TILE * TILE]);
        let mut means = vec![0.0; self.queries];
        for head in 0..unit.heads {
            let kv = head / self.shared;
            vectorized(
                #[inline(always)]
                || means.iter_mut().enumerate().for_each(|(t, mean)| *mean = sum(dy.at(head, t, width), y.at(head, t, width), |a, b| a * b)),
            );
            for j in (0..self.keys).step_by(TILE) {
                let m = TILE.min(self.keys - j);
                for i in (0..self.queries).step_by(TILE) {
                    let n = TILE.min(self.queries - i);
                    if !self.sees([i, n], j) {
                        continue;
                    }
                    self.scores(
                        &mut p,
                        unit,
                        head,
                        [i, n],
                        [j, m],
                        #[inline(always)]
                        |row, scores| {
                            let log = logs.at(head, i + row, 1)[0];
                            scores.iter_mut().for_each(|s| *s = exp(*s - log));
                        },
                    );
                    gemm(&mut ds, m, dy.rows(head, i, [n, width]), unit.v.rows(kv, j, [m, width]).t(), false, Threads::One);
                    vectorized(
                        #[inline(always)]
                        || {
                            let rows = ds.chunks_exact_mut(m).zip(p.chunks_exact(m)).zip(&means[i..i + n]);
                            rows.for_each(|((ds, p), mean)| ds.iter_mut().zip(p).for_each(|(d, p)| *d = p * (*d - mean) * scale));
                        },
                    );
                    let (p, ds) = (Matrix::new(&p, n, m), Matrix::new(&ds, n, m));
                    let mut put = |part: usize, heads: Heads, [head, row]: [usize; 2], a: Matrix, b: Matrix| {
                        gemm(&mut places.of(part)[head * heads.head + row * heads.row..], heads.row, a, b, true, Threads::One);
                    };
                    put(0, unit.q, [head, i], ds, unit.k.rows(kv, j, [m, width]));
                    put(1, unit.k, [kv, j], ds.t(), unit.q.rows(head, i, [n, width]));
                    put(2, unit.v, [kv, j], p.t(), dy.rows(head, i, [n, width]));
                }
            }
        }
    }
}
