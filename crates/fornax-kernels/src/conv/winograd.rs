//! The 3×3 convolution of stride 1 as sixteen matrix products with 4/9 of the multiplications: Winograd's F(2×2, 3×3).
//!
//! `Y = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ d B)] A` for every tile of 2×2 results, `d` its window of 4×4. The gradients are those of this very formula,
//! so they save as much. Twenty-four tiles stand beside each other in every step, which the compiler turns into vectors.
//!
//! Source: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016.

use rayon::prelude::*;

use super::gather::Images;
use super::slices::{Finish, Sizes, pack};
use super::tile::{COLS, DOT_COLS, DOT_ROWS, LANES, ROWS, dots, outer};
use crate::simd::vectorized;

/// Products: a tile's window has 4×4 values.
const POINTS: usize = 16;
/// Tiles that are neighbours as often as not, and are read and written together.
const FOUR: usize = 4;
/// Depth of a product whose panel fits a first-level cache.
const DEPTH: usize = 192;
/// Channels that are transformed together for the weight gradient: whole rows of [`dots`]' tiles.
const CHANNELS: usize = DOT_ROWS * DOT_COLS;
/// Tiles at once in the weight gradient, about.
const DOT_TILES: usize = 256;
/// Fewest channels in and out where it pays.
const FEWEST: usize = 16;

/// Whether the formula is for these sizes, and pays.
pub(super) fn fits(sizes: &Sizes) -> bool {
    let many = sizes.inputs >= FEWEST && sizes.outputs >= FEWEST;
    sizes.kernel == [3, 3] && sizes.stride == [1, 1] && many && sizes.padding.iter().all(|&p| p <= 2) && sizes.out().is_some_and(|[h, w]| h * w >= 4)
}

/// The tiles of a group of images, four by four.
struct Tiles {
    grid: [usize; 2],
    count: usize,
    places: Vec<Four>,
}

struct Four {
    /// Image, row and column of each tile.
    at: [[usize; 3]; FOUR],
    /// Whether they are neighbours in a row.
    run: bool,
}

impl Tiles {
    fn new(images: usize, [h, w]: [usize; 2]) -> Self {
        let grid = [h.div_ceil(2), w.div_ceil(2)];
        let count = images * grid[0] * grid[1];
        let place = |t: usize| [t / (grid[0] * grid[1]), t / grid[1] % grid[0], t % grid[1]];
        let four = |first: usize| {
            let at: [[usize; 3]; FOUR] = std::array::from_fn(|i| place((first + i).min(count - 1)));
            Four { at, run: at[0][0] == at[3][0] && at[0][1] == at[3][1] && at[3][2] == at[0][2] + 3 }
        };
        Self { grid, count, places: (0..count).step_by(FOUR).map(four).collect() }
    }

    /// Height and width of an image that holds every window.
    fn padded(&self) -> [usize; 2] {
        self.grid.map(|n| 2 * n + 2)
    }

    fn panels(&self) -> usize {
        self.count.div_ceil(COLS)
    }
}

type Window = [[f32; COLS]; POINTS];

/// The windows of the tiles `fours`, value by value; `data` is a plane of every image, `stride` apart.
#[inline(always)]
fn windows(fours: &[Four], data: &[f32], stride: usize, wide: usize) -> Window {
    let mut d = [[0.0; COLS]; POINTS];
    for (q, four) in fours.iter().enumerate() {
        let start = |i: usize| four.at[i][0] * stride + 2 * four.at[i][1] * wide + 2 * four.at[i][2];
        for r in 0..4 {
            if four.run {
                let x: &[f32; 10] = data[start(0) + r * wide..].first_chunk().expect("a window ends inside its image");
                for s in 0..4 {
                    d[4 * r + s][q * FOUR..(q + 1) * FOUR].copy_from_slice(&[x[s], x[2 + s], x[4 + s], x[6 + s]]);
                }
            } else {
                for i in 0..FOUR {
                    let x: &[f32; 4] = data[start(i) + r * wide..].first_chunk().expect("a window ends inside its image");
                    (0..4).for_each(|s| d[4 * r + s][q * FOUR + i] = x[s]);
                }
            }
        }
    }
    d
}

