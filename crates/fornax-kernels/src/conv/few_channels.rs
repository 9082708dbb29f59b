//! The gradient of the weights by dot products over the pixels, for few channels.

use rayon::prelude::*;

use super::direct::offsets;
use super::gather::{Images, Octet, copy_column, masked, origins};
use super::slices::Sizes;
use super::tile::{DOT_COLS, DOT_ROWS, LANES, dots};

/// Positions of a row of [`dots`]: four rows and the panel fill a first-level cache.
const DOT_POSITIONS: usize = 704;
/// Floats of the panel of [`dots`].
const DOT_PANEL: usize = 4096;
/// Partial weight gradients, at most: a number that does not depend on the threads.
const CHUNKS: usize = 16;
/// Floats of all partial weight gradients, where two already take less.
const PARTIALS: usize = 1 << 24;

/// From partial sums over chunks of images, whose number depends on the sizes alone.
pub(super) fn weight_gradient(sizes: &Sizes, x: &[f32], dy: &[f32], mask: Option<&[f32]>) -> Vec<f32> {
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
    let partials: Vec<Vec<f32>> = starts
        .par_iter()
        .map(|&start| {
            let mut sums = vec![0.0; length];
            let mut scratch = Default::default();
            for first in (start..(start + chunk).min(sizes.batch)).step_by(group) {
                work.add(first, group.min(sizes.batch - first), &mut scratch, &mut sums);
            }
            sums
        })
        .collect();
    let mut dw = vec![0.0; length];
    dw.par_chunks_mut(1 << 14).enumerate().for_each(|(i, dw)| {
        for partial in &partials {
            dw.iter_mut().zip(&partial[i << 14..]).for_each(|(sum, part)| *sum += part);
        }
    });
    dw
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
    fn add(&self, first: usize, count: usize, scratch: &mut [Vec<f32>; 3], sums: &mut [f32]) {
        let [padded, left, right] = scratch;
        let data = self.images.read(first, count, padded);
        let positions = count * self.plane;
        let width = positions.div_ceil(positions.div_ceil(DOT_POSITIONS)).next_multiple_of(LANES);
        for start in (0..positions).step_by(width) {
            let origins = &self.origins[..(start + width).min(positions)];
            let width = (origins.len() - start).next_multiple_of(LANES);
            left.resize(self.outputs.next_multiple_of(DOT_ROWS) * width, 0.0);
            for m in 0..self.outputs {
                self.read_row(first, m, start..origins.len(), &mut left[m * width..(m + 1) * width]);
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
                            sums[at..].iter_mut().zip(&dots[..DOT_COLS.min(offsets.len() - k)]).for_each(|(sum, dot)| *sum += dot);
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
