//! A recurrent layer over whole sequences: LSTM, GRU and plain RNN.
//!
//! On Flex and NdArray in f32 one operation does all steps: the input's product at once, then step by step the state's product with a
//! matrix that is packed once and the cell in the same pass, each thread with sequences of its own; the gradient goes back the same way
//! and ends in one product a weight. Padding costs nothing. Everywhere else it is composed of Burn's operations.
//!
//! Shapes: `B` batch, `T` time, `I` inputs, `H` hidden units, `P` size of `h` (`H` without a projection), `V` gates.

use burn::tensor::{DType, Device, Tensor};

use crate::op::{apply, kind, takes};

mod backward;
mod cell;
mod composed;
mod forward;
mod fused;
mod gradients;
mod lanes;
mod layer;
mod tile;
mod together;

pub use composed::composed;

/// What a unit does at a step. Gates stand in PyTorch's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cell {
    /// `i, f, o = σ(·)`, `g = tanh(·)`, `c = f ⊙ c + i ⊙ g`, `h = o ⊙ tanh c`; gates `i f g o`.
    ///
    /// Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997; forget gate: Gers et al., 2000; projection: Sak et al., 2014.
    Lstm,
    /// `r, z = σ(·)`, `n = tanh(W x + b + r ⊙ (U h + b'))`, `h = (1 − z) ⊙ n + z ⊙ h`; gates `r z n`.
    ///
    /// Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014; the reset gate is behind the product, as in
    /// PyTorch and cuDNN.
    Gru,
    /// `h = tanh(W x + U h + b)`
    ///
    /// Source: Elman, "Finding structure in time", 1990.
    Tanh,
    /// `h = max(W x + U h + b, 0)`
    Relu,
}

impl Cell {
    /// `V`
    pub fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
            Self::Tanh | Self::Relu => 1,
        }
    }
}

/// Weights of one layer in one direction, in PyTorch's layout.
#[derive(Debug, Clone)]
pub struct Weights {
    /// `[V H, I]`
    pub w_ih: Tensor<2>,
    /// `[V H, P]`
    pub w_hh: Tensor<2>,
    /// Of input and state: `[V H]` each.
    pub bias: Option<[Tensor<1>; 2]>,
    /// `[P, H]`; of an LSTM alone.
    pub w_hr: Option<Tensor<2>>,
}

/// The state between two steps.
#[derive(Debug, Clone)]
pub struct State {
    /// `[B, P]`
    pub h: Tensor<2>,
    /// `[B, H]`, of an LSTM.
    pub c: Option<Tensor<2>>,
}

/// All steps of all sequences, and the state after each one's last: `[B, T, I] -> [B, T, P]`
///
/// Without a `state` it is zero. With `lengths` the steps behind a sequence's length are not made: `y` is zero there, `x` is not looked
/// at, and the last state is that of the sequence's end. With `reverse` time runs from the end (a sequence's own) to the beginning.
///
/// The bits don't depend on the number of threads.
///
/// # Panics
/// If shapes do not agree, a length is above `T`, or the cell and `w_hr` or `c` do not.
pub fn recurrent(cell: Cell, x: Tensor<3>, weights: Weights, state: Option<State>, lengths: Option<&[usize]>, reverse: bool) -> (Tensor<3>, State) {
    let state = check(cell, &x, &weights, state, lengths);
    let empty = x.dims().contains(&0) || weights.w_hh.dims().contains(&0);
    if empty || !takes(kinds(&x, &weights, &state)) {
        return composed(cell, x, weights, Some(state), lengths, reverse);
    }
    let Weights { w_ih, w_hh, bias, w_hr } = weights;
    let [b_ih, b_hh] = bias.unwrap_or_else(|| [(); 2].map(|()| Tensor::zeros([w_ih.dims()[0]], &w_ih.device())));
    let common = [x.into_dispatch(), w_ih.into_dispatch(), w_hh.into_dispatch(), b_ih.into_dispatch(), b_hh.into_dispatch(), state.h.into_dispatch()];
    let lengths = lengths.map(<[usize]>::to_vec);
    let [y, h, c] = match cell {
        Cell::Lstm => {
            let [x, w_ih, w_hh, b_ih, b_hh, h] = common;
            let op = fused::Fused::<_, 4>::new(cell::Lstm, lengths, reverse);
            let c = state.c.expect("checked: an LSTM has a `c`").into_dispatch();
            match w_hr {
                None => apply(op, [x, w_ih, w_hh, b_ih, b_hh, h, c]),
                Some(w_hr) => apply(op, [x, w_ih, w_hh, b_ih, b_hh, h, c, w_hr.into_dispatch()]),
            }
        }
        Cell::Gru => apply(fused::Fused::<_, 3>::new(cell::Gru, lengths, reverse), common),
        Cell::Tanh | Cell::Relu => apply(fused::Fused::<_, 1>::new(cell::Rnn { relu: cell == Cell::Relu }, lengths, reverse), common),
    };
    let c = (cell == Cell::Lstm).then(|| Tensor::from_dispatch(c));
    (Tensor::from_dispatch(y), State { h: Tensor::from_dispatch(h), c })
}

/// The first state, after a look at every shape.
fn check(cell: Cell, x: &Tensor<3>, weights: &Weights, state: Option<State>, lengths: Option<&[usize]>) -> State {
    let Weights { w_ih, w_hh, bias, w_hr } = weights;
    let ([batch, time, inputs], [rows, outputs]) = (x.dims(), w_hh.dims());
    let hidden = rows / cell.gates();
    assert_eq!(w_ih.dims(), [cell.gates() * hidden, inputs], "w_ih of {cell:?} with w_hh of shape {:?} on an input of {:?}", w_hh.dims(), x.dims());
    assert!(bias.iter().flatten().all(|b| b.dims() == [rows]), "the biases of {cell:?} have {rows} elements");
    match w_hr {
        Some(w_hr) => assert!(cell == Cell::Lstm && w_hr.dims() == [outputs, hidden], "a projection is an LSTM's, of shape [{outputs}, {hidden}]"),
        None => assert_eq!(outputs, hidden, "w_hh is [V H, H] without a projection"),
    }
    if let Some(lengths) = lengths {
        assert!(lengths.len() == batch && lengths.iter().all(|l| *l <= time), "lengths {lengths:?} of an input of shape {:?}", x.dims());
    }
    let zeros = |width: usize| Tensor::zeros([batch, width], (&x.device(), x.dtype()));
    let state = state.unwrap_or_else(|| State { h: zeros(outputs), c: (cell == Cell::Lstm).then(|| zeros(hidden)) });
    assert_eq!(state.h.dims(), [batch, outputs], "the first h");
    assert_eq!(state.c.as_ref().map(|c| c.dims()), (cell == Cell::Lstm).then_some([batch, hidden]), "the first c");
    state
}

fn kinds(x: &Tensor<3>, weights: &Weights, state: &State) -> [(DType, Device); 8] {
    let first = kind(x);
    let bias = |i: usize| weights.bias.as_ref().map_or(first.clone(), |bias| kind(&bias[i]));
    let or_first = |x: &Option<Tensor<2>>| x.as_ref().map_or(first.clone(), kind);
    [kind(x), kind(&weights.w_ih), kind(&weights.w_hh), bias(0), bias(1), kind(&state.h), or_first(&state.c), or_first(&weights.w_hr)]
}
