//! Batches made from a formula, steps, and their times.

use super::Settings;
use anyhow::Result;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::loss::cross_entropy;
use fornax_optimizers::{Gradients, Optimizer, PerTensor, Rule};
use fornax_trainer::system::memory_mb;
use fornax_weights::count_trainable;
use std::time::Instant;

/// Batches that are made before the clock starts and used in turn.
const BATCHES: u64 = 4;

/// What a run measured.
pub(crate) struct Report {
    /// Trainable numbers.
    pub(super) params: usize,
    /// Milliseconds a step, in rising order.
    pub(super) times: Vec<f64>,
    /// Of the last step.
    pub(super) loss: Option<f64>,
    /// Memory when the batches are made.
    pub(super) rss_start_mb: f64,
}

/// Element `i` of batch `b`, before the modulus.
fn elements(b: u64, shape: &[usize]) -> impl Iterator<Item = u64> {
    (0..shape.iter().product::<usize>() as u64).map(move |i| 7919 * i + 104_729 * b + 13)
}

/// `((7919 i + 104729 b + 13) mod 1009) / 1009`
pub(super) fn floats<const D: usize>(b: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
    let values: Vec<f32> = elements(b, &shape).map(|e| (e % 1009) as f32 / 1009.0).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// `(7919 i + 104729 b + 13) mod below`
pub(super) fn ints<const D: usize>(b: u64, shape: [usize; D], below: u64, device: &Device) -> Tensor<D, Int> {
    let values: Vec<i64> = elements(b, &shape).map(|e| (e % below) as i64).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Forward, cross-entropy, backward, update and reading the loss. `forward` gives logits: `[N, K]`, a batch its input and targets `[N]`.
pub(super) fn train<M: Module, X: Clone>(
    settings: &Settings,
    model: M,
    batch: impl Fn(u64, &Device) -> (X, Tensor<1, Int>),
    rule: impl Rule + 'static,
    forward: impl Fn(&M, X) -> Tensor<2>,
) -> Result<Report> {
    train_by(settings, model, batch, rule, |model, (x, targets)| cross_entropy(forward(model, x), targets, 0.0))
}

/// The same with a loss of its own.
pub(super) fn train_by<M: Module, X: Clone>(
    settings: &Settings,
    model: M,
    batch: impl Fn(u64, &Device) -> X,
    rule: impl Rule + 'static,
    loss: impl Fn(&M, X) -> Tensor<1>,
) -> Result<Report> {
    let device = settings.device.clone().autodiff();
    let mut optimizer = PerTensor::new(rule);
    let params = count_trainable(&model);
    // Moved into every update and back, so that nothing else holds the weights.
    let mut slot = Some(model);
    time(
        settings,
        params,
        3,
        |b| batch(b, &device),
        |step, x| {
            set_step_key(Key::new(0).fold(step));
            let model = slot.take().expect("the step before put it back");
            let value = loss(&model, x);
            let gradients = Gradients::of(&value, &model);
            slot = Some(optimizer.step(1e-3, model, &gradients));
            Some(f64::from(value.into_scalar::<f32>()))
        },
    )
}

/// Forward and reading the result.
pub(super) fn infer<M: Module, X: Clone, const D: usize>(
    settings: &Settings,
    model: M,
    batch: impl Fn(u64, &Device) -> X,
    forward: impl Fn(&M, X) -> Tensor<D>,
) -> Result<Report> {
    let params = count_trainable(&model);
    time(
        settings,
        params,
        5,
        |b| batch(b, &settings.device),
        |_, x| {
            let _ = forward(&model, x).into_data();
            None
        },
    )
}

fn time<X: Clone>(
    settings: &Settings,
    params: usize,
    warm_up: usize,
    batch: impl Fn(u64) -> X,
    mut step: impl FnMut(u64, X) -> Option<f64>,
) -> Result<Report> {
    let data: Vec<X> = (0..BATCHES).map(batch).collect();
    let rss_start_mb = memory_mb().0;
    let (mut times, mut loss) = (vec![], None);
    let steps = if settings.iters == 0 { 0 } else { settings.iters + warm_up };
    for i in 0..steps {
        let x = data[i % data.len()].clone();
        let began = Instant::now();
        loss = step(i as u64, x);
        if i >= warm_up {
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(Report { params, times, loss, rss_start_mb })
}
