//! The convolution as products with panels of windows, which are copied into the first-level cache and multiplied there: no matrix of all windows
//! is ever stored. The input's gradient is itself a convolution of `dy`, one for every remainder of the stride.

use rayon::prelude::*;
use std::borrow::Cow;

use super::gather::{Images, Octet, copy_column, origins};
use super::slices::{Finish, Sizes};
use super::tile::{COLS, DEPTH, LANES, Left, ROWS, Right, Tile, outer};
use crate::scratch::Buffer;
use crate::simd::vectorized;

/// Positions of a group of images in a task, about.
const POSITIONS: usize = 512;
/// Tasks of a batch, at least; a smaller batch is shared out by channels.
const TASKS: usize = 8;
/// Floats of windows that are copied before channels are shared out.
const WINDOWS: usize = 1 << 20;

/// A dense correlation: how far the values of a window lie from its start, and where its results go.
struct Pass<'a> {
    offsets: Vec<usize>,
    weights: Cow<'a, [f32]>,
    /// From channel to channel of the results, and from value to value of a window.
    strides: [usize; 2],
    grid: [usize; 2],
    step: [usize; 2],
    first: [usize; 2],
    every: [usize; 2],
}

pub(super) fn offsets(
    channels: usize,
    padded: [usize; 2],
    rows: usize,
    columns: usize,
    y: impl Fn(usize) -> usize,
    x: impl Fn(usize) -> usize,
) -> Vec<usize> {
    let mut offsets = Vec::with_capacity(channels * rows * columns);
    for c in 0..channels {
        for row in 0..rows {
            offsets.extend((0..columns).map(|column| (c * padded[0] + y(row)) * padded[1] + x(column)));
        }
    }
    offsets
}

fn forward_pass<'a>(sizes: &Sizes, weight: &'a [f32], out: [usize; 2], padded: [usize; 2]) -> Pass<'a> {
    let [kh, kw] = sizes.kernel;
    let offsets = offsets(sizes.inputs, padded, kh, kw, |y| y, |x| x);
    let strides = [offsets.len(), 1];
    Pass { offsets, weights: Cow::Borrowed(weight), strides, grid: out, step: sizes.stride, first: [0; 2], every: [1; 2] }
}

/// `dx[s t + r] = Σ w[k] dy[t + (r + p − k) / s]` over the `k` for which the division is exact: a pass for every remainder `r`.
fn backward_passes<'a>(sizes: &Sizes, weight: &'a [f32], before: [usize; 2], padded: [usize; 2]) -> Vec<Pass<'a>> {
    let Sizes { inputs, outputs, size, kernel, stride, padding, .. } = *sizes;
    let remainders = (0..stride[0].min(size[0])).flat_map(|y| (0..stride[1].min(size[1])).map(move |x| [y, x]));
    let pass = |first: [usize; 2]| {
        let exact = |d: usize, k: usize| (first[d] + padding[d] + kernel[d] * stride[d] - k).is_multiple_of(stride[d]);
        let taps: [Vec<usize>; 2] = std::array::from_fn(|d| (0..kernel[d]).filter(|&k| exact(d, k)).collect());
        let [rows, columns] = &taps;
        let place = |d: usize, i: usize| (sizes.shift(d, first[d], taps[d][i]) + before[d] as isize) as usize;
        let offsets = offsets(outputs, padded, rows.len(), columns.len(), |y| place(0, y), |x| place(1, x));
        let taps: Vec<usize> = rows.iter().flat_map(|y| columns.iter().map(move |x| y * kernel[1] + x)).collect();
        let grid = std::array::from_fn(|d| (size[d] - first[d]).div_ceil(stride[d]));
        let weights = if kernel == [1, 1] { Cow::Borrowed(weight) } else { Cow::Owned(turn(weight, inputs, kernel[0] * kernel[1], &taps)) };
        Pass { offsets, weights, strides: [1, inputs], grid, step: [1; 2], first, every: stride }
    };
    remainders.map(pass).collect()
}

/// Some taps of the weights, channels in beside each other: `[C', C, K] -> [C', taps, C]`
fn turn(weight: &[f32], inputs: usize, kernel: usize, taps: &[usize]) -> Vec<f32> {
    let mut turned = vec![0.0; weight.len() / kernel * taps.len()];
    if !taps.is_empty() {
        turned.par_chunks_mut(taps.len() * inputs).zip(weight.par_chunks(inputs * kernel)).for_each(|(turned, weight)| {
            for (turned, tap) in turned.chunks_exact_mut(inputs).zip(taps) {
                turned.iter_mut().zip(weight[*tap..].iter().step_by(kernel)).for_each(|(to, w)| *to = *w);
            }
        });
    }
    turned
}

