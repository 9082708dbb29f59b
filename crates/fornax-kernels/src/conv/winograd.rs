//! The 3×3 convolution of stride 1 as sixteen matrix products with 4/9 of the multiplications: Winograd's F(2×2, 3×3).
//!
//! `Y = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ d B)] A` for every tile of 2×2 results, `d` its window of 4×4. The gradients are those of this very formula,
//! so they save as much. Twenty-four tiles stand beside each other in every step, which the compiler turns into vectors.
//!
//! Source: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016.

use rayon::prelude::*;

use super::gather::Images;
use super::slices::{Finish, Sizes};
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
const DOT_TILES: usize = 512;
/// Fewest channels in and out where it pays.
const FEWEST: usize = 16;

/// Whether the formula is for these sizes, and pays.
pub(super) fn fits(sizes: &Sizes) -> bool {
    let many = sizes.inputs >= FEWEST && sizes.outputs >= FEWEST;
    sizes.kernel == [3, 3] && sizes.stride == [1, 1] && many && sizes.padding.iter().all(|&p| p <= 2) && sizes.out().is_some_and(|[h, w]| h * w >= 4)
}

/// Whether [`weight_gradient`] pays: below, its transforms cost what its products save.
pub(super) fn fits_weight_gradient(sizes: &Sizes) -> bool {
    fits(sizes) && sizes.inputs * sizes.outputs >= 1 << 17
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

    /// Floats from one row of tiles to the next: whole vectors, and no power of two, which a cache would put in one place.
    fn stride(&self) -> usize {
        self.count.next_multiple_of(LANES) | LANES
    }

    fn panels(&self) -> usize {
        self.count.div_ceil(COLS)
    }
}

type Window = [[f32; COLS]; POINTS];

/// The windows of the tiles `fours`, value by value, into `d`; a place without a tile keeps what it has.
/// `data` is a plane of every image, `stride` apart.
#[inline(always)]
fn windows(fours: &[Four], data: &[f32], stride: usize, wide: usize, d: &mut Window) {
    for (q, four) in fours.iter().enumerate() {
        let at = q * FOUR..(q + 1) * FOUR;
        for r in 0..4 {
            if four.run {
                let [image, y, x] = four.at[0];
                let x: &[f32; 10] = data[image * stride + (2 * y + r) * wide + 2 * x..].first_chunk().expect("a window ends inside its image");
                d[4 * r][at.clone()].copy_from_slice(&[x[0], x[2], x[4], x[6]]);
                d[4 * r + 1][at.clone()].copy_from_slice(&[x[1], x[3], x[5], x[7]]);
                d[4 * r + 2][at.clone()].copy_from_slice(&[x[2], x[4], x[6], x[8]]);
                d[4 * r + 3][at.clone()].copy_from_slice(&[x[3], x[5], x[7], x[9]]);
            } else {
                for (i, &[image, y, x]) in four.at.iter().enumerate() {
                    let x: &[f32; 4] = data[image * stride + (2 * y + r) * wide + 2 * x..].first_chunk().expect("a window ends inside its image");
                    for s in 0..4 {
                        d[4 * r + s][q * FOUR + i] = x[s];
                    }
                }
            }
        }
    }
}

/// `Bᵀ` on four values of every tile.
#[inline(always)]
fn input_four(d: &mut Window, [i, j, k, l]: [usize; 4]) {
    for t in 0..COLS {
        let (a, b, c, e) = (d[i][t], d[j][t], d[k][t], d[l][t]);
        d[i][t] = a - c;
        d[j][t] = b + c;
        d[k][t] = c - b;
        d[l][t] = b - e;
    }
}

/// `Bᵀ d B`
#[inline(always)]
fn input_transform(d: &mut Window) {
    for s in 0..4 {
        input_four(d, [s, 4 + s, 8 + s, 12 + s]);
    }
    for r in 0..4 {
        input_four(d, [4 * r, 4 * r + 1, 4 * r + 2, 4 * r + 3]);
    }
}

/// `Aᵀ m A`: the four results of every tile.
#[inline(always)]
fn output_transform(m: &[&[f32; COLS]; POINTS]) -> [[f32; COLS]; 4] {
    let mut rows = [[[0.0; COLS]; 4]; 2];
    for s in 0..4 {
        for t in 0..COLS {
            let (a, b, c, e) = (m[s][t], m[4 + s][t], m[8 + s][t], m[12 + s][t]);
            rows[0][s][t] = a + b + c;
            rows[1][s][t] = b - c - e;
        }
    }
    let mut y = [[0.0; COLS]; 4];
    for r in 0..2 {
        let [a, b, c, e] = &rows[r];
        for t in 0..COLS {
            y[2 * r][t] = a[t] + b[t] + c[t];
            y[2 * r + 1][t] = b[t] - c[t] - e[t];
        }
    }
    y
}

