//! The layer as an operation on slices.

use super::backward::{Above, backward};
use super::cell::Cell;
use super::forward::{Forward, forward};
use super::gradients::{Gradients, gradients};
use super::layer::{Sequences, Sizes, Weights};
use crate::op::{Array, Op, Tape, View};
use std::{borrow::Cow, sync::Mutex};

/// One call: inputs `x`, `w_ih`, `w_hh`, `b_ih`, `b_hh`, `h`, then `c` and `w_hr` if there are any; outputs `y`, `h`, `c`.
#[derive(Debug)]
pub(super) struct Fused<C, const V: usize> {
    cell: C,
    lengths: Option<Vec<usize>>,
    reverse: bool,
    /// Of the forward pass; the gradient turns it into gradients in place.
    kept: Mutex<Option<Forward>>,
}

impl<C: Cell<V>, const V: usize> Fused<C, V> {
    pub(super) fn new(cell: C, lengths: Option<Vec<usize>>, reverse: bool) -> Self {
        Self { cell, lengths, reverse, kept: Mutex::new(None) }
    }

    fn sequences(&self, batch: usize, time: usize) -> Sequences {
        Sequences { lengths: self.lengths.clone().unwrap_or_else(|| vec![time; batch]), reverse: self.reverse }
    }

    /// `[B, T, D] -> [N, D]`, without padding.
    fn pack<'a>(&self, x: View<'a>) -> Cow<'a, [f32]> {
        let [time, width] = [x.shape[1], x.shape[2]];
        match &self.lengths {
            None => Cow::Borrowed(x.data),
            Some(lengths) => x.data.chunks_exact(time * width).zip(lengths).flat_map(|(x, length)| &x[..length * width]).copied().collect(),
        }
    }

    /// `[N, D] -> [B, T, D]`, zeros behind each sequence.
    fn unpack(&self, x: Vec<f32>, [batch, time, width]: [usize; 3]) -> Array {
        let Some(lengths) = &self.lengths else { return Array::new(x, [batch, time, width]) };
        let mut out = vec![0.0; batch * time * width];
        let mut rest = &x[..];
        for (out, length) in out.chunks_exact_mut(time * width).zip(lengths) {
            let (x, behind) = rest.split_at(length * width);
            out[..x.len()].copy_from_slice(x);
            rest = behind;
        }
        Array::new(out, [batch, time, width])
    }
}

/// The place of `c` among the inputs, and of `w_hr`.
const C: usize = 6;
const W_HR: usize = 7;

impl<K: Cell<V>, const V: usize> Op for Fused<K, V> {
    fn forward(&self, inputs: &[View], train: bool) -> (Vec<Array>, Vec<Vec<f32>>) {
        let &[x, w_ih, w_hh, b_ih, b_hh, h, ..] = inputs else { unreachable!("a layer has six inputs or more") };
        let [batch, time] = [x.shape[0], x.shape[1]];
        let sizes = Sizes { inputs: x.shape[2], hidden: w_hh.shape[0] / V, outputs: w_hh.shape[1] };
        let w_hr = inputs.get(W_HR).map(|w| w.data);
        let weights = Weights { w_ih: w_ih.data, w_hh: w_hh.data, b_ih: b_ih.data, b_hh: b_hh.data, w_hr };
        let c = inputs.get(C).map_or(&[][..], |c| c.data);
        let mut out = forward(self.cell, sizes, &self.sequences(batch, time), &self.pack(x), weights, [h.data, c], train);
        // Without padding, the tape keeps `y` as it is.
        let y = if train && self.lengths.is_some() { out.y.clone() } else { std::mem::take(&mut out.y) };
        let mut outputs = vec![self.unpack(y, [batch, time, sizes.outputs]), Array::new(std::mem::take(&mut out.h), [batch, sizes.outputs])];
        if K::MEMORY {
            outputs.push(Array::new(std::mem::take(&mut out.c), [batch, sizes.hidden]));
        }
        if train {
            *self.kept.lock().expect("no holder of the lock panics") = Some(out);
        }
        (outputs, vec![])
    }

    fn backward(&self, tape: &Tape, dy: &[Option<View>], wanted: &[bool]) -> Vec<Option<Array>> {
        let mut kept = self.kept.lock().expect("no holder of the lock panics").take().expect("a graph is gone through once");
        let (x, w_ih, w_hh, h) = (tape.input(0), tape.input(1), tape.input(2), tape.input(5));
        let [batch, time] = [x.shape[0], x.shape[1]];
        let sizes = Sizes { inputs: x.shape[2], hidden: w_hh.shape[0] / V, outputs: w_hh.shape[1] };
        let optional = |index: usize| (wanted.len() > index).then(|| tape.input(index).data);
        let weights = Weights { w_ih: w_ih.data, w_hh: w_hh.data, b_ih: &[], b_hh: &[], w_hr: optional(W_HR) };
        let (sequences, c) = (self.sequences(batch, time), optional(C).unwrap_or_default());
        let y = if self.lengths.is_some() { Cow::Borrowed(&kept.y[..]) } else { Cow::Borrowed(tape.output(0).data) };
        let above = |index: usize| dy.get(index).copied().flatten();
        let from_y = above(0).map(|dy| self.pack(dy)).unwrap_or_default();
        let above = Above { dy: &from_y, dh: above(1).map_or(&[], |x| x.data), dc: above(2).map_or(&[], |x| x.data) };
        let slots = std::mem::take(&mut kept.slots);
        let mut after = backward(self.cell, sizes, &sequences, weights, [h.data, c], [&y, &kept.cells], slots, above);
        let wants = |index: usize| wanted.get(index).copied().unwrap_or(false);
        let asked = [0, 1, 2, 3, 4, W_HR].map(wants);
        let Gradients { x: dx, w_ih: dw_ih, w_hh: dw_hh, b_ih, b_hh, w_hr } =
            gradients::<K, V>(sizes, &sequences, weights, [&self.pack(x), h.data], [&y, &kept.units], &mut after, asked);
        let rows = V * sizes.hidden;
        let array = |index: usize, data: Vec<f32>, shape: &[usize]| wants(index).then(|| Array::new(data, shape.to_vec()));
        let mut out = vec![
            wants(0).then(|| self.unpack(dx, [batch, time, sizes.inputs])),
            array(1, dw_ih, &[rows, sizes.inputs]),
            array(2, dw_hh, &[rows, sizes.outputs]),
            array(3, b_ih, &[rows]),
            array(4, b_hh, &[rows]),
            array(5, after.dh, &[batch, sizes.outputs]),
        ];
        if K::MEMORY {
            out.extend([array(C, after.dc, &[batch, sizes.hidden]), array(W_HR, w_hr, &[sizes.outputs, sizes.hidden])]);
        }
        out
    }

    fn keeps_input(&self, index: usize) -> bool {
        ![3, 4].contains(&index)
    }
    fn keeps_output(&self, index: usize) -> bool {
        index == 0 && self.lengths.is_none()
    }
}
