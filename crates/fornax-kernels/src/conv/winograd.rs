//! The 3×3 convolution of stride 1 as sixteen matrix products with 4/9 of the multiplications: Winograd's F(2×2, 3×3).
//!
//! `Y = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ d B)] A` for every tile of 2×2 results, `d` its window of 4×4. The gradients are those of this very formula,
//! so they save as much. Sixty-four tiles stand beside each other in every step, which the compiler turns into vectors.
//!
//! Source: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016.

use rayon::prelude::*;

use super::gather::Images;
use super::slices::{Finish, Sizes};
use super::tile::{COLS, DEPTH, LANES, Left, ROWS, Right, TILE, Tile, outer};
use crate::scratch::Buffer;
use crate::simd::vectorized;

/// Products: a tile's window has 4×4 values.
const POINTS: usize = 16;
/// Tiles that are neighbours as often as not, and are read and written together.
const FOUR: usize = 4;
/// Tiles of results whose sixteen products stay in a second-level cache.
const TILES: usize = 12;
/// Groups of images that are worth a task each, at least.
const TASKS: usize = 8;
/// Floats of transformed windows, about, where tasks share channels.
const AT_ONCE: usize = 1 << 21;
/// Results a batch, at least: below, the transform of the weights costs what is saved.
const RESULTS: usize = 128;
/// Fewest channels in and out where it pays.
const FEWEST: usize = 16;

