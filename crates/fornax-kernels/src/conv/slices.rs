//! The convolution and its gradients on f32 in memory.
//!
//! Every image, or group of small ones, is a task: its windows are copied panel by panel into the first-level cache and multiplied there, so
//! no matrix of windows is ever stored. The input's gradient is itself a convolution of `dy`, one for every remainder of the stride.

use rayon::prelude::*;

use super::gather::{Images, Octet, copy_column, masked, origins};
use super::tile::{COLS, DOT_COLS, DOT_ROWS, LANES, ROWS, dots, outer};

/// Window values a panel: 192 × 24 floats are half of a first-level cache.
const DEPTH: usize = 192;
/// Positions of a group of images in a task.
const POSITIONS: usize = 480;
/// Positions of a row of [`dots`]: four rows and the panel fill a first-level cache.
const DOT_POSITIONS: usize = 704;
/// Floats of the panel of [`dots`].
const DOT_PANEL: usize = 4096;
/// Partial weight gradients, at most: a number that does not depend on the threads.
const CHUNKS: usize = 16;
/// Floats of all partial weight gradients, where two already take less.
const PARTIALS: usize = 1 << 24;

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

    fn images<'a>(&self, x: &'a [f32]) -> Images<'a> {
        let padded = std::array::from_fn(|d| self.size[d] + 2 * self.padding[d]);
        Images { data: x, mask: None, channels: self.inputs, size: self.size, before: self.padding, padded }
    }

    fn forward_pass(&self, weight: &[f32], out: [usize; 2], padded: [usize; 2]) -> Pass {
        let [kh, kw] = self.kernel;
        let offsets = offsets(self.inputs, padded, kh, kw, |y| y, |x| x);
        let depth = offsets.len();
        Pass { weights: pack(self.outputs, depth, |m, k| weight[m * depth + k]), offsets, grid: out, step: self.stride, first: [0; 2], every: [1; 2] }
    }

    /// `dx[s t + r] = Σ w[k] dy[t + (r + p − k) / s]` over the `k` for which the division is exact: a pass for every remainder `r`.
    fn backward_passes(&self, weight: &[f32], before: [usize; 2], padded: [usize; 2]) -> Vec<Pass> {
        let [kh, kw] = self.kernel;
        let remainders = (0..self.stride[0].min(self.size[0])).flat_map(|y| (0..self.stride[1].min(self.size[1])).map(move |x| [y, x]));
        let pass = |first: [usize; 2]| {
            let exact = |d: usize, k: usize| (first[d] + self.padding[d] + self.kernel[d] * self.stride[d] - k).is_multiple_of(self.stride[d]);
            let taps: [Vec<usize>; 2] = std::array::from_fn(|d| (0..self.kernel[d]).filter(|&k| exact(d, k)).collect());
            let [rows, columns] = &taps;
            let place = |d: usize, i: usize| (self.shift(d, first[d], taps[d][i]) + before[d] as isize) as usize;
            let offsets = offsets(self.outputs, padded, rows.len(), columns.len(), |y| place(0, y), |x| place(1, x));
            let per = rows.len() * columns.len();
            let value = |m: usize, k: usize| {
                let (channel, tap) = (k / per, k % per);
                weight[((channel * self.inputs + m) * kh + rows[tap / columns.len()]) * kw + columns[tap % columns.len()]]
            };
            let grid = std::array::from_fn(|d| (self.size[d] - first[d]).div_ceil(self.stride[d]));
            Pass { weights: pack(self.inputs, offsets.len(), value), offsets, grid, step: [1; 2], first, every: self.stride }
        };
        remainders.map(pass).collect()
    }

    fn shift(&self, d: usize, remainder: usize, tap: usize) -> isize {
        (remainder as isize + self.padding[d] as isize - tap as isize).div_euclid(self.stride[d] as isize)
    }

    /// `dy` with the zeros that [`Sizes::backward_passes`] read.
    fn gradients<'a>(&self, dy: &'a [f32], mask: Option<&'a [f32]>, out: [usize; 2]) -> Images<'a> {
        let before = std::array::from_fn(|d| (-self.shift(d, 0, self.kernel[d] - 1)).max(0) as usize);
        let padded = std::array::from_fn(|d| {
            let last = (self.size[d] - 1) / self.stride[d];
            before[d] + out[d].max((last as isize + self.shift(d, self.stride[d] - 1, 0) + 1).max(0) as usize)
        });
        Images { data: dy, mask, channels: self.outputs, size: out, before, padded }
    }
}

