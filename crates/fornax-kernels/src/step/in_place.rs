//! [`Update`] as an extension of the backends whose tensors lie in memory.
#![cfg_attr(feature = "ndarray", expect(deprecated, reason = "promised by this project; goes with Burn 0.23"))]

use super::{SLOTS, Update};
use crate::{memory::Memory, simd::vectorized};
use burn::backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;
use rayon::prelude::*;
use std::{fmt::Debug, sync::Arc};

/// Elements a task: its parts of parameter, gradient and slots fit a second-level cache.
const CHUNK: usize = 1 << 14;

/// An update of any number of slots.
pub(super) trait Run: Debug + Send + Sync {
    fn run(&self, param: &mut [f32], grad: &[f32], slots: &mut [&mut [f32]]);
}

#[derive(Debug)]
struct Of<U, const N: usize>(U);

impl<U: Update<N>, const N: usize> Run for Of<U, N> {
    fn run(&self, param: &mut [f32], grad: &[f32], slots: &mut [&mut [f32]]) {
        let mut rest = slots.iter_mut();
        let slots: [&mut [f32]; N] = std::array::from_fn(|_| &mut **rest.next().expect("as many slots as the update has"));
        vectorized(|| self.0.update(param, grad, slots));
    }
}

/// Every chunk of the tensors, on all threads. Nothing is allocated for them.
fn run(update: &dyn Run, param: &mut [f32], grad: &[f32], slots: &mut [&mut [f32]]) {
    if param.len() <= CHUNK {
        return update.run(param, grad, slots);
    }
    let chunks = param.par_chunks_mut(CHUNK).zip(grad.par_chunks(CHUNK));
    match slots {
        [] => chunks.for_each(|(param, grad)| update.run(param, grad, &mut [])),
        [a] => chunks.zip(a.par_chunks_mut(CHUNK)).for_each(|((param, grad), a)| update.run(param, grad, &mut [a])),
        [a, b] => {
            let chunks = chunks.zip(a.par_chunks_mut(CHUNK)).zip(b.par_chunks_mut(CHUNK));
            chunks.for_each(|(((param, grad), a), b)| update.run(param, grad, &mut [a, b]));
        }
        [a, b, c] => {
            let chunks = chunks.zip(a.par_chunks_mut(CHUNK)).zip(b.par_chunks_mut(CHUNK)).zip(c.par_chunks_mut(CHUNK));
            chunks.for_each(|((((param, grad), a), b), c)| update.run(param, grad, &mut [a, b, c]));
        }
        more => unreachable!("{} slots, of {SLOTS} at most", more.len()),
    }
}

/// The first is the parameter, the second its gradient, and `count` slots follow.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"))]
pub(super) trait InPlace: Backend {
    fn in_place(
        update: Arc<dyn Run>,
        count: usize,
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// See [`super::step`].
pub(super) fn step<const N: usize>(update: impl Update<N>, param: Tensor<1>, grad: Tensor<1>, slots: [Tensor<1>; N]) -> (Tensor<1>, [Tensor<1>; N]) {
    let grad = grad.into_dispatch();
    let mut slots = slots.into_iter().map(Tensor::into_dispatch);
    // The gradient stands in for slots that are not there: it is read alone.
    let [a, b, c]: [_; SLOTS] = std::array::from_fn(|_| slots.next().unwrap_or_else(|| grad.clone()));
    let (param, a, b, c) = <Dispatch as InPlace>::in_place(Arc::new(Of(update)), N, param.into_dispatch(), grad, a, b, c);
    let mut slots = [a, b, c].into_iter().map(Tensor::from_dispatch);
    (Tensor::from_dispatch(param), std::array::from_fn(|_| slots.next().expect("N is at most SLOTS")))
}

impl<B: Memory> InPlace for B {
    fn in_place(
        update: Arc<dyn Run>,
        count: usize,
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [mut param, grad, mut a, mut b, mut c] = [param, grad, a, b, c].map(B::contiguous);
        let mut slots: Vec<&mut [f32]> = [&mut a, &mut b, &mut c].into_iter().take(count).map(B::floats_mut).collect();
        run(&*update, B::floats_mut(&mut param), B::floats(&grad), &mut slots);
        (param, a, b, c)
    }
}
