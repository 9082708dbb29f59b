//! LSTM cells of other kinds than [`Recurrent`](crate::Recurrent)'s, one step at a time on Burn's operations: peepholes, layer norm, zoneout.
//!
//! They are run over sequences by [`Unrolled`](crate::Unrolled).

use burn::module::{Flag, Module, ModuleDisplay, Param};
use burn::tensor::{Device, FloatDType, Tensor, activation::sigmoid};
use fornax_kernels::random::next_draw;

use crate::{LayerNorm, LayerNormConfig, Linear, init};

/// The state of an LSTM cell.
#[derive(Debug, Clone)]
pub struct LstmState {
    /// `[B, H]`
    pub h: Tensor<2>,
    /// `[B, H]`
    pub c: Tensor<2>,
}

impl LstmState {
    /// The same numbers without their history.
    pub fn detach(self) -> Self {
        Self { h: self.h.detach(), c: self.c.detach() }
    }
}

/// A cell with the state of an LSTM.
pub trait StepCell: Module + ModuleDisplay {
    /// `H`
    fn hidden(&self) -> usize;

    /// What of a step does not depend on the state, for all steps at once: `[B, T, I] -> [B, T, G]`
    fn prepare(&self, x: Tensor<3>) -> Tensor<3>;

    /// The state after a step, from the prepared input of it: `[B, G] -> [B, H]`
    fn step(&self, prepared: Tensor<2>, state: LstmState) -> LstmState;
}

/// Parts `i f g o` of `[B, 4H]`.
fn gates(x: Tensor<2>) -> [Tensor<2>; 4] {
    let hidden = x.dims()[1] / 4;
    [0, 1, 2, 3].map(|gate| x.clone().narrow(1, gate * hidden, hidden))
}

/// Configuration of [`PeepholeLstm`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeepholeLstmConfig {
    /// `I`
    pub inputs: usize,
    /// `H`
    pub hidden: usize,
    /// Gates see the memory: on. Without, it is the plain LSTM.
    pub peepholes: bool,
}

impl PeepholeLstmConfig {
    /// With peepholes.
    pub fn new(inputs: usize, hidden: usize) -> Self {
        Self { inputs, hidden, peepholes: true }
    }
    /// With or without peepholes.
    pub fn with_peepholes(self, peepholes: bool) -> Self {
        Self { peepholes, ..self }
    }

    /// Draws the weights from the step key: `U(−1/√H, 1/√H)`.
    pub fn init(&self, device: &Device) -> PeepholeLstm {
        let (hidden, bound) = (self.hidden, 1.0 / (self.hidden as f64).sqrt());
        PeepholeLstm {
            input: Linear { weight: init::uniform([self.inputs, 4 * hidden], bound, device), bias: Some(init::uniform([4 * hidden], bound, device)) },
            recurrent: Linear { weight: init::uniform([hidden, 4 * hidden], bound, device), bias: None },
            peepholes: self.peepholes.then(|| init::uniform([3, hidden], bound, device)),
        }
    }
}

/// An LSTM whose gates see the memory.
///
/// `i = σ(W_i x + U_i h + p_i ⊙ c + b_i)`, `f` likewise, `g = tanh(W_g x + U_g h + b_g)`, `c' = f ⊙ c + i ⊙ g`, `o = σ(W_o x + U_o h + p_o ⊙ c' + b_o)`,
/// `h' = o ⊙ tanh c'`
///
/// Source: Gers and Schmidhuber, "Recurrent nets that time and count", 2000; these equations: Graves, "Generating sequences with recurrent neural
/// networks", 2013.
#[derive(Module, Debug)]
pub struct PeepholeLstm {
    /// `[I, 4H]`, gates `i f g o`.
    pub input: Linear,
    /// `[H, 4H]`
    pub recurrent: Linear,
    /// `[3, H]`, of `i`, `f` and `o`.
    pub peepholes: Option<Param<Tensor<2>>>,
}

impl StepCell for PeepholeLstm {
    fn hidden(&self) -> usize {
        self.recurrent.weight.dims()[0]
    }

    fn prepare(&self, x: Tensor<3>) -> Tensor<3> {
        self.input.forward(x)
    }

    fn step(&self, prepared: Tensor<2>, LstmState { h, c }: LstmState) -> LstmState {
        let [i, f, g, o] = gates(prepared + self.recurrent.forward(h));
        let peek = |gate: Tensor<2>, which: usize, c: &Tensor<2>| match &self.peepholes {
            Some(p) => gate + p.val().narrow(0, which, 1) * c.clone(),
            None => gate,
        };
        let next = sigmoid(peek(f, 1, &c)) * c.clone() + sigmoid(peek(i, 0, &c)) * g.tanh();
        let h = sigmoid(peek(o, 2, &next)) * next.clone().tanh();
        LstmState { h, c: next }
    }
}