/// A dense correlation: how far the values of a window lie from its start, and where its results go.
struct Pass {
    offsets: Vec<usize>,
    /// Blocks of [`DEPTH`] values; in each, tiles of [`ROWS`] channels, value by value.
    weights: Vec<f32>,
    grid: [usize; 2],
    step: [usize; 2],
    first: [usize; 2],
    every: [usize; 2],
}

fn offsets(channels: usize, padded: [usize; 2], rows: usize, columns: usize, y: impl Fn(usize) -> usize, x: impl Fn(usize) -> usize) -> Vec<usize> {
    let mut offsets = Vec::with_capacity(channels * rows * columns);
    for c in 0..channels {
        for row in 0..rows {
            offsets.extend((0..columns).map(|column| (c * padded[0] + y(row)) * padded[1] + x(column)));
        }
    }
    offsets
}

fn pack(rows: usize, depth: usize, value: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let mut packed = Vec::with_capacity(rows.next_multiple_of(ROWS) * depth);
    for block in (0..depth).step_by(DEPTH) {
        for tile in (0..rows).step_by(ROWS) {
            for k in block..(block + DEPTH).min(depth) {
                packed.extend((tile..tile + ROWS).map(|m| if m < rows { value(m, k) } else { 0.0 }));
            }
        }
    }
    packed
}

#[derive(Default)]
struct Scratch {
    images: Vec<f32>,
    tiles: Tiles,
}

#[derive(Default)]
struct Tiles {
    panel: Vec<f32>,
    sums: Vec<[f32; ROWS * COLS]>,
}

/// Where the windows of a group of images are read, and their results written, eight by eight.
struct Places {
    count: usize,
    /// Channels out, and pixels a channel.
    rows: usize,
    plane: usize,
    from: Vec<Octet>,
    to: Vec<Octet>,
    each: Vec<usize>,
}

impl Places {
    fn new(pass: &Pass, images: &Images, count: usize, rows: usize, size: [usize; 2]) -> Self {
        let from = origins(count, images.stride(), pass.grid, pass.step, images.padded[1]);
        let mut each = origins(count, rows * size[0] * size[1], pass.grid, pass.every, size[1]);
        each.iter_mut().for_each(|to| *to += pass.first[0] * size[1] + pass.first[1]);
        let octets = |of: &[usize]| (0..of.len().next_multiple_of(COLS)).step_by(LANES).map(|first| Octet::new(of, first)).collect();
        Self { count: from.len(), rows, plane: size[0] * size[1], from: octets(&from), to: octets(&each), each }
    }
}

/// What becomes of a sum before it is written.
#[derive(Clone, Copy)]
struct Finish<'a> {
    bias: Option<&'a [f32]>,
    relu: bool,
}

impl Finish<'_> {
    #[inline(always)]
    fn apply(self, sum: f32, bias: f32) -> f32 {
        let y = sum + bias;
        if self.relu && y <= 0.0 { 0.0 } else { y }
    }
}

impl Pass {
    fn run(&self, data: &[f32], places: &Places, finish: Finish, Tiles { panel, sums }: &mut Tiles, out: &mut [f32]) {
        let &Places { rows, plane, .. } = places;
        let tiles = rows.div_ceil(ROWS);
        panel.resize(DEPTH * COLS, 0.0);
        sums.resize(tiles, [0.0; ROWS * COLS]);
        for first in (0..places.count).step_by(COLS) {
            sums.fill([0.0; ROWS * COLS]);
            let octets = first / LANES..(first + COLS) / LANES;
            for (block, offsets) in self.offsets.chunks(DEPTH).enumerate() {
                let panel = &mut panel[..offsets.len() * COLS];
                for (i, octet) in places.from[octets.clone()].iter().enumerate() {
                    copy_column(octet, data, offsets, &mut panel[i * LANES..], COLS);
                }
                let weights = &self.weights[block * DEPTH * tiles * ROWS..][..offsets.len() * tiles * ROWS];
                for (weights, sums) in weights.chunks_exact(offsets.len() * ROWS).zip(sums.iter_mut()) {
                    outer(weights, panel, sums);
                }
            }
            for (i, octet) in places.to[octets].iter().enumerate() {
                let at = first + i * LANES;
                let count = places.count.saturating_sub(at).min(LANES);
                for m in 0..rows {
                    let sums = &sums[m / ROWS][m % ROWS * COLS + i * LANES..][..LANES];
                    let bias = finish.bias.map_or(0.0, |bias| bias[m]);
                    match octet.as_run() {
                        Some(to) if count == LANES => {
                            let out = &mut out[to + m * plane..][..LANES];
                            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = finish.apply(*sum, bias));
                        }
                        _ => (0..count).for_each(|j| out[places.each[at + j] + m * plane] = finish.apply(sums[j], bias)),
                    }
                }
            }
        }
    }
}

