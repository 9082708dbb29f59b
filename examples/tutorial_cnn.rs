//! The tutorial's program: a convolutional network on 100 random images; then the same network on real digits.
//!
//! `cargo run --release -p fornax-examples --example tutorial_cnn`
#![recursion_limit = "256"]
#![expect(clippy::print_stdout, reason = "an example prints")]

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_architectures::{ConvNet, ConvNetConfig, ImageClassifier};
use fornax_data::{ImageSet, Split};
use fornax_kernels::device::BackendName;
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::loss::cross_entropy;
use fornax_optimizers::{Adam, Gradients, Optimizer, PerTensor};

/// `images: [N, 1, 28, 28]` in 0..1, `labels: [N]`.
struct Examples {
    images: Tensor<4>,
    labels: Tensor<1, Int>,
}

impl Examples {
    fn new(pixels: Vec<f32>, labels: Vec<i64>, device: &Device) -> Self {
        let n = labels.len();
        Self {
            images: Tensor::from_data(TensorData::new(pixels, [n, 1, 28, 28]), device),
            labels: Tensor::from_data(TensorData::new(labels, [n]), device),
        }
    }

    /// `n` images of noise, and labels that have nothing to do with them.
    fn random(n: u64, key: Key, device: &Device) -> Self {
        let pixels = (0..n * 28 * 28).map(|i| key.fold(0).uniform(i) as f32).collect();
        let labels = (0..n).map(|i| (key.fold(1).bits(i) % 10) as i64).collect();
        Self::new(pixels, labels, device)
    }

    /// `n` digits of a set, drawn without replacement.
    fn digits(set: &ImageSet, n: usize, key: Key, device: &Device) -> Self {
        let mut order: Vec<usize> = (0..set.len()).collect();
        order.sort_by_key(|&i| key.bits(i as u64));
        let some = set.subset(&order[..n]);
        Self::new(some.pixels.iter().map(|&p| f32::from(p) / 255.0).collect(), some.labels.iter().map(|&l| i64::from(l)).collect(), device)
    }

    /// Batches of at most `size`, in order.
    fn batches(&self, size: usize) -> impl Iterator<Item = (Tensor<4>, Tensor<1, Int>)> + '_ {
        let n = self.labels.dims()[0];
        (0..n).step_by(size).map(move |from| {
            let size = size.min(n - from);
            (self.images.clone().narrow(0, from, size), self.labels.clone().narrow(0, from, size))
        })
    }
}

/// Trains with Adam and prints the mean loss of every epoch.
fn train(mut model: ConvNet, data: &Examples, batch: usize, epochs: usize) -> ConvNet {
    let mut optimizer = PerTensor::new(Adam::default());
    for epoch in 0..epochs {
        let mut losses = vec![];
        for (images, labels) in data.batches(batch) {
            let loss = cross_entropy(model.forward(images), labels, 0.0);
            losses.push(loss.clone().into_scalar::<f32>());
            let gradients = Gradients::of(&loss, &model);
            model = optimizer.step(1e-3, model, &gradients);
        }
        println!("Epoch: {epoch}, Loss: {:.4}", losses.iter().sum::<f32>() / losses.len() as f32);
    }
    model
}

fn main() -> anyhow::Result<()> {
    let device = BackendName::Flex.device(None)?;
    let (training, key) = (device.clone().autodiff(), Key::new(0));
    let network = || {
        set_step_key(key.fold(0));
        ConvNetConfig::tutorial().init(&training)
    };

    println!("100 random images");
    train(network(), &Examples::random(100, key.fold(1), &training), 100, 10);

    let digits = fornax_data::resolve(fornax_data::find("mnist").ok_or_else(|| anyhow::anyhow!("no data set `mnist`"))?, None)?;
    let seen = Examples::digits(&digits.load(Split::Train)?, 2000, key.fold(2), &training);
    let held_out = Examples::digits(&digits.load(Split::Valid)?, 500, key.fold(3), &device);
    println!("{}", digits.describe());
    let model = train(network(), &seen, 50, 3).valid();
    let right: i64 = held_out.batches(100).map(|(x, y)| model.forward(x).argmax(1).reshape([-1]).equal(y).int().sum().into_scalar::<i64>()).sum();
    println!("Accuracy on 500 held-out digits: {:.1} %", right as f64 / 5.0);
    Ok(())
}
