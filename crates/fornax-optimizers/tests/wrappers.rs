//! What stands around a rule, against PyTorch and pytorch_optimizer (`reference/wrappers.py`), and the contracts of each.
#![recursion_limit = "256"]

use burn::tensor::{DType, Device, Tensor};
use fornax_optimizers::{
    Adam, Average, Gradients, Lookahead, LossScale, Optimizer, PerTensor, Sgd, Transform, Transformed, parameters,
    transform::{Centralize, ClipAdaptive, ClipPercentile, ClipValue, Freeze, Noise},
};
use fornax_testkit::{Pair, Reference, Values, assert_close, assert_near, device, devices, follow, reference, uniform};
use fornax_weights::{Tensors, load_state, state};
use proptest::prelude::*;

fn cases(kind: &str) -> Vec<Reference> {
    reference("tests/reference/wrappers.json").cases(kind)
}

fn pair(case: &Reference, device: &Device, dtype: DType) -> Pair {
    Pair::new(case.tensor("matrix", device, dtype), case.tensor("vector", device, dtype))
}

fn gradients(model: &Pair, step: &Reference, device: &Device, dtype: DType) -> Gradients {
    follow(model, step.tensor("matrix_gradient", device, dtype), step.tensor("vector_gradient", device, dtype))
}

fn transform(name: &str) -> Box<dyn Transform> {
    match name {
        "clip by value" => Box::new(ClipValue(0.5)),
        "adaptive clipping" => Box::new(ClipAdaptive { clip: 0.3, ..ClipAdaptive::default() }),
        "clip at a percentile" => Box::new(ClipPercentile::new(30.0)),
        "centralize" => Box::new(Centralize),
        other => panic!("no transform for the case `{other}`"),
    }
}

#[test]
fn transforms() {
    for case in cases("transform") {
        for device in devices() {
            let device = device.autodiff();
            let model = pair(&case, &device, DType::F32);
            let mut transform = transform(&case.text("name"));
            let mut changed = false;
            for (step, expected) in case.list("steps").iter().enumerate() {
                let mut g = gradients(&model, expected, &device, DType::F32);
                let before = g.norm();
                transform.apply(step as u64, &parameters(&model), &mut g);
                changed |= (g.norm() - before).abs() > 1e-3;
                let what = format!("{}, step {step}", case.text("name"));
                assert_near(&what, g.get(model.matrix.id).expect("a gradient"), expected.values("matrix"), DType::F32);
                assert_near(&what, g.get(model.vector.id).expect("a gradient"), expected.values("vector"), DType::F32);
            }
            assert!(changed, "{}: nothing was changed", case.text("name"));
        }
    }
}

#[test]
fn lookahead() {
    for case in cases("lookahead") {
        for device in devices() {
            for dtype in [DType::F32, DType::F64] {
                let device = device.clone().autodiff();
                let mut model = pair(&case, &device, dtype);
                let inner = PerTensor::new(Sgd { momentum: 0.9, ..Sgd::default() });
                let mut optimizer = Lookahead::new(inner, case.count("k") as u64, case.number("alpha"));
                for (step, expected) in case.list("steps").iter().enumerate() {
                    let g = gradients(&model, expected, &device, dtype);
                    model = optimizer.step(0.1, model, &g);
                    let what = format!("{}, step {step}", case.text("name"));
                    assert_near(&what, model.matrix.val(), expected.values("matrix"), dtype);
                    assert_near(&what, model.vector.val(), expected.values("vector"), dtype);
                }
            }
        }
    }
}

#[test]
fn averages() {
    for case in cases("average") {
        let device = device().autodiff();
        let mut model = Pair::new(Tensor::zeros([2, 3], &device), Tensor::zeros([3], &device));
        let mut average = match case.text("name").as_str() {
            "mean" if case.count("start") == 0 => Average::polyak(),
            "mean" => Average::swa(case.count("start") as u64, case.count("every") as u64),
            _ => Average::ema_with_warm_up(case.number("decay")),
        };
        for (step, expected) in case.list("steps").iter().enumerate() {
            model = load_state(model, &state(&pair(expected, &device, DType::F32)), "").expect("the same model");
            average.update(&model);
            let now = average.apply(model.clone());
            let what = format!("{}, step {step}", case.text("name"));
            assert_near(&what, now.matrix.val(), expected.values("average_matrix"), DType::F32);
            assert_near(&what, now.vector.val(), expected.values("average_vector"), DType::F32);
            // And from a checkpoint, whatever the step.
            let mut resumed = match case.text("name").as_str() {
                "mean" => Average::swa(case.count("start") as u64, case.count("every") as u64),
                _ => Average::ema_with_warm_up(case.number("decay")),
            };
            resumed.load_state(&model, &average.state(&model)).expect("its own state");
            average = resumed;
        }
    }
}

