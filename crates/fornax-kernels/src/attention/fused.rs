//! Tiled attention as operations: of three tensors, and of one that holds all three.

use super::{
    Mask,
    tile::{Bias, Heads, Places, Sizes, TILE, Unit},
};
use crate::op::{self, Array, Op, Tape, View};
use burn::backend::DispatchTensor;
use burn::tensor::Tensor;
use rayon::prelude::*;

/// Rows of all heads below which tiles are lower, so that there are enough of them to share out.
const FEW: usize = 1024;

/// Whether the tiled attention is for these.
pub(super) fn takes<const N: usize, const D: usize>(tensors: [&Tensor<D>; N], mask: &Mask) -> bool {
    tensors.iter().all(|x| x.shape().num_elements() > 0)
        && op::takes(tensors.map(op::kind))
        && mask.bias.as_ref().is_none_or(|b| op::takes([op::kind(b)]))
}

fn run<const N: usize>(op: Attention, tensors: [DispatchTensor; N], mask: &Mask) -> DispatchTensor {
    let bias = mask.bias.clone().map(|bias| bias.detach().into_dispatch());
    let [y, ..] = match (tensors.into_iter().collect::<Vec<_>>().as_slice(), bias) {
        ([qkv], None) => op::apply(op, [qkv.clone()]),
        ([qkv], Some(bias)) => op::apply(op, [qkv.clone(), bias]),
        ([q, k, v], None) => op::apply(op, [q.clone(), k.clone(), v.clone()]),
        ([q, k, v], Some(bias)) => op::apply(op, [q.clone(), k.clone(), v.clone(), bias]),
        _ => unreachable!("one tensor or three"),
    };
    y
}

/// See [`super::attention_to_first`].
pub(super) fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, keys: usize, mask: &Mask) -> Tensor<4> {
    let ([batch, heads, queries, width], [_, groups, room, _]) = (q.dims(), k.dims());
    let op = Attention { packed: false, batch, heads, groups, queries, keys, room, width, causal: mask.causal, past: mask.past };
    Tensor::from_dispatch(run(op, [q, k, v].map(Tensor::into_dispatch), mask))
}

/// See [`super::self_attention`].
pub(super) fn self_attention(qkv: Tensor<3>, [heads, groups]: [usize; 2], mask: &Mask) -> Tensor<3> {
    let [batch, time, width] = qkv.dims();
    let op = Attention {
        packed: true,
        batch,
        heads,
        groups,
        queries: time,
        keys: time,
        room: time,
        width: width / (heads + 2 * groups),
        causal: mask.causal,
        past: mask.past,
    };
    Tensor::from_dispatch(run(op, [qkv.into_dispatch()], mask))
}

/// Puts by the logarithms of the sums of exponentials: `[B, T, H]` if packed, else `[B, H, T]`.
#[derive(Debug, Clone, Copy)]
struct Attention {
    /// One input holds queries, keys and values beside each other.
    packed: bool,
    batch: usize,
    heads: usize,
    groups: usize,
    queries: usize,
    keys: usize,
    /// Keys that there is room for.
    room: usize,
    width: usize,
    causal: bool,
    past: usize,
}

impl Attention {
    fn sizes<'a>(&self, bias: Option<View<'a>>) -> Sizes<'a> {
        let strides = |shape: &[usize]| {
            let at = |d: usize| if shape[d] == 1 { 0 } else { shape[d + 1..].iter().product() };
            [at(0), at(1), at(2), at(3)]
        };
        let bias = bias.map(|bias| Bias { data: bias.data, strides: strides(bias.shape) });
        Sizes {
            queries: self.queries,
            keys: self.keys,
            width: self.width,
            shared: self.heads / self.groups,
            causal: self.causal,
            past: self.past,
            bias,
        }
    }

    /// Width of a row of the packed input, and where in it queries, keys and values begin.
    fn packing(&self) -> (usize, [usize; 3]) {
        let (q, kv) = (self.heads * self.width, self.groups * self.width);
        (q + 2 * kv, [0, q, q + kv])
    }

    /// What a task of `heads` query heads from head `first` of sequence `batch` on reads.
    fn unit<'a>(&self, inputs: &[View<'a>], batch: usize, first: usize, heads: usize) -> Unit<'a> {
        let [q, k, v] = if self.packed {
            let (row, offsets) = self.packing();
            offsets.map(|offset| Heads::new(&inputs[0].data[batch * self.queries * row + offset..], self.width, row))
        } else {
            let part =
                |input: usize, head: usize, rows: usize| Heads::new(&inputs[input].data[head * rows * self.width..], rows * self.width, self.width);
            let kv = batch * self.groups + first * self.groups / self.heads;
            [part(0, batch * self.heads + first, self.queries), part(1, kv, self.room), part(2, kv, self.room)]
        };
        Unit { q, k, v, batch, first, heads }
    }

    fn bias(&self) -> usize {
        if self.packed { 1 } else { 3 }
    }
}

