//! The tutorial's network on Flex, `[64, 1, 28, 28]`: a forward pass without autodiff, and a training step with Adam.
#![recursion_limit = "256"]

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fornax_architectures::{ConvNet, ConvNetConfig, ImageClassifier};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::loss::cross_entropy;
use fornax_optimizers::{Adam, Gradients, Optimizer, PerTensor};
use std::hint::black_box;

const BATCH: usize = 64;

/// A network and a batch that depend on nothing but their keys.
fn setup(device: &Device) -> (ConvNet, Tensor<4>, Tensor<1, Int>) {
    let key = Key::new(0);
    set_step_key(key.fold(0));
    let model = ConvNetConfig::tutorial().init(device);
    let pixels: Vec<f32> = (0..(BATCH * 28 * 28) as u64).map(|i| key.fold(1).uniform(i) as f32).collect();
    let labels: Vec<i64> = (0..BATCH as u64).map(|i| (key.fold(2).bits(i) % 10) as i64).collect();
    let images = Tensor::from_data(TensorData::new(pixels, [BATCH, 1, 28, 28]), device);
    (model, images, Tensor::from_data(TensorData::new(labels, [BATCH]), device))
}

fn sync(device: &Device) {
    device.sync().unwrap_or_else(|error| panic!("the device failed: {error:?}"));
}

fn forward(c: &mut Criterion) {
    let device = Device::flex();
    let (model, images, _) = setup(&device);
    // Each row of a batch is what the image gives alone.
    let together = model.forward(images.clone());
    let alone: Vec<_> = (0..BATCH).map(|i| model.forward(images.clone().narrow(0, i, 1))).collect();
    let difference: f32 = (together.clone() - Tensor::cat(alone, 0)).abs().max().into_scalar();
    let size: f32 = together.abs().max().into_scalar();
    assert!(difference <= 1e-5 * size, "a batch and its images alone differ by {difference}, of {size}");

    let mut group = c.benchmark_group("convnet");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("forward 64x1x28x28 flex", |b| {
        b.iter(|| {
            let logits = black_box(model.forward(images.clone()));
            sync(&device);
            logits
        });
    });
    group.finish();
}

fn step(model: ConvNet, optimizer: &mut PerTensor, images: &Tensor<4>, labels: &Tensor<1, Int>) -> (ConvNet, Tensor<1>) {
    let loss = cross_entropy(model.forward(images.clone()), labels.clone(), 0.0);
    let gradients = Gradients::of(&loss, &model);
    (optimizer.step(1e-3, model, &gradients), loss)
}

fn training(c: &mut Criterion) {
    let device = Device::flex().autodiff();
    let (model, images, labels) = setup(&device);
    assert_eq!(fornax_weights::count_trainable(&model), 315_146);
    // The first loss of ten classes is about ln 10, and ten steps on one batch lower it.
    let mut optimizer = PerTensor::new(Adam::default());
    let (mut trained, first) = step(model.clone(), &mut optimizer, &images, &labels);
    for _ in 0..10 {
        trained = step(trained, &mut optimizer, &images, &labels).0;
    }
    let last: f32 = cross_entropy(trained.valid().forward(images.clone().inner()), labels.clone().inner(), 0.0).into_scalar();
    let first: f32 = first.into_scalar();
    assert!((first - 10f32.ln()).abs() < 0.2 && last < first, "first loss {first}, after ten steps {last}");

    let mut group = c.benchmark_group("convnet");
    group.throughput(Throughput::Elements(BATCH as u64)).sample_size(20);
    let (mut optimizer, mut model) = (PerTensor::new(Adam::default()), Some(model));
    group.bench_function("training step 64x1x28x28 adam flex", |b| {
        b.iter(|| {
            let (next, loss) = step(model.take().unwrap_or_else(|| unreachable!("put back below")), &mut optimizer, &images, &labels);
            model = Some(next);
            sync(&device);
            black_box(loss)
        });
    });
    group.finish();
}

criterion_group!(convnet, forward, training);
criterion_main!(convnet);