/// `G w Gᵀ` of every pair of channels, packed for [`outer`]: `[rows / ROWS, POINTS, depth, ROWS]`.
struct Weights {
    packed: Vec<f32>,
    rows: usize,
    depth: usize,
}

/// `G` on three values.
#[inline(always)]
fn weight_four(a: f32, b: f32, c: f32) -> [f32; 4] {
    [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c]
}

impl Weights {
    /// `taps(row, depth)` are the nine weights of a pair of channels.
    fn new(rows: usize, depth: usize, taps: impl Fn(usize, usize) -> [f32; 9] + Sync) -> Self {
        let mut packed = vec![0.0; rows.div_ceil(ROWS) * POINTS * depth * ROWS];
        packed.par_chunks_mut(POINTS * depth * ROWS).enumerate().for_each(|(tile, packed)| {
            for m in tile * ROWS..((tile + 1) * ROWS).min(rows) {
                for k in 0..depth {
                    let w = taps(m, k);
                    let columns = [weight_four(w[0], w[3], w[6]), weight_four(w[1], w[4], w[7]), weight_four(w[2], w[5], w[8])];
                    for r in 0..4 {
                        for (s, u) in weight_four(columns[0][r], columns[1][r], columns[2][r]).into_iter().enumerate() {
                            packed[((4 * r + s) * depth + k) * ROWS + m % ROWS] = u;
                        }
                    }
                }
            }
        });
        Self { packed, rows, depth }
    }

