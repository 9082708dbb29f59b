//! `fornax bench`: step times of fixed workloads, to be set beside another framework's.
//!
//! A family of models is a file of `bench/` and its lines in [`WORKLOADS`].

mod convnet;
mod driver;
mod forecasts;
mod init;
mod lstm;
mod pairs;
mod resnet;
mod sentences;
mod transformers;

use crate::{
    cli::BenchArgs,
    config::{Config, device},
    error::{did_you_mean, usage},
    recipes::{self, RECIPES},
    task::{Job, Task},
    train::cores,
    ui,
};
use anyhow::Result;
use burn::tensor::Device;
pub(crate) use convnet::classifier;
pub(crate) use driver::Report;
pub(crate) use forecasts::forecasts;
use fornax_kernels::device::in_pool;
use fornax_kernels::random::{Key, set_step_key};
use fornax_trainer::system::memory_mb;
pub(crate) use lstm::{labels, sequences};
pub(crate) use pairs::pairs;
pub(crate) use sentences::sentences;
use serde_json::json;
use std::path::PathBuf;
pub(crate) use transformers::language_model;

/// A line of the list.
struct Workload {
    name: &'static str,
    run: fn(&Settings) -> Result<Report>,
}

const WORKLOADS: &[Workload] = &[
    convnet::TRAIN,
    lstm::TRAIN,
    lstm::LONG_TRAIN,
    lstm::BIDIRECTIONAL_TRAIN,
    transformers::SMALL,
    transformers::WIDE,
    transformers::VIT,
    resnet::TRAIN,
    convnet::INFER,
    lstm::INFER,
    transformers::INFER,
    resnet::INFER,
];

/// What the command line says.
pub(crate) struct Settings {
    /// Without autodiff.
    pub(crate) device: Device,
    /// Steps to time; with 0 not even the warm-up runs.
    iters: usize,
    /// Initial weights under PyTorch's names.
    init: Option<PathBuf>,
}

pub(crate) fn run(args: &BenchArgs) -> Result<u8> {
    let workload = WORKLOADS.iter().find(|workload| workload.name == args.workload);
    let recipe = RECIPES.iter().any(|entry| entry.name == args.workload);
    if workload.is_none() && !recipe {
        let names = || WORKLOADS.iter().map(|workload| workload.name);
        let near = did_you_mean(&args.workload, names().chain(RECIPES.iter().map(|entry| entry.name)));
        let list = names().collect::<Vec<_>>().join(", ");
        return Err(usage(format!("there is no workload `{}`{near}; choose one of {list} or a recipe", args.workload)));
    }
    let backend = args.compute.backend.clone().unwrap_or_else(|| "flex".into());
    let device = device(&backend, args.compute.device.as_deref())?;
    let threads = args.compute.threads.unwrap_or_else(cores);
    fornax_kernels::device::set_threads(threads);
    let settings = Settings { device, iters: args.iters, init: args.init.clone() };
    let report = in_pool(|| {
        set_step_key(Key::new(0));
        match workload {
            Some(workload) => (workload.run)(&settings),
            None => {
                let config = (recipes::find(&args.workload)?.config)();
                config.model.with(Recipe { settings: &settings, config: &config })
            }
        }
    })?;
    print(args, &backend, threads, &report);
    Ok(0)
}

/// Training steps of a recipe's model, on data of the formula.
struct Recipe<'a> {
    settings: &'a Settings,
    config: &'a Config,
}

impl Job for Recipe<'_> {
    type Output = Report;
    fn run<T: Task>(self, task: T) -> Result<Report> {
        task.bench(self.settings, self.config)
    }
}

fn print(args: &BenchArgs, backend: &str, threads: usize, report: &Report) {
    let Report { params, times, loss, rss_start_mb } = report;
    let (median, fastest) = (times.get(times.len() / 2), times.first());
    if args.json {
        let report = json!({
            "workload": args.workload, "backend": backend, "threads": threads, "params": params, "median_ms": median, "min_ms": fastest,
            "loss": loss, "rss_start_mb": rss_start_mb, "peak_rss_mb": memory_mb().1,
        });
        return ui::out(report.to_string());
    }
    let ms = |x: Option<&f64>| x.map_or("-".into(), |x| format!("{x:.2} ms"));
    let loss = loss.map_or(String::new(), |loss| format!(", loss {loss:.5}"));
    ui::out(format!("{} on {backend}, {threads} threads: {} a step (fastest {}), {params} parameters{loss}", args.workload, ms(median), ms(fastest)));
}
