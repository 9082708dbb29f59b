//! The convolution as an operation of Burn's with a gradient of its own.

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension, ops::FloatTensorOps, tensor::FloatTensor};
use burn::tensor::{DType, Tensor, TensorData};

use super::flex::{self, Sizes};
use crate::device::is_flex;

/// Whether the hand-written convolution is for these.
pub(super) fn takes(x: &Tensor<4>, weight: &Tensor<4>, bias: Option<&Tensor<1>>, stride: [usize; 2], padding: [usize; 2]) -> bool {
    let f32s = x.dtype() == DType::F32 && weight.dtype() == DType::F32 && bias.is_none_or(|bias| bias.dtype() == DType::F32);
    let (x_dims, w) = (x.dims(), weight.dims());
    let shapes = x_dims[1] == w[1] && bias.is_none_or(|bias| bias.dims() == [w[0]]) && sizes(x_dims, w, stride, padding).out().is_some();
    f32s && shapes && is_flex(&x.device()) && is_flex(&weight.device()) && x_dims[2] * x_dims[3] > 0
}

/// See [`super::conv2d`] and [`super::conv2d_relu`].
pub(super) fn conv2d(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, stride: [usize; 2], padding: [usize; 2], relu: bool) -> Tensor<4> {
    // Without a bias, zeros that nobody asks for a gradient.
    let bias = bias.unwrap_or_else(|| Tensor::zeros([weight.dims()[0]], &weight.device()));
    let y = <Dispatch as Convolution>::convolution(x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch(), stride, padding, relu);
    Tensor::from_dispatch(y)
}

fn sizes(x: [usize; 4], w: [usize; 4], stride: [usize; 2], padding: [usize; 2]) -> Sizes {
    Sizes { batch: x[0], inputs: x[1], outputs: w[0], size: [x[2], x[3]], kernel: [w[2], w[3]], stride, padding }
}

/// A convolution with everything that its gradient needs.
#[backend_extension(Flex, Autodiff)]
pub(super) trait Convolution: Backend {
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stride: [usize; 2],
        padding: [usize; 2],
        relu: bool,
    ) -> FloatTensor<Self>;
}

/// The gradients of a [`Convolution`]; `output` is there if a ReLU is fused to it.
trait ConvolutionGradients: Backend {
    fn input_gradient(sizes: &Sizes, weight: FloatTensor<Self>, dy: FloatTensor<Self>, output: Option<FloatTensor<Self>>) -> FloatTensor<Self>;
    fn weight_gradient(sizes: &Sizes, x: FloatTensor<Self>, dy: FloatTensor<Self>, output: Option<FloatTensor<Self>>) -> [FloatTensor<Self>; 2];
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FloatTensor<Flex> {
    Flex::float_from_data(TensorData::new(values, shape), &Default::default())
}

fn floats(x: &FloatTensor<Flex>) -> &[f32] {
    x.as_slice().expect("a contiguous f32 tensor")
}

impl Convolution for Flex {
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stride: [usize; 2],
        padding: [usize; 2],
        relu: bool,
    ) -> FloatTensor<Self> {
        let sizes = sizes(x.shape().dims(), weight.shape().dims(), stride, padding);
        let [h, w] = sizes.out().expect("`takes` looked at the sizes");
        let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), bias.to_contiguous());
        let y = flex::forward(&sizes, floats(&x), floats(&weight), Some(floats(&bias)), relu);
        tensor(y, [sizes.batch, sizes.outputs, h, w])
    }
}

impl ConvolutionGradients for Flex {
    fn input_gradient(sizes: &Sizes, weight: FloatTensor<Self>, dy: FloatTensor<Self>, output: Option<FloatTensor<Self>>) -> FloatTensor<Self> {
        let (weight, dy) = (weight.to_contiguous(), dy.to_contiguous());
        let dx = flex::input_gradient(sizes, floats(&weight), floats(&dy), output.as_ref().map(floats));
        tensor(dx, [sizes.batch, sizes.inputs, sizes.size[0], sizes.size[1]])
    }

    fn weight_gradient(sizes: &Sizes, x: FloatTensor<Self>, dy: FloatTensor<Self>, output: Option<FloatTensor<Self>>) -> [FloatTensor<Self>; 2] {
        let (x, dy) = (x.to_contiguous(), dy.to_contiguous());
        let (dw, db) = flex::weight_gradient(sizes, floats(&x), floats(&dy), output.as_ref().map(floats));
        [tensor(dw, [sizes.outputs, sizes.inputs, sizes.kernel[0], sizes.kernel[1]]), tensor(db, [sizes.outputs])]
    }
}

impl<B: Backend + Convolution + ConvolutionGradients, C: CheckpointStrategy> Convolution for Autodiff<B, C> {
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stride: [usize; 2],
        padding: [usize; 2],
        relu: bool,
    ) -> FloatTensor<Self> {
        let (inner_x, inner_weight) = (x.primitive().clone(), weight.primitive().clone());
        let y = B::convolution(inner_x.clone(), inner_weight.clone(), bias.primitive().clone(), stride, padding, relu);
        match Step.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let sizes = sizes(inner_x.shape().dims(), inner_weight.shape().dims(), stride, padding);
                let output = relu.then(|| y.clone());
                prepared.finish((sizes, inner_x, inner_weight, output), y)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}

#[derive(Debug)]
struct Step;

impl<B: Backend + ConvolutionGradients> Backward<B, 3> for Step {
    type State = (Sizes, FloatTensor<B>, FloatTensor<B>, Option<FloatTensor<B>>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node, bias_node] = ops.parents;
        let dy = grads.consume::<B>(&ops.node);
        let (sizes, x, weight, output) = ops.state;
        if let Some(node) = x_node {
            grads.register::<B>(node.id, B::input_gradient(&sizes, weight, dy.clone(), output.clone()));
        }
        if weight_node.is_some() || bias_node.is_some() {
            let [dw, db] = B::weight_gradient(&sizes, x, dy, output);
            for (node, gradient) in [(weight_node, dw), (bias_node, db)] {
                if let Some(node) = node {
                    grads.register::<B>(node.id, gradient);
                }
            }
        }
    }
}