#[test]
fn loss_scale() {
    for case in cases("scaler") {
        let mut scale = LossScale {
            scale: case.number("scale"),
            growth: case.number("growth"),
            backoff: case.number("backoff"),
            interval: case.count("interval") as u64,
            good: 0,
        };
        if case.text("name") == "defaults" {
            assert_eq!(scale, LossScale::default());
        }
        let expected = case.values("scales");
        for (step, finite) in case.values("finite").into_iter().enumerate() {
            scale.update(finite == 1.0);
            let (got, want) = (scale.scale, expected[step]);
            assert!((got / want - 1.0).abs() < 1e-11, "{}, step {step}: {got} instead of {want}", case.text("name"));
        }
    }
}

fn start(device: &Device) -> Pair {
    Pair::new(uniform([2, 3], 1, device, DType::F32), uniform([3], 2, device, DType::F32))
}

fn random(model: &Pair, seed: u64) -> Gradients {
    let device = model.vector.val().device();
    follow(model, uniform([2, 3], seed, &device, DType::F32), uniform([3], seed + 1000, &device, DType::F32))
}

fn all(gradients: &Gradients) -> Vec<f64> {
    gradients.iter().flat_map(|(_, g)| g.values()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn clipping_never_enlarges_nor_turns_a_sign(seed in 0u64..10_000, scale in 0.01f64..50.0, limit in 0.01f64..2.0) {
        let model = start(&device().autodiff());
        let clips: [Box<dyn Transform>; 3] =
            [Box::new(ClipValue(limit)), Box::new(ClipAdaptive { clip: limit, ..ClipAdaptive::default() }), Box::new(ClipPercentile::new(limit * 50.0))];
        for mut clip in clips {
            for step in 0..4 {
                let mut g = random(&model, seed + step);
                g.scale(scale);
                let before = all(&g);
                clip.apply(step, &parameters(&model), &mut g);
                for (a, b) in all(&g).into_iter().zip(before) {
                    prop_assert!(a.abs() <= b.abs() * (1.0 + 1e-6) && a * b >= 0.0, "{clip:?}: {b} became {a}");
                }
            }
        }
    }
}

fn descend(mut optimizer: impl Optimizer, mut model: Pair, steps: std::ops::Range<u64>) -> Pair {
    for step in steps {
        let g = random(&model, step);
        model = optimizer.step(0.05, model, &g);
    }
    model
}

#[test]
fn what_is_off_or_neutral_is_the_optimizer_itself() {
    let device = device().autodiff();
    let plain = || PerTensor::new(Adam::default());
    let want = state(&descend(plain(), start(&device), 0..7));
    assert_eq!(state(&descend(Lookahead::new(plain(), 0, 0.5), start(&device), 0..7)), want);
    assert_eq!(state(&descend(Lookahead::new(plain(), 1, 1.0), start(&device), 0..7)), want);
    assert_eq!(state(&descend(Transformed::new(plain()), start(&device), 0..7)), want);
    assert_eq!(state(&descend(Transformed::new(plain()).with(ClipValue(1e9)), start(&device), 0..7)), want);
    assert_eq!(state(&descend(Transformed::new(plain()).with(Noise { eta: 0.0, gamma: 0.55, seed: 1 }), start(&device), 0..7)), want);
    // With α = 0 every synchronization goes back to the start.
    assert_eq!(state(&descend(Lookahead::new(plain(), 7, 0.0), start(&device), 0..7)), state(&start(&device)));
    // Nothing but the optimizer's own state is saved.
    let model = start(&device);
    assert_eq!(Lookahead::new(Transformed::new(plain()), 0, 0.5).state(&model), plain().state(&model));
}

type Wrapped = Lookahead<Transformed<PerTensor>>;

fn wrapped() -> Wrapped {
    let transformed = Transformed::new(PerTensor::new(Adam::default()))
        .with(Freeze { path: "vec*".into(), until: 6 })
        .with(Noise { eta: 0.3, gamma: 0.55, seed: 5 })
        .with(Centralize)
        .with(ClipPercentile::new(40.0));
    Lookahead::new(transformed, 4, 0.5)
}

#[test]
fn a_resumed_run_is_the_same_to_the_bit() {
    let device = device().autodiff();
    for cut in [0, 3, 4, 7] {
        let mut optimizer = wrapped();
        let mut model = start(&device);
        for step in 0..cut {
            let g = random(&model, step);
            model = optimizer.step(0.05, model, &g);
        }
        let saved = optimizer.state(&model);
        let twin = load_state(start(&device), &state(&model), "").expect("the same model");
        let mut resumed = wrapped();
        resumed.load_state(&twin, &saved).expect("its own state");
        assert_eq!(resumed.state(&twin), saved, "after {cut} steps");
        let want = state(&descend(optimizer, model, cut..12));
        assert_eq!(state(&descend(resumed, twin, cut..12)), want, "after {cut} steps");
    }
}

#[test]
fn every_part_of_the_state_counts_and_is_asked_for() {
    let device = device().autodiff();
    let mut optimizer = wrapped();
    let mut model = start(&device);
    for step in 0..5 {
        let g = random(&model, step);
        model = optimizer.step(0.05, model, &g);
    }
    let saved = optimizer.state(&model);
    let own: Vec<_> = saved.keys().filter(|key| key.contains("lookahead") || key.contains("transforms")).cloned().collect();
    assert_eq!(own.len(), 1 + 2 + 1 + 4, "{own:?}");
    for key in &own {
        let mut bad: Tensors = saved.clone();
        bad.remove(key);
        let error = wrapped().load_state(&model, &bad).expect_err("a part is missing").to_string();
        assert!(error.contains("missing") && error.contains(key), "{error}");
    }
    let error = PerTensor::new(Adam::default()).load_state(&model, &saved).expect_err("state of a wrapper").to_string();
    assert!(error.contains("unknown"), "{error}");
}

#[test]
fn frozen_parameters_and_their_state_wait() {
    let device = device().autodiff();
    let mut optimizer = Transformed::new(PerTensor::new(Adam::default())).with(Freeze { path: "vector".into(), until: 3 });
    let mut model = start(&device);
    let before = state(&model);
    for step in 0..5 {
        let g = random(&model, step);
        model = optimizer.step(0.05, model, &g);
        let now = state(&model);
        assert_ne!(now["matrix"], before["matrix"]);
        assert_eq!(now["vector"] == before["vector"], step < 3, "step {step}");
        let steps = optimizer.state(&model)["vector#step"].iter::<i64>().next();
        assert_eq!(steps, Some((step as i64 - 2).max(0)));
    }
}

#[test]
fn noise_has_its_variance_and_depends_on_seed_and_step_alone() {
    let device = device().autodiff();
    let model = Pair::new(Tensor::zeros([200, 300], &device), Tensor::zeros([3], &device));
    let draw = |seed, step| {
        let mut g = follow(&model, Tensor::zeros([200, 300], &device), Tensor::zeros([3], &device));
        Noise { eta: 0.3, gamma: 0.55, seed }.apply(step, &parameters(&model), &mut g);
        all(&g)
    };
    for step in [0u64, 9] {
        let values = draw(1, step);
        let variance = values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64;
        let want = 0.3 / (1.0 + step as f64).powf(0.55);
        assert!((variance / want - 1.0).abs() < 0.03, "step {step}: {variance} instead of {want}");
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.01, "{mean}");
    }
    assert_eq!(draw(1, 4), draw(1, 4));
    // Other numbers, and not the same ones made smaller.
    let [a, b] = [draw(1, 4), draw(1, 5)].map(|values| values[0] / values[1]);
    assert!((a - b).abs() > 1e-3, "{a} {b}");
    assert_ne!(draw(1, 4), draw(1, 5));
    assert_ne!(draw(1, 4), draw(2, 4));
}

