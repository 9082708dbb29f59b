//! Gradients of which no example says much.

use crate::{
    Clipping, Drawn, PerExample,
    accountant::{RdpAccountant, SubsampledGaussian},
    secret::{NORMALS, Purpose, Secret, Stream},
};
use burn::module::{Module, ParamId};
use burn::tensor::{Tensor, TensorData};
use fornax_optimizers::{Gradients, Parameter, parameters};
use fornax_trainer::Backprop;
use fornax_weights::Tensors;
use rayon::prelude::*;
use std::collections::HashMap;

/// Normal draws a task makes, a whole number of blocks.
const CHUNK: usize = 1 << 12;

/// What defines the mechanism.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mechanism {
    /// σ: the deviation of the noise in units of `clip`.
    pub noise: f64,
    /// `C`: the largest norm of an example's gradient.
    pub clip: f64,
    /// How it is kept.
    pub clipping: Clipping,
    /// Examples expected in a step, by which the sum is divided.
    pub expected: usize,
    /// With which each example is in a step.
    pub rate: f64,
    /// δ at which the ε so far is told.
    pub delta: f64,
}

/// DP-SGD: `(Σᵢ clip(gᵢ) + σ C z) / L`, with `z` normal and `L` the size of a batch that is expected.
///
/// Sampling is [`Poisson`](crate::Poisson)'s. Which update rule follows does not matter to privacy (DP-Adam is Adam behind this), nor do averages
/// of weights. Two ways, with the same result: one pass for all examples ([`PerExample`]), or, for a model with layers that cannot do
/// that, a pass for each.
///
/// An example whose gradient is not finite adds nothing. The loss that is reported is that of the examples, without noise: see the book.
///
/// Source: Abadi et al., "Deep learning with differential privacy", 2016 (<https://arxiv.org/abs/1607.00133>).
pub struct DpSgd<F, S> {
    /// `(model, batch) -> [1]`: the mean over the batch of a loss of each example alone.
    loss: F,
    /// The example at a place in a batch, as a batch of one.
    single: S,
    mechanism: Mechanism,
    accountant: RdpAccountant,
    secret: Secret,
    steps: u64,
    /// The present `C`.
    bound: f64,
    last_loss: f64,
    one_by_one: bool,
}

impl<F, S> DpSgd<F, S> {
    /// The noise follows from `secret`, which must also be that of the batches.
    ///
    /// # Errors
    /// If the count of adaptive clipping would cost more than all may.
    pub fn new(loss: F, single: S, mechanism: Mechanism, secret: Secret) -> Result<Self, String> {
        mechanism.clipping.gradient_noise(mechanism.noise)?;
        let accountant = RdpAccountant::new(SubsampledGaussian { rate: mechanism.rate, noise: mechanism.noise });
        Ok(Self { loss, single, mechanism, accountant, secret, steps: 0, bound: mechanism.clip, last_loss: 0.0, one_by_one: false })
    }

    /// A pass for each example, also where one for all would do: what the other way is compared with.
    pub fn one_by_one(self) -> Self {
        Self { one_by_one: true, ..self }
    }

    /// ε so far, by Rényi's divergence.
    pub fn epsilon(&self) -> f64 {
        self.accountant.spent(self.steps, self.mechanism.delta).epsilon
    }

    /// The present `C`.
    pub fn bound(&self) -> f64 {
        self.bound
    }
}

/// The clipped sum of a step.
#[derive(Debug, Default)]
pub struct Clipped {
    /// By parameter, flat; of one that no example moved nothing.
    pub sum: HashMap<ParamId, Tensor<1>>,
    /// Of the losses.
    pub loss: f64,
    /// Examples that were not clipped.
    pub inside: usize,
}

impl Clipped {
    fn add(&mut self, gradients: impl IntoIterator<Item = (ParamId, Tensor<1>)>) {
        for (id, gradient) in gradients {
            let sum = match self.sum.remove(&id) {
                Some(sum) => sum + gradient,
                None => gradient,
            };
            self.sum.insert(id, sum);
        }
    }
}

impl<F, S> DpSgd<F, S> {
    /// The clipped sum over a batch, before noise.
    pub fn clipped<M: Module, B: Clone>(&mut self, model: &M, batch: &Drawn<B>) -> Clipped
    where
        F: FnMut(&M, B) -> Tensor<1>,
        S: Fn(&B, usize) -> B,
    {
        let mut clipped = Clipped::default();
        for (part, count) in &batch.parts {
            if !self.one_by_one {
                match PerExample::of(model, *count, || (self.loss)(model, part.clone())) {
                    Some(all) if self.add_all(&mut clipped, &all, *count) => continue,
                    Some(_) => {}
                    None => self.one_by_one = true,
                }
            }
            for place in 0..*count {
                let loss = (self.loss)(model, (self.single)(part, place));
                self.add_one(&mut clipped, f64::from(loss.clone().into_scalar::<f32>()), Gradients::of(&loss, model));
            }
        }
        clipped
    }

