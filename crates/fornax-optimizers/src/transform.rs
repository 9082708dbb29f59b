//! What may become of gradients before a rule sees them.

use crate::{Gradients, Optimizer, Parameter, StateError, parameters, parameters::name_matches};
use burn::module::{Module, ParamId};
use burn::tensor::{DType, Tensor, TensorData};
use fornax_kernels::random::Key;
use fornax_weights::Tensors;
use std::{collections::HashMap, f64::consts::TAU, fmt::Debug};

/// Changes gradients between the loss and the rule.
pub trait Transform: Debug + Send {
    /// Changes the gradients of step `step` (from 0).
    fn apply(&mut self, step: u64, parameters: &[Parameter], gradients: &mut Gradients);
    /// The numbers that it remembers, for a checkpoint.
    fn memory(&self) -> Vec<f64> {
        vec![]
    }
    /// Takes back what [`Transform::memory`] gave.
    fn recall(&mut self, _memory: Vec<f64>) {}
}

/// An optimizer whose gradients are transformed first, in order. Without transforms it is the optimizer itself.
#[derive(Debug)]
pub struct Transformed<O> {
    inner: O,
    transforms: Vec<Box<dyn Transform>>,
    steps: u64,
}

const STEPS: &str = "#transforms.steps";

impl<O> Transformed<O> {
    /// Without transforms.
    pub fn new(inner: O) -> Self {
        Self { inner, transforms: vec![], steps: 0 }
    }

    /// With one more, after those that there are.
    pub fn with(mut self, transform: impl Transform + 'static) -> Self {
        self.transforms.push(Box::new(transform));
        self
    }
}

fn key(index: usize) -> String {
    format!("#transforms.{index}")
}

impl<O: Optimizer> Optimizer for Transformed<O> {
    fn step<M: Module>(&mut self, lr: f64, model: M, gradients: &Gradients) -> M {
        if self.transforms.is_empty() {
            return self.inner.step(lr, model, gradients);
        }
        let (parameters, mut gradients) = (parameters(&model), gradients.clone());
        for transform in &mut self.transforms {
            transform.apply(self.steps, &parameters, &mut gradients);
        }
        self.steps += 1;
        self.inner.step(lr, model, &gradients)
    }

    /// # Panics
    /// Where there are transforms and the inner one searches: they are for the gradients of a step, and would make others of the same loss.
    fn step_with<M: Module>(&mut self, lr: f64, model: M, now: (f64, &Gradients), evaluate: &mut dyn FnMut(&M) -> (f64, Gradients)) -> M {
        match self.transforms.is_empty() {
            true => self.inner.step_with(lr, model, now, evaluate),
            false => self.step(lr, model, now.1),
        }
    }

    fn searches(&self) -> bool {
        self.inner.searches()
    }

    fn eval_weights<M: Module>(&self, model: &M) -> Option<M> {
        self.inner.eval_weights(model)
    }

    fn state<M: Module>(&self, model: &M) -> Tensors {
        let mut tensors = self.inner.state(model);
        if !self.transforms.is_empty() {
            tensors.insert(STEPS.into(), TensorData::from([self.steps as i64]));
        }
        for (i, transform) in self.transforms.iter().enumerate() {
            tensors.insert(key(i), TensorData::from(&transform.memory()[..]));
        }
        tensors
    }

    fn load_state<M: Module>(&mut self, model: &M, state: &Tensors) -> Result<(), StateError> {
        let mut rest = state.clone();
        let mut take = |name: &str, dtype: DType| {
            let data = rest.remove(name).ok_or_else(|| StateError::new("missing", name))?;
            if data.dtype() == dtype { Ok(data) } else { Err(StateError::new("damaged", name)) }
        };
        let mut steps = 0;
        if !self.transforms.is_empty() {
            let read = take(STEPS, DType::I64)?.iter::<i64>().next().and_then(|steps| u64::try_from(steps).ok());
            steps = read.ok_or_else(|| StateError::new("damaged", STEPS))?;
        }
        let memories: Vec<TensorData> = (0..self.transforms.len()).map(|i| take(&key(i), DType::F64)).collect::<Result<_, _>>()?;
        self.inner.load_state(model, &rest)?;
        self.steps = steps;
        for (transform, memory) in self.transforms.iter_mut().zip(memories) {
            transform.recall(memory.iter::<f64>().collect());
        }
        Ok(())
    }
}

