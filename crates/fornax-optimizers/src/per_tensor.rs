use crate::{Adjust, Decay, Gradients, Hyper, Numbers, Optimizer, Rule, State, StateError, adjust::adjusted, parameters::flat};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Tensor, TensorData};
use fornax_weights::{ModulePath, Tensors, names_by_id};
use std::collections::{BTreeSet, HashMap};

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
    adjust: Vec<Adjust>,
    decay: Decay,
    states: HashMap<ParamId, State>,
    globals: Numbers,
}

impl PerTensor {
    /// One group: all parameters.
    pub fn new(rule: impl Rule + 'static) -> Self {
        Self::boxed(Box::new(rule))
    }

    /// As [`PerTensor::new`], of a rule chosen at run time.
    pub fn boxed(rule: Box<dyn Rule>) -> Self {
        let globals = rule.globals().into_iter().collect();
        Self { rule, groups: vec![], adjust: vec![], decay: Decay::Rule, states: HashMap::new(), globals }
    }

    /// What it runs.
    pub fn rule(&self) -> &dyn Rule {
        &*self.rule
    }

    /// With one more group.
    pub fn with_group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }

    /// With one more adjustment, after the groups and those that there are.
    pub fn with_adjust(mut self, adjust: Adjust) -> Self {
        self.adjust.push(adjust);
        self
    }

    /// With decay of another kind than the rule's.
    pub fn with_decay(mut self, decay: Decay) -> Self {
        self.decay = decay;
        self
    }

    /// What chose a parameter, for a table: the last group that matches, and every adjustment.
    pub fn groups_of(&self, name: &str, shape: &[usize]) -> Vec<String> {
        let group = self.groups.iter().rposition(|group| (group.select)(name, shape)).map(|i| match self.groups[i] {
            Group { lr_scale: 1.0, weight_decay: Some(0.0), .. } => "no decay".to_string(),
            _ => format!("group {i}"),
        });
        let adjust = self.adjust.iter().filter(|adjust| adjust.change(name, shape).is_some()).map(|adjust| adjust.label().to_string());
        group.into_iter().chain(adjust).collect()
    }

    /// What a parameter of that name and shape gets: η's factor and λ, after groups and adjustments.
    pub fn settings(&self, name: &str, shape: &[usize]) -> (f64, f64) {
        let group = self.groups.iter().rev().find(|group| (group.select)(name, shape));
        let start = (group.map_or(1.0, |g| g.lr_scale), group.and_then(|g| g.weight_decay).unwrap_or(self.rule.weight_decay()));
        adjusted(&self.adjust, name, shape, start)
    }
}

/// A parameter in both passes of a step: what the rule is told of it.
fn hyper<'a>((lr_scale, weight_decay): (f64, f64), lr: f64, globals: &'a Numbers, name: &'a str, shape: &'a [usize]) -> Hyper<'a> {
    Hyper { lr: lr * lr_scale, weight_decay, shape, name, globals }
}

/// The pass over all parameters before the first of them moves.
struct Observe<'a> {
    optimizer: &'a mut PerTensor,
    gradients: &'a Gradients,
    lr: f64,
    path: ModulePath,
    sums: Numbers,
}

impl ModuleVisitor for Observe<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(grad) = self.gradients.get(param.id) else { return };
        let (name, shape) = (self.path.name(), param.val().dims());
        let settings = self.optimizer.settings(&name, &shape);
        let PerTensor { rule, states, globals, .. } = &mut *self.optimizer;
        let hyper = hyper(settings, self.lr, globals, &name, &shape);
        rule.observe(hyper, &flat(param.val()), grad, states.entry(param.id).or_default(), &mut self.sums);
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
        let (name, shape) = (self.path.name(), param.val().dims());
        let settings = self.optimizer.settings(&name, &shape);
        let PerTensor { rule, states, decay, globals, .. } = &mut *self.optimizer;
        let mut hyper = hyper(settings, self.lr, globals, &name, &shape);
        let state = states.entry(param.id).or_default();
        state.step += 1;
        param.map(|old| {
            let (old, grad) = decay.before(&mut hyper, flat(old), grad.clone());
            let new = rule.update(hyper, old, grad, state);
            Tensor::from_inner(new.reshape(shape)).require_grad()
        })
    }
}

struct EvalWeights<'a> {
    optimizer: &'a PerTensor,
    any: bool,
}

