//! Layer norm and RMS norm on slices of f32.

use crate::op::{self, Array, Op, Tape, View};
use crate::simd::{add, sum, vectorized};
use burn::tensor::Tensor;
use rayon::prelude::*;

/// Rows a task, and a partial sum of the gradients of γ and β.
const ROWS: usize = 32;

/// Inputs: x, γ, and β for layer norm. Puts by `[1/σ, μ]` of every row.
#[derive(Debug)]
struct Norm {
    epsilon: f64,
    /// Layer norm; otherwise the mean counts as 0.
    centred: bool,
}

/// See [`super::layer_norm`].
pub(super) fn layer_norm<const R: usize>(x: Tensor<R>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<R> {
    let [y, ..] = op::apply(Norm { epsilon, centred: true }, [x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()]);
    Tensor::from_dispatch(y)
}

/// See [`super::rms_norm`].
pub(super) fn rms_norm<const R: usize>(x: Tensor<R>, weight: Tensor<1>, epsilon: f64) -> Tensor<R> {
    let [y, ..] = op::apply(Norm { epsilon, centred: false }, [x.into_dispatch(), weight.into_dispatch()]);
    Tensor::from_dispatch(y)
}

impl Norm {
    /// `[1/σ, μ]`, the variance around the mean and not as a difference of squares.
    #[inline(always)]
    fn statistics(&self, x: &[f32]) -> [f32; 2] {
        let n = x.len() as f32;
        let mean = if self.centred { sum(x, x, |x, _| x) / n } else { 0.0 };
        let variance = sum(x, x, |x, _| (x - mean) * (x - mean)) / n;
        [(1.0 / (f64::from(variance) + self.epsilon).sqrt()) as f32, mean]
    }
}

impl Op for Norm {
    fn forward(&self, inputs: &[View], _train: bool) -> (Vec<Array>, Vec<Vec<f32>>) {
        let (x, gamma, beta) = (inputs[0], inputs[1].data, inputs.get(2).map(|b| b.data));
        let width = gamma.len().max(1);
        let mut y = vec![0.0; x.data.len()];
        let mut statistics = vec![0.0; y.len() / width * 2];
        let tasks = y.par_chunks_mut(width * ROWS).zip(statistics.par_chunks_mut(2 * ROWS)).zip(x.data.par_chunks(width * ROWS));
        tasks.for_each(|((y, statistics), x)| {
            vectorized(
                #[inline(always)]
                || {
                    let rows = y.chunks_exact_mut(width).zip(statistics.as_chunks_mut::<2>().0).zip(x.chunks_exact(width));
                    for ((y, statistics), x) in rows {
                        *statistics = self.statistics(x);
                        let [scale, mean] = *statistics;
                        y.iter_mut().zip(x.iter().zip(gamma)).for_each(|(y, (x, gamma))| *y = (x - mean) * scale * gamma);
                        if let Some(beta) = beta {
                            add(y, beta);
                        }
                    }
                },
            );
        });
        (vec![Array::new(y, x.shape.to_vec())], vec![statistics])
    }

    /// With `g = γ dy` and `x̂`: `dx = (g − mean(g) − x̂ mean(g x̂)) / σ`, without `mean(g)` for RMS norm; `dγ = Σ dy x̂`, `dβ = Σ dy`.
    fn backward(&self, tape: &Tape, dy: &[Option<View>], wanted: &[bool]) -> Vec<Option<Array>> {
        let Some(dy) = dy[0] else { return wanted.iter().map(|_| None).collect() };
        let (x, gamma) = (tape.input(0), tape.input(1).data);
        let width = gamma.len().max(1);
        let mut dx = vec![0.0; x.data.len()];
        let inputs = x.data.par_chunks(width * ROWS).zip(dy.data.par_chunks(width * ROWS)).zip(tape.saved[0].par_chunks(2 * ROWS));
        let task = |(dx, ((x, dy), statistics)): (&mut [f32], ((&[f32], &[f32]), &[f32]))| {
            let mut sums = vec![0.0; 2 * width];
            let (d_gamma, d_beta) = sums.split_at_mut(width);
            let mut normal = vec![0.0; width];
            vectorized(
                #[inline(always)]
                || {
                    let rows = dx.chunks_exact_mut(width).zip(x.chunks_exact(width).zip(dy.chunks_exact(width))).zip(statistics.as_chunks::<2>().0);
                    for ((dx, (x, dy)), &[scale, mean]) in rows {
                        normal.iter_mut().zip(x).for_each(|(n, x)| *n = (x - mean) * scale);
                        dx.iter_mut().zip(dy.iter().zip(gamma)).for_each(|(g, (dy, gamma))| *g = dy * gamma);
                        let shift = if self.centred { sum(dx, dx, |g, _| g) / width as f32 } else { 0.0 };
                        let slope = sum(dx, &normal, |g, n| g * n) / width as f32;
                        dx.iter_mut().zip(&normal).for_each(|(g, n)| *g = (*g - shift - n * slope) * scale);
                        d_gamma.iter_mut().zip(dy.iter().zip(&normal)).for_each(|(d, (dy, n))| *d += dy * n);
                        add(d_beta, dy);
                    }
                },
            );
            sums
        };
        let partials: Vec<Vec<f32>> = dx.par_chunks_mut(width * ROWS).zip(inputs).map(task).collect();
        let mut sums = vec![0.0; 2 * width];
        partials.iter().for_each(|partial| add(&mut sums, partial));
        let d_beta = sums.split_off(width);
        sums.truncate(gamma.len());
        let shape = x.shape.to_vec();
        let all = [Array::new(dx, shape), Array::new(sums, [gamma.len()]), Array::new(d_beta, [width])];
        all.into_iter().zip(wanted).map(|(gradient, &wanted)| wanted.then_some(gradient)).collect()
    }

    fn keeps_input(&self, index: usize) -> bool {
        index < 2
    }
}
