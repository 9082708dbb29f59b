//! An operation with a gradient of its own, written once on slices of f32: [`Op`]. Every backend whose tensors lie in memory runs it, Flex
//! and NdArray here; a device of any other takes the composed twin, which [`takes`] tells its caller.

use burn::backend::DispatchTensor;
use burn::tensor::{DType, Device, Shape, Tensor};
use std::{fmt::Debug, sync::Arc};

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod fused;

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
        fused::apply(Arc::new(op), inputs)
    }
    #[cfg(not(any(feature = "flex", feature = "ndarray")))]
    {
        let _: (Arc<dyn Op>, _) = (Arc::new(op), inputs);
        unreachable!("`takes` refuses every backend of this build")
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device::BackendName;
    use burn::tensor::TensorData;

    /// `(a b, a + b)`, and the product once more without a gradient.
    #[derive(Debug)]
    struct Two;

    impl Op for Two {
        fn forward(&self, inputs: &[View], train: bool) -> (Vec<Array>, Vec<Vec<f32>>) {
            let (a, b) = (inputs[0], inputs[1]);
            let map = |f: fn(f32, f32) -> f32| Array::new(a.data.iter().zip(b.data).map(|(a, b)| f(*a, *b)).collect(), Shape::from(a.shape.to_vec()));
            (vec![map(|a, b| a * b), map(|a, b| a + b), map(|a, b| a * b)], if train { vec![vec![1.0]] } else { vec![] })
        }
        fn backward(&self, tape: &Tape, dy: &[Option<View>], wanted: &[bool]) -> Vec<Option<Array>> {
            assert_eq!((tape.saved, dy.len()), (&[vec![1.0]][..], 3));
            assert!(dy[2].is_none());
            let shape = tape.input(0).shape.to_vec();
            let gradient = |other: View| {
                let product = dy[0].map_or(vec![0.0; other.data.len()], |dy| dy.data.iter().zip(other.data).map(|(d, x)| d * x).collect());
                let sum = product.iter().enumerate().map(|(i, p)| p + dy[1].map_or(0.0, |dy| dy.data[i])).collect();
                Array::new(sum, Shape::from(shape.clone()))
            };
            vec![wanted[0].then(|| gradient(tape.input(1))), wanted[1].then(|| gradient(tape.input(0)))]
        }
        fn differentiable(&self, output: usize) -> bool {
            output < 2
        }
    }

    fn two(a: &Tensor<2>, b: &Tensor<2>) -> [Tensor<2>; 3] {
        assert!(takes([kind(a), kind(b)]));
        apply(Two, [a.clone().into_dispatch(), b.clone().into_dispatch()]).map(Tensor::from_dispatch)
    }

    fn values(x: Tensor<2>) -> Vec<f32> {
        x.into_data().try_to_vec().unwrap()
    }

    fn devices() -> impl Iterator<Item = Device> {
        [BackendName::Flex, BackendName::NdArray].into_iter().filter_map(|backend| backend.device(None).ok())
    }

    #[test]
    fn several_outputs_each_with_or_without_a_gradient() {
        for device in devices() {
            let device = device.autodiff();
            let leaf = |values: [[f32; 2]; 3]| Tensor::<2>::from_data(TensorData::from(values), &device).require_grad();
            let (a, b) = (leaf([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), leaf([[-1.0, 0.5], [2.0, 3.0], [0.0, 7.0]]));
            let [product, sum, again] = two(&a, &b);
            assert_eq!(values(product.clone()), values(again));
            let both = (product.clone() * 2.0 + sum.clone() * 3.0).sum().backward();
            assert_eq!(values(a.grad(&both).unwrap()), [1.0, 4.0, 7.0, 9.0, 3.0, 17.0]);
            assert_eq!(values(b.grad(&both).unwrap()), [5.0, 7.0, 9.0, 11.0, 13.0, 15.0]);
            let [product, _, _] = two(&a, &b);
            assert_eq!(values(a.grad(&product.sum().backward()).unwrap()), values(b.clone().inner()));
            let [_, sum, _] = two(&a, &b);
            assert_eq!(values(a.grad(&sum.sum().backward()).unwrap()), [1.0; 6]);
        }
    }

    #[test]
    fn one_input_may_be_a_constant_or_a_view() {
        for device in devices() {
            let view = Tensor::<2>::from_data(TensorData::from([[1.0f32, 3.0, 5.0], [2.0, 4.0, 6.0]]), &device).transpose();
            let constant = Tensor::<2>::from_inner(view.clone());
            let b = Tensor::<2>::ones([3, 2], &device.clone().autodiff()).require_grad();
            let [product, sum, _] = two(&constant, &b);
            let gradients = (product + sum).sum().backward();
            assert_eq!(values(b.grad(&gradients).unwrap()), [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
            let [product, sum, _] = two(&view, &view);
            assert_eq!((values(product), values(sum)), (vec![1.0, 4.0, 9.0, 16.0, 25.0, 36.0], vec![2.0, 4.0, 6.0, 8.0, 10.0, 12.0]));
        }
    }

    #[test]
    fn other_types_are_left_to_the_twin() {
        for device in devices() {
            let x = Tensor::<1>::from_data(TensorData::from([1.0f64]), (&device, DType::F64));
            assert!(!takes([kind(&x)]) && !takes([kind(&Tensor::<1>::ones([1], &device)), kind(&x)]));
        }
    }
}
