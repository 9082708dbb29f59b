//! An optimizer that searches along the loss gets the batches of its step again, with the same draws, and resumes exactly.
#![recursion_limit = "256"]

use burn::tensor::{DType, Device, Tensor};
use fornax_kernels::random::next_draw;
use fornax_optimizers::{Lbfgs, LbfgsConfig, LineSearch, schedule::constant};
use fornax_testkit::{Pair, Values, assert_close, device, uniform};
use fornax_trainer::{
    Batches, Callback, Ended, Evaluate, Evaluation, Fit, Flow, Outcome, Plain, RunDir, SourceError, StepReport, TrainConfig, TrainError, fit,
    lr_finder,
};
use fornax_weights::state;
use std::{cell::RefCell, rc::Rc, sync::Arc};

type Target = Tensor<2>;

/// Two halves of one data set, always the same.
struct Halves(Device);

impl Batches for Halves {
    type Batch = Target;
    fn per_epoch(&self) -> usize {
        2
    }
    fn epoch(&self, _: u64, first: usize) -> Box<dyn Iterator<Item = Result<Target, SourceError>> + '_> {
        Box::new((first as u64..2).map(|i| Ok(half(i, &self.0))))
    }
}

fn half(i: u64, device: &Device) -> Target {
    uniform([2, 3], 10 + i, device, DType::F32)
}

/// A narrow valley, and a term that couples the two parameters.
fn loss(model: &Pair, target: Target) -> Tensor<1> {
    let x = model.matrix.val() - target;
    (x.clone().square().sum() - model.vector.val().square().sum()).square() * 2.0 + x.square().sum() + (model.vector.val() - 0.5).powi_scalar(4).sum()
}

fn start(device: &Device) -> Pair {
    Pair::new(uniform([2, 3], 1, device, DType::F32), uniform([3], 2, device, DType::F32))
}

fn searching() -> Lbfgs {
    LbfgsConfig { history_size: 5, line_search: LineSearch::StrongWolfe, ..LbfgsConfig::default() }.init()
}

struct Judge;

impl Evaluate<Pair> for Judge {
    fn evaluate(&mut self, _: &Pair) -> Result<Evaluation, TrainError> {
        Ok(Evaluation { metrics: [("loss".to_string(), 1.0)].into(), ..Evaluation::default() })
    }
}

struct StopAt(u64);

impl Callback for StopAt {
    fn on_step(&mut self, report: &StepReport) -> Result<Flow, TrainError> {
        Ok(if report.step == self.0 { Flow::Stop } else { Flow::Continue })
    }
}

fn train(stop: u64, run: Option<RunDir>, loss: impl FnMut(&Pair, Target) -> Tensor<1>) -> Outcome<Pair> {
    let device = device().autodiff();
    let batches = Halves(device.clone());
    let config =
        TrainConfig { steps: 8, accumulate: 2, clip_norm: 0.0, eval_every: 4, monitor: "loss".into(), ema_decay: 0.0, ..TrainConfig::default() };
    fit(
        Fit {
            model: start(&device),
            batches: &batches,
            backprop: Plain(loss),
            evaluate: Judge,
            optimizer: searching(),
            schedule: constant(),
            lr: 1.0,
            seed: 0,
            config,
            run,
            identity: "{}".into(),
            resume: true,
            time_limit: None,
            interrupt: Arc::default(),
        },
        &mut [&mut StopAt(stop)],
    )
    .expect("it trains")
}

#[test]
fn steps_on_the_whole_set_are_those_of_minimize() {
    let device = device().autodiff();
    let end = train(99, None, loss).model;
    let mut lbfgs = searching();
    let whole = |model: &Pair| (loss(model, half(0, &device)) + loss(model, half(1, &device))) / 2.0;
    let want = (0..8).fold(start(&device), |model, _| lbfgs.minimize(1.0, model, 1, whole));
    assert_close(end.matrix.val(), want.matrix.val().values(), 1e-4, 0.0);
    assert_close(end.vector.val(), want.vector.val().values(), 1e-4, 0.0);
    let [before, after] = [&start(&device), &end].map(|model| whole(model).values()[0]);
    assert!(after < 0.5 * before, "{before} to {after}");
}

#[test]
fn a_run_with_a_line_search_resumes_to_the_same_bits() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let run = |i: usize| Some(RunDir::create(folders[i].path()).expect("a run"));
    let whole = train(99, run(0), loss);
    for (i, cut) in [(1, 3), (2, 6)] {
        assert_eq!(train(cut, run(i), loss).ended, Ended::Stopped);
        assert_eq!(state(&train(99, run(i), loss).model), state(&whole.model), "cut at step {cut}");
    }
}

#[test]
fn an_evaluation_sees_the_draws_of_its_step() {
    let draws = Rc::new(RefCell::new(vec![]));
    let seen = draws.clone();
    train(1, None, move |model, target| {
        seen.borrow_mut().push(next_draw().bits(0));
        loss(model, target)
    });
    let draws = draws.borrow();
    assert!(draws.len() >= 4 && draws.len().is_multiple_of(2) && draws[0] != draws[1], "{draws:?}");
    assert!(draws.chunks(2).all(|pair| pair == &draws[..2]), "{draws:?}");
}

#[test]
fn the_finder_of_rates_takes_it_too() {
    let device = device().autodiff();
    let range = lr_finder::Range { steps: 10, ..lr_finder::Range::default() };
    let curve = lr_finder::find(start(&device), &Halves(device.clone()), Plain(loss), searching(), 0, range).expect("batches");
    assert!(!curve.points.is_empty());
}
