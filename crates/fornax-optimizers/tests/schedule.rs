//! Warm-up, before any schedule.

use fornax_optimizers::{Schedule, schedule};
use proptest::prelude::*;

proptest! {
    #[test]
    fn warm_up_climbs_evenly_and_then_is_the_schedule(steps in 0u64..300, total in 1u64..2000, end in 0.0f64..1.0, which in 0usize..3, later in 0u64..3000) {
        let make = || schedule::SCHEDULES[which].1(total, end);
        let warm = make().warm_up(steps);
        for step in 0..steps {
            prop_assert!((warm.factor(step) - (step + 1) as f64 / (steps + 1) as f64).abs() < 1e-12);
        }
        prop_assert_eq!(warm.factor(steps), 1.0);
        prop_assert_eq!(warm.factor(steps + later), make().factor(later));
    }

    #[test]
    fn any_function_is_a_schedule(step in 0u64..1_000_000) {
        let schedule = Schedule::new(|step| 1.0 / (1.0 + step as f64));
        prop_assert_eq!(schedule.clone().factor(step), 1.0 / (1.0 + step as f64));
        prop_assert_eq!(schedule.warm_up(3).factor(step + 3), 1.0 / (1.0 + step as f64));
    }
}

#[test]
fn no_steps_at_all_are_no_division_by_zero() {
    for (name, make) in schedule::SCHEDULES {
        let schedule = make(0, 0.25);
        assert!(schedule.factor(0).is_finite(), "{name}");
        assert_eq!(schedule.warm_up(0).factor(5), make(0, 0.25).factor(5));
    }
}

#[test]
fn names_differ() {
    let names: std::collections::BTreeSet<_> = schedule::SCHEDULES.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), schedule::SCHEDULES.len());
}
