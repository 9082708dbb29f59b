//! Max-pooling as an operation of Burn's with a gradient of its own.

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension, ops::FloatTensorOps, tensor::FloatTensor};
use burn::tensor::{DType, Tensor, TensorData};
use rayon::prelude::*;

use crate::device::is_flex;

/// Elements a task, where planes are smaller.
const TASK: usize = 1 << 14;

/// Whether the hand-written pooling is for these.
pub(super) fn takes(x: &Tensor<4>, size: usize) -> bool {
    let [b, c, h, w] = x.dims();
    x.dtype() == DType::F32 && size > 0 && h >= size && w >= size && b * c > 0 && is_flex(&x.device())
}

/// See [`super::max_pool2d`].
pub(super) fn max_pool2d(x: Tensor<4>, size: usize) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as MaxPool>::max_pool(x.into_dispatch(), size))
}

/// Max-pooling over squares without overlap.
#[backend_extension(Flex, Autodiff)]
pub(super) trait MaxPool: Backend {
    fn max_pool(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self>;
}

/// The gradient of [`MaxPool`].
pub(super) trait MaxPoolGradient: Backend {
    fn gradient(x: FloatTensor<Self>, dy: FloatTensor<Self>, size: usize) -> FloatTensor<Self>;
}

/// Whether `x` takes the place of `best`.
#[inline(always)]
fn beats(x: f32, best: f32) -> bool {
    x > best || x.is_nan()
}

fn floats(x: &FloatTensor<Flex>) -> &[f32] {
    x.as_slice().expect("a contiguous f32 tensor")
}

impl MaxPool for Flex {
    fn max_pool(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
        let x = x.to_contiguous();
        let [b, c, h, w] = x.shape().dims();
        let [rows, columns] = [h / size, w / size];
        let planes = TASK.div_ceil(h * w);
        let mut y = vec![0.0; b * c * rows * columns];
        y.par_chunks_mut(planes * rows * columns).zip(floats(&x).par_chunks(planes * h * w)).for_each(|(y, x)| {
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
        Flex::float_from_data(TensorData::new(y, [b, c, rows, columns]), &Default::default())
    }
}

impl MaxPoolGradient for Flex {
    fn gradient(x: FloatTensor<Self>, dy: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
        let (x, dy) = (x.to_contiguous(), dy.to_contiguous());
        let [b, c, h, w] = x.shape().dims();
        let [rows, columns] = [h / size, w / size];
        let planes = TASK.div_ceil(h * w);
        let mut dx = vec![0.0; b * c * h * w];
        let tasks = dx.par_chunks_mut(planes * h * w).zip(floats(&x).par_chunks(planes * h * w)).zip(floats(&dy).par_chunks(planes * rows * columns));
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
        Flex::float_from_data(TensorData::new(dx, [b, c, h, w]), &Default::default())
    }
}

impl<B: Backend + MaxPool + MaxPoolGradient, C: CheckpointStrategy> MaxPool for Autodiff<B, C> {
    fn max_pool(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
        let inner = x.primitive().clone();
        let y = B::max_pool(inner.clone(), size);
        match Step.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((inner, size), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}

#[derive(Debug)]
struct Step;

impl<B: Backend + MaxPoolGradient> Backward<B, 1> for Step {
    type State = (FloatTensor<B>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let (x, size) = ops.state;
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::gradient(x, dy, size));
        }
    }
}
