//! SAM and loss scaling behind the seam of back-propagation, and a schedule that hears of evaluations: each resumes exactly.
#![recursion_limit = "256"]

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use fornax_optimizers::schedule::{Plateau, constant};
use fornax_optimizers::{Gradients, LossScale, Optimizer, PerTensor, Schedule, Sgd};
use fornax_testkit::{Pair, Reference, assert_near, device, devices, reference, uniform};
use fornax_trainer::{
    Backprop, Batches, Ended, Evaluate, Evaluation, Fit, Outcome, Plain, RunDir, Sam, Scaled, SourceError, TrainConfig, TrainError, fit,
};
use fornax_weights::state;
use std::sync::Arc;

fn pair(case: &Reference, device: &Device, dtype: DType) -> Pair {
    Pair::new(case.tensor("matrix", device, dtype), case.tensor("vector", device, dtype))
}

type Targets = (Tensor<2>, Tensor<1>);

/// The generator's loss.
fn loss(model: &Pair, (matrix, vector): Targets) -> Tensor<1> {
    let far = (model.matrix.val() - matrix).powi_scalar(4).sum();
    far + (model.vector.val() - vector).square().sum() * model.matrix.val().sum().square()
}

#[test]
fn sam_is_the_references() {
    for case in reference("tests/reference/sam.json").cases("sam") {
        for device in devices() {
            let (device, dtype) = (device.autodiff(), DType::F32);
            let target: Targets = (case.tensor("target_matrix", &device, dtype), case.tensor("target_vector", &device, dtype));
            let mut sam = Sam { inner: Plain(loss), rho: case.number("rho"), adaptive: case.flag("adaptive") };
            let mut optimizer = PerTensor::new(Sgd { momentum: 0.9, ..Sgd::default() });
            let mut model = pair(&case, &device, dtype);
            for (step, expected) in case.list("steps").iter().enumerate() {
                let (value, gradients) = sam.gradients(&model, target.clone());
                model = optimizer.step(0.01, model, &gradients);
                let what = format!("{}, step {step}", case.text("name"));
                assert_near(&what, [value], [expected.number("loss")], dtype);
                assert_near(&what, model.matrix.val(), expected.values("matrix"), dtype);
                assert_near(&what, model.vector.val(), expected.values("vector"), dtype);
            }
        }
    }
}

fn start(device: &Device) -> Pair {
    Pair::new(uniform([2, 3], 1, device, DType::F32), uniform([3], 2, device, DType::F32))
}

fn bits(gradients: &Gradients) -> Vec<Vec<u8>> {
    gradients.iter().map(|(_, g)| fornax_testkit::bits(g)).collect()
}

#[test]
fn without_a_radius_or_a_scale_it_is_the_plain_step() {
    let device = device().autodiff();
    let model = start(&device);
    let batch: Targets = (uniform([2, 3], 3, &device, DType::F32), uniform([3], 4, &device, DType::F32));
    let (value, plain) = Plain(loss).gradients(&model, batch.clone());
    let (a, flat) = Sam { inner: Plain(loss), rho: 0.0, adaptive: true }.gradients(&model, batch.clone());
    let (b, unscaled) = Scaled { loss, scale: None }.gradients(&model, batch.clone());
    // A power of two changes no bit.
    let (c, scaled) = Scaled { loss, scale: Some(LossScale::default()) }.gradients(&model, batch.clone());
    for (other, gradients) in [(a, &flat), (b, &unscaled), (c, &scaled)] {
        assert!(other == value && bits(gradients) == bits(&plain));
    }
    let (d, sharp) = Sam { inner: Plain(loss), rho: 0.05, adaptive: false }.gradients(&model, batch);
    assert!(d == value && bits(&sharp) != bits(&plain), "the climb makes no difference");
}

#[test]
fn steps_that_overflow_are_left_out_until_the_scale_fits() {
    let mut scaled = Scaled { loss, scale: Some(LossScale { interval: 2, ..LossScale::default() }) };
    let leaves_out = |scaled: &mut Scaled<_>, finite| Backprop::<Pair, Targets>::leaves_out(scaled, finite);
    assert!(leaves_out(&mut scaled, false) && leaves_out(&mut scaled, false));
    assert!(!leaves_out(&mut scaled, true) && !leaves_out(&mut scaled, true));
    let saved = Backprop::<Pair, Targets>::state(&scaled);
    assert_eq!(saved, [32_768.0, 0.0]);
    let mut resumed = Scaled { loss, scale: Some(LossScale::default()) };
    Backprop::<Pair, Targets>::load_state(&mut resumed, &saved).expect("its own state");
    assert_eq!(Backprop::<Pair, Targets>::state(&resumed), saved);
    assert!(Backprop::<Pair, Targets>::load_state(&mut Scaled { loss, scale: None }, &saved).is_err());
    assert!(Backprop::<Pair, Targets>::load_state(&mut Plain(loss), &saved).is_err());
    // What is never finite ends the run in the end.
    assert!((0..100).any(|_| !leaves_out(&mut scaled, false)));
}

/// Six batches an epoch, as a function of their number; batch `poison` has an infinite target.
struct Source {
    device: Device,
    poison: Option<usize>,
}

impl Batches for Source {
    type Batch = Targets;
    fn per_epoch(&self) -> usize {
        6
    }
    fn epoch(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Result<Targets, SourceError>> + '_> {
        Box::new((first..6).map(move |i| {
            let seed = epoch * 6 + i as u64 + 10;
            let matrix = uniform([2, 3], seed, &self.device, DType::F32);
            let matrix = if self.poison == Some(seed as usize - 10) { matrix * f64::INFINITY } else { matrix };
            Ok((matrix, uniform([3], seed + 500, &self.device, DType::F32)))
        }))
    }
}

