use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use fornax_kernels::reduce::sum_of_squares;
use std::collections::HashMap;

const NO_GRADIENT: &str = "no parameter got a gradient: is the model frozen, or on a device without `.autodiff()`?";

/// The gradients of a module's parameters, flat, in the module's own order (so that sums over them have one order).
///
/// They live on the device without autodiff.
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    tensors: Vec<(ParamId, Tensor<1>)>,
    index: HashMap<ParamId, usize>,
}

struct Collect<'a> {
    from: &'a mut burn::tensor::Gradients,
    into: Gradients,
}

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = param.val().grad_remove(self.from) {
            let n = grad.shape().num_elements();
            self.into.push(param.id, grad.reshape([n]));
        }
    }
}

impl FromIterator<(ParamId, Tensor<1>)> for Gradients {
    /// Flat gradients on the device without autodiff, in the module's order; of a parameter that comes twice, the first.
    fn from_iter<I: IntoIterator<Item = (ParamId, Tensor<1>)>>(pairs: I) -> Self {
        let mut gradients = Self::default();
        pairs.into_iter().for_each(|(id, grad)| gradients.push(id, grad));
        gradients
    }
}

impl Gradients {
    /// Back-propagates `loss: [1]` and collects the gradients of `model`'s parameters.
    ///
    /// # Panics
    /// If no parameter gets one: the model is frozen, or its device has no autodiff.
    pub fn of<M: Module>(loss: &Tensor<1>, model: &M) -> Self {
        assert!(loss.is_tracked(), "{NO_GRADIENT}");
        let mut from = loss.backward();
        let mut collect = Collect { from: &mut from, into: Self::default() };
        model.visit(&mut collect);
        assert!(!collect.into.tensors.is_empty(), "{NO_GRADIENT}");
        collect.into
    }

    fn push(&mut self, id: ParamId, grad: Tensor<1>) {
        // A tied parameter is visited twice, and its gradient is taken at the first visit.
        if self.index.insert(id, self.tensors.len()).is_none() {
            self.tensors.push((id, grad));
        }
    }

    /// The flat gradient of a parameter.
    pub fn get(&self, id: ParamId) -> Option<&Tensor<1>> {
        self.index.get(&id).map(|&i| &self.tensors[i].1)
    }

    /// Every gradient, in the module's order.
    pub fn iter(&self) -> impl Iterator<Item = &(ParamId, Tensor<1>)> {
        self.tensors.iter()
    }

    /// How many parameters have one.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The global norm `√Σ g²`.
    pub fn norm(&self) -> f64 {
        self.tensors.iter().map(|(_, g)| sum_of_squares(g.clone())).sum::<f64>().sqrt()
    }

    /// Replaces each by what `f` makes of it, in the module's order.
    ///
    /// # Panics
    /// If `f` changes a shape.
    pub fn map(&mut self, mut f: impl FnMut(ParamId, Tensor<1>) -> Tensor<1>) {
        for (id, grad) in &mut self.tensors {
            let shape = grad.dims();
            grad.inplace(|grad| f(*id, grad));
            assert_eq!(grad.dims(), shape, "a gradient has the shape of its parameter");
        }
    }

    /// Drops the gradients for which `keep` is false: those parameters stay.
    pub fn retain(&mut self, mut keep: impl FnMut(ParamId) -> bool) {
        self.tensors.retain(|(id, _)| keep(*id));
        self.index = self.tensors.iter().enumerate().map(|(i, (id, _))| (*id, i)).collect();
    }

    /// Multiplies all by `factor`.
    pub fn scale(&mut self, factor: f64) {
        for (_, grad) in &mut self.tensors {
            grad.inplace(|g| g * factor);
        }
    }

    /// Adds the gradients of another batch.
    ///
    /// # Panics
    /// If the two are of different models.
    pub fn add(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        assert_eq!(self.len(), other.len(), "gradients of different models");
        for ((id, sum), (other_id, grad)) in self.tensors.iter_mut().zip(other.tensors) {
            assert_eq!(*id, other_id, "gradients of different models");
            sum.inplace(|sum| sum + grad);
        }
    }

    /// Scales all so that the global norm, given as `norm`, is at most `max`: `g ← g · min(1, max / (norm + 1e-6))`.
    ///
    /// As PyTorch's `clip_grad_norm_`. Source: Pascanu et al., "On the difficulty of training recurrent neural networks", 2013.
    pub fn clip(&mut self, norm: f64, max: f64) {
        let factor = max / (norm + 1e-6);
        if factor < 1.0 {
            self.scale(factor);
        }
    }
}
