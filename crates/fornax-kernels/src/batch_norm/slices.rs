//! Batch norm on f32 in memory, `[B, C, P]` with `P` the product of the dimensions behind the channels.
//!
//! Sums run over one channel in one task, in f64 and in a fixed order.

use crate::simd::vectorized;
use rayon::prelude::*;

/// Elements a task, where channels or images are smaller.
const TASK: usize = 1 << 14;
/// Running sums beside each other.
const LANES: usize = 16;

/// Channels and elements a channel and image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) channels: usize,
    pub(super) plane: usize,
}

impl Sizes {
    /// `Σ p` and `Σ p q` of every channel, with `(p, q) = f(a, b)`; mark `f`'s result `#[inline(always)]`.
    fn sums<F: Fn(f32, f32) -> (f32, f32)>(self, a: &[f32], b: &[f32], f: impl Fn(usize) -> F + Sync) -> Vec<[f64; 2]> {
        let Self { channels, plane } = self;
        let at_once = (TASK * channels).div_ceil(a.len()).max(1);
        let channel = |c: usize| {
            let f = f(c);
            let mut sums = [[0.0; LANES]; 2];
            for start in (c * plane..a.len()).step_by(channels * plane) {
                let (a, b) = (&a[start..start + plane], &b[start..start + plane]);
                vectorized(
                    #[inline(always)]
                    || add_sums(a, b, &f, &mut sums),
                );
            }
            sums.map(|lanes| lanes.iter().sum())
        };
        (0..channels).into_par_iter().with_min_len(at_once).map(channel).collect()
    }

    /// Calls `f` with the channel, the place and the elements of `out` of every plane.
    fn planes(self, out: &mut [f32], f: impl Fn(usize, std::ops::Range<usize>, &mut [f32]) + Sync) {
        let image = self.channels * self.plane;
        let length = TASK.div_ceil(image) * image;
        out.par_chunks_mut(length).enumerate().for_each(|(task, out)| {
            for (index, out) in out.chunks_exact_mut(self.plane).enumerate() {
                let from = task * length + index * self.plane;
                f(index % self.channels, from..from + self.plane, out);
            }
        });
    }
}

/// Adds `Σ p` and `Σ p q`, lane by lane.
#[inline(always)]
fn add_sums(a: &[f32], b: &[f32], f: &impl Fn(f32, f32) -> (f32, f32), sums: &mut [[f64; LANES]; 2]) {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let [mut first, mut second] = *sums;
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            let (p, q) = f(a[i], b[i]);
            first[i] += f64::from(p);
            second[i] += f64::from(p) * f64::from(q);
        }
    }
    for (i, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        let (p, q) = f(*a, *b);
        first[i] += f64::from(p);
        second[i] += f64::from(p) * f64::from(q);
    }
    *sums = [first, second];
}

/// Mean and biased variance of every channel.
pub(super) fn statistics(sizes: Sizes, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let count = (x.len() / sizes.channels) as f64;
    // Around a value of the channel itself, so that a large mean does not swallow the variance.
    let first = |c: usize| x[c * sizes.plane];
    let sums = sizes.sums(x, x, |c| {
        let first = first(c);
        #[inline(always)]
        move |x, _| {
            let x = x - first;
            (x, x)
        }
    });
    let mean = |c: usize, sum: f64| (f64::from(first(c)) + sum / count) as f32;
    let var = |[sum, squares]: [f64; 2]| ((squares - sum * sum / count) / count).clamp(0.0, f64::INFINITY) as f32;
    (sums.iter().enumerate().map(|(c, sums)| mean(c, sums[0])).collect(), sums.iter().map(|&sums| var(sums)).collect())
}

/// Everything but the input.
pub(super) struct Norm<'a> {
    pub(super) weight: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) mean: &'a [f32],
    pub(super) var: &'a [f32],
    pub(super) epsilon: f64,
    pub(super) relu: bool,
}

