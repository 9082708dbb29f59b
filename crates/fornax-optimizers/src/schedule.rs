//! Learning-rate schedules: pure functions of the step, so a resumed run needs nothing but its position.
//!
//! A schedule gives the factor on the peak learning rate: 1 at the peak.

use std::{f64::consts::PI, fmt, sync::Arc};

/// Step (from 0) to factor.
#[derive(Clone)]
pub struct Schedule(Arc<dyn Fn(u64) -> f64 + Send + Sync>);

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({} at step 0)", self.factor(0))
    }
}

impl Schedule {
    /// Any function of the step.
    pub fn new(factor: impl Fn(u64) -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(factor))
    }
    /// The factor at a step.
    pub fn factor(&self, step: u64) -> f64 {
        (self.0)(step)
    }
    /// Climbs linearly over `steps`, by `1 / (steps + 1)` a step, then goes on with `self`, whose step 0 is the first after.
    ///
    /// Source: Goyal et al., "Accurate, large minibatch SGD", 2017.
    pub fn warm_up(self, steps: u64) -> Self {
        Self::new(move |step| if step < steps { (step + 1) as f64 / (steps + 1) as f64 } else { self.factor(step - steps) })
    }
}

/// 1 at every step.
pub fn constant() -> Schedule {
    Schedule::new(|_| 1.0)
}

/// From 1 straight to `end` at step `total`, and `end` after: PyTorch's `LinearLR(start_factor=1, end_factor=end)`.
pub fn linear(total: u64, end: f64) -> Schedule {
    Schedule::new(move |step| 1.0 + (end - 1.0) * progress(step, total))
}

/// From 1 to `end` along half a cosine, and `end` after step `total`: `end + (1 − end)(1 + cos(π t / T)) / 2`.
///
/// Differs from PyTorch's `CosineAnnealingLR` after T, where that climbs again.
/// Source: Loshchilov and Hutter, "SGDR", 2017, equation 5.
pub fn cosine(total: u64, end: f64) -> Schedule {
    Schedule::new(move |step| end + (1.0 - end) * (1.0 + (PI * progress(step, total)).cos()) / 2.0)
}

fn progress(step: u64, total: u64) -> f64 {
    if total == 0 { 1.0 } else { (step as f64 / total as f64).min(1.0) }
}

/// A schedule's name on the command line, and how to make it for `total` steps that end at factor `end`.
pub type Entry = (&'static str, fn(total: u64, end: f64) -> Schedule);

/// Every schedule by name.
pub const SCHEDULES: &[Entry] = &[("constant", |_, _| constant()), ("linear", linear), ("cosine", cosine)];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn known_values() {
        assert!(close(linear(10, 0.1).factor(5), 0.55));
        assert!(close(cosine(10, 0.0).factor(5), 0.5));
        assert!(close(cosine(10, 0.2).factor(0), 1.0));
        assert!(close(constant().factor(1 << 40), 1.0));
        let warm = cosine(10, 0.0).warm_up(4);
        let want = [0.2, 0.4, 0.6, 0.8, 1.0];
        assert!((0..5).all(|s| close(warm.factor(s), want[s as usize])));
        assert!(close(warm.factor(9), 0.5));
    }

    proptest! {
        #[test]
        fn decays_monotonically_to_its_end_and_stays(total in 1u64..5000, end in 0.0f64..1.0, extra in 0u64..1000, which in 1usize..3) {
            let schedule = SCHEDULES[which].1(total, end);
            prop_assert!(close(schedule.factor(0), 1.0));
            prop_assert!(close(schedule.factor(total + extra), end));
            for step in 0..total.min(200) {
                prop_assert!(schedule.factor(step + 1) <= schedule.factor(step) + 1e-12);
            }
        }
    }
}