impl ModuleMapper for EvalWeights<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(state) = self.optimizer.states.get(&param.id) else { return param };
        let value = param.val();
        let (shape, tracked) = (value.dims(), value.is_autodiff());
        let Some(weight) = self.optimizer.rule.eval_weight(&flat(if tracked { value.inner() } else { value }), state) else { return param };
        self.any = true;
        param.map(|_| {
            let weight = weight.reshape(shape);
            if tracked { Tensor::from_inner(weight).require_grad() } else { weight }
        })
    }
}

/// One number as a tensor of a checkpoint.
fn read_number(data: &TensorData) -> Option<f64> {
    if data.dtype() == DType::F64 && data.num_elements() == 1 { data.iter::<f64>().next() } else { None }
}

impl Optimizer for PerTensor {
    fn step<M: Module>(&mut self, lr: f64, model: M, gradients: &Gradients) -> M {
        if !self.globals.is_empty() {
            let mut observe = Observe { optimizer: self, gradients, lr, path: ModulePath::default(), sums: Numbers::new() };
            model.visit(&mut observe);
            let sums = observe.sums;
            self.rule.conclude(&sums, &mut self.globals);
        }
        model.map(&mut Step { optimizer: self, gradients, lr, path: ModulePath::default() })
    }

    fn eval_weights<M: Module>(&self, model: &M) -> Option<M> {
        let mut eval = EvalWeights { optimizer: self, any: false };
        let model = model.clone().map(&mut eval);
        eval.any.then_some(model)
    }

    fn state<M: Module>(&self, model: &M) -> Tensors {
        // No parameter is called "": these are the rule's numbers over all of them.
        let mut tensors: Tensors = self.globals.iter().map(|(name, &value)| (format!("#{name}"), TensorData::from([value]))).collect();
        for (id, name) in names_by_id(model) {
            // Step 0 says that there is no state, so that a missing one is seen.
            let state = self.states.get(&id);
            tensors.insert(format!("{name}#step"), TensorData::from([state.map_or(0, |state| state.step as i64)]));
            for (slot, tensor) in state.iter().flat_map(|state| &state.tensors) {
                tensors.insert(format!("{name}#{slot}"), tensor.to_data());
            }
            for (slot, &value) in state.iter().flat_map(|state| &state.numbers) {
                tensors.insert(format!("{name}#{slot}"), TensorData::from([value]));
            }
        }
        tensors
    }

    fn load_state<M: Module>(&mut self, model: &M, tensors: &Tensors) -> Result<(), StateError> {
        let wrong = StateError::new;
        let sizes = fornax_weights::state(model);
        let Some(device) = model.devices().first().map(|device| device.clone().inner()) else {
            return tensors.keys().next().map_or(Ok(()), |key| Err(wrong("unknown", key)));
        };
        let mut left: BTreeSet<&str> = tensors.keys().map(String::as_str).collect();
        let mut take = |key: &str| {
            left.remove(key);
            tensors.get(key).ok_or_else(|| wrong("missing", key))
        };
        let mut globals = Numbers::new();
        for &slot in self.globals.keys() {
            let key = format!("#{slot}");
            globals.insert(slot, read_number(take(&key)?).ok_or_else(|| wrong("damaged", &key))?);
        }
        let mut states = HashMap::new();
        for (id, name) in names_by_id(model) {
            let key = format!("{name}#step");
            let step = take(&key)?;
            let step = if step.dtype() == DType::I64 && step.num_elements() == 1 { step.iter::<i64>().next() } else { None };
            let step = step.and_then(|step| u64::try_from(step).ok()).ok_or_else(|| wrong("damaged", &key))?;
            if step == 0 {
                continue;
            }
            let mut state = State { step, ..State::default() };
            for &slot in self.rule.slots() {
                let Some(len) = self.rule.slot_len(slot, &name, sizes[&name].shape()) else { continue };
                let key = format!("{name}#{slot}");
                let data = take(&key)?;
                if !data.dtype().is_float() || data.shape().to_vec() != [len] {
                    return Err(wrong("another size or type of", &key));
                }
                state.put(slot, Tensor::from_data(data.clone(), (&device, data.dtype())));
            }
            for &slot in self.rule.numbers() {
                let key = format!("{name}#{slot}");
                state.set_number(slot, read_number(take(&key)?).ok_or_else(|| wrong("damaged", &key))?);
            }
            states.insert(id, state);
        }
        match left.first() {
            Some(key) => Err(wrong("unknown", key)),
            None => {
                (self.states, self.globals) = (states, globals);
                Ok(())
            }
        }
    }
}
