//! Signals as a forecaster takes them: features of past and future, and the units of its quantiles.

use burn::tensor::{Device, Tensor, TensorData};
use fornax_architectures::{Forecaster, ForecasterConfig};
use fornax_data::Signal;
use std::{
    collections::{BTreeMap, BTreeSet},
    f64::consts::TAU,
};

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
    /// Past forecasts that say how wide the band is.
    calibrate: usize,
}

impl Data {
    pub(crate) fn new(signal: Signal, train: &Signal, calibrate: usize) -> Self {
        let moments = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (mean, (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt())
        };
        let values: Vec<f64> = train.values.iter().map(|x| f64::from(*x)).collect();
        let changes: Vec<f64> = (train.season()..values.len()).map(|i| values[i] - f64::from(train.naive(i))).collect();
        let ((mean, deviation), (_, change)) = (moments(&values), moments(&changes));
        // A signal that stands still, or repeats itself, has no deviation to divide by.
        let deviation = if deviation > 0.0 { deviation } else { 1.0 };
        let change = change.max(1e-3 * deviation);
        Self { signal, mean, deviation, change, calibrate }
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
    ///
    /// The distances from the middle are scaled so that the band would have held its share of what the `calibrate` forecasts before each were about: all of
    /// that is known by then. Source: Xu and Xie, "Conformal prediction interval for dynamic time-series", 2021 (the sliding window of past residuals).
    pub(crate) fn forecasts(&self, model: &Forecaster, origins: &[usize], config: &ForecasterConfig, device: &Device) -> Vec<(usize, Vec<f64>)> {
        let before = |origin: usize| {
            let past = (1..=self.calibrate).map_while(move |k| origin.checked_sub(k * config.horizon));
            past.take_while(|past| *past >= self.first(config)).collect::<Vec<_>>()
        };
        let needed: BTreeSet<usize> = origins.iter().flat_map(|&origin| before(origin)).chain(origins.iter().copied()).collect();
        let needed: Vec<usize> = needed.into_iter().collect();
        let (past, future) = self.windows(&needed, config, device);
        let (quantiles, middle) = (config.quantiles.len(), middle(&config.quantiles));
        let said: Vec<f64> = model.forward(past, future).into_data().iter::<f64>().collect();
        let rows: BTreeMap<usize, &[f64]> = needed.into_iter().zip(said.chunks(config.horizon * quantiles)).collect();
        let share = config.quantiles[quantiles - 1] - config.quantiles[0];
        let steps = |start: usize| (start..start + config.horizon).zip(rows[&start].chunks(quantiles));
        // How far off, as a share of the band's half on that side.
        let miss = |(i, row): (usize, &[f64])| {
            let off = f64::from(self.above(i)) - row[middle];
            let edge = if off < 0.0 { row[0] } else { row[quantiles - 1] };
            off / (edge - row[middle])
        };
        let scale = |origin: usize| {
            let mut misses: Vec<f64> = before(origin).into_iter().flat_map(steps).map(miss).filter(|miss| miss.is_finite()).collect();
            misses.sort_by(f64::total_cmp);
            misses.get((misses.len() as f64 * share) as usize).copied().unwrap_or(1.0)
        };
        let value = |index: usize, above: f64| f64::from(self.signal.naive(index)) + above * self.change;
        let forecast = |&origin: &usize| {
            let scale = scale(origin);
            steps(origin)
                .map(move |(i, row)| (i, row.iter().map(|x| value(i, row[middle] + scale * (x - row[middle]))).collect()))
                .collect::<Vec<_>>()
        };
        origins.iter().flat_map(forecast).collect()
    }
}

/// The quantile that is nearest to the median.
pub(crate) fn middle(levels: &[f64]) -> usize {
    (0..levels.len()).min_by(|&a, &b| (levels[a] - 0.5).abs().total_cmp(&(levels[b] - 0.5).abs())).unwrap_or(0)
}
