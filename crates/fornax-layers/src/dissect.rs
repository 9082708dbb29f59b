//! A forward pass cut into pieces, so that whoever explains a model can lead something else than the gradient back through each.
//!
//! While a pass is dissected, dense layers, convolutions (with fixed batch norm folded into them), activations and max-pooling run one by
//! one. Each piece reads its input from the graph and gives its result as a new leaf, so that a gradient ends there. What is between the
//! pieces, sums and means and other shapes, stays in the graph. Layers that are neither say their name: see [`Dissected::uncovered`].
//!
//! Burn goes back through a graph once. So what several pieces read must be the input of the model or the result of a piece, as it is: in a
//! model where it is the result of something between them, [`junction`] makes a piece of it.
//!
//! Layers take batches first: dimension 0 of every tensor here is `B`.

use burn::module::Param;
use burn::tensor::{Gradients, Tensor, module, ops::MaxPoolOptions};
use fornax_kernels::{activation::Activation, conv::conv2d, linear::linear};
use std::{cell::RefCell, fmt, rc::Rc};

/// What a piece does to its input. Parameters are off the graph.
#[derive(Debug, Clone)]
// There is one a layer, for the time of a pass.
#[allow(clippy::large_enum_variant)]
pub enum What {
    /// `y = x W + b`: `[B, T, 1, K] -> [B, T, 1, N]`
    Linear {
        /// `W: [K, N]`
        weight: Tensor<2>,
        /// `b: [N]`
        bias: Option<Tensor<1>>,
    },
    /// `y = W ∗ x + b`: `[B, C, H, W] -> [B, C', H', W']`
    Conv {
        /// `W: [C', C, K, L]`
        weight: Tensor<4>,
        /// `b: [C']`
        bias: Option<Tensor<1>>,
        /// Of both directions.
        stride: [usize; 2],
        /// Of both directions.
        padding: [usize; 2],
    },
    /// `y = a(x)`: `[B, N, 1, 1] -> [B, N, 1, 1]`
    Activation(Activation),
    /// The maximum over windows: `[B, C, H, W] -> [B, C, H', W']`
    MaxPool {
        /// Side of a window.
        size: usize,
        /// Step of the windows.
        stride: usize,
        /// Of both directions.
        padding: usize,
    },
}

impl What {
    /// The result of another input, and in its graph.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Linear { weight, bias } => linear(x, weight.clone(), bias.clone(), Activation::Identity),
            Self::Conv { weight, bias, stride, padding } => conv2d(x, weight.clone(), bias.clone(), *stride, *padding),
            Self::Activation(activation) => activation.forward(x),
            Self::MaxPool { size, stride, padding } => pool(x, *size, *stride, *padding),
        }
    }
}

/// A part of a pass.
#[derive(Clone)]
pub struct Piece {
    /// What it does.
    pub what: What,
    /// Its input, in the graph of the leaves before.
    pub x: Tensor<4>,
    /// Its result, off the graph.
    pub y: Tensor<4>,
    at_leaf: Rc<dyn Fn(&Gradients) -> Option<Tensor<4>>>,
}

impl Piece {
    /// The gradient at its result, without autodiff; none where it does not count.
    pub fn gradient(&self, gradients: &Gradients) -> Option<Tensor<4>> {
        (self.at_leaf)(gradients)
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Piece").field("what", &self.what).field("x", &self.x).field("y", &self.y).finish_non_exhaustive()
    }
}

/// A pass and its pieces.
#[derive(Debug, Clone)]
pub struct Dissected<T> {
    /// What the pass returned.
    pub result: T,
    /// In their order.
    pub pieces: Vec<Piece>,
    /// Layers that are no piece, and no sum, mean or change of shape either: through them only the gradient leads back.
    pub uncovered: Vec<&'static str>,
}