/// Whether the formula is for these sizes, and pays.
pub(super) fn fits(sizes: &Sizes) -> bool {
    let many = sizes.inputs >= FEWEST && sizes.outputs >= FEWEST;
    sizes.kernel == [3, 3]
        && sizes.stride == [1, 1]
        && many
        && sizes.padding.iter().all(|&p| p <= 2)
        && sizes.out().is_some_and(|[h, w]| h * w >= 4 && sizes.batch * h * w >= RESULTS)
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

    /// The tiles of every panel, and how many are left with it.
    fn panels(&self) -> impl Iterator<Item = (&[Four], usize)> {
        self.places.chunks(COLS / FOUR).enumerate().map(|(i, fours)| (fours, (self.count - i * COLS).min(COLS)))
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
struct Kernel<'a> {
    weight: &'a [f32],
    /// `C`
    inputs: usize,
    /// For the gradient of the input: its channels are the rows of the product, and the weights are turned around.
    turned: bool,
}

/// `G w Gᵀ` of all pairs of some channels: a matrix for every point.
struct Weights {
    data: Buffer,
    rows: usize,
    depth: usize,
    /// From row to row, column to column and point to point.
    strides: [usize; 3],
}

impl<'a> Kernel<'a> {
    /// Rows of the product, and its depth.
    fn sizes(self) -> [usize; 2] {
        let outputs = self.weight.len() / 9 / self.inputs;
        if self.turned { [self.inputs, outputs] } else { [outputs, self.inputs] }
    }

    /// The transformed weights of the product's `rows`, in the memory of `data`; on every thread if `shared`.
    fn transform(self, rows: std::ops::Range<usize>, mut data: Buffer, shared: bool) -> Weights {
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
    fn multiply(&self, v: &[f32], columns: usize, tiles: std::ops::Range<usize>, m: &mut [Tile]) {
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
fn point_stride(channels: usize) -> usize {
    channels * COLS + 2 * LANES
}

/// The transformed windows of a panel, channels from `first` on: `out[point]` is `[.., COLS]`.
fn transform(fours: &[Four], images: &Images, data: &[f32], first: usize, mut out: [&mut [f32]; POINTS]) {
    let [_, wide] = images.padded;
    let plane = images.padded[0] * wide;
    let channels = out[0].len() / COLS;
    vectorized(|| {
        let mut d = [[0.0; COLS]; POINTS];
        for c in 0..channels {
            windows(fours, &data[(first + c) * plane..], images.stride(), wide, &mut d);
            input_transform(&mut d);
            for (out, d) in out.iter_mut().zip(&d) {
                out[c * COLS..(c + 1) * COLS].copy_from_slice(d);
            }
        }
    });
}

/// The parts of a panel that belong to each point, cut into at most `each` channels.
fn by_points(v: &mut [f32], channels: usize, each: usize) -> Vec<(usize, [&mut [f32]; POINTS])> {
    let mut points: Vec<_> = v.chunks_exact_mut(point_stride(channels)).map(|point| point[..channels * COLS].chunks_mut(each * COLS)).collect();
    let part = |first: usize| (first, std::array::from_fn(|p| points[p].next().expect("as many parts a point")));
    (0..channels).step_by(each).map(part).collect()
}

/// Writes the results of a row of a panel, whose plane in the first image begins at `from`, `stride` from image to image.
#[inline(always)]
fn write(
    y: &[[f32; COLS]; 4],
    fours: &[Four],
    [h, w]: [usize; 2],
    [from, stride]: [usize; 2],
    finish: impl Fn(f32, usize) -> f32,
    out: &mut [f32],
    count: usize,
) {
    for (q, four) in fours.iter().enumerate() {
        let [image, ty, tx] = four.at[0];
        let whole = four.run && 2 * ty + 1 < h && 2 * tx + 2 * FOUR <= w;
        if whole {
            for r in 0..2 {
                let at = from + image * stride + (2 * ty + r) * w + 2 * tx;
                let out: &mut [f32; 2 * FOUR] = out[at..].first_chunk_mut().expect("eight results in the row");
                for i in 0..FOUR {
                    out[2 * i] = finish(y[2 * r][q * FOUR + i], at + 2 * i);
                    out[2 * i + 1] = finish(y[2 * r + 1][q * FOUR + i], at + 2 * i + 1);
                }
            }
            continue;
        }
        for (i, [image, ty, tx]) in four.at.into_iter().enumerate().take(count.saturating_sub(q * FOUR)) {
            for (k, y) in y.iter().enumerate() {
                let [row, column] = [2 * ty + k / 2, 2 * tx + k % 2];
                if row < h && column < w {
                    let at = from + image * stride + row * w + column;
                    out[at] = finish(y[q * FOUR + i], at);
                }
            }
        }
    }
}

#[derive(Default)]
struct Scratch {
    images: Vec<f32>,
    v: Buffer,
    m: Buffer,
}

/// What is read and how it ends.
struct Correlation<'a> {
    images: &'a Images<'a>,
    kernel: Kernel<'a>,
    size: [usize; 2],
    finish: Finish<'a>,
}

impl Correlation<'_> {
    fn plane(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Rows of `weights` for one panel of `count` tiles, into `out`: `[rows, H, W]` of the first image, `stride` from image to image. The first row
    /// is `channel`.
    fn panel(
        &self,
        weights: &Weights,
        (fours, count): (&[Four], usize),
        v: &[f32],
        [channel, stride]: [usize; 2],
        finish: Finish,
        m: &mut Buffer,
        out: &mut [f32],
    ) {
        let all = weights.rows.div_ceil(ROWS);
        for start in (0..all).step_by(TILES) {
            let tiles = start..(start + TILES).min(all);
            m.resize(POINTS * tiles.len() * TILE);
            let m = m.as_chunks_mut::<TILE>().0;
            weights.multiply(v, count.min(COLS), tiles.clone(), m);
            vectorized(|| {
                for row in tiles.start * ROWS..(tiles.end * ROWS).min(weights.rows) {
                    let mut products = [&[0.0; COLS]; POINTS];
                    for (point, products) in products.iter_mut().enumerate() {
                        *products = &m[point * tiles.len() + row / ROWS - tiles.start].as_chunks::<COLS>().0[row % ROWS];
                    }
                    let y = output_transform(&products);
                    let (of, from) = (finish.of(channel + row), row * self.plane());
                    write(&y, fours, self.size, [from, stride], |y, at| finish.apply(y, of, at), out, count);
                }
            });
        }
    }

    /// Whole groups of images, a task each.
    fn by_images(&self, group: usize, out: &mut [f32]) {
        let images = self.images;
        let [rows, _] = self.kernel.sizes();
        let weights = self.kernel.transform(0..rows, Buffer::default(), true);
        let stride = rows * self.plane();
        let whole = Tiles::new(group, self.size);
        out.par_chunks_mut(group * stride).enumerate().for_each_init(Scratch::default, |Scratch { images: buffer, v, m }, (index, out)| {
            let count = out.len() / stride;
            let data = images.read(index * group, count, buffer);
            let rest;
            let tiles = if count == group {
                &whole
            } else {
                rest = Tiles::new(count, self.size);
                &rest
            };
            v.resize(POINTS * point_stride(images.channels));
            let finish = self.finish.from(index * group * stride);
            for (fours, count) in tiles.panels() {
                by_points(v, images.channels, images.channels).into_iter().for_each(|(first, out)| transform(fours, images, data, first, out));
                self.panel(&weights, (fours, count), v, [0, stride], finish, m, out);
            }
        });
    }

    /// Group by group of images, whose channels the tasks share: where images are few, or weights more than a cache holds.
    fn by_channels(&self, group: usize, out: &mut [f32]) {
        let images = self.images;
        let ([rows, _], plane) = (self.kernel.sizes(), self.plane());
        let each = rows.div_ceil(ROWS).div_ceil(8).clamp(2, 4) * ROWS;
        let (mut buffer, mut v) = (Vec::new(), Buffer::default());
        for (index, out) in out.chunks_mut(group * rows * plane).enumerate() {
            let count = out.len() / (rows * plane);
            let data = images.read(index * group, count, &mut buffer);
            let tiles = Tiles::new(count, self.size);
            let length = POINTS * point_stride(images.channels);
            v.resize(tiles.panels().count() * length);
            let parts = v.chunks_exact_mut(length).zip(tiles.panels());
            let parts: Vec<_> =
                parts.flat_map(|(v, (fours, _))| by_points(v, images.channels, 8).into_iter().map(move |part| (fours, part))).collect();
            parts.into_par_iter().for_each(|(fours, (first, out))| transform(fours, images, data, first, out));
            let tasks = channels_of_images(out, plane, rows, each);
            tasks.into_par_iter().enumerate().for_each_init(Default::default, |[memory, m, y]: &mut [Buffer; 3], (task, out)| {
                let first = task * each;
                let channels = first..(first + each).min(rows);
                let stride = channels.len() * plane;
                let weights = self.kernel.transform(channels.clone(), std::mem::take(memory), false);
                y.resize(out.len() * stride);
                for ((fours, count), v) in tiles.panels().zip(v.chunks_exact(length)) {
                    self.panel(&weights, (fours, count), v, [first, stride], Finish::default(), m, y);
                }
                for (image, (out, y)) in out.into_iter().zip(y.chunks_exact(stride)).enumerate() {
                    let finish = self.finish.from(((index * group + image) * rows + first) * plane);
                    for (m, (out, y)) in out.chunks_exact_mut(plane).zip(y.chunks_exact(plane)).enumerate() {
                        vectorized(
                            #[inline(always)]
                            || finish.plane(y, finish.of(first + m), m * plane, out),
                        );
                    }
                }
                *memory = weights.data;
            });
        }
    }

    fn run(&self, batch: usize) -> Vec<f32> {
        let mut out = vec![0.0; batch * self.kernel.sizes()[0] * self.plane()];
        let per = Tiles::new(1, self.size).count;
        // Few tiles wasted in the last panel.
        let most = (batch / TASKS).max(COLS.div_ceil(per)).min(batch);
        let waste = |group: &usize| (per * group).next_multiple_of(COLS) * 1000 / (per * group);
        let group = (1..=most).min_by_key(waste).unwrap_or(1);
        if batch.div_ceil(group) >= TASKS {
            self.by_images(group, &mut out);
        } else {
            let panels = AT_ONCE / (POINTS * COLS * self.images.channels);
            self.by_channels((panels * COLS / per).clamp(1, batch), &mut out);
        }
        out
    }
}

/// Of every group of `each` channels, its part of every image.
fn channels_of_images(out: &mut [f32], plane: usize, rows: usize, each: usize) -> Vec<Vec<&mut [f32]>> {
    let mut tasks: Vec<Vec<&mut [f32]>> = (0..rows.div_ceil(each)).map(|_| vec![]).collect();
    for image in out.chunks_exact_mut(rows * plane) {
        tasks.iter_mut().zip(image.chunks_mut(each * plane)).for_each(|(task, part)| task.push(part));
    }
    tasks
}

fn padded<'a>(data: &'a [f32], mask: Option<&'a [f32]>, channels: usize, size: [usize; 2], before: [usize; 2], out: [usize; 2]) -> Images<'a> {
    Images { data, mask, channels, size, before, padded: Tiles::new(1, out).padded() }
}

/// As [`super::slices::forward`].
pub(super) fn forward(sizes: &Sizes, x: &[f32], weight: &[f32], finish: Finish) -> Vec<f32> {
    let size = sizes.out().expect("the caller looked at the sizes");
    let images = padded(x, None, sizes.inputs, sizes.size, sizes.padding, size);
    let kernel = Kernel { weight, inputs: sizes.inputs, turned: false };
    Correlation { images: &images, kernel, size, finish }.run(sizes.batch)
}

/// As [`super::slices::input_gradient`]: the convolution of `dy` with the weights turned around.
pub(super) fn input_gradient(sizes: &Sizes, weight: &[f32], dy: &[f32], mask: Option<&[f32]>) -> Vec<f32> {
    let out = sizes.out().expect("the caller looked at the sizes");
    let images = padded(dy, mask, sizes.outputs, out, sizes.padding.map(|p| 2 - p), sizes.size);
    let kernel = Kernel { weight, inputs: sizes.inputs, turned: true };
    Correlation { images: &images, kernel, size: sizes.size, finish: Finish::default() }.run(sizes.batch)
}
