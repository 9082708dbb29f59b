//! Parameters as one vector.

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::Tensor;
use fornax_kernels::reduce::sum;
use std::collections::HashMap;

/// One flat tensor for each parameter that has a gradient, in the model's order.
pub(super) type Flat = Vec<(ParamId, Tensor<1>)>;

pub(super) fn dot(a: &Flat, b: &Flat) -> f64 {
    a.iter().zip(b).map(|((_, a), (_, b))| sum(a.clone() * b.clone())).sum()
}

/// `a + factor · b`
pub(super) fn combine(a: &Flat, b: &Flat, factor: f64) -> Flat {
    a.iter().zip(b).map(|((id, a), (_, b))| (*id, a.clone() + b.clone() * factor)).collect()
}

pub(super) fn scaled(a: &Flat, factor: f64) -> Flat {
    a.iter().map(|(id, a)| (*id, a.clone() * factor)).collect()
}

/// `max |a|`
pub(super) fn largest(a: &Flat) -> f64 {
    a.iter().map(|(_, a)| a.clone().abs().max().into_data().convert::<f64>().iter::<f64>().sum::<f64>()).fold(0.0, f64::max)
}

/// `Σ |a|`
pub(super) fn norm_of_one(a: &Flat) -> f64 {
    a.iter().map(|(_, a)| sum(a.clone().abs())).sum()
}

/// `model + size · direction`
pub(super) fn moved<M: Module>(model: M, direction: &Flat, size: f64) -> M {
    model.map(&mut Move(direction.iter().map(|(id, d)| (*id, d)).collect(), size))
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
