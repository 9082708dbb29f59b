use crate::{Gradients, Optimizer, Range, RuleEntry, StateError};
use burn::{module::Module, tensor::Tensor};
use flat::{Flat, combine, dot, largest, moved, norm_of_one, scaled};
use fornax_weights::Tensors;
use serde::{Deserialize, Serialize};
use std::{cell::Cell, collections::VecDeque};
use wolfe::{Point, strong_wolfe};

mod flat;
mod state;
mod wolfe;

/// How far to go along a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LineSearch {
    /// η times the direction, which costs no evaluation: PyTorch's default.
    #[default]
    Fixed,
    /// From η on, to where the loss has fallen by a share (1e-4) of what the slope promised and the slope by one of 0.9, by cubic interpolation, in at
    /// most 26 evaluations and often one: PyTorch's `strong_wolfe`. The loss must be a function of the weights alone.
    StrongWolfe,
}

/// The numbers of [`Lbfgs`], with PyTorch's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LbfgsConfig {
    /// Pairs of steps and changes of the gradient that it remembers: 100.
    pub history_size: usize,
    /// Fixed.
    pub line_search: LineSearch,
    /// Below this no gradient counts: 1e-7.
    pub tolerance_grad: f64,
    /// A step that promises less, or moves every weight and the loss by less, is none: 1e-9.
    pub tolerance_change: f64,
}

impl Default for LbfgsConfig {
    fn default() -> Self {
        Self { history_size: 100, line_search: LineSearch::Fixed, tolerance_grad: 1e-7, tolerance_change: 1e-9 }
    }
}