/// `Bᵀ d B`
#[inline(always)]
fn input_transform(d: &mut Window) {
    let mut four = |i: [usize; 4]| {
        for t in 0..COLS {
            let [a, b, c, e] = i.map(|i| d[i][t]);
            for (i, v) in i.into_iter().zip([a - c, b + c, c - b, b - e]) {
                d[i][t] = v;
            }
        }
    };
    (0..4).for_each(|s| four([s, 4 + s, 8 + s, 12 + s]));
    (0..4).for_each(|r| four([4 * r, 4 * r + 1, 4 * r + 2, 4 * r + 3]));
}

/// `Aᵀ m A`: the four results of every tile.
#[inline(always)]
fn output_transform(m: [&[f32; COLS]; POINTS]) -> [[f32; COLS]; 4] {
    let mut y = [[0.0; COLS]; 4];
    for t in 0..COLS {
        let column = |s: usize| {
            let [a, b, c, e] = [0, 4, 8, 12].map(|r| m[r + s][t]);
            [a + b + c, b - c - e]
        };
        let [a, b, c, e] = [column(0), column(1), column(2), column(3)];
        for r in 0..2 {
            y[2 * r][t] = a[r] + b[r] + c[r];
            y[2 * r + 1][t] = b[r] - c[r] - e[r];
        }
    }
    y
}

/// `G w Gᵀ` of every pair of channels, packed for [`outer`]: a product's weights behind another's.
struct Weights {
    packed: Vec<f32>,
    rows: usize,
    depth: usize,
}

impl Weights {
    /// `value(row, depth, tap)`
    fn new(rows: usize, depth: usize, value: impl Fn(usize, usize, usize) -> f32) -> Self {
        let mut u = vec![0.0; POINTS * rows * depth];
        let half = |a: f32, b: f32, c: f32| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
        for m in 0..rows {
            for k in 0..depth {
                let column = |s: usize| half(value(m, k, s), value(m, k, 3 + s), value(m, k, 6 + s));
                let columns = [column(0), column(1), column(2)];
                for r in 0..4 {
                    for (s, v) in half(columns[0][r], columns[1][r], columns[2][r]).into_iter().enumerate() {
                        u[((4 * r + s) * rows + m) * depth + k] = v;
                    }
                }
            }
        }
        let packed = u.chunks_exact(rows * depth).flat_map(|u| pack(rows, depth, |m, k| u[m * depth + k])).collect();
        Self { packed, rows, depth }
    }

    fn tiles(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    /// `m[point][row] += u[point] v[point]` for the rows of `tiles`.
    fn multiply(&self, v: &[f32], tiles: std::ops::Range<usize>, m: &mut [[f32; ROWS * COLS]]) {
        m.fill([0.0; ROWS * COLS]);
        let (n, depth) = (self.tiles(), self.depth);
        for point in 0..POINTS {
            let weights = &self.packed[point * n * ROWS * depth..][..n * ROWS * depth];
            let (v, m) = (&v[point * depth * COLS..][..depth * COLS], &mut m[point * tiles.len()..][..tiles.len()]);
            for (block, v) in v.chunks(DEPTH * COLS).enumerate() {
                let deep = v.len() / COLS;
                let weights = &weights[block * DEPTH * n * ROWS..][..deep * n * ROWS];
                for (weights, m) in weights.chunks_exact(deep * ROWS).skip(tiles.start).zip(m.iter_mut()) {
                    outer(weights, v, m);
                }
            }
        }
    }
}

/// The transformed windows of a panel: `[POINTS, C, COLS]`.
fn transform(fours: &[Four], images: &Images, data: &[f32], v: &mut [f32]) {
    let [_, wide] = images.padded;
    let plane = images.padded[0] * wide;
    vectorized(|| {
        for c in 0..images.channels {
            let mut d = windows(fours, &data[c * plane..], images.stride(), wide);
            input_transform(&mut d);
            for (point, d) in d.iter().enumerate() {
                v[(point * images.channels + c) * COLS..][..COLS].copy_from_slice(d);
            }
        }
    });
}

/// Writes the results of row `row` of a panel; `out` is that row's plane in the first image, `stride` from image to image.
#[inline(always)]
fn write(y: &[[f32; COLS]; 4], fours: &[Four], [h, w]: [usize; 2], stride: usize, finish: impl Fn(f32) -> f32, out: &mut [f32], count: usize) {
    for (q, four) in fours.iter().enumerate() {
        let [image, ty, tx] = four.at[0];
        let whole = four.run && 2 * ty + 1 < h && 2 * tx + 2 * FOUR <= w;
        if whole {
            for r in 0..2 {
                let out: &mut [f32; 2 * FOUR] =
                    out[image * stride + (2 * ty + r) * w + 2 * tx..].first_chunk_mut().expect("eight results in the row");
                for i in 0..FOUR {
                    out[2 * i] = finish(y[2 * r][q * FOUR + i]);
                    out[2 * i + 1] = finish(y[2 * r + 1][q * FOUR + i]);
                }
            }
            continue;
        }
        for (i, [image, ty, tx]) in four.at.into_iter().enumerate().take(count.saturating_sub(q * FOUR)) {
            for (k, y) in y.iter().enumerate() {
                let [row, column] = [2 * ty + k / 2, 2 * tx + k % 2];
                if row < h && column < w {
                    out[image * stride + row * w + column] = finish(y[q * FOUR + i]);
                }
            }
        }
    }
}

#[derive(Default)]
struct Scratch {
    images: Vec<f32>,
    v: Vec<f32>,
    m: Vec<[f32; ROWS * COLS]>,
}

/// What [`correlate`] reads and how it ends.
struct Correlation<'a> {
    images: &'a Images<'a>,
    weights: &'a Weights,
    size: [usize; 2],
    finish: Finish<'a>,
}