impl Op for Attention {
    fn forward(&self, inputs: &[View], _train: bool) -> (Vec<Array>, Vec<Vec<f32>>) {
        let Self { packed, batch, heads: all, queries, width, .. } = *self;
        let sizes = self.sizes(inputs.get(self.bias()).copied());
        // A task writes what lies together: all heads if packed, else one.
        let heads = if packed { all } else { 1 };
        let tile = if batch * all * queries < FEW { TILE / 4 } else { TILE };
        let mut y = vec![0.0; batch * all * queries * width];
        let mut logs = vec![0.0; batch * all * queries];
        let sequences = y.chunks_mut(queries * heads * width).zip(logs.chunks_mut(queries * heads)).enumerate();
        let tasks: Vec<_> = sequences
            .flat_map(|(unit, (y, logs))| {
                let tiles = y.chunks_mut(tile * heads * width).zip(logs.chunks_mut(tile * heads)).enumerate();
                tiles.map(move |(index, (y, logs))| (unit, index * tile, y, logs))
            })
            .collect();
        tasks.into_par_iter().for_each(|(unit, i, y, logs)| {
            let (batch, first) = if packed { (unit, 0) } else { (unit / all, unit % all) };
            sizes.forward(&self.unit(inputs, batch, first, heads), i, y, logs);
        });
        let shape = if packed { vec![batch, queries, all * width] } else { vec![batch, all, queries, width] };
        (vec![Array::new(y, shape)], vec![logs])
    }

    fn backward(&self, tape: &Tape, dy: &[Option<View>], wanted: &[bool]) -> Vec<Option<Array>> {
        let Some(dy) = dy[0] else { return wanted.iter().map(|_| None).collect() };
        let Self { packed, heads: all, groups, queries, room, width, .. } = *self;
        let inputs: Vec<View> = (0..wanted.len()).map(|i| tape.input(i)).collect();
        let (y, logs) = (tape.output(0).data, &tape.saved[0]);
        let sizes = self.sizes(inputs.get(self.bias()).copied());
        let mut gradients: Vec<Vec<f32>> = inputs[..self.bias()].iter().map(|x| vec![0.0; x.data.len()]).collect();
        if packed {
            let (row, offsets) = self.packing();
            gradients[0].par_chunks_mut(queries * row).enumerate().for_each(|(batch, place)| {
                let [y, dy] = [y, dy.data].map(|x| Heads::new(&x[batch * queries * all * width..], width, all * width));
                let logs = Heads::new(&logs[batch * queries * all..], 1, all);
                sizes.backward(&self.unit(&inputs, batch, 0, all), y, dy, logs, &mut Places::One(place, offsets));
            });
        } else {
            // Query heads that share keys are one task.
            let heads = all / groups;
            let [dq, dk, dv] = gradients.as_mut_slice() else { unreachable!("three inputs") };
            let (kv, q) = (room * width, heads * queries * width);
            let tasks = dq.par_chunks_mut(q).zip(dk.par_chunks_mut(kv)).zip(dv.par_chunks_mut(kv)).enumerate();
            tasks.for_each(|(unit, ((dq, dk), dv))| {
                let unit_of = self.unit(&inputs, unit / groups, unit % groups * heads, heads);
                let logs = Heads::new(&logs[unit * heads * queries..], queries, 1);
                let (y, dy) = (Heads { data: &y[unit * q..], ..unit_of.q }, Heads { data: &dy.data[unit * q..], ..unit_of.q });
                sizes.backward(&unit_of, y, dy, logs, &mut Places::Three([dq, dk, dv]));
            });
        }
        let arrays = gradients.into_iter().zip(&inputs).zip(wanted).map(|((g, x), &wanted)| wanted.then(|| Array::new(g, x.shape.to_vec())));
        arrays.chain(inputs.get(self.bias()).map(|_| None)).collect()
    }

    fn keeps_output(&self, _index: usize) -> bool {
        true
    }
}
