//! The gradient of the weights as products over the pixels: with channels beside each other, the windows' rows lie in memory as the product wants
//! them, and nothing is copied but that transpose.

use rayon::prelude::*;

use super::gather::{Images, origins};
use super::slices::Sizes;
use super::tile::{COLS, DEPTH, Left, ROWS, Right, TILE, Tile, outer};
use crate::scratch::Buffer;
use crate::transpose::transpose;

/// Floats of a group of transposed images, about: so many stay in a second-level cache.
const GROUP: usize = 1 << 18;
/// Tasks a group, at least.
const TASKS: usize = 16;
/// Values of a window's row, at least: fewer do not fill vectors.
const FEWEST: usize = 24;

/// Whether [`by_outer_products`] pays: not where a pixel is in one window alone, as the transpose is then used once.
pub(super) fn fits(sizes: &Sizes) -> bool {
    sizes.inputs * sizes.kernel[1] >= FEWEST && sizes.kernel != [1, 1]
}

/// As [`super::slices::weight_gradient`].
pub(super) fn by_outer_products(sizes: &Sizes, x: &[f32], dy: &[f32], mask: Option<&[f32]>) -> Vec<f32> {
    let out = sizes.out().expect("the caller looked at the sizes");
    let [kh, kw] = sizes.kernel;
    let inputs = sizes.images(x);
    let outputs = Images { data: dy, mask, channels: sizes.outputs, size: out, before: [0, 0], padded: out };
    let (plane, pixels, row) = (out[0] * out[1], inputs.padded[0] * inputs.padded[1], inputs.padded[1] * sizes.inputs);
    // Columns of the product: rows of a window, cut into panels.
    let blocks: Vec<(usize, usize)> = (0..kh).flat_map(|y| (0..kw * sizes.inputs).step_by(COLS).map(move |at| (y, at))).collect();
    let tiles = sizes.outputs.div_ceil(ROWS);
    let each = tiles.div_ceil(TASKS.div_ceil(blocks.len())).max(4).min(tiles);
    let mut memory = Buffer::new(blocks.len() * tiles * TILE);
    let (sums, _) = memory.as_chunks_mut::<TILE>();

    let group = (GROUP / inputs.stride().max(outputs.stride())).clamp(1, sizes.batch);
    // Behind the last pixel a row may begin that is read to its end.
    let (mut left, mut right) = (Buffer::new(group * outputs.stride()), Buffer::new(group * inputs.stride() + COLS));
    let mut at = origins(group, pixels, out, sizes.stride, inputs.padded[1]);
    at.iter_mut().for_each(|at| *at *= sizes.inputs);
    for first in (0..sizes.batch).step_by(group) {
        let count = group.min(sizes.batch - first);
        let images = right.chunks_exact_mut(inputs.stride()).zip(left.chunks_exact_mut(outputs.stride())).take(count).enumerate();
        images.par_bridge().for_each_init(Default::default, |buffers: &mut [Vec<f32>; 2], (image, (right, left))| {
            transpose(inputs.read(first + image, 1, &mut buffers[0]), [sizes.inputs, pixels], pixels, right, sizes.inputs);
            transpose(outputs.read(first + image, 1, &mut buffers[1]), [sizes.outputs, plane], plane, left, sizes.outputs);
        });
        let (left, right, at) = (Left { data: &left, row: 1, step: sizes.outputs }, &right[..], &at[..count * plane]);
        sums.par_chunks_mut(tiles).zip(&blocks).for_each(|(sums, &(y, column))| {
            let columns = (kw * sizes.inputs - column).min(COLS);
            sums.par_chunks_mut(each).enumerate().for_each(|(chunk, sums)| {
                for (depth, at) in at.chunks(DEPTH).enumerate() {
                    let right = Right::new(right, at, y * row + column);
                    for (tile, sums) in (chunk * each..).zip(sums.iter_mut()) {
                        let rows = (sizes.outputs - tile * ROWS).min(ROWS);
                        outer(left.from(tile * ROWS, depth * DEPTH), right, [rows, columns], sums, first + depth > 0);
                    }
                }
            });
        });
    }
    to_weights(sizes, sums, &blocks)
}

/// From sums `[blocks, tiles, ROWS, COLS]` to the weights' own layout.
fn to_weights(sizes: &Sizes, sums: &[Tile], blocks: &[(usize, usize)]) -> Vec<f32> {
    let [kh, kw] = sizes.kernel;
    let tiles = sizes.outputs.div_ceil(ROWS);
    let mut dw = vec![0.0; sizes.outputs * sizes.inputs * kh * kw];
    dw.par_chunks_mut(sizes.inputs * kh * kw).enumerate().for_each(|(o, dw)| {
        for (&(y, column), sums) in blocks.iter().zip(sums.chunks_exact(tiles)) {
            let sums = &sums[o / ROWS].as_chunks::<COLS>().0[o % ROWS];
            let (mut x, mut c) = (column / sizes.inputs, column % sizes.inputs);
            for sum in &sums[..(kw * sizes.inputs - column).min(COLS)] {
                dw[(c * kh + y) * kw + x] = *sum;
                c += 1;
                if c == sizes.inputs {
                    (x, c) = (x + 1, 0);
                }
            }
        }
    });
    dw
}
