//! The convolution as an operation with a gradient of its own.

use super::Normalization;
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

/// Whether the hand-written convolution finishes these; it has no gradient.
pub(super) fn takes_normalized(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    norm: &Normalization,
    residual: Option<&Tensor<4>>,
    stride: [usize; 2],
    padding: [usize; 2],
) -> bool {
    let Normalization { weight: gamma, bias, mean, var, .. } = norm;
    let out = sizes(&x.dims(), &weight.dims(), stride, padding).out();
    let whole = |residual: &Tensor<4>| out.is_some_and(|[h, w]| residual.dims() == [x.dims()[0], weight.dims()[0], h, w]);
    let vectors = [gamma, bias, mean, var];
    let kinds = vectors.map(op::kind);
    let tracked = kinds.iter().chain([&op::kind(x), &op::kind(weight)]).any(|(_, device)| device.is_autodiff());
    let shapes = vectors.iter().all(|v| v.dims() == [weight.dims()[0]]) && residual.is_none_or(whole);
    !tracked
        && shapes
        && takes(x, weight, None, stride, padding)
        && op::takes(kinds)
        && residual.is_none_or(|r| op::takes([op::kind(r)]) && !r.device().is_autodiff())
}

/// See [`super::conv2d_normalized`].
pub(super) fn conv2d_normalized(
    x: Tensor<4>,
    weight: Tensor<4>,
    norm: Normalization,
    residual: Option<Tensor<4>>,
    relu: bool,
    stride: [usize; 2],
    padding: [usize; 2],
) -> Tensor<4> {
    let op = Normalized { convolution: Convolution { stride, padding, relu }, epsilon: norm.epsilon };
    let vectors = [norm.weight, norm.bias, norm.mean, norm.var].map(Tensor::into_dispatch);
    let [gamma, bias, mean, var] = vectors;
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    let [y, ..] = match residual {
        Some(residual) => op::apply(op, [x, weight, gamma, bias, mean, var, residual.into_dispatch()]),
        None => op::apply(op, [x, weight, gamma, bias, mean, var]),
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

/// Of input, weight, `γ`, `β`, `μ`, `σ²` and perhaps a residual.
#[derive(Debug)]
struct Normalized {
    convolution: Convolution,
    epsilon: f64,
}

impl Op for Normalized {
    fn forward(&self, inputs: &[View], _: bool) -> (Vec<Array>, Vec<Vec<f32>>) {
        let &[x, weight, gamma, beta, mean, var, ..] = inputs else { unreachable!("a normalized convolution has six inputs or more") };
        let Convolution { stride, padding, relu } = self.convolution;
        let sizes = sizes(x.shape, weight.shape, stride, padding);
        let [h, w] = sizes.out().expect("`takes` looked at the sizes");
        let scale: Vec<f32> =
            gamma.data.iter().zip(var.data).map(|(gamma, var)| (f64::from(*gamma) / (f64::from(*var) + self.epsilon).sqrt()) as f32).collect();
        let bias: Vec<f32> = beta.data.iter().zip(mean.data.iter().zip(&scale)).map(|(beta, (mean, scale))| beta - mean * scale).collect();
        let finish = Finish { scale: Some(&scale), bias: Some(&bias), residual: inputs.get(6).map(|residual| residual.data), relu };
        let y = slices::forward(&sizes, x.data, weight.data, finish);
        (vec![Array::new(y, [sizes.batch, sizes.outputs, h, w])], vec![])
    }

    fn backward(&self, _: &Tape, _: &[Option<View>], _: &[bool]) -> Vec<Option<Array>> {
        unreachable!("`takes_normalized` refuses devices with gradients")
    }
}
