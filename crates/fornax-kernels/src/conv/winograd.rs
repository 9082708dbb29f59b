//! The 3×3 convolution of stride 1 as sixteen matrix products with 4/9 of the multiplications: Winograd's F(2×2, 3×3).
//!
//! `Y = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ d B)] A` for every tile of 2×2 results, `d` its window of 4×4. The gradients are those of this very formula,
//! so they save as much. Sixty-four tiles stand beside each other in every step, which the compiler turns into vectors.
//!
//! Source: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016.

use rayon::prelude::*;

use super::gather::Images;
use super::slices::{Finish, Sizes};
use super::tile::{COLS, ROWS, TILE};
use super::winograd_tiles::{Four, POINTS, Tiles, input_transform, output_transform, windows, write};
use super::winograd_weights::{Kernel, Weights, point_stride};
use crate::scratch::Buffer;
use crate::simd::vectorized;

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