impl Correlation<'_> {
    /// The rows of `tiles` of one panel, into `out`: `[rows, H, W]` of the first image, `stride` from image to image.
    fn panel(
        &self,
        fours: &[Four],
        count: usize,
        v: &[f32],
        tiles: std::ops::Range<usize>,
        stride: usize,
        m: &mut Vec<[f32; ROWS * COLS]>,
        out: &mut [f32],
    ) {
        m.resize(POINTS * tiles.len(), [0.0; ROWS * COLS]);
        self.weights.multiply(v, tiles.clone(), m);
        let plane = self.size[0] * self.size[1];
        let first = tiles.start * ROWS;
        vectorized(|| {
            for row in first..(tiles.end * ROWS).min(self.weights.rows) {
                let at = row - first;
                let y = output_transform(std::array::from_fn(|point| &m[point * tiles.len() + at / ROWS].as_chunks::<COLS>().0[at % ROWS]));
                let bias = self.finish.bias.map_or(0.0, |bias| bias[row]);
                write(&y, fours, self.size, stride, |y| self.finish.apply(y, bias), &mut out[at * plane..], count);
            }
        });
    }

    /// Whole groups of images, a task each.
    fn by_images(&self, group: usize, out: &mut [f32]) {
        let (images, weights) = (self.images, self.weights);
        let stride = weights.rows * self.size[0] * self.size[1];
        let whole = Tiles::new(group, self.size);
        out.par_chunks_mut(group * stride).enumerate().for_each_init(Scratch::default, |scratch, (index, out)| {
            let count = out.len() / stride;
            let data = images.read(index * group, count, &mut scratch.images);
            let rest;
            let tiles = if count == group {
                &whole
            } else {
                rest = Tiles::new(count, self.size);
                &rest
            };
            scratch.v.resize(POINTS * images.channels * COLS, 0.0);
            for (panel, fours) in tiles.places.chunks(COLS / FOUR).enumerate() {
                transform(fours, images, data, &mut scratch.v);
                self.panel(fours, tiles.count - panel * COLS, &scratch.v, 0..weights.tiles(), stride, &mut scratch.m, out);
            }
        });
    }

    /// Image by image, its channels over the tasks: for batches of one or two.
    fn by_channels(&self, out: &mut [f32]) {
        let (images, weights) = (self.images, self.weights);
        let plane = self.size[0] * self.size[1];
        let tiles = Tiles::new(1, self.size);
        let each = weights.tiles().div_ceil(8);
        let (mut buffer, mut v) = (Vec::new(), vec![0.0; tiles.panels() * POINTS * images.channels * COLS]);
        for (index, out) in out.chunks_exact_mut(weights.rows * plane).enumerate() {
            let data = images.read(index, 1, &mut buffer);
            let panels = || tiles.places.chunks(COLS / FOUR);
            v.par_chunks_mut(POINTS * images.channels * COLS)
                .zip(panels().collect::<Vec<_>>())
                .for_each(|(v, fours)| transform(fours, images, data, v));
            out.par_chunks_mut(each * ROWS * plane).enumerate().for_each_init(Vec::new, |m, (chunk, out)| {
                let rows = chunk * each..((chunk + 1) * each).min(weights.tiles());
                for ((panel, fours), v) in panels().enumerate().zip(v.chunks_exact(POINTS * images.channels * COLS)) {
                    self.panel(fours, tiles.count - panel * COLS, v, rows.clone(), weights.rows * plane, m, out);
                }
            });
        }
    }

    fn run(&self, batch: usize) -> Vec<f32> {
        let mut out = vec![0.0; batch * self.weights.rows * self.size[0] * self.size[1]];
        if batch < 4 {
            self.by_channels(&mut out);
        } else {
            let per = Tiles::new(1, self.size).count;
            // Few tiles wasted in the last panel, and at least eight tasks where the batch has them.
            let most = (batch / 8).max(1);
            let waste = |group: &usize| (per * group).next_multiple_of(COLS) * 1000 / (per * group);
            let group = (1..=most.max(COLS.div_ceil(per)).min(batch)).min_by_key(waste).unwrap_or(1);
            self.by_images(group, &mut out);
        }
        out
    }
}