/// Where the windows of a group of images are read, and their results written, eight by eight.
struct Places {
    count: usize,
    /// Pixels of a channel out.
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
        let octets = |of: &[usize]| (0..of.len()).step_by(LANES).map(|first| Octet::new(of, first)).collect();
        Self { count: from.len(), plane: size[0] * size[1], from: octets(&from), to: octets(&each), each }
    }

    /// Positions of the panel that begins at `first`.
    fn columns(&self, first: usize) -> usize {
        (self.count - first).min(COLS)
    }

    /// The sums of a panel to where they belong: `rows` channels from `channel` on, whose first plane is the first of `out`.
    #[inline(always)]
    fn write(&self, first: usize, sums: &[Tile], [channel, rows]: [usize; 2], finish: Finish, out: &mut [f32]) {
        let columns = self.columns(first);
        for (m, sums) in sums.iter().flat_map(|tile| tile.as_chunks::<COLS>().0).enumerate().take(rows) {
            let of = finish.of(channel + m);
            for (i, octet) in self.to[first / LANES..].iter().enumerate().take(columns.div_ceil(LANES)) {
                let sums: &[f32; LANES] = sums[i * LANES..].first_chunk().expect("a panel is whole octets");
                let count = (columns - i * LANES).min(LANES);
                match octet.as_run() {
                    Some(to) if count == LANES => finish.run(sums, of, m * self.plane + to, out),
                    _ => {
                        for (to, sum) in self.each[first + i * LANES..].iter().zip(sums).take(count) {
                            out[m * self.plane + to] = finish.apply(*sum, of, m * self.plane + to);
                        }
                    }
                }
            }
        }
    }
}

#[derive(Default)]
struct Scratch {
    images: Vec<f32>,
    tiles: Tiles,
}

#[derive(Default)]
struct Tiles {
    panel: Vec<f32>,
    sums: Vec<Tile>,
}

impl Pass<'_> {
    /// Windows of the panel that begins at `first`, some of their values: `[offsets, width]`
    fn copy(&self, places: &Places, first: usize, data: &[f32], offsets: &[usize], panel: &mut [f32], width: usize) {
        for (i, octet) in places.from[first / LANES..].iter().enumerate().take(places.columns(first).div_ceil(LANES)) {
            copy_column(octet, data, offsets, &mut panel[i * LANES..], width);
        }
    }

    fn left(&self) -> Left<'_> {
        Left { data: &self.weights, row: self.strides[0], step: self.strides[1] }
    }

    /// A group of images, panel by panel.
    fn run(&self, data: &[f32], places: &Places, rows: usize, finish: Finish, Tiles { panel, sums }: &mut Tiles, out: &mut [f32]) {
        panel.resize(DEPTH * COLS, 0.0);
        sums.resize(rows.div_ceil(ROWS), [0.0; ROWS * COLS]);
        for first in (0..places.count).step_by(COLS) {
            for (block, offsets) in self.offsets.chunks(DEPTH).enumerate() {
                let panel = &mut panel[..offsets.len() * COLS];
                self.copy(places, first, data, offsets, panel, COLS);
                let panel = Right::panel(panel);
                for (sums, row) in sums.iter_mut().zip((0..rows).step_by(ROWS)) {
                    outer(self.left().from(row, block * DEPTH), panel, [(rows - row).min(ROWS), places.columns(first)], sums, block > 0);
                }
            }
            vectorized(
                #[inline(always)]
                || places.write(first, sums, [0, rows], finish, out),
            );
        }
    }
}

/// What is read, and how it ends: `rows` channels of `size`.
struct Correlation<'a> {
    images: Images<'a>,
    passes: Vec<Pass<'a>>,
    rows: usize,
    size: [usize; 2],
    finish: Finish<'a>,
}