impl Norm<'_> {
    /// `1 / √(σ² + ε)`
    fn inverse_deviation(&self, c: usize) -> f64 {
        1.0 / (f64::from(self.var[c]) + self.epsilon).sqrt()
    }

    /// `scale` and `shift` of channel `c`: `y = (x − μ) scale + shift`
    fn line(&self, c: usize) -> [f32; 2] {
        [(f64::from(self.weight[c]) * self.inverse_deviation(c)) as f32, self.bias[c]]
    }
}

/// `y = γ (x − μ) / √(σ² + ε) + β`, plus a residual if there is one, and its positive part with a ReLU.
pub(super) fn forward(sizes: Sizes, x: &[f32], residual: Option<&[f32]>, norm: &Norm) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    sizes.planes(&mut y, |c, range, y| {
        let ([scale, shift], mean) = (norm.line(c), norm.mean[c]);
        let (x, residual) = (&x[range.clone()], residual.map(|residual| &residual[range]));
        vectorized(
            #[inline(always)]
            || {
                match residual {
                    None => y.iter_mut().zip(x).for_each(|(y, x)| *y = (x - mean) * scale + shift),
                    Some(residual) => y.iter_mut().zip(x.iter().zip(residual)).for_each(|(y, (x, r))| *y = (x - mean) * scale + shift + r),
                }
                if norm.relu {
                    y.iter_mut().for_each(|y| *y = if *y <= 0.0 { 0.0 } else { *y });
                }
            },
        );
    });
    y
}

/// `dy` where `y` is positive (or NaN), else 0: through the ReLU behind a sum.
pub(super) fn open(sizes: Sizes, y: &[f32], dy: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; y.len()];
    sizes.planes(&mut out, |_, range, out| {
        let (y, dy) = (&y[range.clone()], &dy[range]);
        vectorized(
            #[inline(always)]
            || out.iter_mut().zip(y.iter().zip(dy)).for_each(|(out, (y, dy))| *out = if *y <= 0.0 { 0.0 } else { *dy }),
        );
    });
    out
}

/// Gradients of input, weight and bias; of the input only if it is `wanted`.
///
/// `dβ = Σ dy`, `dγ = Σ dy x̂`, `dx = γ / √(σ² + ε) · (dy − dβ / n − x̂ dγ / n)`
pub(super) fn backward(sizes: Sizes, x: &[f32], dy: &[f32], norm: &Norm, wanted: bool) -> [Vec<f32>; 3] {
    let count = (x.len() / sizes.channels) as f64;
    // Nothing is below a NaN: without a ReLU every gradient passes.
    let closed = if norm.relu { 0.0 } else { f32::NAN };
    let sums = sizes.sums(x, dy, |c| {
        let ([scale, shift], mean) = (norm.line(c), norm.mean[c]);
        #[inline(always)]
        move |x, dy| (if (x - mean) * scale + shift <= closed { 0.0 } else { dy }, x - mean)
    });
    let mut dx = vec![0.0; if wanted { x.len() } else { 0 }];
    sizes.planes(&mut dx, |c, range, dx| {
        let ([scale, bias], mean, deviation) = (norm.line(c), norm.mean[c], norm.inverse_deviation(c));
        let (shift, slope) = ((sums[c][0] / count) as f32, (sums[c][1] * deviation * deviation / count) as f32);
        let (x, dy) = (&x[range.clone()], &dy[range]);
        vectorized(
            #[inline(always)]
            || {
                for (dx, (x, dy)) in dx.iter_mut().zip(x.iter().zip(dy)) {
                    let open = if (x - mean) * scale + bias <= closed { 0.0 } else { *dy };
                    *dx = scale * (open - shift - (x - mean) * slope);
                }
            },
        );
    });
    let dw = sums.iter().enumerate().map(|(c, sums)| (sums[1] * norm.inverse_deviation(c)) as f32).collect();
    [dx, dw, sums.iter().map(|sums| sums[0] as f32).collect()]
}
