use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
pub use fornax_kernels::recurrent::Cell;
use fornax_kernels::recurrent::{State, Weights, recurrent};

use crate::{Dropout, DropoutConfig, init, per_example};

/// Configuration of [`Recurrent`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecurrentConfig {
    /// LSTM, GRU or plain RNN.
    pub cell: Cell,
    /// `I`
    pub inputs: usize,
    /// `H`
    pub hidden: usize,
    /// `L`, one on top of the other: 1.
    pub layers: usize,
    /// A second direction, from the end to the beginning: off.
    pub bidirectional: bool,
    /// Probability of dropout between layers: 0.
    pub dropout: f64,
    /// `P` of an LSTM, the size that `h` is projected to: none.
    pub projection: Option<usize>,
    /// On.
    pub bias: bool,
}

impl RecurrentConfig {
    /// One layer, one direction, with bias.
    pub fn new(cell: Cell, inputs: usize, hidden: usize) -> Self {
        Self { cell, inputs, hidden, layers: 1, bidirectional: false, dropout: 0.0, projection: None, bias: true }
    }
    /// [`Cell::Lstm`]
    pub fn lstm(inputs: usize, hidden: usize) -> Self {
        Self::new(Cell::Lstm, inputs, hidden)
    }
    /// [`Cell::Gru`]
    pub fn gru(inputs: usize, hidden: usize) -> Self {
        Self::new(Cell::Gru, inputs, hidden)
    }
    /// [`Cell::Tanh`]
    pub fn rnn(inputs: usize, hidden: usize) -> Self {
        Self::new(Cell::Tanh, inputs, hidden)
    }
    /// With another number of layers.
    pub fn with_layers(self, layers: usize) -> Self {
        Self { layers, ..self }
    }
    /// With or without the second direction.
    pub fn with_bidirectional(self, bidirectional: bool) -> Self {
        Self { bidirectional, ..self }
    }
    /// With dropout on what goes from a layer to the next.
    pub fn with_dropout(self, dropout: f64) -> Self {
        Self { dropout, ..self }
    }
    /// With a projection of `h`.
    pub fn with_projection(self, outputs: usize) -> Self {
        Self { projection: Some(outputs), ..self }
    }
    /// With or without bias.
    pub fn with_bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    /// Size of `h`: `P`, or `H` without a projection.
    pub fn outputs(&self) -> usize {
        self.projection.unwrap_or(self.hidden)
    }

    /// `D`: 2 if bidirectional, else 1.
    pub fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    /// Draws the weights from the step key: PyTorch's `U(−1/√H, 1/√H)`.
    ///
    /// # Panics
    /// If there is a projection and the cell is no LSTM, or the dropout is not in `[0, 1)`.
    pub fn init(&self, device: &Device) -> Recurrent {
        assert!(self.projection.is_none() || self.cell == Cell::Lstm, "a projection is for LSTM, not for {:?}", self.cell);
        let bound = 1.0 / (self.hidden as f64).sqrt();
        let (rows, outputs) = (self.cell.gates() * self.hidden, self.outputs());
        let direction = |inputs: usize| Direction {
            weight_ih: init::uniform([rows, inputs], bound, device),
            weight_hh: init::uniform([rows, outputs], bound, device),
            bias_ih: self.bias.then(|| init::uniform([rows], bound, device)),
            bias_hh: self.bias.then(|| init::uniform([rows], bound, device)),
            weight_hr: self.projection.map(|_| init::uniform([outputs, self.hidden], bound, device)),
        };
        let inputs = |layer: usize| if layer == 0 { self.inputs } else { outputs * self.directions() };
        let directions = (0..self.layers).flat_map(|layer| (0..self.directions()).map(move |_| inputs(layer))).map(direction).collect();
        Recurrent { directions, dropout: DropoutConfig::new(self.dropout).init(), config: *self }
    }
}

/// Weights of one layer in one direction; the gates are below each other in the order of [`Cell`].
#[derive(Module, Debug)]
pub struct Direction {
    /// `[V H, I]`
    pub weight_ih: Param<Tensor<2>>,
    /// `[V H, P]`
    pub weight_hh: Param<Tensor<2>>,
    /// `[V H]`
    pub bias_ih: Option<Param<Tensor<1>>>,
    /// `[V H]`
    pub bias_hh: Option<Param<Tensor<1>>>,
    /// The projection: `[P, H]`
    pub weight_hr: Option<Param<Tensor<2>>>,
}

