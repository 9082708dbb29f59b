use crate::parameters::flat;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Tensor, TensorData};
use fornax_weights::{Tensors, names_by_id};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The key of the number of steps; no parameter has a `#` in its name.
const STEPS: &str = "#steps";

/// An average of a model's weights over the steps, running statistics included. Detached: no gradients flow.
///
/// Each way moves the average by `ā ← ā + w (θ − ā)`, with its own share `w`.
#[derive(Debug, Clone)]
pub struct Average {
    way: Way,
    steps: u64,
    averages: HashMap<ParamId, Tensor<1>>,
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Ema(f64),
    WarmUp(f64),
    Mean { start: u64, every: u64 },
}

fn checked(decay: f64) -> f64 {
    assert!((0.0..1.0).contains(&decay), "EMA decay must be in [0, 1), not {decay}");
    decay
}

struct Update<'a>(&'a mut HashMap<ParamId, Tensor<1>>, f64);

impl ModuleVisitor for Update<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = flat(param.val());
        let average = match self.0.remove(&param.id) {
            None => value,
            Some(old) => old.clone() + (value - old) * self.1,
        };
        self.0.insert(param.id, average);
    }
}

struct Apply<'a>(&'a HashMap<ParamId, Tensor<1>>);

impl ModuleMapper for Apply<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(average) = self.0.get(&param.id).cloned() else { return param };
        param.map(|old| {
            let average = average.reshape(old.dims());
            if old.is_autodiff() { Tensor::from_inner(average).set_require_grad(old.is_require_grad()) } else { average }
        })
    }
}

impl Average {
    fn new(way: Way) -> Self {
        Self { way, steps: 0, averages: HashMap::new() }
    }

    /// An exponential moving average: `aₜ = d aₜ₋₁ + (1 − d) θₜ` from `a₀ = 0`, read as `aₜ / (1 − dᵗ)`: without bias toward the first
    /// weights, and equal to θ₁ after one step. Kept as that quotient, `w = (1 − d) / (1 − dᵗ)`.
    ///
    /// Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992; the correction is Adam's.
    ///
    /// # Panics
    /// If `decay` is not in `[0, 1)`.
    pub fn ema(decay: f64) -> Self {
        Self::new(Way::Ema(checked(decay)))
    }

    /// An exponential moving average whose decay climbs: `w = 1 − min(d, (1 + t) / (10 + t))` after `t` updates, from `ā = θ₁`.
    ///
    /// Source: TensorFlow's `ExponentialMovingAverage` with `num_updates`, which begins at θ₀ instead.
    ///
    /// # Panics
    /// If `decay` is not in `[0, 1)`.
    pub fn ema_with_warm_up(decay: f64) -> Self {
        Self::new(Way::WarmUp(checked(decay)))
    }

    /// The mean over all steps: Polyak's, and PyTorch's `AveragedModel`.
    pub fn polyak() -> Self {
        Self::swa(0, 1)
    }

    /// The mean of the weights at every `every`-th step after step `start`: stochastic weight averaging, PyTorch's `AveragedModel` with
    /// `use_buffers`. Before the first of them, the average is the model.
    ///
    /// Source: Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018. It runs over the data once more
    /// to find batch norm's statistics; here they are averaged like weights.
    ///
    /// # Panics
    /// If `every` is 0.
    pub fn swa(start: u64, every: u64) -> Self {
        assert!(every > 0, "SWA averages every n-th step, n at least 1");
        Self::new(Way::Mean { start, every })
    }

    /// The share of the weights after step `steps`, if they are to be averaged.
    fn share(&self) -> Option<f64> {
        let n = self.steps;
        match self.way {
            Way::Ema(decay) => Some((1.0 - decay) / (1.0 - decay.powf(n as f64))),
            Way::WarmUp(_) if n == 1 => Some(1.0),
            Way::WarmUp(decay) => Some(1.0 - decay.min(n as f64 / (9 + n) as f64)),
            Way::Mean { start, every } if n > start && (n - start).is_multiple_of(every) => Some(every as f64 / (n - start) as f64),
            Way::Mean { .. } => None,
        }
    }

    /// Whether anything has been averaged after so many steps.
    fn has_begun(&self, steps: u64) -> bool {
        match self.way {
            Way::Mean { start, every } => steps >= start + every,
            _ => steps > 0,
        }
    }

    /// Steps seen.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Takes the weights after a step.
    pub fn update<M: Module>(&mut self, model: &M) {
        self.steps += 1;
        if let Some(share) = self.share() {
            model.visit(&mut Update(&mut self.averages, share));
        }
    }

    /// `model` with the averages in place of its weights; before the first step, `model` itself.
    pub fn apply<M: Module>(&self, model: M) -> M {
        model.map(&mut Apply(&self.averages))
    }

    /// The averages under the model's names, for a checkpoint.
    pub fn state<M: Module>(&self, model: &M) -> Tensors {
        let mut tensors = fornax_weights::state(model);
        let averages: BTreeMap<String, &Tensor<1>> =
            names_by_id(model).into_iter().filter_map(|(id, name)| Some((name, self.averages.get(&id)?))).collect();
        tensors.retain(|name, _| averages.contains_key(name));
        // The averages are flat here; a file has them in the shape of their parameters.
        for (name, data) in &mut tensors {
            let average = averages[name].to_data();
            *data = TensorData::from_bytes_vec(average.as_bytes().to_vec(), data.shape().to_vec(), average.dtype());
        }
        tensors.insert(STEPS.into(), TensorData::from([self.steps as i64]));
        tensors
    }

    /// Takes back what [`Average::state`] gave.
    ///
    /// # Errors
    /// The name of the first average that is missing, unknown, or of another size.
    pub fn load_state<M: Module>(&mut self, model: &M, tensors: &Tensors) -> Result<(), String> {
        let steps = tensors.get(STEPS).filter(|data| data.dtype() == DType::I64 && data.num_elements() == 1);
        let steps = steps.and_then(|data| data.iter::<i64>().next()).and_then(|steps| u64::try_from(steps).ok()).ok_or(STEPS)?;
        let sizes = fornax_weights::state(model);
        let device = model.devices().first().ok_or("a model without parameters has no average")?.clone().inner();
        let mut left: BTreeSet<&str> = tensors.keys().map(String::as_str).filter(|&key| key != STEPS).collect();
        let mut averages = HashMap::new();
        for (id, name) in names_by_id(model).into_iter().filter(|_| self.has_begun(steps)) {
            let fits = |data: &&TensorData| data.dtype().is_float() && data.shape() == sizes[&name].shape();
            let data = tensors.get(&name).filter(fits).ok_or(&name)?;
            left.remove(name.as_str());
            let flat = TensorData::from_bytes_vec(data.as_bytes().to_vec(), [data.num_elements()], data.dtype());
            averages.insert(id, Tensor::from_data(flat, &device));
        }
        if let Some(unknown) = left.first() {
            return Err(unknown.to_string());
        }
        (self.steps, self.averages) = (steps, averages);
        Ok(())
    }
}