impl LbfgsConfig {
    /// Without a history.
    pub fn init(self) -> Lbfgs {
        Lbfgs { config: self, pairs: VecDeque::new(), last: None }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::lbfgs(
    "lbfgs",
    1.0,
    &[("history_size", Range::FromOne), ("tolerance_grad", Range::NotNegative), ("tolerance_change", Range::NotNegative)],
);

/// L-BFGS, for smooth losses over the whole data set: the gradient times an estimate of the inverse Hessian from the last `history_size` steps.
///
/// `d₁ = −g₁`, `t₁ = η min(1, 1 / ‖g₁‖₁)`; then with `s = tₜ₋₁ dₜ₋₁` and `y = gₜ − gₜ₋₁`, remembered where `⟨y, s⟩ > 1e-10`, `dₜ = −Hₜ gₜ` by the two-loop
/// recursion from `⟨y, s⟩ / ⟨y, y⟩` and `tₜ = η`, or what a [`LineSearch`] makes of it; `θₜ = θₜ₋₁ + tₜ dₜ`. Where `dₜ` does not lead downward, nothing
/// moves. η is 1 in PyTorch.
///
/// It is an [`Optimizer`] itself, not a [`Rule`](crate::Rule): parameters are one vector to it, without groups and decay. [`Lbfgs::minimize`] takes the loss
/// as a closure. Over mini-batches, a step's gradient is compared with that of the batch before: take large ones, or a small η.
///
/// Source: Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989. One step is one iteration of PyTorch's `LBFGS`, whose
/// `max_iter` and `max_eval` for each call are the [`Budget`] of [`Lbfgs::minimize`]. Differs: a loss that is not a number ends no line search.
#[derive(Debug, Clone)]
pub struct Lbfgs {
    config: LbfgsConfig,
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

/// How long [`Lbfgs::minimize`] may go on. From a number of iterations: with a quarter more evaluations, as in PyTorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Directions taken, at most.
    pub iterations: usize,
    /// No iteration begins after so many evaluations.
    pub evaluations: usize,
}

impl From<usize> for Budget {
    fn from(iterations: usize) -> Self {
        Self { iterations, evaluations: iterations * 5 / 4 }
    }
}

impl Default for Lbfgs {
    /// PyTorch's numbers.
    fn default() -> Self {
        LbfgsConfig::default().init()
    }
}

impl Lbfgs {
    /// With so many pairs of steps and changes of the gradient, and PyTorch's other numbers.
    pub fn new(history_size: usize) -> Self {
        LbfgsConfig { history_size, ..LbfgsConfig::default() }.init()
    }

    /// Its numbers.
    pub fn config(&self) -> &LbfgsConfig {
        &self.config
    }

    /// Takes steps of `lr`, or what the line search makes of it, until the budget is spent, no gradient counts, or a step changes nothing: one call of
    /// PyTorch's `LBFGS.step`. The next call goes on where this one ended. `loss: &model -> [1]`.
    pub fn minimize<M: Module>(&mut self, lr: f64, mut model: M, budget: impl Into<Budget>, mut loss: impl FnMut(&M) -> Tensor<1>) -> M {
        let (budget, config) = (budget.into(), self.config);
        let evaluations = Cell::new(0);
        let mut evaluate = |model: &M| {
            evaluations.set(evaluations.get() + 1);
            let loss = loss(model);
            (loss.to_data().convert::<f64>().iter::<f64>().sum(), Gradients::of(&loss, model))
        };
        let mut now = flattened(evaluate(&model));
        for iteration in 1..=budget.iterations {
            if largest(&now.1) <= config.tolerance_grad {
                break;
            }
            let Some((first, slope)) = self.plan(lr, now.1.clone()) else { break };
            let (size, next) = match config.line_search {
                LineSearch::Fixed => (first, None),
                LineSearch::StrongWolfe => {
                    let point = self.search(&model, now.clone(), first, slope, &mut evaluate);
                    (point.t, Some((point.loss, point.gradient)))
                }
            };
            model = self.advance(model, size);
            if iteration == budget.iterations {
                break;
            }
            let next = next.unwrap_or_else(|| flattened(evaluate(&model)));
            let change = self.last.as_ref().map_or(0.0, |last| largest(&last.direction) * size);
            if evaluations.get() >= budget.evaluations || change <= config.tolerance_change || (next.0 - now.0).abs() < config.tolerance_change {
                break;
            }
            now = next;
        }
        model
    }

    /// Takes in a gradient and finds the direction from there: the size to try first, and the slope. None where it does not lead downward.
    fn plan(&mut self, lr: f64, gradient: Flat) -> Option<(f64, f64)> {
        let ids = |flat: &Flat| flat.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        let same = self.last.as_ref().is_none_or(|last| ids(&last.gradient) == ids(&gradient));
        assert!(same, "L-BFGS needs gradients of the same parameters at every step");
        let first = self.last.is_none();
        self.remember(&gradient);
        let direction = self.direction(&gradient);
        let slope = dot(&gradient, &direction);
        let size = if first { lr * (1.0 / norm_of_one(&gradient)).min(1.0) } else { lr };
        self.last = Some(Last { gradient, direction, size: 0.0 });
        (slope <= -self.config.tolerance_change).then_some((size, slope))
    }

    /// Moves along the direction that [`Lbfgs::plan`] found.
    fn advance<M: Module>(&mut self, model: M, size: f64) -> M {
        let last = self.last.as_mut().unwrap_or_else(|| unreachable!("there is a direction"));
        last.size = size;
        if size == 0.0 { model } else { moved(model, &last.direction, size) }
    }

    /// The point of the line through `model` at which to end; `now` are its loss and gradient.
    fn search<M: Module>(
        &self,
        model: &M,
        now: (f64, Flat),
        first: f64,
        slope: f64,
        evaluate: &mut dyn FnMut(&M) -> (f64, Gradients),
    ) -> Point<Flat> {
        let direction = self.last.as_ref().map_or_else(|| unreachable!("there is a direction"), |last| &last.direction);
        let start = Point { t: 0.0, loss: now.0, slope, gradient: now.1 };
        strong_wolfe(start, first, largest(direction), self.config.tolerance_change, |t| {
            let (loss, gradient) = flattened(evaluate(&moved(model.clone(), direction, t)));
            Point { t, loss, slope: dot(&gradient, direction), gradient }
        })
    }

    fn remember(&mut self, gradient: &Flat) {
        let Some(last) = &self.last else { return };
        let change = combine(gradient, &last.gradient, -1.0);
        let step = scaled(&last.direction, last.size);
        if dot(&change, &step) > 1e-10 {
            if self.pairs.len() == self.config.history_size {
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

    /// The gradients as one vector; None where none counts.
    fn counted(&self, gradients: &Gradients) -> Option<Flat> {
        let gradient: Flat = gradients.iter().cloned().collect();
        (largest(&gradient) > self.config.tolerance_grad).then_some(gradient)
    }
}

fn flattened((loss, gradients): (f64, Gradients)) -> (f64, Flat) {
    (loss, gradients.iter().cloned().collect())
}

impl Optimizer for Lbfgs {
    /// # Panics
    /// If other parameters have gradients than at the step before, for the history is one of all of them; or with a line search, which needs
    /// [`Optimizer::step_with`].
    fn step<M: Module>(&mut self, lr: f64, model: M, gradients: &Gradients) -> M {
        assert!(!self.searches(), "a line search needs the loss at other weights: `step_with` or `Lbfgs::minimize`");
        let Some(gradient) = self.counted(gradients) else { return model };
        match self.plan(lr, gradient) {
            Some((size, _)) => self.advance(model, size),
            None => model,
        }
    }

    fn step_with<M: Module>(
        &mut self,
        lr: f64,
        model: M,
        (loss, gradients): (f64, &Gradients),
        evaluate: &mut dyn FnMut(&M) -> (f64, Gradients),
    ) -> M {
        if !self.searches() {
            return self.step(lr, model, gradients);
        }
        let Some(gradient) = self.counted(gradients) else { return model };
        let Some((first, slope)) = self.plan(lr, gradient.clone()) else { return model };
        let size = self.search(&model, (loss, gradient), first, slope, evaluate).t;
        self.advance(model, size)
    }

    fn searches(&self) -> bool {
        self.config.line_search != LineSearch::Fixed
    }

    fn state<M: Module>(&self, model: &M) -> Tensors {
        self.write(model)
    }

    fn load_state<M: Module>(&mut self, model: &M, tensors: &Tensors) -> Result<(), StateError> {
        self.read(model, tensors)
    }
}