/// `g ← min(max(g, −c), c)`: PyTorch's `clip_grad_value_`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClipValue(
    /// c
    pub f64,
);

impl Transform for ClipValue {
    fn apply(&mut self, _: u64, _: &[Parameter], gradients: &mut Gradients) {
        gradients.map(|_, grad| grad.clamp(-self.0, self.0));
    }
}

/// A flat tensor as `[units, rest]`: a unit is what feeds one output of a layer; of a vector there is one unit.
fn by_unit(flat: Tensor<1>, shape: &[usize]) -> Tensor<2> {
    let n: usize = shape.iter().product();
    match shape {
        [fan_in, fan_out] => flat.reshape([*fan_in, *fan_out]).transpose(),
        [units, _, _, ..] => flat.reshape([*units, n / (*units).max(1)]),
        _ => flat.reshape([1, n]),
    }
}

fn from_units(units: Tensor<2>, shape: &[usize]) -> Tensor<1> {
    let units = if shape.len() == 2 { units.transpose() } else { units };
    let n: usize = shape.iter().product();
    units.reshape([n])
}

/// The shape of each parameter and its value, by id.
fn by_id(parameters: &[Parameter]) -> HashMap<ParamId, &Parameter> {
    parameters.iter().map(|parameter| (parameter.id, parameter)).collect()
}

/// Adaptive clipping (AGC): the norm of a unit's gradient is at most `clip` times that of its weights, `g ← g · c max(‖w‖, ε) / ‖g‖`.
///
/// A unit is one output of a layer: a column of a linear weight `[in, out]`, a filter `[in, …]` of a convolution; a vector is one unit.
/// The paper exempts the last linear layer: name it in `skip`.
///
/// Source: Brock et al., "High-performance large-scale image recognition without normalization", 2021, equation 3.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipAdaptive {
    /// c: 0.01.
    pub clip: f64,
    /// ε, the least norm of weights: 1e-3.
    pub epsilon: f64,
    /// Patterns of names that are left alone.
    pub skip: Vec<String>,
}

impl Default for ClipAdaptive {
    fn default() -> Self {
        Self { clip: 0.01, epsilon: 1e-3, skip: vec![] }
    }
}

impl Transform for ClipAdaptive {
    fn apply(&mut self, _: u64, parameters: &[Parameter], gradients: &mut Gradients) {
        let parameters = by_id(parameters);
        gradients.map(|id, grad| {
            let Some(parameter) = parameters.get(&id).filter(|p| !self.skip.iter().any(|pattern| name_matches(pattern, &p.name))) else {
                return grad;
            };
            let norm = |flat: Tensor<1>| by_unit(flat, &parameter.shape).square().sum_dim(1).sqrt();
            let most = norm(parameter.value.clone()).clamp_min(self.epsilon) * self.clip;
            let factor = (most / norm(grad.clone()).clamp_min(1e-6)).clamp_max(1.0);
            from_units(by_unit(grad, &parameter.shape) * factor, &parameter.shape)
        });
    }
}

/// Clips the global norm at a percentile of all norms so far (AutoClip), this one's included.
///
/// Source: Seetharaman et al., "AutoClip: Adaptive gradient clipping for source separation networks", 2020.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipPercentile {
    percentile: f64,
    /// Ascending.
    norms: Vec<f64>,
}

