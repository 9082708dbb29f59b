use crate::{Gradients, Hyper, Rule, State};
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Tensor, TensorData};
use fornax_weights::{ModulePath, Tensors, names_by_id};
use std::collections::HashMap;

/// Turns gradients into the next model.
pub trait Optimizer {
    /// θₜ from θₜ₋₁ and gₜ. Parameters without a gradient stay.
    fn step<M: Module>(&mut self, lr: f64, model: M, gradients: &Gradients) -> M;

    /// All that it remembers, under the names of `model`'s parameters.
    fn state<M: Module>(&self, model: &M) -> Tensors;

    /// Takes back what [`Optimizer::state`] gave.
    ///
    /// # Errors
    /// If something is missing, unknown or of another size: nothing is skipped.
    fn load_state<M: Module>(&mut self, model: &M, state: &Tensors) -> Result<(), StateError>;
}

/// Optimizer state that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("optimizer state does not fit the model or the rule: {what} `{name}`; it was written by another configuration")]
pub struct StateError {
    what: &'static str,
    name: String,
}

/// Other numbers for some parameters. Where groups overlap, the last that matches counts.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// Whether a parameter of that name and shape belongs here.
    pub select: fn(name: &str, shape: &[usize]) -> bool,
    /// Multiplies η.
    pub lr_scale: f64,
    /// λ in place of the rule's.
    pub weight_decay: Option<f64>,
}

impl Group {
    /// Exempts vectors (biases, and the scales and shifts of norms) from decay.
    pub const VECTORS_WITHOUT_DECAY: Self = Self { select: |_, shape| shape.len() < 2, lr_scale: 1.0, weight_decay: Some(0.0) };
}

/// Runs a pure [`Rule`] on every parameter by itself.
#[derive(Debug)]
pub struct PerTensor {
    rule: Box<dyn Rule>,
    groups: Vec<Group>,
    states: HashMap<ParamId, State>,
}

impl PerTensor {
    /// One group: all parameters.
    pub fn new(rule: impl Rule + 'static) -> Self {
        Self::boxed(Box::new(rule))
    }

    /// As [`PerTensor::new`], of a rule chosen at run time.
    pub fn boxed(rule: Box<dyn Rule>) -> Self {
        Self { rule, groups: vec![], states: HashMap::new() }
    }

    /// With one more group.
    pub fn with_group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }
}

struct Step<'a> {
    optimizer: &'a mut PerTensor,
    gradients: &'a Gradients,
    lr: f64,
    path: ModulePath,
}

impl ModuleMapper for Step<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(grad) = self.gradients.get(param.id) else { return param };
        let PerTensor { rule, groups, states } = &mut *self.optimizer;
        let shape = param.val().dims();
        let name = self.path.name();
        let group = groups.iter().rev().find(|group| (group.select)(&name, &shape));
        let hyper = Hyper {
            lr: self.lr * group.map_or(1.0, |g| g.lr_scale),
            weight_decay: group.and_then(|g| g.weight_decay).unwrap_or(rule.weight_decay()),
            shape: &shape,
        };
        let state = states.entry(param.id).or_default();
        state.step += 1;
        param.map(|old| {
            let flat = old.inner().reshape([shape.iter().product::<usize>()]);
            let new = rule.update(hyper, flat, grad.clone(), state);
            Tensor::from_inner(new.reshape(shape)).require_grad()
        })
    }
}

impl Optimizer for PerTensor {
    fn step<M: Module>(&mut self, lr: f64, model: M, gradients: &Gradients) -> M {
        model.map(&mut Step { optimizer: self, gradients, lr, path: ModulePath::default() })
    }

    fn state<M: Module>(&self, model: &M) -> Tensors {
        let mut tensors = Tensors::new();
        for (id, name) in names_by_id(model) {
            let Some(state) = self.states.get(&id) else { continue };
            tensors.insert(format!("{name}#step"), TensorData::from([state.step as i64]));
            for (slot, tensor) in &state.tensors {
                tensors.insert(format!("{name}#{slot}"), tensor.to_data());
            }
        }
        tensors
    }

    fn load_state<M: Module>(&mut self, model: &M, tensors: &Tensors) -> Result<(), StateError> {
        let wrong = |what, name: &str| Err(StateError { what, name: name.into() });
        let mut states = HashMap::new();
        let mut used = 0;
        let sizes = fornax_weights::state(model);
        let Some(device) = model.devices().first().map(|device| device.clone().inner()) else { return Ok(()) };
        for (id, name) in names_by_id(model) {
            let Some(step) = tensors.get(&format!("{name}#step")) else { continue };
            let Some(step) = step.iter::<i64>().next().filter(|&s| s > 0) else { return wrong("damaged step of", &name) };
            let mut state = State { step: step as u64, ..State::default() };
            used += 1;
            for &slot in self.rule.slots() {
                let key = format!("{name}#{slot}");
                let Some(data) = tensors.get(&key) else { return wrong("missing", &key) };
                if data.num_elements() != sizes[&name].num_elements() {
                    return wrong("another size of", &key);
                }
                state.put(slot, Tensor::from_data(data.clone(), &device));
                used += 1;
            }
            states.insert(id, state);
        }
        if used != tensors.len() {
            let known = |key: &&String| {
                key.split_once('#').is_some_and(|(name, slot)| sizes.contains_key(name) && (slot == "step" || self.rule.slots().contains(&slot)))
            };
            let unknown = tensors.keys().find(|key| !known(key)).map_or("?", String::as_str);
            return wrong("unknown", unknown);
        }
        self.states = states;
        Ok(())
    }
}
