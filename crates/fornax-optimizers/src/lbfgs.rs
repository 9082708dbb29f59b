use crate::{Gradients, Optimizer, StateError};
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{DType, Tensor, TensorData};
use fornax_kernels::reduce::sum;
use fornax_weights::{Tensors, names_by_id};
use std::collections::{BTreeSet, HashMap, VecDeque};

/// One flat tensor for each parameter that has a gradient, in the model's order.
type Flat = Vec<(ParamId, Tensor<1>)>;

/// L-BFGS without a line search, for smooth losses over the whole data set: the gradient times an estimate of the inverse Hessian from the last
/// `history_size` steps.
///
/// `d₁ = −g₁`, `t₁ = η min(1, 1 / ‖g₁‖₁)`; then with `s = tₜ₋₁ dₜ₋₁` and `y = gₜ − gₜ₋₁`, remembered where `⟨y, s⟩ > 1e-10`, `dₜ = −Hₜ gₜ` by the two-loop
/// recursion from `⟨y, s⟩ / ⟨y, y⟩` and `tₜ = η`; `θₜ = θₜ₋₁ + tₜ dₜ`. Where `dₜ` does not lead downward, nothing moves. η is 1 in PyTorch.
///
/// It is an [`Optimizer`] itself, not a [`Rule`](crate::Rule): parameters are one vector to it. [`Lbfgs::minimize`] takes the loss as a closure.
///
/// Source: Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989; one step is one iteration of PyTorch's `LBFGS`,
/// whose `max_iter` iterations for each call are [`Lbfgs::minimize`]'s, and whose strong Wolfe line search is not here.
#[derive(Debug, Clone)]
pub struct Lbfgs {
    history_size: usize,
    /// (s, y), the newest last.
    pairs: VecDeque<(Flat, Flat)>,
    last: Option<Last>,
}

/// What the next step needs of this one.
#[derive(Debug, Clone)]
struct Last {
    gradient: Flat,
    direction: Flat,
    size: f64,
}

/// Below this the gradient is nothing, as in PyTorch.
const TOLERANCE_GRAD: f64 = 1e-7;
/// A step that promises less is none, as in PyTorch.
const TOLERANCE_CHANGE: f64 = 1e-9;

impl Default for Lbfgs {
    /// A history of 100.
    fn default() -> Self {
        Self::new(100)
    }
}

impl Lbfgs {
    /// With so many pairs of steps and changes of the gradient.
    pub fn new(history_size: usize) -> Self {
        Self { history_size, pairs: VecDeque::new(), last: None }
    }

    /// Takes up to `iterations` steps of `lr`, at most until no gradient is above 1e-7. `loss: &model -> [1]`.
    pub fn minimize<M: Module>(&mut self, lr: f64, mut model: M, iterations: usize, mut loss: impl FnMut(&M) -> Tensor<1>) -> M {
        for _ in 0..iterations {
            let gradients = Gradients::of(&loss(&model), &model);
            if largest(gradients.iter()) <= TOLERANCE_GRAD {
                break;
            }
            model = self.step(lr, model, &gradients);
        }
        model
    }

    fn remember(&mut self, gradient: &Flat) {
        let Some(last) = &self.last else { return };
        let change = combine(gradient, &last.gradient, -1.0);
        let step = scaled(&last.direction, last.size);
        if dot(&change, &step) > 1e-10 {
            if self.pairs.len() == self.history_size {
                self.pairs.pop_front();
            }
            self.pairs.push_back((step, change));
        }
    }

    /// `−H g` by the two-loop recursion.
    fn direction(&self, gradient: &Flat) -> Flat {
        let mut q = scaled(gradient, -1.0);
        let mut shares = vec![];
        for (s, y) in self.pairs.iter().rev() {
            let share = dot(s, &q) / dot(y, s);
            q = combine(&q, y, -share);
            shares.push(share);
        }
        let scale = self.pairs.back().map_or(1.0, |(s, y)| dot(y, s) / dot(y, y));
        let start = scaled(&q, scale);
        self.pairs.iter().zip(shares.into_iter().rev()).fold(start, |d, ((s, y), share)| {
            let back = dot(y, &d) / dot(y, s);
            combine(&d, s, share - back)
        })
    }
}

fn dot(a: &Flat, b: &Flat) -> f64 {
    a.iter().zip(b).map(|((_, a), (_, b))| sum(a.clone() * b.clone())).sum()
}

/// `a + factor · b`
fn combine(a: &Flat, b: &Flat, factor: f64) -> Flat {
    a.iter().zip(b).map(|((id, a), (_, b))| (*id, a.clone() + b.clone() * factor)).collect()
}

fn scaled(a: &Flat, factor: f64) -> Flat {
    a.iter().map(|(id, a)| (*id, a.clone() * factor)).collect()
}

fn largest<'a>(gradients: impl Iterator<Item = &'a (ParamId, Tensor<1>)>) -> f64 {
    gradients.map(|(_, g)| g.clone().abs().max().into_data().convert::<f64>().iter::<f64>().sum::<f64>()).fold(0.0, f64::max)
}

struct Move<'a>(HashMap<ParamId, &'a Tensor<1>>, f64);

