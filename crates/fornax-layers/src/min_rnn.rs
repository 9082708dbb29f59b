//! Recurrences that are linear in the state, so that all steps are made at once by a parallel scan.

use burn::module::Module;
use burn::tensor::{Device, Tensor, activation::sigmoid};

use crate::steps::{padding, zero_padding};
use crate::{Linear, LinearConfig};

/// `h_t = a_t ⊙ h_{t−1} + b_t` for all `t` at once, from `h_{−1} = 0`: `[B, T, H], [B, T, H] -> [B, T, H]`
///
/// In ⌈log₂ T⌉ rounds: after round `r`, position `t` holds the steps from `t − 2^(r+1) + 1` on as one.
///
/// Source: Hillis and Steele, "Data parallel algorithms", 1986; Martin and Cundy, "Parallelizing linear recurrent neural nets over sequence length", 2018.
pub fn linear_scan(a: Tensor<3>, b: Tensor<3>) -> Tensor<3> {
    let time = a.dims()[1];
    let (mut a, mut b, mut reach) = (a, b, 1);
    while reach < time {
        let before = |x: &Tensor<3>| x.clone().narrow(1, 0, time - reach);
        let here = |x: &Tensor<3>| x.clone().narrow(1, reach, time - reach);
        let (first_a, first_b) = (a.clone().narrow(1, 0, reach), b.clone().narrow(1, 0, reach));
        let (later_b, later_a) = (here(&b) + here(&a) * before(&b), here(&a) * before(&a));
        b = Tensor::cat(vec![first_b, later_b], 1);
        a = Tensor::cat(vec![first_a, later_a], 1);
        reach *= 2;
    }
    b
}

/// Which recurrence [`MinRnn`] has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinCell {
    /// `z = σ(W_z x)`, `h' = (1 − z) ⊙ h + z ⊙ W_h x`
    Gru,
    /// `f = σ(W_f x)`, `i = σ(W_i x)`, `h' = f/(f + i) ⊙ h + i/(f + i) ⊙ W_h x`
    Lstm,
}

/// Configuration of [`MinRnn`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinRnnConfig {
    /// minGRU or minLSTM.
    pub cell: MinCell,
    /// `I`
    pub inputs: usize,
    /// `H`
    pub hidden: usize,
}

impl MinRnnConfig {
    /// minGRU.
    pub fn gru(inputs: usize, hidden: usize) -> Self {
        Self { cell: MinCell::Gru, inputs, hidden }
    }
    /// minLSTM.
    pub fn lstm(inputs: usize, hidden: usize) -> Self {
        Self { cell: MinCell::Lstm, inputs, hidden }
    }

    /// Draws the weights from the step key, as PyTorch's linear layers.
    pub fn init(&self, device: &Device) -> MinRnn {
        let parts = if self.cell == MinCell::Gru { 2 } else { 3 };
        MinRnn { gates: LinearConfig::new(self.inputs, parts * self.hidden).init(device), cell: self.cell }
    }
}

/// minGRU or minLSTM: gates that see the input alone, trained in parallel over time.
///
/// Source: Feng et al., "Were RNNs all we needed?", 2024, appendix A: with biases, without its positive `g(·)`.
#[derive(Module, Debug)]
pub struct MinRnn {
    /// `W` of `z h` or of `f i h`: `[I, 2H]` or `[I, 3H]`
    pub gates: Linear,
    #[module(skip)]
    cell: MinCell,
}

impl MinRnn {
    /// From a zero state: `[B, T, I] -> [B, T, H]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.forward_from(x, None, None).0
    }

    /// From a state, and with the state after the last step: `[B, T, I], [B, H] -> [B, T, H], [B, H]`
    ///
    /// A stream goes through in pieces of any length. With `lengths`, padding is not read, results there are zero, and the last state is that of a
    /// sequence's end.
    ///
    /// # Panics
    /// If there is no step, lengths are not one a sequence, or one is above `T`.
    pub fn forward_from(&self, x: Tensor<3>, state: Option<Tensor<2>>, lengths: Option<&[usize]>) -> (Tensor<3>, Tensor<2>) {
        crate::dissect::uncovered("a recurrent layer");
        let [batch, time, _] = x.dims();
        assert!(time > 0, "a sequence of no steps");
        let (mut a, mut b) = self.coefficients(zero_padding(x, lengths));
        if let Some(lengths) = lengths {
            // Behind its end a sequence stays where it is.
            let hidden = a.dims()[2];
            let behind = padding(lengths, time, &a.device()).reshape([batch, time, 1]).expand([batch, time, hidden]);
            (a, b) = (a.mask_fill(behind.clone(), 1.0), b.mask_fill(behind, 0.0));
        }
        if let Some(state) = state {
            let first = b.clone().narrow(1, 0, 1) + a.clone().narrow(1, 0, 1) * state.unsqueeze_dim(1);
            b = if time == 1 { first } else { Tensor::cat(vec![first, b.narrow(1, 1, time - 1)], 1) };
        }
        let y = linear_scan(a, b);
        let last = y.clone().narrow(1, time - 1, 1).squeeze_dim(1);
        (zero_padding(y, lengths), last)
    }

    /// `a` and `b` of `h' = a ⊙ h + b`.
    fn coefficients(&self, x: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let gates = self.gates.forward(x);
        let parts = if self.cell == MinCell::Gru { 2 } else { 3 };
        let hidden = gates.dims()[2] / parts;
        let part = |which: usize| gates.clone().narrow(2, which * hidden, hidden);
        match self.cell {
            MinCell::Gru => {
                let z = sigmoid(part(0));
                (-z.clone() + 1.0, z * part(1))
            }
            MinCell::Lstm => {
                let (f, i) = (sigmoid(part(0)), sigmoid(part(1)));
                let sum = f.clone() + i.clone();
                (f / sum.clone(), i / sum * part(2))
            }
        }
    }
}
