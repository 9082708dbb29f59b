//! The convolution as an operation with a gradient of its own.

use super::slices::{self, Finish, Sizes};
use crate::op::{self, Array, Op, Tape, View};
use burn::tensor::Tensor;

/// Whether the hand-written convolution is for these.
pub(super) fn takes(x: &Tensor<4>, weight: &Tensor<4>, bias: Option<&Tensor<1>>, stride: [usize; 2], padding: [usize; 2]) -> bool {
    let (x_dims, w) = (x.dims(), weight.dims());
    let shapes = x_dims[1] == w[1] && bias.is_none_or(|bias| bias.dims() == [w[0]]) && sizes(&x_dims, &w, stride, padding).out().is_some();
    shapes && x_dims[2] * x_dims[3] > 0 && op::takes([op::kind(x), op::kind(weight), bias.map_or_else(|| op::kind(weight), op::kind)])
}

/// See [`super::conv2d`] and [`super::conv2d_relu`].
pub(super) fn conv2d(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, stride: [usize; 2], padding: [usize; 2], relu: bool) -> Tensor<4> {
    let convolution = Convolution { stride, padding, relu };
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    let [y, ..] = match bias {
        Some(bias) => op::apply(convolution, [x, weight, bias.into_dispatch()]),
        None => op::apply(convolution, [x, weight]),
    };
    Tensor::from_dispatch(y)
}

fn sizes(x: &[usize], w: &[usize], stride: [usize; 2], padding: [usize; 2]) -> Sizes {
    Sizes { batch: x[0], inputs: x[1], outputs: w[0], size: [x[2], x[3]], kernel: [w[2], w[3]], stride, padding }
}

/// Of input, weight and perhaps a bias.
#[derive(Debug)]
struct Convolution {
    stride: [usize; 2],
    padding: [usize; 2],
    relu: bool,
}

impl Op for Convolution {
    fn forward(&self, inputs: &[View], _: bool) -> (Vec<Array>, Vec<Vec<f32>>) {
        let (x, weight) = (inputs[0], inputs[1]);
        let sizes = sizes(x.shape, weight.shape, self.stride, self.padding);
        let [h, w] = sizes.out().expect("`takes` looked at the sizes");
        let y =
            slices::forward(&sizes, x.data, weight.data, Finish { bias: inputs.get(2).map(|bias| bias.data), relu: self.relu, ..Finish::default() });
        (vec![Array::new(y, [sizes.batch, sizes.outputs, h, w])], vec![])
    }

    fn backward(&self, tape: &Tape, dy: &[Option<View>], wanted: &[bool]) -> Vec<Option<Array>> {
        let (x, weight) = (tape.input(0), tape.input(1));
        let sizes = sizes(x.shape, weight.shape, self.stride, self.padding);
        let dy = dy[0].expect("the only output has a gradient").data;
        let mask = self.relu.then(|| tape.output(0).data);
        let dx = wanted[0].then(|| Array::new(slices::input_gradient(&sizes, weight.data, dy, mask), x.shape.to_vec()));
        let dw = wanted[1].then(|| Array::new(slices::weight_gradient(&sizes, x.data, dy, mask), weight.shape.to_vec()));
        let db = wanted.get(2).map(|&wanted| wanted.then(|| Array::new(slices::bias_gradient(&sizes, dy, mask), [sizes.outputs])));
        [dx, dw].into_iter().chain(db).collect()
    }

    fn keeps_input(&self, index: usize) -> bool {
        index < 2
    }
    fn keeps_output(&self, _: usize) -> bool {
        self.relu
    }
}
