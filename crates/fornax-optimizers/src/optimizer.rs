use crate::{Gradients, Lbfgs, PerTensor};
use burn::module::Module;
use fornax_weights::Tensors;

/// Turns gradients into the next model.
pub trait Optimizer {
    /// θₜ from θₜ₋₁ and gₜ. Parameters without a gradient stay.
    fn step<M: Module>(&mut self, lr: f64, model: M, gradients: &Gradients) -> M;

    /// As [`Optimizer::step`], for those who may ask for loss and gradients of the same batch at other weights; `now` are those of `model`.
    fn step_with<M: Module>(&mut self, lr: f64, model: M, now: (f64, &Gradients), _evaluate: &mut dyn FnMut(&M) -> (f64, Gradients)) -> M {
        self.step(lr, model, now.1)
    }

    /// Whether it asks, and [`Optimizer::step_with`] has to be called: a line search does.
    fn searches(&self) -> bool {
        false
    }

    /// All that it remembers, under the names of `model`'s parameters.
    fn state<M: Module>(&self, model: &M) -> Tensors;

    /// Takes back what [`Optimizer::state`] gave.
    ///
    /// # Errors
    /// If something is missing, unknown or of another size: nothing is skipped.
    fn load_state<M: Module>(&mut self, model: &M, state: &Tensors) -> Result<(), StateError>;

    /// The weights to evaluate and publish, where these are not the ones that gradients are taken at: of
    /// [`ScheduleFreeSgd`](crate::rules::ScheduleFreeSgd) and its kin. The trainer takes them where it keeps no average of its own.
    fn eval_weights<M: Module>(&self, _model: &M) -> Option<M> {
        None
    }
}

/// Optimizer state that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("optimizer state does not fit the model or the rule: {what} `{name}`; it was written by another configuration")]
pub struct StateError {
    what: &'static str,
    name: String,
}

impl StateError {
    pub(crate) fn new(what: &'static str, name: &str) -> Self {
        Self { what, name: name.into() }
    }
}

/// The optimizer that a [`RuleConfig`](crate::RuleConfig) names.
#[derive(Debug)]
pub enum Configured {
    /// A rule on every parameter by itself.
    PerTensor(Box<PerTensor>),
    /// All parameters as one vector.
    Lbfgs(Lbfgs),
}

impl Optimizer for Configured {
    fn step<M: Module>(&mut self, lr: f64, model: M, gradients: &Gradients) -> M {
        match self {
            Self::PerTensor(optimizer) => optimizer.step(lr, model, gradients),
            Self::Lbfgs(optimizer) => optimizer.step(lr, model, gradients),
        }
    }
    fn step_with<M: Module>(&mut self, lr: f64, model: M, now: (f64, &Gradients), evaluate: &mut dyn FnMut(&M) -> (f64, Gradients)) -> M {
        match self {
            Self::PerTensor(optimizer) => optimizer.step_with(lr, model, now, evaluate),
            Self::Lbfgs(optimizer) => optimizer.step_with(lr, model, now, evaluate),
        }
    }
    fn searches(&self) -> bool {
        match self {
            Self::PerTensor(optimizer) => optimizer.searches(),
            Self::Lbfgs(optimizer) => optimizer.searches(),
        }
    }
    fn eval_weights<M: Module>(&self, model: &M) -> Option<M> {
        match self {
            Self::PerTensor(optimizer) => optimizer.eval_weights(model),
            Self::Lbfgs(optimizer) => optimizer.eval_weights(model),
        }
    }
    fn state<M: Module>(&self, model: &M) -> Tensors {
        match self {
            Self::PerTensor(optimizer) => optimizer.state(model),
            Self::Lbfgs(optimizer) => optimizer.state(model),
        }
    }
    fn load_state<M: Module>(&mut self, model: &M, state: &Tensors) -> Result<(), StateError> {
        match self {
            Self::PerTensor(optimizer) => optimizer.load_state(model, state),
            Self::Lbfgs(optimizer) => optimizer.load_state(model, state),
        }
    }
}