    fn tiles(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    /// `m[point][row] = u[point] v[point]` for the rows of `tiles`.
    fn multiply(&self, v: &[f32], tiles: std::ops::Range<usize>, m: &mut [[f32; ROWS * COLS]]) {
        let depth = self.depth;
        for (point, m) in m.chunks_exact_mut(tiles.len()).enumerate() {
            for (block, v) in v[point * point_stride(depth)..][..depth * COLS].chunks(DEPTH * COLS).enumerate() {
                for (tile, m) in tiles.clone().zip(m.iter_mut()) {
                    let weights = &self.packed[(tile * POINTS + point) * depth * ROWS..][..depth * ROWS];
                    outer(&weights[block * DEPTH * ROWS..][..v.len() / COLS * ROWS], v, m, block > 0);
                }
            }
        }
    }
}

/// Floats from one product's panel to the next, see [`Tiles::stride`].
fn point_stride(channels: usize) -> usize {
    channels * COLS + 2 * LANES
}

/// The transformed windows of a panel: `[POINTS, C, COLS]`, a product's part [`point_stride`] apart.
fn transform(fours: &[Four], images: &Images, data: &[f32], v: &mut [f32]) {
    let [_, wide] = images.padded;
    let plane = images.padded[0] * wide;
    vectorized(|| {
        let mut d = [[0.0; COLS]; POINTS];
        for c in 0..images.channels {
            windows(fours, &data[c * plane..], images.stride(), wide, &mut d);
            input_transform(&mut d);
            for (point, d) in d.iter().enumerate() {
                v[point * point_stride(images.channels) + c * COLS..][..COLS].copy_from_slice(d);
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
                let mut products = [&[0.0; COLS]; POINTS];
                for (point, products) in products.iter_mut().enumerate() {
                    *products = &m[point * tiles.len() + at / ROWS].as_chunks::<COLS>().0[at % ROWS];
                }
                let y = output_transform(&products);
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
            scratch.v.resize(POINTS * point_stride(images.channels), 0.0);
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
        let (mut buffer, mut v) = (Vec::new(), vec![0.0; tiles.panels() * POINTS * point_stride(images.channels)]);
        for (index, out) in out.chunks_exact_mut(weights.rows * plane).enumerate() {
            let data = images.read(index, 1, &mut buffer);
            let panels = || tiles.places.chunks(COLS / FOUR);
            v.par_chunks_mut(POINTS * point_stride(images.channels))
                .zip(panels().collect::<Vec<_>>())
                .for_each(|(v, fours)| transform(fours, images, data, v));
            out.par_chunks_mut(each * ROWS * plane).enumerate().for_each_init(Vec::new, |m, (chunk, out)| {
                let rows = chunk * each..((chunk + 1) * each).min(weights.tiles());
                for ((panel, fours), v) in panels().enumerate().zip(v.chunks_exact(POINTS * point_stride(images.channels))) {
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

fn nine(weight: &[f32]) -> [f32; 9] {
    *weight.first_chunk().expect("nine weights for a pair of channels")
}

/// As [`super::slices::forward`].
pub(super) fn forward(sizes: &Sizes, x: &[f32], weight: &[f32], finish: Finish) -> Vec<f32> {
    let size = sizes.out().expect("the caller looked at the sizes");
    let weights = Weights::new(sizes.outputs, sizes.inputs, |m, k| nine(&weight[(m * sizes.inputs + k) * 9..]));
    let images = padded(x, None, sizes.inputs, sizes.size, sizes.padding, size);
    Correlation { images: &images, weights: &weights, size, finish }.run(sizes.batch)
}

/// As [`super::slices::input_gradient`]: the convolution of `dy` with the weights turned around.
pub(super) fn input_gradient(sizes: &Sizes, weight: &[f32], dy: &[f32], mask: Option<&[f32]>) -> Vec<f32> {
    let out = sizes.out().expect("the caller looked at the sizes");
    let weights = Weights::new(sizes.inputs, sizes.outputs, |m, k| {
        let mut taps = nine(&weight[(k * sizes.inputs + m) * 9..]);
        taps.reverse();
        taps
    });
    let images = padded(dy, mask, sizes.outputs, out, sizes.padding.map(|p| 2 - p), sizes.size);
    Correlation { images: &images, weights: &weights, size: sizes.size, finish: Finish { bias: None, relu: false } }.run(sizes.batch)
}

/// `A dy Aᵀ`; the four results of a tile are the first two values of its window's first two rows.
#[inline(always)]
fn output_adjoint(d: &mut Window) {
    for s in 0..2 {
        for t in 0..COLS {
            let (a, b) = (d[s][t], d[4 + s][t]);
            (d[4 + s][t], d[8 + s][t], d[12 + s][t]) = (a + b, a - b, -b);
        }
    }
    for r in 0..4 {
        for t in 0..COLS {
            let (a, b) = (d[4 * r][t], d[4 * r + 1][t]);
            (d[4 * r + 1][t], d[4 * r + 2][t], d[4 * r + 3][t]) = (a + b, a - b, -b);
        }
    }
}

/// `[C / CHANNELS, POINTS, CHANNELS, n]`: what `f` makes of the windows of a group of images.
fn spread(images: &Images, first: usize, count: usize, tiles: &Tiles, out: &mut Vec<f32>, f: impl Fn(&mut Window) + Sync) {
    let n = tiles.stride();
    let length = POINTS * CHANNELS * n;
    // Tiles and channels beyond the last stay zero: `n` changes with the last group alone.
    if out.len() != images.channels.div_ceil(CHANNELS) * length {
        out.clear();
        out.resize(images.channels.div_ceil(CHANNELS) * length, 0.0);
    }
    let [_, wide] = images.padded;
    let plane = images.padded[0] * wide;
    out.par_chunks_mut(length).enumerate().for_each_init(Vec::new, |buffer, (chunk, out)| {
        buffer.resize(count * plane, 0.0);
        for (at, c) in (chunk * CHANNELS..((chunk + 1) * CHANNELS).min(images.channels)).enumerate() {
            (0..count).for_each(|i| images.plane((first + i) * images.channels + c, &mut buffer[i * plane..(i + 1) * plane]));
            vectorized(|| {
                let mut d = [[0.0; COLS]; POINTS];
                for (panel, fours) in tiles.places.chunks(COLS / FOUR).enumerate() {
                    windows(fours, buffer, plane, wide, &mut d);
                    f(&mut d);
                    let width = (tiles.count - panel * COLS).min(COLS);
                    for (point, d) in d.iter().enumerate() {
                        let out = &mut out[(point * CHANNELS + at) * n + panel * COLS..];
                        match out.first_chunk_mut() {
                            Some(out) if width == COLS => *out = *d,
                            _ => out[..width].copy_from_slice(&d[..width]),
                        }
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
        let n = tiles.stride();
        spread(&inputs, first, count, &tiles, &mut v, input_transform);
        spread(&outputs, first, count, &tiles, &mut m, output_adjoint);
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