fn padded<'a>(data: &'a [f32], mask: Option<&'a [f32]>, channels: usize, size: [usize; 2], before: [usize; 2], out: [usize; 2]) -> Images<'a> {
    Images { data, mask, channels, size, before, padded: Tiles::new(1, out).padded() }
}

/// As [`super::slices::forward`].
pub(super) fn forward(sizes: &Sizes, x: &[f32], weight: &[f32], finish: Finish) -> Vec<f32> {
    let size = sizes.out().expect("the caller looked at the sizes");
    let weights = Weights::new(sizes.outputs, sizes.inputs, |m, k, tap| weight[(m * sizes.inputs + k) * 9 + tap]);
    let images = padded(x, None, sizes.inputs, sizes.size, sizes.padding, size);
    Correlation { images: &images, weights: &weights, size, finish }.run(sizes.batch)
}

/// As [`super::slices::input_gradient`]: the convolution of `dy` with the weights turned around.
pub(super) fn input_gradient(sizes: &Sizes, weight: &[f32], dy: &[f32], mask: Option<&[f32]>) -> Vec<f32> {
    let out = sizes.out().expect("the caller looked at the sizes");
    let weights = Weights::new(sizes.inputs, sizes.outputs, |m, k, tap| weight[(k * sizes.inputs + m) * 9 + 8 - tap]);
    let images = padded(dy, mask, sizes.outputs, out, sizes.padding.map(|p| 2 - p), sizes.size);
    Correlation { images: &images, weights: &weights, size: sizes.size, finish: Finish { bias: None, relu: false } }.run(sizes.batch)
}

/// `A dy Aᵀ`
#[inline(always)]
fn output_adjoint(d: &Window) -> Window {
    let mut m = [[0.0; COLS]; POINTS];
    for t in 0..COLS {
        // The four results of a tile are the first two values of its window's first two rows.
        let column = |s: usize| {
            let (a, b) = (d[s][t], d[4 + s][t]);
            [a, a + b, a - b, -b]
        };
        let (a, b) = (column(0), column(1));
        for r in 0..4 {
            (m[4 * r][t], m[4 * r + 1][t], m[4 * r + 2][t], m[4 * r + 3][t]) = (a[r], a[r] + b[r], a[r] - b[r], -b[r]);
        }
    }
    m
}

