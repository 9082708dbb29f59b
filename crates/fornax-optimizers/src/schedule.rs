//! Learning-rate schedules: pure functions of the step, so a resumed run needs nothing but its position.
//!
//! A schedule gives the factor on the peak learning rate: 1 at the peak. The functions here count in steps; a [`ScheduleConfig`] counts in
//! shares of the run, so that it says the same of a short run and of a long one. The one schedule with a memory is
//! [`Plateau`]: its state is in the checkpoint.
//!
//! ```
//! use fornax_optimizers::schedule::{cosine, linear};
//! let schedule = cosine(90, 0.1).warm_up(10).then(100, linear(50, 0.0) * 0.1);
//! assert_eq!(schedule.factor(10), 1.0);
//! assert!((schedule.factor(100) - 0.1).abs() < 1e-12);
//! assert_eq!(schedule.factor(150), 0.0);
//! ```

mod composed;
mod config;
mod cycles;
mod decay;
mod plans;
mod plateau;

pub use config::{Options, Plan, SCHEDULES, ScheduleConfig, ScheduleEntry, ScheduleError};
pub use cycles::{Anneal, Cyclic, CyclicMode, OneCycle, cosine_restarts};
pub use decay::{constant, cosine, exponential, inverse_sqrt, linear, multi_step, noam, polynomial, rex, step, wsd};
pub use plateau::{Plateau, PlateauState};

use std::{fmt, ops::Mul, sync::Arc};

/// Step (from 0) to factor.
#[derive(Clone)]
pub struct Schedule {
    factor: Arc<dyn Fn(u64) -> f64 + Send + Sync>,
    plateau: Option<Plateau>,
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({} at step 0)", self.factor(0))
    }
}

impl Schedule {
    /// Any function of the step.
    pub fn new(factor: impl Fn(u64) -> f64 + Send + Sync + 'static) -> Self {
        Self { factor: Arc::new(factor), plateau: None }
    }

    /// The factor at a step.
    pub fn factor(&self, step: u64) -> f64 {
        (self.factor)(step)
    }

    /// `self` up to step `at`, and from there on `next`, whose step 0 that is. PyTorch's `SequentialLR`.
    pub fn then(self, at: u64, next: Self) -> Self {
        let plateau = self.plateau.or(next.plateau);
        Self { plateau, ..Self::new(move |step| if step < at { (self.factor)(step) } else { (next.factor)(step - at) }) }
    }

    /// Climbs linearly over `steps`, by `1 / (steps + 1)` a step, then goes on with `self`, whose step 0 is the first after.
    ///
    /// Source: Goyal et al., "Accurate, large minibatch SGD", 2017.
    pub fn warm_up(self, steps: u64) -> Self {
        self.warm_up_from(steps, 1.0 / (steps + 1) as f64)
    }

    /// As [`Schedule::warm_up`], from the factor `start` at step 0: PyTorch's `LinearLR(start_factor=start)` before `self`.
    pub fn warm_up_from(self, steps: u64, start: f64) -> Self {
        Self::new(move |step| start + (1.0 - start) * step as f64 / steps as f64).then(steps, self)
    }

    /// Goes from the factor at step `at` to `end` within `steps`, along half a cosine or a line, and stays there: the rate under which
    /// weights are averaged (SWA). PyTorch's `SWALR`, which differs after its annealing only if another scheduler is stepped as well.
    ///
    /// Source: Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018.
    pub fn anneal_to(self, at: u64, steps: u64, end: f64, anneal: Anneal) -> Self {
        let start = self.factor(at);
        self.then(at, Self::new(move |step| anneal.between(start, end, progress(step, steps))))
    }

    /// Multiplied, where [`Plateau`] says so, by what it says.
    pub fn with_plateau(mut self, plateau: Plateau) -> Self {
        self.plateau = Some(plateau);
        self
    }

    /// The rule that watches a metric, if there is one. Whoever trains keeps its state, multiplies by [`PlateauState::factor`] and
    /// calls [`Plateau::observe`] after each evaluation.
    pub fn plateau(&self) -> Option<&Plateau> {
        self.plateau.as_ref()
    }
}

/// The product of two schedules: PyTorch's `ChainedScheduler`.
impl Mul for Schedule {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let plateau = self.plateau.or(other.plateau);
        Self { plateau, ..Self::new(move |step| (self.factor)(step) * (other.factor)(step)) }
    }
}

impl Mul<f64> for Schedule {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        self * Self::new(move |_| factor)
    }
}

fn progress(step: u64, total: u64) -> f64 {
    if total == 0 { 1.0 } else { (step as f64 / total as f64).min(1.0) }
}
