//! What layers with parameters saw in a forward pass, so that the gradient of each example can be told from the others'.
//!
//! The gradient of a weight is a product of a layer's input and the gradient at its output, and a sum over examples that back-propagation
//! makes at once. While a pass is recorded, layers of this crate take their parameters out of the graph, put by their input, and add to
//! their output zeros that have a gradient. A parameter of what is not recorded stays in the graph: it gets its gradient as ever, by which
//! whoever records can tell that not everything was.
//!
//! Layers take batches first: dimension 0 of every tensor here is `B`.

use burn::module::{Param, ParamId};
use burn::tensor::{Int, Tensor};
use fornax_kernels::{
    conv,
    embedding::embedding,
    layer_norm::{layer_norm, rms_norm},
    linear::{linear, linear_transposed},
    recurrent::{Cell, State, Weights, recurrent},
};
use std::cell::RefCell;

use crate::{Activation, Direction, LayerNorm, RmsNorm};

/// Parameters, what they worked on, and zeros added to the result, whose gradient is the result's. Inputs are off the graph.
#[derive(Debug, Clone)]
// There is one a layer, for the time of a pass.
#[allow(clippy::large_enum_variant)]
pub enum Use {
    /// `y = x W + b`
    Linear {
        /// `W: [K, N]`
        weight: ParamId,
        /// `b: [N]`
        bias: Option<ParamId>,
        /// Whether `W` is kept as `[N, K]`.
        transposed: bool,
        /// `[B, T, K]`
        x: Tensor<3>,
        /// `[B, T, N]`
        y: Tensor<3>,
        /// What the gradient at `y` is multiplied by first.
        scale: Option<Tensor<3>>,
    },
    /// `y = W ∗ x + b`
    Conv {
        /// `W: [C', C, K, L]`
        weight: ParamId,
        /// `b: [C']`
        bias: Option<ParamId>,
        /// `[K, L]`
        kernel: [usize; 2],
        /// Of both directions.
        stride: [usize; 2],
        /// Of both directions.
        padding: [usize; 2],
        /// `[B, C, H, W]`
        x: Tensor<4>,
        /// `[B, C', H', W']`
        y: Tensor<4>,
    },
    /// `y = W[ids]`
    Embedding {
        /// `W: [V, D]`
        weight: ParamId,
        /// `V`
        count: usize,
        /// `[B, T]`
        ids: Tensor<2, Int>,
        /// `[B, T, D]`
        y: Tensor<3>,
    },
    /// `y = γ x + β`
    Scale {
        /// `γ: [D]`
        weight: ParamId,
        /// `β: [D]`
        bias: Option<ParamId>,
        /// Normalized: `[B, T, D]`
        x: Tensor<3>,
        /// `[B, T, D]`
        y: Tensor<3>,
    },
}

thread_local! {
    static RECORDED: RefCell<Option<Vec<Use>>> = const { RefCell::new(None) };
}

/// Runs a forward pass on an autodiff device and says what its layers did, in their order.
///
/// # Panics
/// If a pass of this thread is being recorded already.
pub fn record<T>(forward: impl FnOnce() -> T) -> (T, Vec<Use>) {
    /// Ends the recording also where the pass panics.
    struct Recording;
    impl Drop for Recording {
        fn drop(&mut self) {
            RECORDED.take();
        }
    }
    assert!(!recording(), "a forward pass within a recorded one");
    RECORDED.set(Some(vec![]));
    let end = Recording;
    let result = forward();
    let uses = RECORDED.take().unwrap_or_default();
    drop(end);
    (result, uses)
}

/// Whether this thread records.
pub fn recording() -> bool {
    RECORDED.with_borrow(Option::is_some)
}

fn put(what: Use) {
    RECORDED.with_borrow_mut(|uses| {
        if let Some(uses) = uses {
            uses.push(what);
        }
    });
}

/// Zeros like `y` with a gradient, and `y` with them added.
fn probe<const D: usize>(y: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
    let zeros = y.clone().detach().zeros_like().require_grad();
    (y + zeros.clone(), zeros)
}

/// The same for rows: the zeros are `[B, T, D]`.
fn probe_rows<const R: usize>(y: Tensor<R>) -> (Tensor<R>, Tensor<3>) {
    let zeros = rows(y.clone().detach().zeros_like()).require_grad();
    let shape = y.dims();
    (y + zeros.clone().reshape(shape), zeros)
}

/// `[B, ..., D] -> [B, T, D]`
fn rows<const R: usize>(x: Tensor<R>) -> Tensor<3> {
    let dims = x.dims();
    let time = dims[1..R - 1].iter().product();
    x.reshape([dims[0], time, dims[R - 1]])
}

fn off<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    x.clone().inner()
}

fn id<const D: usize>(param: Option<&Param<Tensor<D>>>) -> Option<ParamId> {
    param.map(|param| param.id)
}

fn constant<const D: usize>(param: &Param<Tensor<D>>) -> Tensor<D> {
    param.val().detach()
}

pub(crate) fn linear_recorded<const R: usize>(
    x: Tensor<R>,
    weight: &Param<Tensor<2>>,
    bias: Option<&Param<Tensor<1>>>,
    activation: Activation,
) -> Tensor<R> {
    let y = linear(x.clone(), constant(weight), bias.map(constant), Activation::Identity);
    let (y, zeros) = probe_rows(y);
    put(Use::Linear { weight: weight.id, bias: id(bias), transposed: false, x: rows(off(&x)), y: zeros, scale: None });
    activation.forward(y)
}