/// A metric that stands still after two evaluations.
struct Judge(u64);

impl Evaluate<Pair> for Judge {
    fn evaluate(&mut self, model: &Pair) -> Result<Evaluation, TrainError> {
        assert!(model.vector.val().to_data().iter::<f64>().all(f64::is_finite), "a step that had to be left out was made");
        self.0 += 1;
        Ok(Evaluation { metrics: [("loss".to_string(), 1.0)].into(), ..Evaluation::default() })
    }
}

fn train<G: Backprop<Pair, Targets>>(backprop: G, schedule: Schedule, steps: u64, run: Option<RunDir>, poison: Option<usize>) -> Outcome<Pair> {
    let device = device().autodiff();
    let source = Source { device: device.clone(), poison };
    // A run that is cut short asks for as many steps as the whole one; the cut is a time limit of nothing.
    let config = TrainConfig { steps: 24, eval_every: 2, monitor: "loss".into(), swa_start: 0.5, swa_every: 3, ..TrainConfig::default() };
    let mut stop = StopAt(steps);
    fit(
        Fit {
            model: start(&device),
            batches: &source,
            backprop,
            evaluate: Judge(0),
            optimizer: PerTensor::new(Sgd { momentum: 0.9, ..Sgd::default() }),
            schedule,
            lr: 1e-3,
            seed: 0,
            config,
            run,
            identity: "{}".into(),
            resume: true,
            time_limit: None,
            interrupt: Arc::default(),
        },
        &mut [&mut stop],
    )
    .expect("it trains")
}

struct StopAt(u64);

impl fornax_trainer::Callback for StopAt {
    fn on_step(&mut self, report: &fornax_trainer::StepReport) -> Result<fornax_trainer::Flow, TrainError> {
        Ok(if report.step == self.0 { fornax_trainer::Flow::Stop } else { fornax_trainer::Flow::Continue })
    }
}

type Loss = fn(&Pair, Targets) -> Tensor<1>;

fn backprop() -> Sam<Scaled<Loss>> {
    let scale = LossScale { interval: 5, ..LossScale::default() };
    Sam { inner: Scaled { loss: loss as Loss, scale: Some(scale) }, rho: 0.01, adaptive: false }
}

fn watchful() -> Schedule {
    constant().with_plateau(Plateau { factor: 0.5, patience: 1, cooldown: 1, ..Plateau::default() })
}

#[test]
fn a_run_with_all_of_it_resumes_to_the_same_bits() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let run = |i: usize| Some(RunDir::create(folders[i].path()).expect("a run"));
    let whole = train(backprop(), watchful(), 99, run(0), Some(7));
    assert_eq!((whole.ended, whole.step), (Ended::Finished, 24));
    let metrics = std::fs::read_to_string(folders[0].path().join("metrics.jsonl")).expect("metrics");
    // 20 steps is where the log has a line: after reductions by the plateau.
    assert!(metrics.lines().any(|line| line.contains("\"lr\":0.000125") || line.contains("\"lr\":0.00025")), "{metrics}");
    for (i, cut) in [(1, 9), (2, 17)] {
        assert_eq!(train(backprop(), watchful(), cut, run(i), Some(7)).ended, Ended::Stopped);
        let resumed = train(backprop(), watchful(), 99, run(i), Some(7));
        assert_eq!(state(&resumed.model), state(&whole.model), "cut at step {cut}");
        assert_eq!(std::fs::read_to_string(folders[i].path().join("metrics.jsonl")).expect("metrics"), metrics, "cut at step {cut}");
        let part = |i: usize, name: &str| {
            let list = fornax_trainer::checkpoint::Checkpoints::new(folders[i].path().join("checkpoints"), 9);
            list.newest().expect("it is whole").expect("there is one").1.part(name)
        };
        assert_eq!(part(i, "ema"), part(0, "ema"));
        assert_eq!(part(i, "optimizer"), part(0, "optimizer"));
        let position = |i: usize| {
            let list = fornax_trainer::checkpoint::Checkpoints::new(folders[i].path().join("checkpoints"), 9);
            let position = list.newest().expect("it is whole").expect("there is one").1.position;
            (position.plateau, position.backprop)
        };
        assert_eq!(position(i), position(0));
        // Doubled after 5, halved at the poisoned step 7, doubled three times in the 16 after it.
        assert_eq!(position(0).1, [65_536.0 * 8.0, 1.0]);
    }
}

#[test]
#[should_panic(expected = "gradient norm")]
fn without_a_loss_scale_the_same_batch_ends_the_run() {
    let finite_loss = |model: &Pair, batch: Targets| loss(model, batch).clamp_max(1e30);
    train(Plain(finite_loss), constant(), 99, None, Some(7));
}

#[test]
fn the_average_of_swa_is_what_is_kept() {
    let config = TrainConfig { steps: 20, swa_start: 0.5, swa_every: 2, ..TrainConfig::default() };
    let mut average = config.average(6).expect("there is one");
    let device = device().autodiff();
    let model = start(&device);
    for step in 1..=20 {
        average.update(&model);
        assert_eq!(average.state(&model).len() > 1, step >= 12, "step {step}");
    }
    assert!(TrainConfig::default().average(6).is_none());
    assert!(model.num_params() > 0);
}