/// Configuration of [`LayerNormLstm`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerNormLstmConfig {
    /// `I`
    pub inputs: usize,
    /// `H`
    pub hidden: usize,
}

impl LayerNormLstmConfig {
    /// `I` inputs, `H` units.
    pub fn new(inputs: usize, hidden: usize) -> Self {
        Self { inputs, hidden }
    }

    /// Draws the weights from the step key: `U(−1/√H, 1/√H)`; norms begin as the identity.
    pub fn init(&self, device: &Device) -> LayerNormLstm {
        let (hidden, bound) = (self.hidden, 1.0 / (self.hidden as f64).sqrt());
        let matrix = |rows: usize| Linear { weight: init::uniform([rows, 4 * hidden], bound, device), bias: None };
        let norm = |width: usize| LayerNormConfig::new(width).init(device);
        LayerNormLstm {
            input: matrix(self.inputs),
            recurrent: matrix(hidden),
            norm_input: norm(4 * hidden),
            norm_recurrent: norm(4 * hidden),
            norm_memory: norm(hidden),
        }
    }
}

/// An LSTM with layer norm inside.
///
/// `(i, f, g, o) = LN(U h) + LN(W x)`, `c' = σ(f) ⊙ c + σ(i) ⊙ tanh g`, `h' = σ(o) ⊙ tanh LN(c')`. The paper's `b` is the sum of the norms' biases.
///
/// Source: Ba, Kiros and Hinton, "Layer normalization", 2016, equations 20 to 22.
#[derive(Module, Debug)]
pub struct LayerNormLstm {
    /// `[I, 4H]`, gates `i f g o`.
    pub input: Linear,
    /// `[H, 4H]`
    pub recurrent: Linear,
    /// Over all gates.
    pub norm_input: LayerNorm,
    /// Over all gates.
    pub norm_recurrent: LayerNorm,
    /// Over the memory.
    pub norm_memory: LayerNorm,
}

impl StepCell for LayerNormLstm {
    fn hidden(&self) -> usize {
        self.recurrent.weight.dims()[0]
    }

    fn prepare(&self, x: Tensor<3>) -> Tensor<3> {
        self.norm_input.forward(self.input.forward(x))
    }

    fn step(&self, prepared: Tensor<2>, LstmState { h, c }: LstmState) -> LstmState {
        let [i, f, g, o] = gates(prepared + self.norm_recurrent.forward(self.recurrent.forward(h)));
        let c = sigmoid(f) * c + sigmoid(i) * g.tanh();
        let h = sigmoid(o) * self.norm_memory.forward(c.clone()).tanh();
        LstmState { h, c }
    }
}

/// A cell whose units now and then stay as they were.
///
/// `h' = d ⊙ h + (1 − d) ⊙ ĥ` with `d` Bernoulli(p) at every step, and the same for `c` with a probability of its own; `p` in place of `d` when not
/// training.
///
/// Source: Krueger et al., "Zoneout", 2016.
#[derive(Module, Debug)]
pub struct Zoneout<C: StepCell> {
    /// What makes a step.
    pub cell: C,
    /// The probability that a unit of `h` stays.
    pub h: f64,
    /// The probability that a unit of `c` stays.
    pub c: f64,
    /// Cleared by `freeze`.
    pub training: Param<Flag>,
}

impl<C: StepCell> Zoneout<C> {
    /// Around a cell, in training mode. The paper's for text: 0.05 of `h`, 0.5 of `c`.
    ///
    /// # Panics
    /// If a probability is not in `[0, 1)`.
    pub fn new(cell: C, h: f64, c: f64) -> Self {
        assert!([h, c].iter().all(|p| (0.0..1.0).contains(p)), "zoneout probabilities must be in [0, 1), not {h} and {c}");
        Self { cell, h, c, training: Param::from_bool(true) }
    }

    fn blend(&self, old: Tensor<2>, new: Tensor<2>, probability: f64) -> Tensor<2> {
        if probability == 0.0 {
            return new;
        }
        let device = new.device();
        if self.training.is_enabled() && device.is_autodiff() {
            let stay: Tensor<2> = next_draw().mask(new.dims(), probability, 1.0, &device).cast(FloatDType::from(new.dtype()));
            return new.clone() + (old - new) * stay;
        }
        new.clone() + (old - new) * probability
    }
}

impl<C: StepCell> StepCell for Zoneout<C> {
    fn hidden(&self) -> usize {
        self.cell.hidden()
    }

    fn prepare(&self, x: Tensor<3>) -> Tensor<3> {
        self.cell.prepare(x)
    }

    fn step(&self, prepared: Tensor<2>, state: LstmState) -> LstmState {
        let new = self.cell.step(prepared, state.clone());
        LstmState { h: self.blend(state.h, new.h, self.h), c: self.blend(state.c, new.c, self.c) }
    }
}
