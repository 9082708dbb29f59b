//! The near future of a signal: a band that it will be in, and the middle.

use crate::{
    bench,
    cli::PredictArgs,
    config::Config,
    eval::Trained,
    signals::{Data, middle},
    task::{Opened, Shown, Task},
    train::RunConfig,
    ui,
};
use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor};
use fornax_architectures::{Forecaster, ForecasterConfig};
use fornax_data::{Signal, Split, csv};
use fornax_kernels::random::Key;
use fornax_layers::loss::pinball;
use fornax_trainer::{
    Batches, Evaluation, SourceError,
    report::chart::{Band, Line, band},
};
use serde_json::json;
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Forecasts in the report's picture.
const SHOWN: usize = 7;

/// Forecasts by a model of this configuration.
pub(crate) struct Forecast(pub(crate) ForecasterConfig);

impl Forecast {
    /// What comes behind the last row of a table with one column, whose first row is the beginning of a season, as in the data that were learned from.
    fn ahead(&self, model: &Forecaster, train: &Data, path: &Path, device: &Device) -> Result<Vec<(usize, Vec<f64>)>> {
        let table = csv::read(path)?;
        anyhow::ensure!(
            table.columns.len() == 1,
            "{} has {} columns: {}; one column of measurements is taken",
            path.display(),
            table.columns.len(),
            table.columns.join(", ")
        );
        let values: Vec<f32> = table.values.iter().map(|x| *x as f32).collect();
        let (have, need) = (values.len(), train.signal.season() + self.0.context);
        anyhow::ensure!(have >= need, "{} has {have} measurements; a season and the model's context are {need}", path.display());
        let signal = Signal::new(values, have, train.signal.day, train.signal.season_days, train.signal.unit.clone())?;
        Ok(train.with(signal).forecasts(model, &[have], &self.0, device))
    }
}

impl Task for Forecast {
    type Model = Forecaster;
    type Data = Data;
    type Source = Source;

    const EXAMPLES: &'static str = "steps";

