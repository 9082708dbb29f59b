//! Max-pooling over squares without overlap.
//!
//! In f32 on Flex and NdArray both directions are written by hand; everywhere else Burn's own is used.

use crate::op::{self, Array, Op, Tape, View};
use burn::tensor::{Tensor, module, ops::MaxPoolOptions};
use rayon::prelude::*;

/// Elements a task, where planes are smaller.
const TASK: usize = 1 << 14;

/// Maximum over squares of side `size`; what is left at the edge is dropped: `[B, C, H, W] -> [B, C, H/size, W/size]`
///
/// A NaN stays one. The gradient goes to the first of equal values.
pub fn max_pool2d(x: Tensor<4>, size: usize) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    if size > 0 && h >= size && w >= size && b * c > 0 && op::takes([op::kind(&x)]) {
        let [y, ..] = op::apply(MaxPool { size }, [x.into_dispatch()]);
        return Tensor::from_dispatch(y);
    }
    module::max_pool2d(x, MaxPoolOptions::new([size, size]))
}

#[derive(Debug)]
struct MaxPool {
    size: usize,
}

/// Whether `x` takes the place of `best`.
#[inline(always)]
fn beats(x: f32, best: f32) -> bool {
    x > best || x.is_nan()
}

impl MaxPool {
    /// Planes, their sizes, and the sizes of the result.
    fn sizes(&self, x: View) -> (usize, [usize; 2], [usize; 2]) {
        let [h, w] = [x.shape[2], x.shape[3]];
        (x.shape[0] * x.shape[1], [h, w], [h / self.size, w / self.size])
    }
}

impl Op for MaxPool {
    fn forward(&self, inputs: &[View], _: bool) -> (Vec<Array>, Vec<Vec<f32>>) {
        let (x, size) = (inputs[0], self.size);
        let (count, [h, w], [rows, columns]) = self.sizes(x);
        let planes = TASK.div_ceil(h * w);
        let mut y = vec![0.0; count * rows * columns];
        y.par_chunks_mut(planes * rows * columns).zip(x.data.par_chunks(planes * h * w)).for_each(|(y, x)| {
            let mut highest = vec![0.0; w];
            for (y, x) in y.chunks_exact_mut(rows * columns).zip(x.chunks_exact(h * w)) {
                for (y, x) in y.chunks_exact_mut(columns).zip(x.chunks_exact(size * w)) {
                    highest.copy_from_slice(&x[..w]);
                    for x in x[w..].chunks_exact(w) {
                        highest.iter_mut().zip(x).for_each(|(best, x)| *best = if beats(*x, *best) { *x } else { *best });
                    }
                    for (y, x) in y.iter_mut().zip(highest.chunks_exact(size)) {
                        *y = x.iter().fold(x[0], |best, &x| if beats(x, best) { x } else { best });
                    }
                }
            }
        });
        (vec![Array::new(y, [x.shape[0], x.shape[1], rows, columns])], vec![])
    }

    fn backward(&self, tape: &Tape, dy: &[Option<View>], _: &[bool]) -> Vec<Option<Array>> {
        let (x, size) = (tape.input(0), self.size);
        let (count, [h, w], [rows, columns]) = self.sizes(x);
        let dy = dy[0].expect("the only output has a gradient").data;
        let planes = TASK.div_ceil(h * w);
        let mut dx = vec![0.0; count * h * w];
        let tasks = dx.par_chunks_mut(planes * h * w).zip(x.data.par_chunks(planes * h * w)).zip(dy.par_chunks(planes * rows * columns));
        tasks.for_each(|((dx, x), dy)| {
            for ((dx, x), dy) in dx.chunks_exact_mut(h * w).zip(x.chunks_exact(h * w)).zip(dy.chunks_exact(rows * columns)) {
                for (i, dy) in dy.iter().enumerate() {
                    let corner = i / columns * size * w + i % columns * size;
                    // By bits, since a branch here is a coin toss to the processor.
                    let (mut best, mut highest) = (corner, x[corner].to_bits());
                    for row in 0..size {
                        let start = corner + row * w;
                        for (at, value) in x[start..start + size].iter().enumerate() {
                            let wins = beats(*value, f32::from_bits(highest));
                            best ^= (best ^ (start + at)) & usize::from(wins).wrapping_neg();
                            highest ^= (highest ^ value.to_bits()) & u32::from(wins).wrapping_neg();
                        }
                    }
                    dx[best] = *dy;
                }
            }
        });
        vec![Some(Array::new(dx, x.shape.to_vec()))]
    }
}
