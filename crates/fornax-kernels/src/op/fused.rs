//! [`Op`] as an extension of Burn's backends.
#![cfg_attr(feature = "ndarray", expect(deprecated, reason = "promised by this project; goes with Burn 0.23"))]

use super::{Array, INPUTS, OUTPUTS, Op, Tape, View};
use crate::memory::Memory;
use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, DispatchTensor, TensorMetadata, backend_extension, tensor::FloatTensor};
use burn::tensor::{Shape, TensorData};
use std::sync::{Arc, Mutex};

type Outputs<B> = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

/// See [`super::apply`].
pub(super) fn apply<const N: usize>(op: Arc<dyn Op>, inputs: [DispatchTensor; N]) -> [DispatchTensor; OUTPUTS] {
    // The places behind the last input hold the first once more, and are not looked at.
    let first = inputs[0].clone();
    let mut inputs = inputs.into_iter();
    let [a, b, c, d, e, f, g, h]: [DispatchTensor; INPUTS] = std::array::from_fn(|_| inputs.next().unwrap_or_else(|| first.clone()));
    let (x, y, z) = <Dispatch as Fused>::fused(op, N, a, b, c, d, e, f, g, h);
    [x, y, z]
}

/// One method for every operation: the first `count` tensors are its inputs.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub(super) trait Fused: Backend {
    fn fused(
        op: Arc<dyn Op>,
        count: usize,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        g: FloatTensor<Self>,
        h: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

fn tensor<B: Memory>(array: Array) -> FloatTensor<B> {
    B::float_from_data(TensorData::new(array.data, array.shape), &Default::default())
}

/// A view of a tensor needs its shape beside it.
struct Held<B: Memory>(FloatTensor<B>, Shape);

impl<B: Memory> Held<B> {
    fn new(x: FloatTensor<B>) -> Self {
        let shape = x.shape();
        Self(B::contiguous(x), shape)
    }
    fn view(&self) -> View<'_> {
        View { data: B::floats(&self.0), shape: &self.1 }
    }
}

fn forward<B: Memory>(op: &dyn Op, inputs: Vec<FloatTensor<B>>, train: bool) -> (Vec<FloatTensor<B>>, Vec<Vec<f32>>) {
    let held: Vec<Held<B>> = inputs.into_iter().map(Held::new).collect();
    let views: Vec<View> = held.iter().map(Held::view).collect();
    let (outputs, saved) = op.forward(&views, train);
    (outputs.into_iter().map(tensor::<B>).collect(), saved)
}

/// Three outputs, whatever their number.
fn three<T: Clone>(outputs: Vec<T>) -> (T, T, T) {
    let at = |i: usize| outputs.get(i).unwrap_or(&outputs[0]).clone();
    (at(0), at(1), at(2))
}

impl<B: Memory> Fused for B {
    fn fused(
        op: Arc<dyn Op>,
        count: usize,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        g: FloatTensor<Self>,
        h: FloatTensor<Self>,
    ) -> Outputs<Self> {
        let inputs = [a, b, c, d, e, f, g, h].into_iter().take(count).collect();
        three(forward::<B>(&*op, inputs, false).0)
    }
}

/// What the gradient needs.
#[derive(Debug)]
struct State<B: Backend> {
    op: Arc<dyn Op>,
    count: usize,
    inputs: Vec<Option<FloatTensor<B>>>,
    outputs: Vec<Option<FloatTensor<B>>>,
    saved: Arc<Vec<Vec<f32>>>,
    /// Gradients of several outputs, put here by [`Port`]s.
    slots: Slots<B>,
}

type Slots<B> = Arc<Mutex<Vec<Option<FloatTensor<B>>>>>;

impl<B: Backend> Clone for State<B> {
    fn clone(&self) -> Self {
        let Self { op, count, inputs, outputs, saved, slots } = self;
        Self { op: op.clone(), count: *count, inputs: inputs.clone(), outputs: outputs.clone(), saved: saved.clone(), slots: slots.clone() }
    }
}