pub(crate) fn linear_transposed_recorded<const R: usize>(x: Tensor<R>, weight: &Param<Tensor<2>>) -> Tensor<R> {
    let (y, zeros) = probe_rows(linear_transposed(x.clone(), constant(weight)));
    put(Use::Linear { weight: weight.id, bias: None, transposed: true, x: rows(off(&x)), y: zeros, scale: None });
    y
}

pub(crate) fn embedding_recorded(weight: &Param<Tensor<2>>, ids: Tensor<2, Int>) -> Tensor<3> {
    let (y, zeros) = probe(embedding(constant(weight), ids.clone()));
    put(Use::Embedding { weight: weight.id, count: weight.dims()[0], ids: ids.inner(), y: zeros });
    y
}

/// With a weight whose values are `[C', C, K, L]` in this order, whatever its rank.
pub(crate) fn conv_recorded<const W: usize>(
    x: Tensor<4>,
    weight: &Param<Tensor<W>>,
    shape: [usize; 4],
    bias: Option<&Param<Tensor<1>>>,
    stride: [usize; 2],
    padding: [usize; 2],
) -> Tensor<4> {
    let (y, zeros) = probe(conv::conv2d(x.clone(), constant(weight).reshape(shape), bias.map(constant), stride, padding));
    put(Use::Conv { weight: weight.id, bias: id(bias), kernel: [shape[2], shape[3]], stride, padding, x: off(&x), y: zeros });
    y
}

/// `γ x + β` behind a norm.
fn scale_recorded<const R: usize>(x: Tensor<R>, weight: &Param<Tensor<1>>, bias: Option<&Param<Tensor<1>>>) -> Tensor<R> {
    let scaled = x.clone() * constant(weight).unsqueeze();
    let y = match bias {
        Some(bias) => scaled + constant(bias).unsqueeze(),
        None => scaled,
    };
    let (y, zeros) = probe_rows(y);
    put(Use::Scale { weight: weight.id, bias: id(bias), x: rows(off(&x)), y: zeros });
    y
}

pub(crate) fn layer_norm_recorded<const R: usize>(norm: &LayerNorm, x: Tensor<R>) -> Tensor<R> {
    let one = constant(&norm.weight).ones_like();
    scale_recorded(layer_norm(x, one.clone(), one.zeros_like(), norm.epsilon), &norm.weight, Some(&norm.bias))
}

pub(crate) fn rms_norm_recorded<const R: usize>(norm: &RmsNorm, x: Tensor<R>) -> Tensor<R> {
    let one = constant(&norm.weight).ones_like();
    scale_recorded(rms_norm(x, one, norm.epsilon), &norm.weight, None)
}

/// One direction of a recurrent layer. None for what is not recorded: an LSTM with a projection, whose `h` before it nobody sees.
///
/// The input's product is made before, so that its gradient is that of the gates before their activation; and from it follow both weights'
/// gradients, by the input and by the state of the step before.
pub(crate) fn recurrent_recorded(
    cell: Cell,
    x: &Tensor<3>,
    direction: &Direction,
    state: Option<&State>,
    lengths: Option<&[usize]>,
    reverse: bool,
) -> Option<(Tensor<3>, State)> {
    // A state given to sequences that end at different steps has a place of its own in each.
    if x.dims()[1] == 0 || direction.weight_hr.is_some() || (reverse && lengths.is_some() && state.is_some()) {
        return None;
    }
    let [rows, outputs] = direction.weight_hh.dims();
    let bias_ih = direction.bias_ih.as_ref().map(constant);
    let (gates, zeros) = probe(linear(x.clone(), constant(&direction.weight_ih).transpose(), bias_ih, Activation::Identity));
    let bias_hh = direction.bias_hh.as_ref().map(constant);
    let none = Tensor::zeros([rows], (&x.device(), x.dtype()));
    let weights = Weights {
        w_ih: Tensor::<2>::eye(rows, &x.device()).cast(burn::tensor::FloatDType::from(x.dtype())),
        w_hh: constant(&direction.weight_hh),
        bias: Some([none.clone(), bias_hh.clone().unwrap_or(none)]),
        w_hr: None,
    };
    let (y, last) = recurrent(cell, gates.clone(), weights, state.cloned(), lengths, reverse);

    let [batch, time, _] = x.dims();
    let outside = off(&y);
    let first = state.map_or_else(|| Tensor::zeros([batch, outputs], (&outside.device(), outside.dtype())), |state| off(&state.h));
    let first: Tensor<3> = first.unsqueeze_dim(1);
    let before = match reverse {
        false => Tensor::cat(vec![first, outside.narrow(1, 0, time - 1)], 1),
        true => Tensor::cat(vec![outside.narrow(1, 1, time - 1), first], 1),
    };
    // The reset gate stands between the state's product and the candidate.
    let scale = (cell == Cell::Gru).then(|| {
        let hidden = rows / 3;
        let part = |x: Tensor<2>| x.narrow(0, 0, hidden);
        let by_state = linear(before.clone(), part(constant(&direction.weight_hh).inner()).transpose(), None, Activation::Identity);
        let by_state = match &bias_hh {
            Some(bias) => by_state + off(bias).narrow(0, 0, hidden).unsqueeze(),
            None => by_state,
        };
        let reset = burn::tensor::activation::sigmoid(off(&gates).narrow(2, 0, hidden) + by_state);
        Tensor::cat(vec![reset.ones_like(), reset.ones_like(), reset], 2)
    });
    let (weight, bias) = (direction.weight_ih.id, id(direction.bias_ih.as_ref()));
    put(Use::Linear { weight, bias, transposed: true, x: off(x), y: zeros.clone(), scale: None });
    let (weight, bias) = (direction.weight_hh.id, id(direction.bias_hh.as_ref()));
    put(Use::Linear { weight, bias, transposed: true, x: before, y: zeros, scale });
    Some((y, last))
}
