//! Batch norm on f32 in memory, `[B, C, P]` with `P` the product of the dimensions behind the channels.
//!
//! Sums run over one channel in one task, in f64 and in a fixed order.

use rayon::prelude::*;

/// Elements a task, where channels or images are smaller.
const TASK: usize = 1 << 14;
/// Elements that are mapped before they are summed.
const BLOCK: usize = 256;
/// Running sums beside each other.
const LANES: usize = 8;

/// Channels and elements a channel and image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) channels: usize,
    pub(super) plane: usize,
}

impl Sizes {
    /// `Σ p` and `Σ p q` of every channel, with `(p, q) = f(a, b)`.
    fn sums<F: Fn(f32, f32) -> (f32, f32)>(self, a: &[f32], b: &[f32], f: impl Fn(usize) -> F + Sync) -> Vec<[f64; 2]> {
        let Self { channels, plane } = self;
        let at_once = (TASK * channels).div_ceil(a.len()).max(1);
        let channel = |c: usize| {
            let f = f(c);
            let mut sums = [[0.0; LANES]; 2];
            let (mut p, mut q) = ([0.0f32; BLOCK], [0.0f32; BLOCK]);
            for start in (c * plane..a.len()).step_by(channels * plane) {
                for (a, b) in a[start..start + plane].chunks(BLOCK).zip(b[start..start + plane].chunks(BLOCK)) {
                    // One loop a step, each of which the compiler turns into vectors.
                    for ((p, q), (a, b)) in p.iter_mut().zip(&mut q).zip(a.iter().zip(b)) {
                        (*p, *q) = f(*a, *b);
                    }
                    let end = a.len().next_multiple_of(LANES);
                    p[a.len()..end].fill(0.0);
                    q[a.len()..end].fill(0.0);
                    for p in p[..end].as_chunks::<LANES>().0 {
                        (0..LANES).for_each(|i| sums[0][i] += f64::from(p[i]));
                    }
                    for (p, q) in p[..end].as_chunks::<LANES>().0.iter().zip(q[..end].as_chunks::<LANES>().0) {
                        (0..LANES).for_each(|i| sums[1][i] += f64::from(p[i]) * f64::from(q[i]));
                    }
                }
            }
            sums.map(|lanes| lanes.iter().sum())
        };
        (0..channels).into_par_iter().with_min_len(at_once).map(channel).collect()
    }

    /// `f(channel, a, b)` of every element.
    fn map<F: Fn(f32, f32) -> f32 + Sync>(self, a: &[f32], b: &[f32], f: impl Fn(usize) -> F) -> Vec<f32> {
        let functions: Vec<F> = (0..self.channels).map(f).collect();
        let image = self.channels * self.plane;
        let length = TASK.div_ceil(image) * image;
        let mut out = vec![0.0; a.len()];
        out.par_chunks_mut(length).zip(a.par_chunks(length)).zip(b.par_chunks(length)).for_each(|((out, a), b)| {
            let planes = out.chunks_exact_mut(self.plane).zip(a.chunks_exact(self.plane)).zip(b.chunks_exact(self.plane));
            for (index, ((out, a), b)) in planes.enumerate() {
                let f = &functions[index % self.channels];
                out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (a, b))| *out = f(*a, *b));
            }
        });
        out
    }
}

/// Mean and biased variance of every channel.
pub(super) fn statistics(sizes: Sizes, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let count = (x.len() / sizes.channels) as f64;
    // Around a value of the channel itself, so that a large mean does not swallow the variance.
    let first = |c: usize| x[c * sizes.plane];
    let sums = sizes.sums(x, x, |c| {
        let first = first(c);
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

    /// `γ (x − μ) / √(σ² + ε) + β` of channel `c`; the gradient asks it again where the ReLU was closed.
    fn normalize(&self, c: usize) -> impl Fn(f32) -> f32 + Sync + use<> {
        let (mean, bias) = (self.mean[c], self.bias[c]);
        let scale = (f64::from(self.weight[c]) * self.inverse_deviation(c)) as f32;
        move |x| (x - mean) * scale + bias
    }
}

/// `y = γ (x − μ) / √(σ² + ε) + β`, and its positive part with a ReLU.
pub(super) fn forward(sizes: Sizes, x: &[f32], norm: &Norm) -> Vec<f32> {
    let relu = norm.relu;
    sizes.map(x, x, |c| {
        let normalize = norm.normalize(c);
        move |x, _| {
            let y = normalize(x);
            if relu && y <= 0.0 { 0.0 } else { y }
        }
    })
}

/// Gradients of input, weight and bias.
///
/// `dβ = Σ dy`, `dγ = Σ dy x̂`, `dx = γ / √(σ² + ε) · (dy − dβ / n − x̂ dγ / n)`
pub(super) fn backward(sizes: Sizes, x: &[f32], dy: &[f32], norm: &Norm) -> [Vec<f32>; 3] {
    let count = (x.len() / sizes.channels) as f64;
    // Nothing is below a NaN: without a ReLU every gradient passes.
    let closed = if norm.relu { 0.0 } else { f32::NAN };
    let open = |c: usize| {
        let normalize = norm.normalize(c);
        // By bits, since a branch here is a coin toss to the processor.
        move |x: f32, dy: f32| f32::from_bits(dy.to_bits() & u32::from(normalize(x) <= closed).wrapping_sub(1))
    };
    let sums = sizes.sums(x, dy, |c| {
        let (open, mean) = (open(c), norm.mean[c]);
        move |x, dy| (open(x, dy), x - mean)
    });
    let dx = sizes.map(x, dy, |c| {
        let (open, deviation) = (open(c), norm.inverse_deviation(c));
        let scale = (f64::from(norm.weight[c]) * deviation) as f32;
        let (mean, shift, slope) = (norm.mean[c], (sums[c][0] / count) as f32, (sums[c][1] * deviation * deviation / count) as f32);
        move |x, dy| scale * (open(x, dy) - shift - (x - mean) * slope)
    });
    let dw = sums.iter().enumerate().map(|(c, sums)| (sums[1] * norm.inverse_deviation(c)) as f32).collect();
    [dx, dw, sums.iter().map(|sums| sums[0] as f32).collect()]
}
