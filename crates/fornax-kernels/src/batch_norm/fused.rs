//! Batch norm as an operation of Burn's with a gradient of its own.

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, Dispatch, Flex, TensorMetadata, backend_extension, ops::FloatTensorOps, tensor::FloatTensor,
};
use burn::tensor::{DType, Shape, Tensor, TensorData};

use super::flex::{self, Norm, Sizes};
use crate::device::is_flex;

/// Whether the hand-written batch norm is for these.
pub(super) fn takes<const D: usize>(x: &Tensor<D>, weight: &Tensor<1>, bias: &Tensor<1>) -> bool {
    let f32s = [x.dtype(), weight.dtype(), bias.dtype()] == [DType::F32; 3];
    let shapes = D >= 2 && weight.dims() == [x.dims()[1]] && bias.dims() == weight.dims() && x.shape().num_elements() > 0;
    f32s && shapes && is_flex(&x.device()) && is_flex(&weight.device()) && is_flex(&bias.device())
}

/// See [`super::batch_norm_training`] and [`super::batch_norm_training_relu`].
pub(super) fn batch_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    relu: bool,
) -> (Tensor<D>, Tensor<1>, Tensor<1>) {
    let (y, mean, var) = <Dispatch as BatchNorm>::normalize_batch(x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch(), epsilon, relu);
    (Tensor::from_dispatch(y), Tensor::from_dispatch(mean), Tensor::from_dispatch(var))
}

/// Batch norm: the result, and the mean and variance of the batch.
#[backend_extension(Flex, Autodiff)]
pub(super) trait BatchNorm: Backend {
    fn normalize_batch(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// What the gradient needs.
#[derive(Debug, Clone)]
pub(super) struct State<B: Backend> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    mean: FloatTensor<B>,
    var: FloatTensor<B>,
    epsilon: f64,
    relu: bool,
}

/// The gradients of a [`BatchNorm`]'s input, weight and bias.
pub(super) trait BatchNormGradients: Backend {
    fn gradients(state: State<Self>, dy: FloatTensor<Self>) -> [FloatTensor<Self>; 3];
}

fn tensor(values: Vec<f32>, shape: Shape) -> FloatTensor<Flex> {
    Flex::float_from_data(TensorData::new(values, shape), &Default::default())
}

fn floats(x: &FloatTensor<Flex>) -> &[f32] {
    x.as_slice().expect("a contiguous f32 tensor")
}

fn sizes(shape: &Shape) -> Sizes {
    Sizes { channels: shape[1], plane: shape.iter().skip(2).product() }
}

impl BatchNorm for Flex {
    fn normalize_batch(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), bias.to_contiguous());
        let (shape, values) = (x.shape(), floats(&x));
        let sizes = sizes(&shape);
        let (mean, var) = flex::statistics(sizes, values);
        let norm = Norm { weight: floats(&weight), bias: floats(&bias), mean: &mean, var: &var, epsilon, relu };
        let y = flex::forward(sizes, values, &norm);
        let per_channel = Shape::new([sizes.channels]);
        (tensor(y, shape), tensor(mean, per_channel.clone()), tensor(var, per_channel))
    }
}

impl BatchNormGradients for Flex {
    fn gradients(state: State<Self>, dy: FloatTensor<Self>) -> [FloatTensor<Self>; 3] {
        let State { x, weight, bias, mean, var, epsilon, relu } = state;
        let [x, weight, bias, dy] = [x, weight, bias, dy].map(|x| x.to_contiguous());
        let norm = Norm { weight: floats(&weight), bias: floats(&bias), mean: floats(&mean), var: floats(&var), epsilon, relu };
        let shape = x.shape();
        let [dx, dw, db] = flex::backward(sizes(&shape), floats(&x), floats(&dy), &norm);
        [tensor(dx, shape), tensor(dw, weight.shape()), tensor(db, bias.shape())]
    }
}

impl<B: Backend + BatchNorm + BatchNormGradients, C: CheckpointStrategy> BatchNorm for Autodiff<B, C> {
    fn normalize_batch(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [inner_x, inner_weight, inner_bias] = [&x, &weight, &bias].map(|x| x.primitive().clone());
        let (y, mean, var) = B::normalize_batch(inner_x.clone(), inner_weight.clone(), inner_bias.clone(), epsilon, relu);
        let y = match Step.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let state = State { x: inner_x, weight: inner_weight, bias: inner_bias, mean: mean.clone(), var: var.clone(), epsilon, relu };
                prepared.finish(state, y)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        };
        (y, Self::from_inner(mean), Self::from_inner(var))
    }
}

#[derive(Debug)]
struct Step;

impl<B: Backend + BatchNormGradients> Backward<B, 3> for Step {
    type State = State<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        for (node, gradient) in ops.parents.into_iter().zip(B::gradients(ops.state, dy)) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}
