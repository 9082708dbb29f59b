//! `fornax bench`: step times of fixed workloads, to be set beside another framework's.
//!
//! Element i of batch b is `((7919 i + 104729 b + 13) mod 1009) / 1009`, an integer below m the same number mod m.

use crate::{
    cli::BenchArgs,
    config::{Job, ModelConfig, device},
    error::{did_you_mean, usage},
    recipes::{self, RECIPES},
    train::cores,
    ui,
};
use anyhow::{Context, Result};
use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_architectures::{ConvNetConfig, ImageClassifier};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::loss::cross_entropy;
use fornax_optimizers::{Adam, Gradients, Optimizer, PerTensor};
use fornax_trainer::system::memory_mb;
use fornax_weights::{TensorFile, Tensors, count_trainable, load_state, state};
use serde_json::json;
use std::{path::Path, time::Instant};

/// Batches that are made before the clock starts and used in turn.
const BATCHES: u64 = 4;
const WORKLOADS: [&str; 2] = ["convnet-train", "convnet-infer"];

pub(crate) fn run(args: &BenchArgs) -> Result<u8> {
    let (model, train, batch) = match args.workload.as_str() {
        "convnet-train" => (ModelConfig::ConvNet(ConvNetConfig::tutorial()), true, 64),
        "convnet-infer" => (ModelConfig::ConvNet(ConvNetConfig::tutorial()), false, 1),
        name if RECIPES.iter().any(|entry| entry.name == name) => {
            let config = (recipes::find(name)?.config)();
            (config.model, true, config.trainer.batch_size)
        }
        other => {
            let names = WORKLOADS.into_iter().chain(RECIPES.iter().map(|entry| entry.name));
            return Err(usage(format!(
                "there is no workload `{other}`{}; choose one of {} or a recipe",
                did_you_mean(other, names),
                WORKLOADS.join(", ")
            )));
        }
    };
    let backend = args.compute.backend.clone().unwrap_or_else(|| "flex".into());
    let device = device(&backend, args.compute.device.as_deref())?;
    let threads = args.compute.threads.unwrap_or_else(cores);
    fornax_kernels::device::set_threads(threads);
    set_step_key(Key::new(0));
    let device = if train { device.autodiff() } else { device };
    model.with(&device, Bench { args, train, batch, shape: model.image(), device: device.clone(), backend, threads })
}

struct Bench<'a> {
    args: &'a BenchArgs,
    train: bool,
    batch: usize,
    shape: [usize; 3],
    device: Device,
    backend: String,
    threads: usize,
}

impl Job for Bench<'_> {
    type Output = u8;

    fn run<M: ImageClassifier>(self, mut model: M) -> Result<u8> {
        let Self { args, train, batch, shape: [c, h, w], device, backend, threads } = self;
        if let Some(path) = &args.init {
            model = load_init(model, path)?;
        }
        let data: Vec<(Tensor<4>, Tensor<1, Int>)> = (0..BATCHES)
            .map(|b| {
                let element = |i: u64| 7919 * i + 104_729 * b + 13;
                let pixels: Vec<f32> = (0..(batch * c * h * w) as u64).map(|i| (element(i) % 1009) as f32 / 1009.0).collect();
                let targets: Vec<i64> = (0..batch as u64).map(|i| (element(i) % 10) as i64).collect();
                (Tensor::from_data(TensorData::new(pixels, [batch, c, h, w]), &device), Tensor::from_data(TensorData::new(targets, [batch]), &device))
            })
            .collect();
        let params = count_trainable(&model);
        let rss_start = memory_mb().0;
        let mut optimizer = PerTensor::new(Adam::default());
        let mut times = vec![];
        let mut loss = f64::NAN;
        let warm_up = if train { 3 } else { 5 };
        let steps = if args.iters == 0 { 0 } else { args.iters + warm_up };
        for step in 0..steps {
            let (images, targets) = data[step % data.len()].clone();
            let began = Instant::now();
            if train {
                set_step_key(Key::new(0).fold(step as u64));
                let value = cross_entropy(model.forward(images), targets, 0.0);
                let gradients = Gradients::of(&value, &model);
                model = optimizer.step(1e-3, model, &gradients);
                loss = f64::from(value.into_scalar::<f32>());
            } else {
                loss = f64::from(model.forward(images).sum().into_scalar::<f32>());
            }
            if step >= warm_up {
                times.push(began.elapsed().as_secs_f64() * 1e3);
            }
        }
        times.sort_by(f64::total_cmp);
        let median = times.get(times.len() / 2).copied();
        let report = json!({
            "workload": args.workload, "backend": backend, "threads": threads, "params": params, "median_ms": median, "min_ms": times.first(),
            "loss": if loss.is_finite() { Some(loss) } else { None }, "rss_start_mb": rss_start, "peak_rss_mb": memory_mb().1,
        });
        if args.json {
            ui::out(report.to_string());
        } else {
            let ms = |x: Option<f64>| x.map_or("-".into(), |x| format!("{x:.2} ms"));
            ui::out(format!(
                "{} on {backend}, {threads} threads: {} a step (fastest {}), batch {batch}, {params} parameters, loss {loss:.5}",
                args.workload,
                ms(median),
                ms(times.first().copied())
            ));
        }
        Ok(0)
    }
}

/// Weights under PyTorch's names: convolutions `c1`, `c2` …, linear layers `f1`, `f2` …, transposed against Burn's.
fn load_init<M: ImageClassifier>(model: M, path: &Path) -> Result<M> {
    let file = TensorFile::read(path)?;
    let mut ours = Tensors::new();
    let names: Vec<String> = state(&model).into_keys().collect();
    let dense = names.iter().filter(|name| name.starts_with("dense.") && name.ends_with("weight")).count();
    for name in names {
        let parts: Vec<&str> = name.split('.').collect();
        let index = |at: usize| parts.get(at).and_then(|p| p.parse::<usize>().ok()).map_or(0, |i| i + 1);
        let (theirs, linear) = match parts[0] {
            "features" => (format!("c{}", index(1)), false),
            "dense" => (format!("f{}", index(1)), true),
            _ => (format!("f{}", dense + 1), true),
        };
        let key = format!("{theirs}.{}", parts[parts.len() - 1]);
        let data = file.tensors.get(&key).with_context(|| format!("`{key}` is missing in {}", path.display()))?.clone();
        let shape = data.shape().to_vec();
        let data = match (linear, shape.as_slice()) {
            (true, &[o, i]) => {
                let values: Vec<f32> = data.iter::<f32>().collect();
                TensorData::new((0..i * o).map(|k| values[k % o * i + k / o]).collect::<Vec<f32>>(), [i, o])
            }
            _ => data,
        };
        ours.insert(name, data);
    }
    Ok(load_state(model, &ours, "")?)
}