/// Runs `passes` over a batch, group by group of images: `out` is `[B, rows, size]`.
fn correlate(images: &Images, passes: &[Pass], rows: usize, size: [usize; 2], finish: Finish, out: &mut [f32]) {
    let plane = size[0] * size[1];
    let batch = out.len() / (rows * plane);
    let positions = passes.iter().map(|pass| pass.grid[0] * pass.grid[1]).max().unwrap_or(1);
    let group = (POSITIONS / positions).clamp(1, batch.div_ceil(CHUNKS));
    let places = |count: usize| -> Vec<Places> { passes.iter().map(|pass| Places::new(pass, images, count, rows, size)).collect() };
    let whole = places(group);
    out.par_chunks_mut(group * rows * plane).enumerate().for_each_init(Scratch::default, |scratch, (index, out)| {
        let count = out.len() / (rows * plane);
        let data = images.read(index * group, count, &mut scratch.images);
        let rest = if count < group { places(count) } else { Vec::new() };
        for (pass, places) in passes.iter().zip(if count < group { &rest } else { &whole }) {
            pass.run(data, places, finish, &mut scratch.tiles, out);
        }
    });
}

/// `y = w ∗ x + b`, and its positive part if `relu`.
pub(super) fn forward(sizes: &Sizes, x: &[f32], weight: &[f32], bias: Option<&[f32]>, relu: bool) -> Vec<f32> {
    let out = sizes.out().expect("the caller looked at the sizes");
    let mut y = vec![0.0; sizes.batch * sizes.outputs * out[0] * out[1]];
    let images = sizes.images(x);
    let pass = sizes.forward_pass(weight, out, images.padded);
    correlate(&images, &[pass], sizes.outputs, out, Finish { bias, relu }, &mut y);
    y
}

/// The input's gradient. `mask` is the output of a fused ReLU.
pub(super) fn input_gradient(sizes: &Sizes, weight: &[f32], dy: &[f32], mask: Option<&[f32]>) -> Vec<f32> {
    let out = sizes.out().expect("the caller looked at the sizes");
    let mut dx = vec![0.0; sizes.batch * sizes.inputs * sizes.size[0] * sizes.size[1]];
    let images = sizes.gradients(dy, mask, out);
    let passes = sizes.backward_passes(weight, images.before, images.padded);
    correlate(&images, &passes, sizes.inputs, sizes.size, Finish { bias: None, relu: false }, &mut dx);
    dx
}

/// The gradients of weight and bias, from partial sums over chunks of images whose number depends on the sizes alone.
pub(super) fn weight_gradient(sizes: &Sizes, x: &[f32], dy: &[f32], mask: Option<&[f32]>) -> (Vec<f32>, Vec<f32>) {
    let out = sizes.out().expect("the caller looked at the sizes");
    let images = sizes.images(x);
    let offsets = offsets(sizes.inputs, images.padded, sizes.kernel[0], sizes.kernel[1], |y| y, |x| x);
    let plane = out[0] * out[1];
    let length = sizes.outputs * offsets.len();
    let chunks = (PARTIALS / length).clamp(2, CHUNKS);
    let group = (DOT_POSITIONS / plane).clamp(1, sizes.batch);
    let chunk = sizes.batch.div_ceil(chunks).next_multiple_of(group);
    let origins = origins(group, images.stride(), out, sizes.stride, images.padded[1]);
    let work = Partial { images: &images, dy, mask, offsets: &offsets, origins: &origins, outputs: sizes.outputs, plane };

    let starts: Vec<usize> = (0..sizes.batch).step_by(chunk).collect();
    let partials: Vec<(Vec<f32>, Vec<f64>)> = starts
        .par_iter()
        .map(|&start| {
            let mut sums = (vec![0.0; length], vec![0.0; sizes.outputs]);
            let mut scratch = Default::default();
            for first in (start..(start + chunk).min(sizes.batch)).step_by(group) {
                work.add(first, group.min(sizes.batch - first), &mut scratch, &mut sums);
            }
            sums
        })
        .collect();
    let mut dw = vec![0.0; length];
    dw.par_chunks_mut(1 << 14).enumerate().for_each(|(i, dw)| {
        for (partial, _) in &partials {
            dw.iter_mut().zip(&partial[i << 14..]).for_each(|(sum, part)| *sum += part);
        }
    });
    let db = (0..sizes.outputs).map(|m| partials.iter().map(|(_, part)| part[m]).sum::<f64>() as f32).collect();
    (dw, db)
}

