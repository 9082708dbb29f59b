//! Batch norm as an operation with a gradient of its own.

use super::slices::{self, Norm, Sizes};
use crate::op::{self, Array, Op, Tape, View};
use burn::tensor::Tensor;

/// Whether the hand-written batch norm is for these.
pub(super) fn takes<const D: usize>(x: &Tensor<D>, weight: &Tensor<1>, bias: &Tensor<1>) -> bool {
    let shapes = D >= 2 && weight.dims() == [x.dims()[1]] && bias.dims() == weight.dims() && x.shape().num_elements() > 0;
    shapes && op::takes([op::kind(x), op::kind(weight), op::kind(bias)])
}

/// See [`super::batch_norm_training`] and [`super::batch_norm_training_relu`].
pub(super) fn batch_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    relu: bool,
) -> (Tensor<D>, Tensor<1>, Tensor<1>) {
    let op = BatchNorm { epsilon, relu, residual: false };
    let [y, mean, var] = op::apply(op, [x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()]);
    (Tensor::from_dispatch(y), Tensor::from_dispatch(mean), Tensor::from_dispatch(var))
}

/// See [`super::batch_norm_training_residual_relu`].
pub(super) fn batch_norm_residual<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    residual: Tensor<D>,
) -> (Tensor<D>, Tensor<1>, Tensor<1>) {
    let op = BatchNorm { epsilon, relu: true, residual: true };
    let [y, mean, var] = op::apply(op, [x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch(), residual.into_dispatch()]);
    (Tensor::from_dispatch(y), Tensor::from_dispatch(mean), Tensor::from_dispatch(var))
}

/// Of input, weight, bias and perhaps a residual: the result, and the mean and variance of the batch.
#[derive(Debug)]
struct BatchNorm {
    epsilon: f64,
    relu: bool,
    residual: bool,
}

fn sizes(x: View) -> Sizes {
    Sizes { channels: x.shape[1], plane: x.shape[2..].iter().product() }
}

impl BatchNorm {
    fn norm<'a>(&self, weight: View<'a>, bias: View<'a>, mean: &'a [f32], var: &'a [f32]) -> Norm<'a> {
        Norm { weight: weight.data, bias: bias.data, mean, var, epsilon: self.epsilon, relu: self.relu }
    }
}

impl Op for BatchNorm {
    fn forward(&self, inputs: &[View], _: bool) -> (Vec<Array>, Vec<Vec<f32>>) {
        let (x, sizes) = (inputs[0], sizes(inputs[0]));
        let (mean, var) = slices::statistics(sizes, x.data);
        let y = slices::forward(sizes, x.data, inputs.get(3).map(|residual| residual.data), &self.norm(inputs[1], inputs[2], &mean, &var));
        let per_channel = |values| Array::new(values, [sizes.channels]);
        (vec![Array::new(y, x.shape.to_vec()), per_channel(mean), per_channel(var)], vec![])
    }

    fn backward(&self, tape: &Tape, dy: &[Option<View>], wanted: &[bool]) -> Vec<Option<Array>> {
        let (x, weight) = (tape.input(0), tape.input(1));
        let mut norm = self.norm(weight, tape.input(2), tape.output(1).data, tape.output(2).data);
        let dy = dy[0].expect("the one output with a gradient").data;
        // Behind the sum, the ReLU is gone through first, and what is left is the residual's gradient.
        let opened = self.residual.then(|| slices::open(sizes(x), tape.output(0).data, dy));
        norm.relu = norm.relu && opened.is_none();
        let [dx, dw, db] = slices::backward(sizes(x), x.data, opened.as_deref().unwrap_or(dy), &norm, wanted[0]);
        let array = |index: usize, data: Vec<f32>, shape: &[usize]| wanted[index].then(|| Array::new(data, shape.to_vec()));
        let first = [array(0, dx, x.shape), array(1, dw, weight.shape), array(2, db, weight.shape)];
        first.into_iter().chain(opened.map(|opened| array(3, opened, x.shape))).collect()
    }

    fn keeps_input(&self, index: usize) -> bool {
        index < 3
    }
    fn keeps_output(&self, index: usize) -> bool {
        index > 0 || self.residual
    }
    fn differentiable(&self, output: usize) -> bool {
        output == 0
    }
}
