//! An operation with a gradient of its own, written once on slices of f32: [`Op`]. Every backend whose tensors lie in memory runs it, Flex
//! and NdArray here; a device of any other takes the composed twin, which [`takes`] tells its caller.

use burn::backend::DispatchTensor;
use burn::tensor::{DType, Device, Shape, Tensor};
use std::{fmt::Debug, sync::Arc};

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod memory;

/// Inputs of an operation, at most.
pub(crate) const INPUTS: usize = 8;
/// Outputs of an operation, at most.
pub(crate) const OUTPUTS: usize = 3;

/// A tensor that is read: row-major, contiguous.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) shape: &'a [usize],
}

/// A tensor that was made: row-major, contiguous.
#[derive(Debug)]
pub(crate) struct Array {
    pub(crate) data: Vec<f32>,
    pub(crate) shape: Shape,
}

impl Array {
    /// # Panics
    /// If `data` has not the elements of `shape`.
    pub(crate) fn new(data: Vec<f32>, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert_eq!(data.len(), shape.num_elements());
        Self { data, shape }
    }
}

/// What the gradient sees: inputs and outputs where the operation said that it needs them, and what its forward pass put by.
#[derive(Debug)]
pub(crate) struct Tape<'a> {
    pub(crate) inputs: Vec<Option<View<'a>>>,
    pub(crate) outputs: Vec<Option<View<'a>>>,
    pub(crate) saved: &'a [Vec<f32>],
}

impl<'a> Tape<'a> {
    /// # Panics
    /// If [`Op::keeps_input`] does not name it.
    pub(crate) fn input(&self, index: usize) -> View<'a> {
        self.inputs[index].expect("the operation keeps this input")
    }
    /// # Panics
    /// If [`Op::keeps_output`] does not name it.
    pub(crate) fn output(&self, index: usize) -> View<'a> {
        self.outputs[index].expect("the operation keeps this output")
    }
}

/// A differentiable operation on slices.
pub(crate) trait Op: Debug + Send + Sync + 'static {
    /// The outputs; with `train`, also what [`Op::backward`] wants beside kept inputs and outputs.
    fn forward(&self, inputs: &[View], train: bool) -> (Vec<Array>, Vec<Vec<f32>>);

    /// The gradients of the inputs that are `wanted`, from those of the outputs; an output that nobody used has none.
    fn backward(&self, tape: &Tape, dy: &[Option<View>], wanted: &[bool]) -> Vec<Option<Array>>;

    /// Whether the gradient reads this input.
    fn keeps_input(&self, _index: usize) -> bool {
        true
    }
    /// Whether the gradient reads this output.
    fn keeps_output(&self, _index: usize) -> bool {
        false
    }
    /// Whether gradients flow through this output.
    fn differentiable(&self, _output: usize) -> bool {
        true
    }
}

/// Whether [`apply`] runs these: f32, on a backend whose tensors lie in memory.
pub(crate) fn takes<const N: usize>(inputs: [(DType, Device); N]) -> bool {
    inputs.iter().all(|(dtype, device)| *dtype == DType::F32 && crate::device::is_memory(device))
}

/// What [`takes`] asks of a tensor.
pub(crate) fn kind<const D: usize>(x: &Tensor<D>) -> (DType, Device) {
    (x.dtype(), x.device())
}

/// Runs an operation.
///
/// # Panics
/// On a backend that [`takes`] refuses.
pub(crate) fn apply<const N: usize>(op: impl Op, inputs: [DispatchTensor; N]) -> [DispatchTensor; OUTPUTS] {
    const { assert!(N > 0 && N <= INPUTS) };
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    {
        memory::apply(Arc::new(op), inputs)
    }
    #[cfg(not(any(feature = "flex", feature = "ndarray")))]
    {
        let _: (Arc<dyn Op>, _) = (Arc::new(op), inputs);
        unreachable!("`takes` refuses every backend of this build")
    }
}