/// `[C / CHANNELS, POINTS, CHANNELS, n]`: what `f` makes of the windows of a group of images.
fn spread(images: &Images, first: usize, count: usize, tiles: &Tiles, out: &mut Vec<f32>, f: impl Fn(Window) -> Window + Sync) {
    let n = tiles.count.next_multiple_of(LANES);
    let length = POINTS * CHANNELS * n;
    out.clear();
    out.resize(images.channels.div_ceil(CHANNELS) * length, 0.0);
    let [_, wide] = images.padded;
    let plane = images.padded[0] * wide;
    out.par_chunks_mut(length).enumerate().for_each_init(Vec::new, |buffer, (chunk, out)| {
        buffer.resize(count * plane, 0.0);
        for (at, c) in (chunk * CHANNELS..((chunk + 1) * CHANNELS).min(images.channels)).enumerate() {
            (0..count).for_each(|i| images.plane((first + i) * images.channels + c, &mut buffer[i * plane..(i + 1) * plane]));
            vectorized(|| {
                for (panel, fours) in tiles.places.chunks(COLS / FOUR).enumerate() {
                    let d = f(windows(fours, buffer, plane, wide));
                    let width = (tiles.count - panel * COLS).min(COLS);
                    for (point, d) in d.iter().enumerate() {
                        out[(point * CHANNELS + at) * n + panel * COLS..][..width].copy_from_slice(&d[..width]);
                    }
                }
            });
        }
    });
}

/// As [`super::slices::weight_gradient`], without that of the bias.
pub(super) fn weight_gradient(sizes: &Sizes, x: &[f32], dy: &[f32], mask: Option<&[f32]>) -> Vec<f32> {
    let out = sizes.out().expect("the caller looked at the sizes");
    let [rows, columns] = [sizes.outputs, sizes.inputs];
    let inputs = padded(x, None, columns, sizes.size, sizes.padding, out);
    // The results of a tile where its window starts.
    let outputs = padded(dy, mask, rows, out, [0, 0], out);
    let group = DOT_TILES.div_ceil(Tiles::new(1, out).count).min(sizes.batch);
    let (mut v, mut m) = (Vec::new(), Vec::new());
    let mut du = vec![0.0; POINTS * rows * columns];
    for first in (0..sizes.batch).step_by(group) {
        let count = group.min(sizes.batch - first);
        let tiles = Tiles::new(count, out);
        let n = tiles.count.next_multiple_of(LANES);
        spread(&inputs, first, count, &tiles, &mut v, |mut d| {
            input_transform(&mut d);
            d
        });
        spread(&outputs, first, count, &tiles, &mut m, |d| output_adjoint(&d));
        du.par_chunks_mut(rows * columns).enumerate().for_each(|(point, du)| {
            let part = |chunk: usize| (chunk * POINTS + point) * CHANNELS * n..(chunk * POINTS + point + 1) * CHANNELS * n;
            for row in (0..rows).step_by(DOT_ROWS) {
                let m = &m[part(row / CHANNELS)][row % CHANNELS * n..][..DOT_ROWS * n];
                for column in (0..columns).step_by(DOT_COLS) {
                    let v = &v[part(column / CHANNELS)][column % CHANNELS * n..][..DOT_COLS * n];
                    for (i, sums) in dots(m, v).iter().enumerate().take(rows - row) {
                        let du = &mut du[(row + i) * columns + column..];
                        du.iter_mut().zip(&sums[..DOT_COLS.min(columns - column)]).for_each(|(du, sum)| *du += sum);
                    }
                }
            }
        });
    }
    let mut dw = vec![0.0; rows * columns * 9];
    dw.par_chunks_mut(columns * 9).enumerate().for_each(|(row, dw)| {
        for (column, dw) in dw.chunks_exact_mut(9).enumerate() {
            // `Gᵀ du G`
            let u = |point: usize| du[(point * rows + row) * columns + column];
            let three = |a: f32, b: f32, c: f32, d: f32| [a + 0.5 * (b + c), 0.5 * (b - c), 0.5 * (b + c) + d];
            let columns: [[f32; 3]; 4] = std::array::from_fn(|s| three(u(s), u(4 + s), u(8 + s), u(12 + s)));
            for r in 0..3 {
                dw[3 * r..3 * r + 3].copy_from_slice(&three(columns[0][r], columns[1][r], columns[2][r], columns[3][r]));
            }
        }
    });
    dw
}