#[test]
fn convolutions_are_clipped_and_centred_by_filter() {
    use burn::module::{Module, Param};
    #[derive(Module, Debug)]
    struct Conv {
        weight: Param<Tensor<4>>,
    }
    let device = device().autodiff();
    let conv = Conv { weight: Param::from_tensor(uniform([3, 2, 2, 2], 4, &device, DType::F32)) };
    let gradients = || Gradients::of(&(conv.weight.val() * uniform([3, 2, 2, 2], 5, &device, DType::F32)).sum(), &conv);
    let (weight, before) = (conv.weight.val().values(), all(&gradients()));
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let mut g = gradients();
    ClipAdaptive { clip: 0.5, ..ClipAdaptive::default() }.apply(0, &parameters(&conv), &mut g);
    let want: Vec<f64> = (0..24)
        .map(|i| {
            let filter = i / 8 * 8..i / 8 * 8 + 8;
            before[i] * (0.5 * norm(&weight[filter.clone()]) / norm(&before[filter])).min(1.0)
        })
        .collect();
    assert_close(all(&g), want, 1e-5, 1e-7);
    let mut g = gradients();
    Centralize.apply(0, &parameters(&conv), &mut g);
    let centred = all(&g);
    assert!(centred.chunks(8).all(|filter| filter.iter().sum::<f64>().abs() < 1e-5));
    assert_close([centred[0] - centred[1]], [before[0] - before[1]], 1e-5, 1e-6);
    let mut g = gradients();
    ClipAdaptive { clip: 1e-3, skip: vec!["w*t".into()], ..ClipAdaptive::default() }.apply(0, &parameters(&conv), &mut g);
    assert_eq!(all(&g), before);
}
