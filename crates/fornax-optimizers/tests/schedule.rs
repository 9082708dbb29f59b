//! Schedules against PyTorch's (`reference/schedules.py`), what all of them keep, and their options.

use fornax_optimizers::{Schedule, schedule::*};
use fornax_testkit::{Reference, assert_close, reference};
use proptest::prelude::*;
use serde_json::json;

fn cases(kind: &str) -> Vec<Reference> {
    reference("tests/reference/schedules.json").cases(kind)
}

fn anneal(linear: bool) -> Anneal {
    if linear { Anneal::Linear } else { Anneal::Cosine }
}

/// The schedule that a case names.
fn of(case: &Reference) -> Schedule {
    let n = |key: &str| case.number(key);
    let c = |key: &str| case.count(key) as u64;
    match case.text("name").as_str() {
        "step" => step(c("size"), n("gamma")),
        "multi-step" => multi_step(case.values("milestones").iter().map(|&at| at as u64).collect(), n("gamma")),
        "exponential" => exponential(n("gamma")),
        "polynomial" => polynomial(c("total"), n("power"), n("end")),
        "linear" => linear(c("total"), n("end")),
        "warm-up from" => cosine(c("total"), 0.0).warm_up_from(c("steps"), n("start")),
        "restarts" => cosine_restarts(c("first"), c("multiple"), n("end")),
        "one-cycle" => OneCycle {
            total: c("total"),
            climb: n("climb"),
            divide: n("divide"),
            final_divide: n("final_divide"),
            anneal: anneal(case.flag("linear")),
            three_phases: case.flag("three_phases"),
        }
        .schedule(),
        "cyclic" => {
            let mode = serde_json::from_value(json!(case.text("mode"))).expect("a mode");
            Cyclic { low: n("low"), up: c("up"), down: c("down"), mode, gamma: n("gamma") }.schedule()
        }
        "noam" => noam(c("warm_up")),
        "inverse-sqrt" => inverse_sqrt(c("timescale")),
        "wsd" => wsd(c("total"), c("decay"), n("end"), serde_json::from_value(json!(case.text("shape"))).expect("a shape")),
        "rex" => rex(c("total"), n("end")),
        "chained" => exponential(0.95) * step(8, 0.5),
        "sequential" => exponential(0.9).then(8, step(3, 0.5)).then(20, linear(5, 0.0)),
        "swa" => cosine(c("total"), 0.0).anneal_to(c("at"), c("steps"), n("end"), anneal(case.flag("linear"))),
        other => panic!("no schedule for the case `{other}`"),
    }
}

#[test]
fn factors_are_pytorchs() {
    for case in cases("factors") {
        let (schedule, expected) = (of(&case), case.values("factors"));
        for (step, want) in expected.iter().enumerate() {
            let got = schedule.factor(step as u64);
            assert!((got - want).abs() < 1e-10, "{}, step {step}: {got}, PyTorch {want}", case.text("name"));
        }
    }
}

#[test]
fn the_plateau_is_pytorchs() {
    for case in cases("plateau") {
        let plateau = Plateau {
            factor: case.number("factor"),
            patience: case.count("patience") as u64,
            threshold: case.number("threshold"),
            relative: case.flag("relative"),
            cooldown: case.count("cooldown") as u64,
            min: case.number("min"),
        };
        if case.text("name") == "plateau, defaults" {
            assert_eq!(plateau, Plateau::default());
        }
        let mut state = PlateauState::default();
        let mut got = vec![];
        for value in case.values("values") {
            state = plateau.observe(state, value, case.flag("maximize"));
            // A checkpoint between any two evaluations changes nothing.
            state = serde_json::from_str(&serde_json::to_string(&state).expect("plain data")).expect("its own text");
            got.push(state.factor);
        }
        assert!(got.iter().any(|&factor| factor < 1.0), "{}: nothing happened", case.text("name"));
        assert_close(got, case.values("factors"), 1e-10, 1e-12);
    }
}

fn build(name: &str, total: u64) -> Schedule {
    ScheduleConfig::named(name).and_then(|config| config.build(total)).expect("its defaults")
}

#[test]
fn factors_are_finite_and_at_most_the_peak_for_any_length() {
    for entry in SCHEDULES {
        for total in [0, 1, 2, 3, 10, 997] {
            let schedule = build(entry.name, total);
            for step in (0..total + 3).chain([1 << 20]) {
                let factor = schedule.factor(step);
                assert!((-1e-12..=1.0 + 1e-12).contains(&factor), "{} of {total} steps: {factor} at step {step}", entry.name);
            }
        }
    }
}

#[test]
fn every_schedule_reaches_its_peak_and_survives_json() {
    for entry in SCHEDULES {
        let config = ScheduleConfig::named(entry.name).expect("it is in the list");
        let text = serde_json::to_string(&config).expect("plain data");
        assert_eq!(serde_json::from_str::<ScheduleConfig>(&text).expect("its own text"), config);
        let schedule = config.build(1000).expect("its defaults");
        let most = (0..1000).map(|step| schedule.factor(step)).fold(0.0, f64::max);
        assert!(most > 0.99, "{}: never above {most}", entry.name);
        assert_eq!(schedule.plateau().is_some(), entry.name == "plateau");
    }
    let names: std::collections::BTreeSet<_> = SCHEDULES.iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), SCHEDULES.len());
}

