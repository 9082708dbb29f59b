use burn::module::Module;
use burn::tensor::{Tensor, TensorData};

use crate::steps::zero_padding;
use crate::{LstmState, StepCell};

/// A [`StepCell`] over whole sequences, from the beginning to the end or backwards.
///
/// One step after the other on Burn's operations: for cells that [`Recurrent`](crate::Recurrent), which is many times faster, does not have.
#[derive(Module, Debug)]
pub struct Unrolled<C: StepCell> {
    /// What makes a step.
    pub cell: C,
    /// From the end, each sequence's own, to the beginning.
    pub reverse: bool,
}

impl<C: StepCell> Unrolled<C> {
    /// From the beginning to the end.
    pub fn new(cell: C) -> Self {
        Self { cell, reverse: false }
    }
    /// Backwards, or not.
    pub fn with_reverse(self, reverse: bool) -> Self {
        Self { reverse, ..self }
    }

    /// From a zero state: `[B, T, I] -> [B, T, H]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.forward_from(x, None, None).0
    }

    /// From a state, and with the state after the last step: `[B, T, I] -> [B, T, H]`
    ///
    /// With `lengths`, padding is not read, results there are zero, and the last state is that of a sequence's end.
    ///
    /// # Panics
    /// If lengths are not one a sequence, or one is above `T`.
    pub fn forward_from(&self, x: Tensor<3>, state: Option<LstmState>, lengths: Option<&[usize]>) -> (Tensor<3>, LstmState) {
        crate::dissect::uncovered("a recurrent layer");
        let ([batch, time, _], device, dtype, hidden) = (x.dims(), x.device(), x.dtype(), self.cell.hidden());
        let zeros = || Tensor::zeros([batch, hidden], (&device, dtype));
        let mut state = state.unwrap_or_else(|| LstmState { h: zeros(), c: zeros() });
        if time == 0 {
            return (Tensor::zeros([batch, 0, hidden], (&device, dtype)), state);
        }
        let prepared = self.cell.prepare(zero_padding(x, lengths));
        let mut y = Vec::with_capacity(time);
        for step in 0..time {
            let t = if self.reverse { time - 1 - step } else { step };
            let next = self.cell.step(prepared.clone().narrow(1, t, 1).squeeze_dim(1), state.clone());
            state = match lengths {
                None => next,
                Some(lengths) => {
                    let over: Vec<bool> = lengths.iter().flat_map(|length| vec![t >= *length; hidden]).collect();
                    let over = Tensor::from_data(TensorData::new(over, [batch, hidden]), &device);
                    LstmState { h: next.h.mask_where(Tensor::clone(&over), state.h), c: next.c.mask_where(over, state.c) }
                }
            };
            y.push(state.h.clone());
        }
        if self.reverse {
            y.reverse();
        }
        (zero_padding(Tensor::stack(y, 1), lengths), state)
    }
}