    /// Adds examples of one pass; not if one of their gradients is not finite, which would be with the others in a sum.
    fn add_all(&self, clipped: &mut Clipped, all: &PerExample, count: usize) -> bool {
        let squares: Vec<Vec<f64>> = all.squares().into_iter().map(|(_, squares)| squares).collect();
        if squares.iter().flatten().any(|square| !square.is_finite()) {
            return false;
        }
        let (factors, inside) = self.mechanism.clipping.factors(self.bound, &squares);
        clipped.add(all.weighted(|parameter| &factors[parameter]));
        clipped.loss += all.loss * count as f64;
        clipped.inside += inside;
        true
    }

    fn add_one(&self, clipped: &mut Clipped, loss: f64, mut gradients: Gradients) {
        let square = |g: &Tensor<1>| g.clone().powi_scalar(2).sum().into_data().convert::<f64>().iter::<f64>().sum::<f64>();
        let squares: Vec<Vec<f64>> = gradients.iter().map(|(_, g)| vec![square(g)]).collect();
        if squares.iter().flatten().any(|square| !square.is_finite()) {
            return;
        }
        let (factors, inside) = self.mechanism.clipping.factors(self.bound, &squares);
        let mut factors = factors.into_iter();
        gradients.map(|_, g| g * factors.next().map_or(0.0, |factors| factors[0]));
        clipped.add(gradients.iter().cloned());
        clipped.loss += loss;
        clipped.inside += inside;
    }

    /// Noise for every trainable parameter, also for one that no example moved: that it was not moved is nobody's business.
    fn noised(&self, parameters: &[Parameter], mut sum: HashMap<ParamId, Tensor<1>>) -> Gradients {
        let Mechanism { noise, clipping, expected, .. } = self.mechanism;
        let noise = clipping.gradient_noise(noise).unwrap_or_else(|why| unreachable!("`new` has looked: {why}"));
        let deviation = noise * self.bound;
        let stream = self.secret.stream(Purpose::Noise, self.steps);
        let mut first = 0;
        let mut one = |parameter: &Parameter| {
            let [size] = parameter.value.dims();
            let device = (&parameter.value.device(), parameter.value.dtype());
            let noise = Tensor::<1>::from_data(TensorData::new(normals(&stream, first, size, deviation), [size]), device);
            first += size.div_ceil(NORMALS) as u32;
            let total = match sum.remove(&parameter.id) {
                Some(sum) => sum + noise,
                None => noise,
            };
            (parameter.id, total / expected as f64)
        };
        parameters.iter().filter(|parameter| parameter.trainable).map(&mut one).collect()
    }

    fn adapt(&mut self, inside: usize, drawn: usize) {
        let Clipping::Adaptive { quantile, rate, count_noise } = self.mechanism.clipping else { return };
        let noise = self.secret.stream(Purpose::Count, self.steps).normals(0)[0] * count_noise;
        // ±½ each, so that an example more or less changes it by ½.
        let count = inside as f64 - 0.5 * drawn as f64 + noise;
        let share = count / self.mechanism.expected as f64 + 0.5;
        self.bound *= (-rate * (share - quantile)).exp();
    }
}

/// Draws with a deviation, from a block on; in f64 until the last step.
fn normals(stream: &Stream, first: u32, size: usize, deviation: f64) -> Vec<f32> {
    let mut out = vec![0.0; size];
    out.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, out)| {
        for (block, out) in out.chunks_mut(NORMALS).enumerate() {
            let draws = stream.normals(first + (chunk * (CHUNK / NORMALS) + block) as u32);
            out.iter_mut().zip(draws).for_each(|(out, draw)| *out = (draw * deviation) as f32);
        }
    });
    out
}

impl<M: Module, B: Clone, F: FnMut(&M, B) -> Tensor<1>, S: Fn(&B, usize) -> B> Backprop<M, Drawn<B>> for DpSgd<F, S> {
    fn gradients(&mut self, model: &M, batch: Drawn<B>) -> (f64, Gradients) {
        let clipped = self.clipped(model, &batch);
        let drawn = batch.examples();
        if drawn > 0 {
            self.last_loss = clipped.loss / drawn as f64;
        }
        let gradients = self.noised(&parameters(model), clipped.sum);
        self.adapt(clipped.inside, drawn);
        self.steps += 1;
        (self.last_loss, gradients)
    }

    fn shows(&self) -> Option<(&'static str, f64)> {
        Some(("epsilon", self.epsilon()))
    }

    fn state(&self) -> Vec<f64> {
        vec![self.steps as f64, self.bound, self.last_loss, f64::from(u8::from(self.one_by_one))]
    }

    fn load_state(&mut self, state: &[f64]) -> Result<(), String> {
        let &[steps, bound, last_loss, one_by_one] = state else { return Err("the steps of a private run".into()) };
        (self.steps, self.bound, self.last_loss, self.one_by_one) = (steps as u64, bound, last_loss, one_by_one != 0.0);
        Ok(())
    }

    fn carried(&self) -> Tensors {
        self.secret.tensors()
    }

    fn load_carried(&mut self, carried: Tensors) -> Result<(), String> {
        self.secret.load(&carried)
    }
}