#[test]
fn what_is_wrong_is_named_with_what_there_is() {
    let named = |name: &str| ScheduleConfig::named(name).expect("it is in the list");
    let cases = [
        (ScheduleConfig { name: "cosinus".into(), ..ScheduleConfig::default() }, "name is one of constant, linear, cosine"),
        (named("step").with("gama", 0.5), "gama is not an option of `step`, which has name, warmup, gamma, size"),
        (named("step").with("gamma", -1.0), "gamma must be above 0, not -1"),
        (named("step").with("size", 0.0), "size must be a share of the steps in (0, 1], not 0"),
        (named("step").with("gamma", "fast"), "gamma is wrong: invalid type"),
        (named("wsd").with("shape", "square"), "shape is wrong: unknown variant `square`, expected one of `cosine`, `linear`, `sqrt`"),
        (named("noam").with_warmup(0.1), "warmup must be 0 before `noam`"),
        (named("cosine").with_warmup(1.5), "warmup must be a share in [0, 1], not 1.5"),
        (named("one-cycle").with("three_phases", true).with("climb", 0.7), "climb must be a share in [0, 0.5]"),
        (named("sequential").with("parts", json!([])), "parts must be a list of schedules"),
        (named("sequential").with("parts", json!([{"share": 0.4, "name": "constant"}])), "parts must be shares that add up to 1, not 0.4"),
        (named("chained").with("parts", json!([{"name": "step", "gama": 1.0}])), "parts have a `step` whose gama is not an option"),
        (named("cosine-restarts").with("multiple", 0), "multiple must be at least 1"),
    ];
    for (config, part) in cases {
        let error = config.build(100).expect_err(part).to_string();
        assert!(error.contains(part) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn another_name_keeps_what_both_have() {
    let cosine = ScheduleConfig::named("cosine").expect("it is in the list").with("end", 0.25).with_warmup(0.1);
    let linear = cosine.renamed("linear").expect("it is in the list");
    assert_eq!(linear, ScheduleConfig::named("linear").expect("it is in the list").with("end", 0.25).with_warmup(0.1));
    let noam = cosine.renamed("noam").expect("it is in the list");
    assert!(noam.warmup == 0.0 && noam.build(10).is_ok() && !noam.options.contains_key("end"));
    assert!(cosine.renamed("cosinus").is_err());
}

#[test]
fn parts_of_a_sequence_take_their_shares() {
    let parts = json!([{"share": 0.25, "name": "constant", "warmup": 0.4}, {"share": 0.25, "name": "linear", "end": 0.5}, {"share": 0.5, "name": "step", "gamma": 0.5, "size": 0.5}]);
    let got = ScheduleConfig::named("sequential").expect("it is in the list").with("parts", parts).build(40).expect("it is right");
    let want = constant().warm_up(4).then(10, linear(10, 0.5)).then(20, step(10, 0.5));
    assert!((0..50).all(|step| got.factor(step) == want.factor(step)));
}

proptest! {
    #[test]
    fn warm_up_climbs_evenly_and_then_is_the_schedule(steps in 0u64..300, total in 1u64..2000, which in 0..SCHEDULES.len(), later in 0u64..3000) {
        let make = || build(SCHEDULES[which].name, total);
        let warm = make().warm_up(steps);
        for step in 0..steps {
            prop_assert!((warm.factor(step) - (step + 1) as f64 / (steps + 1) as f64).abs() < 1e-12);
        }
        prop_assert_eq!(warm.factor(steps + later), make().factor(later));
        prop_assert_eq!(warm.plateau().copied(), make().plateau().copied());
    }

    #[test]
    fn falling_ones_fall_to_their_end_and_stay(total in 1u64..3000, end in 0.0f64..1.0, extra in 0u64..1000, which in 0usize..4) {
        let schedule = [linear, cosine, rex, |total, end| polynomial(total, 2.0, end)][which](total, end);
        prop_assert!((schedule.factor(0) - 1.0).abs() < 1e-12);
        prop_assert!((schedule.factor(total + extra) - end).abs() < 1e-12);
        for step in 0..total.min(200) {
            prop_assert!(schedule.factor(step + 1) <= schedule.factor(step) + 1e-12);
        }
    }

    #[test]
    fn any_function_is_a_schedule_and_composes(step in 0u64..1_000_000, at in 0u64..1000, other in 0.0f64..2.0) {
        let f = |step: u64| 1.0 / (1.0 + step as f64);
        let schedule = Schedule::new(f);
        prop_assert_eq!(schedule.clone().factor(step), f(step));
        prop_assert_eq!((schedule.clone() * Schedule::new(move |_| other)).factor(step), f(step) * other);
        let both = schedule.clone().then(at, cosine(10, 0.0));
        prop_assert_eq!(both.factor(step), if step < at { f(step) } else { cosine(10, 0.0).factor(step - at) });
        prop_assert_eq!(schedule.warm_up(3).factor(step + 3), f(step));
    }

    #[test]
    fn a_plateau_never_raises_the_rate_nor_goes_below_its_least(values in prop::collection::vec(-1.0f64..1.0, 1..80), patience in 0u64..4, cooldown in 0u64..4, min in 0.0f64..0.5) {
        let plateau = Plateau { factor: 0.5, patience, cooldown, min, ..Plateau::default() };
        let mut state = PlateauState::default();
        for value in values {
            let next = plateau.observe(state, value, false);
            prop_assert!(next.factor <= state.factor && next.factor >= min);
            state = next;
        }
    }
}