type Parts = (Vec<Piece>, Vec<&'static str>);

thread_local! {
    static PARTS: RefCell<Option<Parts>> = const { RefCell::new(None) };
}

/// Runs a forward pass of a frozen model on an autodiff device, in pieces.
///
/// # Panics
/// If a pass of this thread is being dissected already.
pub fn dissect<T>(forward: impl FnOnce() -> T) -> Dissected<T> {
    /// Ends it also where the pass panics.
    struct Dissection;
    impl Drop for Dissection {
        fn drop(&mut self) {
            PARTS.take();
        }
    }
    assert!(!dissecting(), "a forward pass within a dissected one");
    PARTS.set(Some(Parts::default()));
    let end = Dissection;
    let result = forward();
    let (pieces, uncovered) = PARTS.take().unwrap_or_default();
    drop(end);
    Dissected { result, pieces, uncovered }
}

/// Whether this thread dissects.
pub(crate) fn dissecting() -> bool {
    PARTS.with_borrow(Option::is_some)
}

/// A layer that is no piece says so, dissected or not.
pub(crate) fn uncovered(layer: &'static str) {
    PARTS.with_borrow_mut(|parts| {
        if let Some((_, uncovered)) = parts
            && !uncovered.contains(&layer)
        {
            uncovered.push(layer);
        }
    });
}

/// The leaf has the shape in which it is read, so that nothing in the graph stands between it and several readers.
fn cut<const R: usize>(what: What, x: Tensor<4>, shape: impl FnOnce([usize; 4]) -> [usize; R]) -> Tensor<R> {
    let y = what.forward(x.clone().detach()).detach();
    let dims = y.dims();
    let leaf = y.clone().reshape(shape(dims)).detach().require_grad();
    let read = leaf.clone();
    let at_leaf = Rc::new(move |gradients: &Gradients| read.grad(gradients).map(|gradient| gradient.reshape(dims)));
    PARTS.with_borrow_mut(|parts| {
        if let Some((pieces, _)) = parts {
            pieces.push(Piece { what, x, y, at_leaf });
        }
    });
    leaf
}

fn constant<const D: usize>(param: &Param<Tensor<D>>) -> Tensor<D> {
    param.val().detach()
}

/// A dense layer and an activation: `[B, ..., K] -> [B, ..., N]`
pub(crate) fn linear_pieces<const R: usize>(x: Tensor<R>, weight: &Param<Tensor<2>>, bias: Option<&Param<Tensor<1>>>, then: Activation) -> Tensor<R> {
    let mut shape = x.dims();
    let [inputs, outputs] = weight.dims();
    let rows = shape[1..R - 1].iter().product();
    let x = x.reshape([shape[0], rows, 1, inputs]);
    shape[R - 1] = outputs;
    activate(then, cut(What::Linear { weight: constant(weight), bias: bias.map(constant) }, x, |_| shape))
}

/// A convolution.
pub(crate) fn conv_piece(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, stride: [usize; 2], padding: [usize; 2]) -> Tensor<4> {
    cut(What::Conv { weight: weight.detach(), bias: bias.map(Tensor::detach), stride, padding }, x, |shape| shape)
}

/// An activation.
pub(crate) fn activate<const R: usize>(activation: Activation, x: Tensor<R>) -> Tensor<R> {
    if activation == Activation::Identity { x } else { elementwise(activation, x) }
}

fn elementwise<const R: usize>(activation: Activation, x: Tensor<R>) -> Tensor<R> {
    let shape = x.dims();
    cut(What::Activation(activation), x.reshape([shape[0], shape[1..].iter().product(), 1, 1]), |_| shape)
}

/// The same, for several layers to read: a piece of its own where a pass is dissected.
pub fn junction<const R: usize>(x: Tensor<R>) -> Tensor<R> {
    if dissecting() { elementwise(Activation::Identity, x) } else { x }
}

/// Max-pooling.
pub(crate) fn pool_piece(x: Tensor<4>, size: usize, stride: usize, padding: usize) -> Tensor<4> {
    cut(What::MaxPool { size, stride, padding }, x, |shape| shape)
}

/// The maximum over windows that may overlap; what is left at the edge is dropped.
pub(crate) fn pool(x: Tensor<4>, size: usize, stride: usize, padding: usize) -> Tensor<4> {
    if size == stride && padding == 0 {
        return fornax_kernels::pool::max_pool2d(x, size);
    }
    module::max_pool2d(x, MaxPoolOptions::new([size, size]).with_stride([stride, stride]).with_padding([padding, padding]))
}
