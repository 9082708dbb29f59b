//! The Transformers: two language models and a classifier of images, with AdamW.

use super::{BATCHES, Setting, measure};
use crate::{cli::BenchArgs, config::device, train::cores};
use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_architectures::{Gpt, GptConfig, ImageClassifier, Vit, VitConfig};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::loss::cross_entropy;
use fornax_optimizers::{AdamW, Gradients, Optimizer, PerTensor};
use fornax_weights::{TensorFile, Tensors, count_trainable, load_state, state};
use std::path::Path;

/// The workloads.
pub(super) const NAMES: [&str; 4] = ["gpt-train", "gpt-wide-train", "vit-train", "gpt-infer"];

/// Inputs and targets of a batch.
type Batch<X> = (X, Tensor<1, Int>);

/// Element `i` of batch `b`, before the remainder.
fn element(i: usize, b: u64) -> u64 {
    7919 * i as u64 + 104_729 * b + 13
}

fn whole<const D: usize>(below: u64, shape: [usize; D], batch: u64, device: &Device) -> Tensor<D, Int> {
    let values: Vec<i64> = (0..shape.iter().product()).map(|i| (element(i, batch) % below) as i64).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn floats<const D: usize>(shape: [usize; D], batch: u64, device: &Device) -> Tensor<D> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|i| (element(i, batch) % 1009) as f32 / 1009.0).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

pub(super) fn run(args: &BenchArgs) -> Result<u8> {
    let backend = args.compute.backend.clone().unwrap_or_else(|| "flex".into());
    let device = device(&backend, args.compute.device.as_deref())?;
    let threads = args.compute.threads.unwrap_or_else(cores);
    fornax_kernels::device::set_threads(threads);
    set_step_key(Key::new(0));
    let train = args.workload.ends_with("-train");
    let device = if train { device.autodiff() } else { device };
    let bench = Bench { args, train, backend, threads };
    let tokens = |batch, time| (0..BATCHES).map(|b| (whole(65, [batch, time], b, &device), whole(65, [batch * time], b, &device))).collect();
    let logits = |model: &Gpt, x: Tensor<2, Int>| model.forward(x).flatten::<2>(0, 1);
    match args.workload.as_str() {
        "gpt-train" => bench.run(GptConfig::small().init(&device), tokens(12, 64), logits),
        "gpt-wide-train" => bench.run(GptConfig::wide().init(&device), tokens(4, 256), logits),
        "gpt-infer" => bench.run(GptConfig::small().init(&device), tokens(1, 64), logits),
        _ => {
            let images = (0..BATCHES).map(|b| (floats([32, 3, 32, 32], b, &device), whole(10, [32], b, &device))).collect();
            bench.run(VitConfig::tiny_4().init(&device), images, |model: &Vit, x| model.forward(x))
        }
    }
}

struct Bench<'a> {
    args: &'a BenchArgs,
    train: bool,
    backend: String,
    threads: usize,
}

impl Bench<'_> {
    fn run<M: Module, X: Clone>(self, mut model: M, data: Vec<Batch<X>>, forward: impl Fn(&M, X) -> Tensor<2>) -> Result<u8> {
        let Self { args, train, backend, threads } = self;
        if let Some(path) = &args.init {
            model = load_init(model, path)?;
        }
        let mut optimizer = PerTensor::new(AdamW::default());
        let mut held = Some(model);
        let params = held.as_ref().map_or(0, count_trainable);
        measure(args, &Setting { train, params, backend, threads }, |step| {
            let (x, targets) = data[step % data.len()].clone();
            let model = held.take().expect("it is put back at the end of each step");
            let loss = if train {
                set_step_key(Key::new(0).fold(step as u64));
                let value = cross_entropy(forward(&model, x), targets, 0.0);
                let gradients = Gradients::of(&value, &model);
                held = Some(optimizer.step(1e-3, model, &gradients));
                value.into_scalar::<f32>()
            } else {
                let last = forward(&model, x).into_data().iter::<f32>().last();
                held = Some(model);
                last.unwrap_or(f32::NAN)
            };
            f64::from(loss)
        })
    }
}

/// Weights under PyTorch's names; those of linear layers are transposed.
fn load_init<M: Module>(model: M, path: &Path) -> Result<M> {
    const NAMES: [(&str, &str); 10] = [
        ("token.weight", "tok.weight"),
        ("position.weight", "pos.weight"),
        ("position", "pos"),
        ("patch.conv.", "patch."),
        ("norm1.", "n1."),
        ("norm2.", "n2."),
        ("attention.qkv.", "qkv."),
        ("attention.proj.", "proj."),
        ("up.", "up."),
        ("down.", "down."),
    ];
    let file = TensorFile::read(path)?;
    let mut ours = Tensors::new();
    for name in state(&model).into_keys() {
        let theirs = NAMES.iter().find(|(part, _)| name.contains(part)).map_or_else(|| name.clone(), |(part, theirs)| name.replace(part, theirs));
        let data = file.tensors.get(&theirs).with_context(|| format!("`{theirs}` is missing in {}", path.display()))?.clone();
        let embedding = ["token.weight", "position.weight"].contains(&name.as_str());
        let data = match data.shape().to_vec().as_slice() {
            &[o, i] if !embedding => {
                let values: Vec<f32> = data.iter::<f32>().collect();
                TensorData::new((0..i * o).map(|k| values[k % o * i + k / o]).collect::<Vec<f32>>(), [i, o])
            }
            _ => data,
        };
        ours.insert(name, data);
    }
    Ok(load_state(model, &ours, "")?)
}
