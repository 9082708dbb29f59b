//! The convolution and its gradients on f32 in memory: which way each takes.

use super::gather::{Images, masked};
use super::{direct, few_channels, weight_gradient, winograd};
use rayon::prelude::*;

/// Values that are added in f32 before they are added in f64.
const PART: usize = 64;

/// The sizes of a convolution.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) size: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) padding: [usize; 2],
}

impl Sizes {
    /// Height and width of the output, if there is any.
    pub(super) fn out(&self) -> Option<[usize; 2]> {
        let side = |d: usize| Some((self.size[d] + 2 * self.padding[d]).checked_sub(self.kernel[d])? / self.stride[d] + 1);
        let positive = [self.batch, self.inputs, self.outputs, self.kernel[0], self.kernel[1], self.stride[0], self.stride[1]].iter().all(|&n| n > 0);
        if positive { Some([side(0)?, side(1)?]) } else { None }
    }

    pub(super) fn images<'a>(&self, x: &'a [f32]) -> Images<'a> {
        let padded = std::array::from_fn(|d| self.size[d] + 2 * self.padding[d]);
        Images { data: x, mask: None, channels: self.inputs, size: self.size, before: self.padding, padded }
    }

    pub(super) fn shift(&self, d: usize, remainder: usize, tap: usize) -> isize {
        (remainder as isize + self.padding[d] as isize - tap as isize).div_euclid(self.stride[d] as isize)
    }

    /// `dy` with the zeros that the input's gradient read.
    pub(super) fn gradients<'a>(&self, dy: &'a [f32], mask: Option<&'a [f32]>, out: [usize; 2]) -> Images<'a> {
        let before = std::array::from_fn(|d| (-self.shift(d, 0, self.kernel[d] - 1)).max(0) as usize);
        let padded = std::array::from_fn(|d| {
            let last = (self.size[d] - 1) / self.stride[d];
            before[d] + out[d].max((last as isize + self.shift(d, self.stride[d] - 1, 0) + 1).max(0) as usize)
        });
        Images { data: dy, mask, channels: self.outputs, size: out, before, padded }
    }
}

/// What becomes of a sum before it is written: `max(scale sum + bias + residual, 0)`, each part where it is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Finish<'a> {
    /// A channel each.
    pub(super) scale: Option<&'a [f32]>,
    /// A channel each.
    pub(super) bias: Option<&'a [f32]>,
    /// As the output.
    pub(super) residual: Option<&'a [f32]>,
    pub(super) relu: bool,
}

impl Finish<'_> {
    /// For the part of the output from `at`.
    pub(super) fn from(self, at: usize) -> Self {
        Self { residual: self.residual.map(|residual| &residual[at..]), ..self }
    }

    /// Scale and bias of a channel.
    #[inline(always)]
    pub(super) fn of(self, channel: usize) -> [f32; 2] {
        [self.scale.map_or(1.0, |scale| scale[channel]), self.bias.map_or(0.0, |bias| bias[channel])]
    }

    /// Neighbouring results from `at`, into the output.
    #[inline(always)]
    pub(super) fn run<const N: usize>(self, sums: &[f32; N], [scale, bias]: [f32; 2], at: usize, out: &mut [f32]) {
        let out: &mut [f32; N] = out[at..].first_chunk_mut().expect("the results are inside the output");
        for i in 0..N {
            out[i] = sums[i] * scale + bias;
        }
        if let Some(residual) = self.residual {
            let residual: &[f32; N] = residual[at..].first_chunk().expect("the residual is as large as the output");
            for i in 0..N {
                out[i] += residual[i];
            }
        }
        if self.relu {
            out.iter_mut().for_each(|y| *y = if *y <= 0.0 { 0.0 } else { *y });
        }
    }

    /// The results of a channel, which begin at `at` of the output.
    #[inline(always)]
    pub(super) fn plane(self, sums: &[f32], of: [f32; 2], at: usize, out: &mut [f32]) {
        out.iter_mut().zip(sums).enumerate().for_each(|(i, (y, sum))| *y = self.apply(*sum, of, at + i));
    }

    /// The result at `at` of the output.
    #[inline(always)]
    pub(super) fn apply(self, sum: f32, [scale, bias]: [f32; 2], at: usize) -> f32 {
        let y = sum * scale + bias;
        let y = self.residual.map_or(y, |residual| y + residual[at]);
        if self.relu && y <= 0.0 { 0.0 } else { y }
    }
}

/// `y = w ∗ x`, finished.
pub(super) fn forward(sizes: &Sizes, x: &[f32], weight: &[f32], finish: Finish) -> Vec<f32> {
    if winograd::fits(sizes) { winograd::forward(sizes, x, weight, finish) } else { direct::forward(sizes, x, weight, finish) }
}

/// The input's gradient. `mask` is the output of a fused ReLU.
pub(super) fn input_gradient(sizes: &Sizes, weight: &[f32], dy: &[f32], mask: Option<&[f32]>) -> Vec<f32> {
    if winograd::fits(sizes) { winograd::input_gradient(sizes, weight, dy, mask) } else { direct::input_gradient(sizes, weight, dy, mask) }
}

/// The gradient of the weights. `mask` is the output of a fused ReLU.
pub(super) fn weight_gradient(sizes: &Sizes, x: &[f32], dy: &[f32], mask: Option<&[f32]>) -> Vec<f32> {
    if weight_gradient::fits(sizes) {
        weight_gradient::by_outer_products(sizes, x, dy, mask)
    } else {
        few_channels::weight_gradient(sizes, x, dy, mask)
    }
}

/// The gradient of the bias: `Σ dy` of every channel, each in one task.
pub(super) fn bias_gradient(sizes: &Sizes, dy: &[f32], mask: Option<&[f32]>) -> Vec<f32> {
    let plane: usize = sizes.out().expect("the caller looked at the sizes").iter().product();
    let channel = |c: usize| {
        let mut total = 0.0;
        for from in (c * plane..dy.len()).step_by(sizes.outputs * plane) {
            let mut part = [0.0f32; PART];
            for at in (from..from + plane).step_by(PART) {
                let range = at..(at + PART).min(from + plane);
                let part = &mut part[..range.len()];
                match mask {
                    None => part.copy_from_slice(&dy[range]),
                    Some(mask) => part.iter_mut().zip(dy[range.clone()].iter().zip(&mask[range])).for_each(|(to, (d, m))| *to = masked(*d, *m)),
                }
                total += f64::from(part.iter().sum::<f32>());
            }
        }
        total as f32
    };
    (0..sizes.outputs).into_par_iter().map(channel).collect()
}