impl Direction {
    fn weights(&self) -> Weights {
        let bias = self.bias_ih.as_ref().zip(self.bias_hh.as_ref()).map(|(ih, hh)| [ih.val(), hh.val()]);
        Weights { w_ih: self.weight_ih.val(), w_hh: self.weight_hh.val(), bias, w_hr: self.weight_hr.as_ref().map(Param::val) }
    }
}

/// Where all layers stand after a step, to go on from: PyTorch's `h_n` and `c_n`.
#[derive(Debug, Clone)]
pub struct RecurrentState {
    /// `[L·D, B, P]`
    pub h: Tensor<3>,
    /// `[L·D, B, H]`, of an LSTM.
    pub c: Option<Tensor<3>>,
}

impl RecurrentState {
    /// The same numbers without their history: back-propagation through time is cut here.
    pub fn detach(self) -> Self {
        Self { h: self.h.detach(), c: self.c.map(Tensor::detach) }
    }

    fn of(&self, index: usize) -> State {
        let take = |x: &Tensor<3>| -> Tensor<2> { x.clone().narrow(0, index, 1).squeeze_dim(0) };
        State { h: take(&self.h), c: self.c.as_ref().map(take) }
    }

    fn stack(states: Vec<State>) -> Self {
        let (h, c): (Vec<_>, Vec<_>) = states.into_iter().map(|state| (state.h, state.c)).unzip();
        let c: Option<Vec<_>> = c.into_iter().collect();
        Self { h: Tensor::stack(h, 0), c: c.map(|c| Tensor::stack(c, 0)) }
    }
}

/// LSTM, GRU or plain RNN: layers on top of each other, in one direction or two.
///
/// A layer's input is `h` of the layer below at all steps, both directions side by side, with dropout between. Equations and sources are
/// with [`Cell`]; names and layouts of the weights are PyTorch's (see [`Recurrent::pytorch_name`]), and so are the results.
///
/// Shapes: `T` time, `I` inputs, `H` hidden units, `P` size of `h`, `L` layers, `D` directions, `V` gates.
#[derive(Module, Debug)]
pub struct Recurrent {
    /// Of layer `l` in direction `d` at `l D + d`; direction 1 runs backwards.
    pub directions: Vec<Direction>,
    /// Between layers.
    pub dropout: Dropout,
    /// How it was built.
    #[module(skip)]
    pub config: RecurrentConfig,
}

impl Recurrent {
    /// From zero states: `[B, T, I] -> [B, T, D P]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.forward_from(x, None, None).0
    }

    /// From a state, and with the state after the last step: `[B, T, I] -> [B, T, D P]`
    ///
    /// A stream goes through in pieces of any length: each starts from the state of the one before (`detach` it to train piece by piece).
    /// With `lengths`, sequence `b` ends after `lengths[b]` steps: padding is not read, results there are zero and have no gradient.
    ///
    /// # Panics
    /// If shapes do not agree, or a length is above `T`.
    pub fn forward_from(&self, x: Tensor<3>, state: Option<&RecurrentState>, lengths: Option<&[usize]>) -> (Tensor<3>, RecurrentState) {
        crate::dissect::uncovered("a recurrent layer");
        let count = self.config.directions();
        let (mut x, mut states) = (x, vec![]);
        for (layer, directions) in self.directions.chunks(count).enumerate() {
            if layer > 0 {
                x = self.dropout.forward(x);
            }
            let run = |(d, direction): (usize, &Direction)| {
                let state = state.map(|state| state.of(layer * count + d));
                if per_example::recording()
                    && let Some(recorded) = per_example::recurrent_recorded(self.config.cell, &x, direction, state.as_ref(), lengths, d == 1)
                {
                    return recorded;
                }
                recurrent(self.config.cell, x.clone(), direction.weights(), state, lengths, d == 1)
            };
            let (y, last): (Vec<_>, Vec<_>) = directions.iter().enumerate().map(run).unzip();
            x = if let [y] = &y[..] { y.clone() } else { Tensor::cat(y, 2) };
            states.extend(last);
        }
        (x, RecurrentState::stack(states))
    }

    /// PyTorch's name of a parameter: `directions.3.weight_hh` of a bidirectional one is `weight_hh_l1_reverse`.
    pub fn pytorch_name(&self, name: &str) -> Option<String> {
        let (index, kind) = name.strip_prefix("directions.")?.split_once('.')?;
        let (index, count) = (index.parse::<usize>().ok()?, self.config.directions());
        let suffix = if index % count == 1 { "_reverse" } else { "" };
        Some(format!("{kind}_l{}{suffix}", index / count))
    }
}
