//! Signals as a forecaster takes them: features of past and future, and the units of its quantiles.

use burn::tensor::{Device, Tensor, TensorData};
use fornax_architectures::{Forecaster, ForecasterConfig};
use fornax_data::Signal;
use std::f64::consts::TAU;

/// Features of a step of the past: the value, how much it is above that of a season ago, and what is known of any step.
pub(crate) const INPUTS: usize = 2 + KNOWN;
/// Of any step: how much the last season's value is above the mean, the time of day as an angle's sine and cosine, that of the season.
pub(crate) const KNOWN: usize = 5;

/// A split, with the units that the model computes in.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    pub(crate) signal: Signal,
    /// Of what a model learns from.
    mean: f64,
    deviation: f64,
    /// The deviation of what a season changes.
    change: f64,
}

impl Data {
    pub(crate) fn new(signal: Signal, train: &Signal) -> Self {
        let moments = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (mean, (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt().max(f64::MIN_POSITIVE))
        };
        let values: Vec<f64> = train.values.iter().map(|x| f64::from(*x)).collect();
        let changes: Vec<f64> = (train.season()..values.len()).map(|i| values[i] - f64::from(train.naive(i))).collect();
        let ((mean, deviation), (_, change)) = (moments(&values), moments(&changes));
        Self { signal, mean, deviation, change }
    }

    /// Another signal in the same units.
    pub(crate) fn with(&self, signal: Signal) -> Self {
        Self { signal, ..self.clone() }
    }

    /// By how much a value is above that of a season ago, in the model's units.
    fn above(&self, index: usize) -> f32 {
        ((f64::from(self.signal.values[index]) - f64::from(self.signal.naive(index))) / self.change) as f32
    }

    fn normal(&self, value: f32) -> f32 {
        ((f64::from(value) - self.mean) / self.deviation) as f32
    }

    fn known(&self, index: usize) -> [f32; KNOWN] {
        let turn = |period: usize| (index as f64 / period as f64 * TAU).sin_cos();
        let (day, season) = (turn(self.signal.day), turn(self.signal.season()));
        [self.normal(self.signal.naive(index)), day.0 as f32, day.1 as f32, season.0 as f32, season.1 as f32]
    }

    /// Past and what is known of the future of windows whose first forecast is of these steps: `[B, P, I], [B, T, F]`
    pub(crate) fn windows(&self, starts: &[usize], config: &ForecasterConfig, device: &Device) -> (Tensor<3>, Tensor<3>) {
        let step = |i: usize| [self.normal(self.signal.values[i]), self.above(i)].into_iter().chain(self.known(i));
        let past: Vec<f32> = starts.iter().flat_map(|&start| (start - config.context..start).flat_map(step)).collect();
        let future: Vec<f32> = starts.iter().flat_map(|&start| (start..start + config.horizon).flat_map(|i| self.known(i))).collect();
        let tensor = |values, shape: [usize; 3]| Tensor::from_data(TensorData::new(values, shape), device);
        (tensor(past, [starts.len(), config.context, INPUTS]), tensor(future, [starts.len(), config.horizon, KNOWN]))
    }

    /// What the windows' forecasts are held against: `[B, T]`
    pub(crate) fn targets(&self, starts: &[usize], horizon: usize, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = starts.iter().flat_map(|&start| (start..start + horizon).map(|i| self.above(i))).collect();
        Tensor::from_data(TensorData::new(values, [starts.len(), horizon]), device)
    }

    /// Where forecasts that do not overlap begin: one behind the other from the first that is asked for.
    pub(crate) fn origins(&self, config: &ForecasterConfig) -> Vec<usize> {
        let first = self.signal.from.max(self.first(config));
        (first..).step_by(config.horizon).take_while(|start| start + config.horizon <= self.signal.values.len()).collect()
    }

    /// The first step with a whole past before it, and a season before that.
    pub(crate) fn first(&self, config: &ForecasterConfig) -> usize {
        self.signal.season() + config.context
    }

    /// The quantiles of all forecasts from `origins`, in the signal's unit, a row a step.
    pub(crate) fn forecasts(&self, model: &Forecaster, origins: &[usize], config: &ForecasterConfig, device: &Device) -> Vec<(usize, Vec<f64>)> {
        let (past, future) = self.windows(origins, config, device);
        let quantiles: Vec<f64> = model.forward(past, future).into_data().iter::<f64>().collect();
        let steps = origins.iter().flat_map(|&start| start..start + config.horizon);
        let value = |index: usize, above: &f64| f64::from(self.signal.naive(index)) + above * self.change;
        steps.zip(quantiles.chunks(config.quantiles.len())).map(|(i, row)| (i, row.iter().map(|x| value(i, x)).collect())).collect()
    }
}
