//! Backends whose tensors are f32 in memory.
#![cfg_attr(feature = "ndarray", expect(deprecated, reason = "promised by this project; goes with Burn 0.23"))]

#[cfg(feature = "flex")]
use burn::backend::Flex;
#[cfg(feature = "ndarray")]
use burn::backend::NdArray;
use burn::backend::{Backend, tensor::FloatTensor};
#[cfg(feature = "ndarray")]
use burn_ndarray::NdArrayTensor;

/// A backend whose tensors are f32 in memory.
pub(crate) trait Memory: Backend {
    /// Row-major and contiguous; a copy only where it is not.
    fn contiguous(x: FloatTensor<Self>) -> FloatTensor<Self>;
    /// The elements of a tensor that is.
    fn floats(x: &FloatTensor<Self>) -> &[f32];
    /// The same, to write; copies them first if another tensor shares them.
    fn floats_mut(x: &mut FloatTensor<Self>) -> &mut [f32];
}

#[cfg(feature = "flex")]
impl Memory for Flex {
    fn contiguous(x: FloatTensor<Self>) -> FloatTensor<Self> {
        x.to_contiguous()
    }
    fn floats(x: &FloatTensor<Self>) -> &[f32] {
        x.as_slice().expect("a contiguous f32 tensor")
    }
    fn floats_mut(x: &mut FloatTensor<Self>) -> &mut [f32] {
        x.storage_mut()
    }
}

#[cfg(feature = "ndarray")]
impl Memory for NdArray {
    fn contiguous(x: FloatTensor<Self>) -> FloatTensor<Self> {
        match x {
            NdArrayTensor::F32(storage) if !storage.view().is_standard_layout() => {
                storage.into_shared().as_standard_layout().into_owned().into_shared().into()
            }
            settled => settled,
        }
    }
    fn floats(x: &FloatTensor<Self>) -> &[f32] {
        match x {
            NdArrayTensor::F32(storage) => storage.view().to_slice().expect("a contiguous tensor"),
            _ => unreachable!("only f32 comes here"),
        }
    }
    fn floats_mut(x: &mut FloatTensor<Self>) -> &mut [f32] {
        match x {
            NdArrayTensor::F32(storage) => storage.ensure_owned().as_slice_mut().expect("a contiguous tensor"),
            _ => unreachable!("only f32 comes here"),
        }
    }
}