    fn open<'a>(&self, run: &'a RunConfig, given: Option<&Path>) -> Result<Opened<'a, Data>> {
        let config = &run.config;
        let set = fornax_data::find(config.data.name()).context("the name was checked before")?;
        let found = fornax_data::resolve(set, given)?;
        let (about, model, calibrate) = (found.describe(), self.0.clone(), config.data.signal().calibrate);
        let load = move |split: Split| {
            let train = found.load_signal(Split::Train)?;
            let need = train.season() + model.context + model.horizon;
            let have = train.values.len();
            anyhow::ensure!(
                model.horizon <= train.season(),
                "model.horizon is {}, but of steps more than a season, {}, ahead nothing is known",
                model.horizon,
                train.season()
            );
            anyhow::ensure!(have > need, "there are {have} steps to learn from, but a season, the model's context and its horizon are {need}");
            Ok(Data::new(found.load_signal(split)?, &train, calibrate))
        };
        Ok(Opened { about, load: Box::new(load) })
    }
    fn classes(&self, _train: &Data, _valid: &Data) -> Vec<String> {
        vec![]
    }
    fn examples(&self, data: &Data) -> usize {
        data.signal.values.len() - data.signal.from
    }
    fn examples_of(&self, batch_size: usize) -> usize {
        batch_size * self.0.horizon
    }
    fn model(&self, _classes: &[String], device: &Device) -> Forecaster {
        self.0.init(device)
    }
    fn source(&self, run: &RunConfig, data: Data, device: &Device, overfit: Option<usize>) -> Result<Source> {
        let starts = data.signal.values.len() + 1 - self.0.horizon - data.first(&self.0);
        let batch = run.config.trainer.batch_size;
        let per_epoch = overfit.unwrap_or_else(|| starts.div_ceil(batch));
        let model = self.0.clone();
        Ok(Source {
            data: Arc::new(data),
            model,
            starts,
            batch,
            per_epoch,
            overfit: overfit.is_some(),
            seed: run.config.seed,
            device: device.clone(),
        })
    }
    fn loss(&self, model: &Forecaster, batch: Batch) -> Tensor<1> {
        pinball(model.forward(batch.past, batch.future), batch.targets, &self.0.quantiles)
    }
    fn measure(&self, _run: &RunConfig, data: &Data, model: &Forecaster, device: &Device) -> Result<Evaluation> {
        let config = &self.0;
        let origins = data.origins(config);
        anyhow::ensure!(!origins.is_empty(), "there are fewer than {} steps to forecast", config.horizon);
        let (past, future) = data.windows(&origins, config, device);
        let loss = pinball(model.forward(past, future), data.targets(&origins, config.horizon, device), &config.quantiles).into_scalar::<f32>();
        let forecasts = data.forecasts(model, &origins, config, device);
        let mean = |f: &dyn Fn(usize, &[f64]) -> f64| forecasts.iter().map(|(i, row)| f(*i, row)).sum::<f64>() / forecasts.len() as f64;
        let truth = |i: usize| f64::from(data.signal.values[i]);
        let middle = middle(&config.quantiles);
        let mae = mean(&|i, row| (row[middle] - truth(i)).abs());
        let naive = mean(&|i, _| (f64::from(data.signal.naive(i)) - truth(i)).abs());
        let metrics = [
            ("loss", f64::from(loss)),
            ("mae", mae),
            ("mape", mean(&|i, row| (row[middle] - truth(i)).abs() / truth(i).abs().max(f64::MIN_POSITIVE))),
            ("naive_mae", naive),
            ("of_naive", mae / naive),
            ("coverage", mean(&|i, row| f64::from(row[0] <= truth(i) && truth(i) <= row[row.len() - 1]))),
            ("width", mean(&|_, row| row[row.len() - 1] - row[0])),
        ];
        let metrics: BTreeMap<String, f64> = metrics.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        Ok(Evaluation { examples: forecasts.len(), metrics, ..Evaluation::default() })
    }
    fn show(&self, _run: &RunConfig, data: &Data, model: &Forecaster, device: &Device) -> Result<Shown> {
        let config = &self.0;
        let origins = data.origins(config);
        let last = &origins[origins.len().saturating_sub(SHOWN)..];
        let forecasts = data.forecasts(model, last, config, device);
        let first = last.first().copied().unwrap_or(0);
        let day = |i: usize| (i - first) as f64 / data.signal.day as f64;
        let line = |name: &str, value: &dyn Fn(usize, &[f64]) -> f64| Line {
            name: name.into(),
            points: forecasts.iter().map(|(i, row)| (day(*i), value(*i, row))).collect(),
        };
        let (low, high) = (config.quantiles[0], config.quantiles[config.quantiles.len() - 1]);
        let shade = Band {
            name: format!("{:.0} % band", 100.0 * (high - low)),
            points: forecasts.iter().map(|(i, row)| (day(*i), row[0], row[row.len() - 1])).collect(),
        };
        let middle = middle(&config.quantiles);
        let lines = [
            line("measured", &|i, _| f64::from(data.signal.values[i])),
            line("forecast", &|_, row| row[middle]),
            line("a season ago", &|i, _| f64::from(data.signal.naive(i))),
        ];
        let title = format!("The last {} forecasts of {} steps, each made before its first step", last.len(), config.horizon);
        Ok(Shown { charts: vec![(title, band("days", &data.signal.unit, &shade, &lines))], ..Shown::default() })
    }
    fn predict(&self, args: &PredictArgs, trained: &Trained) -> Result<u8> {
        let model = trained.load(self.0.init(&trained.device))?;
        let train = (self.open(&trained.run, trained.run.data.as_deref())?.load)(Split::Train)?;
        let levels = &self.0.quantiles;
        let mut answers = vec![];
        for path in &args.inputs {
            let forecasts = self.ahead(&model, &train, path, &trained.device)?;
            let rows = forecasts.iter().zip(1..).map(|((_, row), ahead)| json!({"ahead": ahead, "quantiles": row}));
            answers.push(json!({"input": path, "levels": levels, "unit": train.signal.unit, "forecast": rows.collect::<Vec<_>>()}));
            if args.json {
                continue;
            }
            let heads: Vec<_> = levels.iter().map(|level| format!("{:.0} %", 100.0 * level)).collect();
            ui::out(format!("{}: quantiles in {}\nsteps ahead  {:>9}", path.display(), train.signal.unit, heads.join("  ")));
            for ((_, row), ahead) in forecasts.iter().zip(1..) {
                let row: Vec<_> = row.iter().map(|value| format!("{value:9.0}")).collect();
                ui::out(format!("{ahead:11}  {}", row.join("  ")));
            }
        }
        if args.json {
            ui::out(json!({"predictions": answers}).to_string());
        }
        Ok(0)
    }
    fn bench(&self, settings: &bench::Settings, config: &Config) -> Result<bench::Report> {
        let model = self.0.init(&settings.device.clone().autodiff());
        bench::forecasts(settings, model, &self.0, config.trainer.batch_size)
    }
}

/// Windows of the past, what is known of the steps after them, and what these were, in the model's units.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    past: Tensor<3>,
    future: Tensor<3>,
    targets: Tensor<2>,
}

/// Windows that begin anywhere: which ones follows from (seed, epoch, number).
pub(crate) struct Source {
    data: Arc<Data>,
    model: ForecasterConfig,
    /// Windows there are.
    starts: usize,
    batch: usize,
    per_epoch: usize,
    /// The first epoch, again and again.
    overfit: bool,
    seed: u64,
    device: Device,
}

impl Batches for Source {
    type Batch = Batch;

    fn per_epoch(&self) -> usize {
        self.per_epoch
    }

    fn epoch(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Result<Batch, SourceError>> + '_> {
        let key = Key::new(self.seed).fold(if self.overfit { 0 } else { epoch });
        Box::new((first..self.per_epoch).map(move |index| {
            let start = |row: usize| self.data.first(&self.model) + (key.uniform((index * self.batch + row) as u64) * self.starts as f64) as usize;
            let starts: Vec<usize> = (0..self.batch).map(start).collect();
            let (past, future) = self.data.windows(&starts, &self.model, &self.device);
            Ok(Batch { past, future, targets: self.data.targets(&starts, self.model.horizon, &self.device) })
        }))
    }
}
