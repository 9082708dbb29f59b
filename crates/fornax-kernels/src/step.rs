//! The step of an optimizer in one pass over the memory of a parameter, in place where nobody else holds it.
//!
//! An [`Update`] is a plain loop over slices of f32. Flex and NdArray run it chunk by chunk on all threads and with the widest vectors; on
//! other devices, and in other types, the caller composes the step of tensor operations: [`takes`] tells.

use burn::tensor::{DType, Tensor};
use std::fmt::Debug;

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod in_place;

/// Slots of an [`Update`], at most.
pub const SLOTS: usize = 3;

/// `(θₜ₋₁, gₜ, slots) -> (θₜ, slots)`, element by element.
pub trait Update<const N: usize>: Debug + Send + Sync + 'static {
    /// All slices have the same length. Mark it `#[inline(always)]`, so that its loop is compiled for the processor's vectors.
    fn update(&self, param: &mut [f32], grad: &[f32], slots: [&mut [f32]; N]);
}

/// Whether [`step`] runs these.
pub fn takes<const N: usize>(param: &Tensor<1>, grad: &Tensor<1>, slots: &[Tensor<1>; N]) -> bool {
    let fits = |x: &Tensor<1>| x.dtype() == DType::F32 && x.dims() == param.dims() && !x.is_autodiff() && crate::device::is_memory(&x.device());
    N <= SLOTS && fits(param) && fits(grad) && slots.iter().all(fits)
}

/// Runs an update. The bits do not depend on the number of threads.
///
/// # Panics
/// Where [`takes`] refuses.
pub fn step<const N: usize>(update: impl Update<N>, param: Tensor<1>, grad: Tensor<1>, slots: [Tensor<1>; N]) -> (Tensor<1>, [Tensor<1>; N]) {
    assert!(takes(&param, &grad, &slots), "`step` runs f32 of one length on Flex and NdArray");
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    {
        in_place::step(update, param, grad, slots)
    }
    #[cfg(not(any(feature = "flex", feature = "ndarray")))]
    {
        let _ = (update, grad);
        (param, slots)
    }
}