impl ClipPercentile {
    /// In percent: 10 in the paper.
    ///
    /// # Panics
    /// If it is not in `[0, 100]`.
    pub fn new(percentile: f64) -> Self {
        assert!((0.0..=100.0).contains(&percentile), "a percentile is in [0, 100], not {percentile}");
        Self { percentile, norms: vec![] }
    }
}

impl Transform for ClipPercentile {
    fn apply(&mut self, _: u64, _: &[Parameter], gradients: &mut Gradients) {
        let norm = gradients.norm();
        self.norms.insert(self.norms.partition_point(|&other| other < norm), norm);
        // Between two norms in a straight line, as NumPy.
        let at = self.percentile / 100.0 * (self.norms.len() - 1) as f64;
        let (low, high) = (self.norms[at.floor() as usize], self.norms[at.ceil() as usize]);
        gradients.clip(norm, low + (high - low) * at.fract());
    }
    fn memory(&self) -> Vec<f64> {
        self.norms.clone()
    }
    fn recall(&mut self, memory: Vec<f64>) {
        self.norms = memory;
    }
}

/// Takes from the gradient of every weight with two axes or more its mean over each unit (see [`ClipAdaptive`]).
///
/// Source: Yong et al., "Gradient centralization", 2020, equation 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Centralize;

impl Transform for Centralize {
    fn apply(&mut self, _: u64, parameters: &[Parameter], gradients: &mut Gradients) {
        let parameters = by_id(parameters);
        gradients.map(|id, grad| match parameters.get(&id) {
            Some(parameter) if parameter.shape.len() > 1 => {
                let units = by_unit(grad, &parameter.shape);
                from_units(units.clone() - units.mean_dim(1), &parameter.shape)
            }
            _ => grad,
        });
    }
}

/// Adds normal noise of variance `η / (1 + t)^γ`, drawn from (seed, step, place of the parameter) alone.
///
/// Source: Neelakantan et al., "Adding gradient noise improves learning for very deep networks", 2015.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// η: 0.01, 0.3 or 1 in the paper.
    pub eta: f64,
    /// γ: 0.55.
    pub gamma: f64,
    /// Of the run.
    pub seed: u64,
}

impl Transform for Noise {
    fn apply(&mut self, step: u64, _: &[Parameter], gradients: &mut Gradients) {
        let deviation = (self.eta / (1.0 + step as f64).powf(self.gamma)).sqrt();
        // A stream of its own: the layers draw from `fold(step)`.
        let key = Key::new(self.seed).fold(u64::MAX - 1).fold(step);
        let mut place = 0;
        gradients.map(|_, grad| {
            place += 1;
            let draws = normal(key.fold(place), grad.dims()[0]);
            let noise = Tensor::from_data(TensorData::from(&draws[..]), (&grad.device(), grad.dtype()));
            grad + noise * deviation
        });
    }
}

/// Standard normal numbers, by Box and Muller.
fn normal(key: Key, n: usize) -> Vec<f64> {
    (0..n as u64)
        .map(|i| {
            let radius = (-2.0 * (1.0 - key.uniform(2 * i)).ln()).sqrt();
            radius * (TAU * key.uniform(2 * i + 1)).cos()
        })
        .collect()
}

/// Freezes parameters up to a step: their gradients are dropped, so that neither they nor their state move. In stages, one a layer.
///
/// Source: Howard and Ruder, "Universal language model fine-tuning for text classification", 2018 (gradual unfreezing).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Which: see [`name_matches`].
    pub path: String,
    /// The first step (from 0) in which they move; `u64::MAX` for never.
    pub until: u64,
}

impl Transform for Freeze {
    fn apply(&mut self, step: u64, parameters: &[Parameter], gradients: &mut Gradients) {
        if step < self.until {
            let parameters = by_id(parameters);
            gradients.retain(|id| parameters.get(&id).is_none_or(|parameter| !name_matches(&self.path, &parameter.name)));
        }
    }
}