struct Partial<'a> {
    images: &'a Images<'a>,
    dy: &'a [f32],
    mask: Option<&'a [f32]>,
    offsets: &'a [usize],
    origins: &'a [usize],
    outputs: usize,
    plane: usize,
}

impl Partial<'_> {
    /// Adds what `count` images from `first` give.
    fn add(&self, first: usize, count: usize, scratch: &mut [Vec<f32>; 3], sums: &mut (Vec<f32>, Vec<f64>)) {
        let [padded, left, right] = scratch;
        let data = self.images.read(first, count, padded);
        let positions = count * self.plane;
        let width = positions.div_ceil(positions.div_ceil(DOT_POSITIONS)).next_multiple_of(LANES);
        for start in (0..positions).step_by(width) {
            let origins = &self.origins[..(start + width).min(positions)];
            let width = (origins.len() - start).next_multiple_of(LANES);
            left.resize(self.outputs.next_multiple_of(DOT_ROWS) * width, 0.0);
            for m in 0..self.outputs {
                let row = &mut left[m * width..(m + 1) * width];
                self.read_row(first, m, start..origins.len(), row);
                sums.1[m] += f64::from(sum(row));
            }
            let octets: Vec<Octet> = (start..start + width).step_by(LANES).map(|at| Octet::new(origins, at)).collect();
            let block = (DOT_PANEL / width / DOT_COLS).max(1) * DOT_COLS;
            right.resize(block * width, 0.0);
            for (index, offsets) in self.offsets.chunks(block).enumerate() {
                for (i, octet) in octets.iter().enumerate() {
                    copy_column(octet, data, offsets, &mut right[i * LANES..], width);
                }
                for m in (0..self.outputs).step_by(DOT_ROWS) {
                    let a = &left[m * width..][..DOT_ROWS * width];
                    for k in (0..offsets.len()).step_by(DOT_COLS) {
                        let dots = dots(a, &right[k * width..][..DOT_COLS * width]);
                        for (row, dots) in dots.iter().enumerate().take(self.outputs - m) {
                            let at = (m + row) * self.offsets.len() + index * block + k;
                            sums.0[at..].iter_mut().zip(&dots[..DOT_COLS.min(offsets.len() - k)]).for_each(|(sum, dot)| *sum += dot);
                        }
                    }
                }
            }
        }
    }

    /// The gradients of channel `m` at the positions of a group, and zeros behind them.
    fn read_row(&self, first: usize, m: usize, range: std::ops::Range<usize>, row: &mut [f32]) {
        let (mut at, mut done) = (range.start, 0);
        while at < range.end {
            let n = (self.plane - at % self.plane).min(range.end - at);
            let from = ((first + at / self.plane) * self.outputs + m) * self.plane + at % self.plane;
            let (row, dy) = (&mut row[done..done + n], &self.dy[from..from + n]);
            match self.mask {
                None => row.copy_from_slice(dy),
                Some(mask) => row.iter_mut().zip(dy.iter().zip(&mask[from..from + n])).for_each(|(to, (d, m))| *to = masked(*d, *m)),
            }
            (at, done) = (at + n, done + n);
        }
        row[done..].fill(0.0);
    }
}

/// The sum of at most [`DOT_POSITIONS`] values, lane by lane.
fn sum(row: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    for row in row.as_chunks::<LANES>().0 {
        lanes.iter_mut().zip(row).for_each(|(lane, x)| *lane += x);
    }
    lanes.iter().sum()
}
