use crate::parameters::flat;
use crate::{Gradients, Optimizer, StateError, parameters};
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{DType, Tensor, TensorData};
use fornax_weights::Tensors;
use std::collections::HashMap;

/// Every `k` steps of an optimizer, slow weights go the share `α` of the way to the fast ones, and the fast ones go there too:
/// `φ ← φ + α (θ − φ)`, `θ ← φ`. With `k = 0` it is the optimizer itself.
///
/// The slow weights begin as those before the first step; the optimizer's own state stays as it is.
/// Source: Zhang et al., "Lookahead optimizer: k steps forward, 1 step back", 2019.
#[derive(Debug)]
pub struct Lookahead<O> {
    inner: O,
    k: u64,
    alpha: f64,
    steps: u64,
    slow: HashMap<ParamId, Tensor<1>>,
}

const STEPS: &str = "#lookahead.steps";

impl<O> Lookahead<O> {
    /// The paper's numbers are `k = 5` and `alpha = 0.5`.
    ///
    /// # Panics
    /// If `alpha` is not in `[0, 1]`.
    pub fn new(inner: O, k: u64, alpha: f64) -> Self {
        assert!((0.0..=1.0).contains(&alpha), "Lookahead's alpha is in [0, 1], not {alpha}");
        Self { inner, k, alpha, steps: 0, slow: HashMap::new() }
    }
}

struct Synchronize<'a>(&'a mut HashMap<ParamId, Tensor<1>>, f64);

impl ModuleMapper for Synchronize<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(slow) = self.0.remove(&param.id) else { return param };
        let id = param.id;
        param.map(|old| {
            let (shape, trainable) = (old.dims(), old.is_require_grad());
            // This form is exactly θ with α = 1, and exactly φ with α = 0.
            let new = flat(old) * self.1 + slow * (1.0 - self.1);
            self.0.insert(id, new.clone());
            Tensor::from_inner(new.reshape(shape)).set_require_grad(trainable)
        })
    }
}

impl<O: Optimizer> Lookahead<O> {
    /// A step of the inner one, and what has to come before and after it.
    fn around<M: Module>(&mut self, model: M, step: impl FnOnce(&mut O, M) -> M) -> M {
        if self.k == 0 {
            return step(&mut self.inner, model);
        }
        if self.slow.is_empty() {
            self.slow = parameters(&model).into_iter().filter(|p| p.trainable).map(|p| (p.id, p.value)).collect();
        }
        let model = step(&mut self.inner, model);
        self.steps += 1;
        if self.steps.is_multiple_of(self.k) { model.map(&mut Synchronize(&mut self.slow, self.alpha)) } else { model }
    }
}

impl<O: Optimizer> Optimizer for Lookahead<O> {
    fn step<M: Module>(&mut self, lr: f64, model: M, gradients: &Gradients) -> M {
        self.around(model, |inner, model| inner.step(lr, model, gradients))
    }

    fn step_with<M: Module>(&mut self, lr: f64, model: M, now: (f64, &Gradients), evaluate: &mut dyn FnMut(&M) -> (f64, Gradients)) -> M {
        self.around(model, |inner, model| inner.step_with(lr, model, now, evaluate))
    }

    fn searches(&self) -> bool {
        self.inner.searches()
    }

    fn eval_weights<M: Module>(&self, model: &M) -> Option<M> {
        self.inner.eval_weights(model)
    }

    fn state<M: Module>(&self, model: &M) -> Tensors {
        let mut tensors = self.inner.state(model);
        if self.k > 0 {
            tensors.insert(STEPS.into(), TensorData::from([self.steps as i64]));
            for parameter in parameters(model) {
                if let Some(slow) = self.slow.get(&parameter.id) {
                    tensors.insert(format!("{}#lookahead", parameter.name), slow.to_data());
                }
            }
        }
        tensors
    }

    fn load_state<M: Module>(&mut self, model: &M, state: &Tensors) -> Result<(), StateError> {
        if self.k == 0 {
            return self.inner.load_state(model, state);
        }
        let mut rest = state.clone();
        let steps = rest.remove(STEPS).ok_or_else(|| StateError::new("missing", STEPS))?;
        let steps = if steps.dtype() == DType::I64 { steps.iter::<i64>().next() } else { None };
        let steps = steps.and_then(|steps| u64::try_from(steps).ok()).ok_or_else(|| StateError::new("damaged", STEPS))?;
        let mut slow = HashMap::new();
        for parameter in parameters(model).into_iter().filter(|p| p.trainable && steps > 0) {
            let key = format!("{}#lookahead", parameter.name);
            let data = rest.remove(&key).ok_or_else(|| StateError::new("missing", &key))?;
            if !data.dtype().is_float() || data.shape().to_vec() != parameter.value.dims() {
                return Err(StateError::new("another size or type of", &key));
            }
            let dtype = data.dtype();
            slow.insert(parameter.id, Tensor::from_data(data, (&parameter.value.device(), dtype)));
        }
        self.inner.load_state(model, &rest)?;
        (self.steps, self.slow) = (steps, slow);
        Ok(())
    }
}