impl Correlation<'_> {
    fn plane(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Of every pass, for `count` images.
    fn places(&self, count: usize) -> Vec<Places> {
        self.passes.iter().map(|pass| Places::new(pass, &self.images, count, self.rows, self.size)).collect()
    }

    /// Groups of images, a task each.
    fn by_images(&self, group: usize, out: &mut [f32]) {
        let image = self.rows * self.plane();
        let whole = self.places(group);
        out.par_chunks_mut(group * image).enumerate().for_each_init(Scratch::default, |scratch, (index, out)| {
            let count = out.len() / image;
            let data = self.images.read(index * group, count, &mut scratch.images);
            let rest = if count < group { self.places(count) } else { Vec::new() };
            let finish = self.finish.from(index * group * image);
            for (pass, places) in self.passes.iter().zip(if count < group { &rest } else { &whole }) {
                pass.run(data, places, self.rows, finish, &mut scratch.tiles, out);
            }
        });
    }

    /// Image by image, its channels over the tasks.
    fn by_channels(&self, out: &mut [f32]) {
        let (rows, plane) = (self.rows, self.plane());
        let each = rows.div_ceil(TASKS).next_multiple_of(2 * ROWS).min(rows.next_multiple_of(ROWS));
        let (mut buffer, mut windows) = (Vec::new(), Buffer::default());
        let places = self.places(1);
        for (image, out) in out.chunks_exact_mut(rows * plane).enumerate() {
            let data = self.images.read(image, 1, &mut buffer);
            for (pass, places) in self.passes.iter().zip(&places) {
                let depth = pass.offsets.len();
                // At once as many panels as a second-level cache or two have room for.
                let panels = (WINDOWS / (depth * COLS)).max(1);
                // A panel of few positions is no wider than they are.
                let width = places.count.next_multiple_of(16).min(COLS);
                let at: Vec<usize> = (0..depth).map(|k| k * width).collect();
                for start in (0..places.count).step_by(panels * COLS) {
                    let firsts = || (start..places.count).step_by(COLS).take(panels);
                    windows.resize(firsts().count() * depth * width + COLS);
                    windows.par_chunks_mut(depth * width).zip(firsts().collect::<Vec<_>>()).for_each(|(windows, first)| {
                        let blocks = windows.par_chunks_mut(DEPTH * width).zip(pass.offsets.par_chunks(DEPTH));
                        blocks.for_each(|(windows, offsets)| pass.copy(places, first, data, offsets, windows, width));
                    });
                    out.par_chunks_mut(each * plane).enumerate().for_each_init(Vec::new, |sums, (task, out)| {
                        let channels = [task * each, ((task + 1) * each).min(rows)];
                        sums.resize((channels[1] - channels[0]).div_ceil(ROWS), [0.0; ROWS * COLS]);
                        let finish = self.finish.from((image * rows + channels[0]) * plane);
                        for (index, first) in firsts().enumerate() {
                            let panel: Vec<Right> = at.chunks(DEPTH).map(|at| Right::new(&windows, at, index * depth * width)).collect();
                            // Rows of weights from end to end: they come from far, and once.
                            for (sums, row) in sums.iter_mut().zip((channels[0]..channels[1]).step_by(ROWS)) {
                                for (block, panel) in panel.iter().enumerate() {
                                    let sizes = [(channels[1] - row).min(ROWS), places.columns(first)];
                                    outer(pass.left().from(row, block * DEPTH), *panel, sizes, sums, block > 0);
                                }
                            }
                            vectorized(
                                #[inline(always)]
                                || places.write(first, sums, [channels[0], channels[1] - channels[0]], finish, out),
                            );
                        }
                    });
                }
            }
        }
    }

    fn run(&self, batch: usize) -> Vec<f32> {
        let mut out = vec![0.0; batch * self.rows * self.plane()];
        if batch < TASKS {
            self.by_channels(&mut out);
        } else {
            let positions = self.passes.iter().map(|pass| pass.grid[0] * pass.grid[1]).max().unwrap_or(1);
            self.by_images((POSITIONS / positions).clamp(1, batch / TASKS), &mut out);
        }
        out
    }
}

/// As [`super::slices::forward`].
pub(super) fn forward(sizes: &Sizes, x: &[f32], weight: &[f32], finish: Finish) -> Vec<f32> {
    let size = sizes.out().expect("the caller looked at the sizes");
    let images = sizes.images(x);
    let passes = vec![forward_pass(sizes, weight, size, images.padded)];
    Correlation { images, passes, rows: sizes.outputs, size, finish }.run(sizes.batch)
}

/// As [`super::slices::input_gradient`].
pub(super) fn input_gradient(sizes: &Sizes, weight: &[f32], dy: &[f32], mask: Option<&[f32]>) -> Vec<f32> {
    let images = sizes.gradients(dy, mask, sizes.out().expect("the caller looked at the sizes"));
    let mut passes = backward_passes(sizes, weight, images.before, images.padded);
    // What no window saw has no gradient, and `run` begins with zeros.
    passes.retain(|pass| !pass.offsets.is_empty());
    Correlation { images, passes, rows: sizes.inputs, size: sizes.size, finish: Finish::default() }.run(sizes.batch)
}