impl ModuleMapper for Move<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(&direction) = self.0.get(&param.id) else { return param };
        param.map(|old| {
            let old = old.inner();
            let step = direction.clone().reshape(old.dims()) * self.1;
            Tensor::from_inner(old + step).require_grad()
        })
    }
}

impl Optimizer for Lbfgs {
    /// # Panics
    /// If other parameters have gradients than at the step before: the history is one of all of them.
    fn step<M: Module>(&mut self, lr: f64, model: M, gradients: &Gradients) -> M {
        let gradient: Flat = gradients.iter().cloned().collect();
        if let Some(last) = &self.last {
            assert!(
                last.gradient.iter().map(|(id, _)| id).eq(gradient.iter().map(|(id, _)| id)),
                "L-BFGS needs gradients of the same parameters at every step"
            );
        }
        if largest(gradient.iter()) <= TOLERANCE_GRAD {
            return model;
        }
        self.remember(&gradient);
        let direction = self.direction(&gradient);
        let descends = dot(&gradient, &direction) <= -TOLERANCE_CHANGE;
        let first = || (1.0 / gradient.iter().map(|(_, g)| sum(g.clone().abs())).sum::<f64>()).min(1.0);
        let size = match (&self.last, descends) {
            (_, false) => 0.0,
            (None, true) => lr * first(),
            (Some(_), true) => lr,
        };
        let model = if size == 0.0 { model } else { model.map(&mut Move(direction.iter().map(|(id, d)| (*id, d)).collect(), size)) };
        self.last = Some(Last { gradient, direction, size });
        model
    }

    fn state<M: Module>(&self, model: &M) -> Tensors {
        let size = self.last.as_ref().map_or(f64::NAN, |last| last.size);
        let mut tensors: Tensors =
            [("#pairs".into(), TensorData::from([self.pairs.len() as i64])), ("#size".into(), TensorData::from([size]))].into();
        let names = names_by_id(model);
        let mut put = |what: &str, flat: &Flat| {
            for (id, tensor) in flat {
                if let Some(name) = names.get(id) {
                    tensors.insert(format!("{name}#{what}"), tensor.to_data());
                }
            }
        };
        for (k, (s, y)) in self.pairs.iter().enumerate() {
            put(&format!("s{k}"), s);
            put(&format!("y{k}"), y);
        }
        if let Some(last) = &self.last {
            put("gradient", &last.gradient);
            put("direction", &last.direction);
        }
        tensors
    }

    fn load_state<M: Module>(&mut self, model: &M, tensors: &Tensors) -> Result<(), StateError> {
        let one = |key: &str, dtype: DType| {
            let data = tensors.get(key).ok_or_else(|| StateError::new("missing", key))?;
            if data.dtype() == dtype && data.num_elements() == 1 { Ok(data) } else { Err(StateError::new("damaged", key)) }
        };
        let count = one("#pairs", DType::I64)?.iter::<i64>().next().and_then(|n| usize::try_from(n).ok());
        let count = count.filter(|&n| n <= self.history_size).ok_or_else(|| StateError::new("damaged", "#pairs"))?;
        let size = one("#size", DType::F64)?.iter::<f64>().next().unwrap_or(f64::NAN);
        let mut left: BTreeSet<&str> =
            tensors.keys().map(String::as_str).filter(|key| !key.starts_with('#') || !["#pairs", "#size"].contains(key)).collect();
        let sizes = fornax_weights::state(model);
        let device = model.devices().first().map(|device| device.clone().inner());
        // Which parameters took part is what the gradient says; the order is the model's.
        let order: Vec<(ParamId, String)> =
            ordered(model).into_iter().filter(|(_, name)| tensors.contains_key(&format!("{name}#gradient"))).collect();
        let mut take = |what: &str| -> Result<Flat, StateError> {
            let part = order.iter().map(|(id, name)| {
                let key = format!("{name}#{what}");
                let data = tensors.get(&key).ok_or_else(|| StateError::new("missing", &key))?;
                left.remove(key.as_str());
                if !data.dtype().is_float() || data.shape().to_vec() != [sizes[name].num_elements()] {
                    return Err(StateError::new("another size or type of", &key));
                }
                let device = device.as_ref().ok_or_else(|| StateError::new("unknown", &key))?;
                Ok((*id, Tensor::from_data(data.clone(), (device, data.dtype()))))
            });
            part.collect()
        };
        let pairs = (0..count).map(|k| Ok((take(&format!("s{k}"))?, take(&format!("y{k}"))?))).collect::<Result<_, StateError>>()?;
        let last = match order.is_empty() {
            true if !size.is_nan() => return Err(StateError::new("missing", "#gradient")),
            true => None,
            false => Some(Last { gradient: take("gradient")?, direction: take("direction")?, size }),
        };
        if let Some(key) = left.first() {
            return Err(StateError::new("unknown", key));
        }
        (self.pairs, self.last) = (pairs, last);
        Ok(())
    }
}

/// The parameters in the model's order, each once.
fn ordered<M: Module>(model: &M) -> Vec<(ParamId, String)> {
    let names = names_by_id(model);
    let mut seen = BTreeSet::new();
    let ids = burn::module::list_param_ids(model);
    ids.into_iter().filter_map(|id| Some((id, names.get(&id)?.clone()))).filter(|(_, name)| seen.insert(name.clone())).collect()
}