impl<B: Backend + Fused + Memory, C: CheckpointStrategy> Fused for Autodiff<B, C> {
    fn fused(
        op: Arc<dyn Op>,
        count: usize,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        g: FloatTensor<Self>,
        h: FloatTensor<Self>,
    ) -> Outputs<Self> {
        let all = [a, b, c, d, e, f, g, h];
        let inputs: Vec<FloatTensor<B>> = all[..count].iter().map(|x| x.primitive().clone()).collect();
        let prepared = Step.prepare::<C>(all.each_ref().map(|x| x.node())).compute_bound().stateful();
        let OpsKind::Tracked(prepared) = prepared else {
            let OpsKind::UnTracked(prepared) = prepared else { unreachable!("an operation is tracked or not") };
            let (outputs, _) = forward::<B>(&*op, inputs, false);
            let mut outputs = outputs.into_iter();
            let first = prepared.finish(outputs.next().expect("an operation has an output"));
            return three(std::iter::once(first).chain(outputs.map(<Self as AutodiffBackend>::from_inner)).collect());
        };
        let inputs: Vec<FloatTensor<B>> = inputs.into_iter().map(B::contiguous).collect();
        let (outputs, saved) = forward::<B>(&*op, inputs.clone(), true);
        let keep = |tensors: &[FloatTensor<B>], keeps: &dyn Fn(usize) -> bool| {
            tensors.iter().enumerate().map(|(i, x)| keeps(i).then(|| x.clone())).collect()
        };
        let state = State {
            count,
            inputs: keep(&inputs, &|i| op.keeps_input(i)),
            outputs: keep(&outputs, &|i| op.keeps_output(i)),
            saved: Arc::new(saved),
            slots: Arc::new(Mutex::new(vec![None; outputs.len()])),
            op: op.clone(),
        };
        let flows: Vec<bool> = (0..outputs.len()).map(|i| op.differentiable(i)).collect();
        if flows.iter().filter(|&&flows| flows).count() == 1 {
            let mut prepared = Some((prepared, state));
            let outputs = outputs.into_iter().zip(flows).map(|(y, flows)| match flows {
                true => {
                    let (prepared, state) = prepared.take().expect("one output is differentiable");
                    prepared.finish(state, y)
                }
                false => <Self as AutodiffBackend>::from_inner(y),
            });
            return three(outputs.collect());
        }
        // Several: a hub that nobody sees is the operation's node, and every output a port of it.
        let slots = state.slots.clone();
        let hub = prepared.finish(state, spark::<B>());
        let outputs = outputs.into_iter().zip(flows).enumerate().map(|(index, (y, flows))| {
            if !flows {
                return <Self as AutodiffBackend>::from_inner(y);
            }
            match Port.prepare::<C>([hub.node()]).compute_bound().stateful() {
                OpsKind::Tracked(prepared) => prepared.finish((index, slots.clone()), y),
                OpsKind::UnTracked(prepared) => prepared.finish(y),
            }
        });
        three(outputs.collect())
    }
}

/// The hub's value and gradient.
fn spark<B: Memory>() -> FloatTensor<B> {
    tensor::<B>(Array::new(vec![0.0], [1]))
}

/// One of several outputs: leaves its gradient for the operation.
#[derive(Debug)]
struct Port;

impl<B: Memory> Backward<B, 1> for Port {
    type State = (usize, Slots<B>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (index, slots) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        slots.lock().expect("no holder of the lock panics")[index] = Some(dy);
        for node in ops.parents.into_iter().flatten() {
            grads.register::<B>(node.id, spark::<B>());
        }
    }
}

fn views<B: Memory>(held: &[Option<Held<B>>]) -> Vec<Option<View<'_>>> {
    held.iter().map(|x| x.as_ref().map(Held::view)).collect()
}

#[derive(Debug)]
struct Step;

impl<B: Memory> Backward<B, INPUTS> for Step {
    type State = State<B>;

    fn backward(self, ops: Ops<Self::State, INPUTS>, grads: &mut Gradients, _: &mut Checkpointer) {
        let State { op, count, inputs, outputs, saved, slots } = ops.state;
        let mut dy = std::mem::take(&mut *slots.lock().expect("no holder of the lock panics"));
        let own = grads.consume::<B>(&ops.node);
        let flows: Vec<usize> = (0..dy.len()).filter(|&i| op.differentiable(i)).collect();
        if let [only] = flows[..] {
            dy[only] = Some(own);
        }
        let hold = |tensors: Vec<Option<FloatTensor<B>>>| -> Vec<Option<Held<B>>> { tensors.into_iter().map(|x| x.map(Held::new)).collect() };
        let (inputs, outputs, dy) = (hold(inputs), hold(outputs), hold(dy));
        let wanted: Vec<bool> = ops.parents[..count].iter().map(Option::is_some).collect();
        let tape = Tape { inputs: views(&inputs), outputs: views(&outputs), saved: &saved };
        let gradients = op.backward(&tape, &views(&dy), &wanted);
        for (node, gradient) in ops.parents.into_iter().take(count).zip(gradients) {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                grads.register::<B>(node.id, tensor::<B>(gradient));
            }
        }
    }
}
