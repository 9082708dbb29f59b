//! The mechanism: how far an example moves the sum, how batches vary, what the noise is, what a checkpoint brings back.

use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_architectures::{ConvNet, ConvNetConfig, ImageClassifier, Mlp, MlpConfig, Stage};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::{ConvBlockConfig, Linear, LinearConfig, loss::cross_entropy};
use fornax_optimizers::Gradients;
use fornax_privacy::{Clipped, Clipping, DpSgd, Drawn, Mechanism, Poisson, Secret, accountant::Accountant, check};
use fornax_testkit::device;
use fornax_trainer::{Backprop, Batches};

#[derive(Debug, Clone)]
struct Batch {
    images: Tensor<4>,
    targets: Tensor<1, Int>,
}

impl Batch {
    fn new(count: usize, seed: u64, device: &Device) -> Self {
        let key = Key::new(seed);
        let pixels: Vec<f32> = (0..count as u64 * 784).map(|i| key.normal(i) as f32).collect();
        let targets: Vec<i64> = (0..count as u64).map(|i| (key.bits(i) % 10) as i64).collect();
        Self {
            images: Tensor::from_data(TensorData::new(pixels, [count, 1, 28, 28]), device),
            targets: Tensor::from_data(TensorData::new(targets, [count]), device),
        }
    }

    fn one(&self, i: usize) -> Self {
        Self { images: self.images.clone().narrow(0, i, 1), targets: self.targets.clone().narrow(0, i, 1) }
    }

    fn scaled(&self, i: usize, factor: f64) -> Self {
        let [count, ..] = self.images.dims();
        let factors: Vec<f32> = (0..count).map(|j| if i == j { factor as f32 } else { 1.0 }).collect();
        let factors = Tensor::<1>::from_data(&factors[..], &self.images.device()).reshape([count, 1, 1, 1]);
        Self { images: self.images.clone() * factors, targets: self.targets.clone() }
    }
}

fn loss<M: ImageClassifier>(model: &M, batch: Batch) -> Tensor<1> {
    cross_entropy(model.forward(batch.images), batch.targets, 0.0)
}

fn mechanism(noise: f64, clip: f64, clipping: Clipping) -> Mechanism {
    Mechanism { noise, clip, clipping, expected: 8, rate: 0.1, delta: 1e-5 }
}

fn private<M: ImageClassifier>(mechanism: Mechanism, secret: Secret) -> DpSgd<impl FnMut(&M, Batch) -> Tensor<1>, impl Fn(&Batch, usize) -> Batch> {
    DpSgd::new(loss::<M>, |batch: &Batch, i| batch.one(i), mechanism, secret).unwrap()
}

fn drawn(batch: &Batch) -> Drawn<Batch> {
    Drawn { parts: vec![(batch.clone(), batch.images.dims()[0])] }
}

fn mlp(device: &Device) -> Mlp {
    set_step_key(Key::new(3));
    MlpConfig { hidden: vec![12], ..MlpConfig::mnist() }.init(device)
}

fn values(clipped: &Clipped) -> Vec<f64> {
    let mut all: Vec<_> = clipped.sum.iter().collect();
    all.sort_by_key(|(id, _)| id.val());
    all.into_iter().flat_map(|(_, x)| x.to_data().convert::<f64>().iter::<f64>().collect::<Vec<_>>()).collect()
}

fn flat(gradients: &Gradients) -> Vec<f64> {
    gradients.iter().flat_map(|(_, x)| x.to_data().convert::<f64>().iter::<f64>().collect::<Vec<_>>()).collect()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn one_example_moves_the_sum_by_the_clipping_norm_at_most() {
    let device = device().autodiff();
    let model = mlp(&device);
    let batch = Batch::new(6, 1, &device);
    for clipping in [Clipping::Flat, Clipping::PerLayer, Clipping::adaptive(8)] {
        for clip in [0.05, 1.0] {
            let mut dp = private::<Mlp>(mechanism(0.0, clip, clipping), Secret::fixed([0; 32]));
            let others = Batch { images: batch.images.clone().narrow(0, 0, 5), targets: batch.targets.clone().narrow(0, 0, 5) };
            let without = values(&dp.clipped(&model, &drawn(&others)));
            for factor in [1.0, 1e6, 1e30] {
                let with = values(&dp.clipped(&model, &drawn(&batch.scaled(5, factor))));
                let moved = distance(&with, &without);
                assert!(moved <= clip * (1.0 + 1e-5), "{clipping:?} {clip}: {factor} moves the sum by {moved}");
                assert!(factor > 1e6 || moved > 0.1 * clip, "{clipping:?} {clip}: {factor} moves the sum by {moved} only");
            }
        }
    }
}

#[test]
fn one_pass_is_a_pass_for_each() {
    let device = device().autodiff();
    set_step_key(Key::new(5));
    let config = ConvNetConfig { stages: vec![Stage::valid3(4, 2), Stage::valid3(6, 4)], dense: vec![16], ..ConvNetConfig::tutorial() };
    let model = config.init(&device);
    let batch = Batch::new(7, 2, &device);
    for clipping in [Clipping::Flat, Clipping::PerLayer] {
        let fast = private::<ConvNet>(mechanism(1.1, 0.7, clipping), Secret::fixed([7; 32])).gradients(&model, drawn(&batch));
        let slow = private::<ConvNet>(mechanism(1.1, 0.7, clipping), Secret::fixed([7; 32])).one_by_one().gradients(&model, drawn(&batch));
        let parts = Drawn { parts: (0..7).map(|i| (batch.one(i), 1)).collect() };
        let split = private::<ConvNet>(mechanism(1.1, 0.7, clipping), Secret::fixed([7; 32])).gradients(&model, parts);
        for (name, other) in [("one by one", slow), ("in parts", split)] {
            assert!((fast.0 - other.0).abs() < 1e-6, "{name}: loss {} and {}", fast.0, other.0);
            let off = distance(&flat(&fast.1), &flat(&other.1));
            assert!(off < 1e-5, "{name}, {clipping:?}: {off}");
        }
    }
}

#[test]
fn batches_vary_as_poisson_sampling_says() {
    let build = |_: u64, numbers: &[usize]| Ok(numbers.to_vec());
    let (examples, expected) = (1000, 50);
    let source = Poisson::new(examples, expected, 20, Secret::fixed([1; 32]), Box::new(build));
    assert_eq!(source.per_epoch(), 20);
    let epochs = 100;
    let mut sizes = vec![];
    let mut taken = vec![0u32; examples];
    for epoch in 0..epochs {
        for batch in source.epoch(epoch, 0) {
            let batch = batch.unwrap();
            assert!(batch.parts.iter().all(|(part, count)| part.len() == *count && *count <= 20));
            sizes.push(batch.examples() as f64);
            batch.parts.iter().flat_map(|(part, _)| part).for_each(|i| taken[*i] += 1);
        }
    }
    let n = sizes.len() as f64;
    let mean = sizes.iter().sum::<f64>() / n;
    let variance = sizes.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (n - 1.0);
    // Binomial: 50 and 47.5, within four deviations of each.
    assert!((mean - 50.0).abs() < 4.0 * (47.5 / n).sqrt(), "{mean}");
    assert!((variance - 47.5).abs() < 4.0 * 47.5 * (2.0 / n).sqrt(), "{variance}");
    // Each example as often as the others: 100 of 2,000 on average.
    let chi: f64 = taken.iter().map(|&t| (f64::from(t) - 100.0).powi(2) / 95.0).sum();
    assert!((chi - 1000.0).abs() < 4.0 * 2000f64.sqrt(), "{chi}");
    // An epoch from the middle goes on where the whole one would be.
    let whole: Vec<_> = source.epoch(3, 0).map(|b| b.unwrap().parts).collect();
    let rest: Vec<_> = source.epoch(3, 12).map(|b| b.unwrap().parts).collect();
    assert_eq!(whole[12..], rest[..]);
    // Another key, other batches.
    let other = Poisson::<Vec<usize>>::new(examples, expected, 20, Secret::fixed([2; 32]), Box::new(build));
    assert_ne!(source.numbers(0), other.numbers(0));
    let all = Poisson::<Vec<usize>>::new(10, 10, 20, Secret::fixed([2; 32]), Box::new(build));
    assert_eq!(all.numbers(5), (0..10).collect::<Vec<_>>());
}

#[test]
fn the_noise_has_its_deviation_and_is_new_at_every_step() {
    let device = device().autodiff();
    set_step_key(Key::new(3));
    let model = LinearConfig::new(3, 5).init(&device);
    let build = |noise, clip| {
        let batch_loss = |model: &Linear, x: Tensor<2>| model.forward(x).mean();
        DpSgd::new(batch_loss, |x: &Tensor<2>, i| x.clone().narrow(0, i, 1), mechanism(noise, clip, Clipping::Flat), Secret::from_system().unwrap())
            .unwrap()
    };
    let (noise, clip, expected) = (1.7, 0.3, 8.0);
    let mut dp = build(noise, clip);
    // Nothing is drawn: what is left is noise.
    let draws: Vec<Vec<f64>> = (0..1000).map(|_| flat(&dp.gradients(&model, Drawn { parts: vec![] }).1)).collect();
    assert_eq!(draws[0].len(), 20);
    let wanted = noise * clip / expected;
    let all: Vec<f64> = draws.iter().flatten().copied().collect();
    let n = all.len() as f64;
    let deviation = (all.iter().map(|x| x * x).sum::<f64>() / n).sqrt();
    assert!((deviation / wanted - 1.0).abs() < 4.0 / (2.0 * n).sqrt(), "{deviation}, not {wanted}");
    let mean = all.iter().sum::<f64>() / n;
    assert!(mean.abs() < 4.0 * wanted / n.sqrt(), "{mean}");
    // From step to step, and from element to element, nothing of one is in the next.
    let along = |pairs: &mut dyn Iterator<Item = (f64, f64)>| {
        let (sum, count) = pairs.fold((0.0, 0.0f64), |(sum, count), (a, b)| (sum + a * b, count + 1.0));
        sum / count.sqrt() / wanted.powi(2)
    };
    let steps = along(&mut draws.windows(2).flat_map(|w| w[0].iter().copied().zip(w[1].iter().copied())));
    let elements = along(&mut draws.iter().flat_map(|d| d.windows(2).map(|w| (w[0], w[1]))));
    assert!(steps.abs() < 4.0 && elements.abs() < 4.0, "{steps} {elements}");
    assert!((dp.epsilon() - Accountant::Rdp.epsilon(fornax_privacy::accountant::SubsampledGaussian { rate: 0.1, noise }, 1000, 1e-5)).abs() < 1e-12);
    assert_eq!(Backprop::<Linear, Drawn<Tensor<2>>>::shows(&dp), Some(("epsilon", dp.epsilon())));
}

#[test]
fn a_checkpoint_brings_key_step_and_bound_back() {
    let device = device().autodiff();
    let model = mlp(&device);
    let batch = Batch::new(6, 1, &device);
    let clipping = Clipping::Adaptive { quantile: 0.5, rate: 0.2, count_noise: 2.0 };
    let new = || private::<Mlp>(mechanism(1.0, 0.5, clipping), Secret::from_system().unwrap());
    let mut one = new();
    for _ in 0..3 {
        one.gradients(&model, drawn(&batch));
    }
    assert_ne!(one.bound(), 0.5);
    let mut other = new();
    Backprop::<Mlp, Drawn<Batch>>::load_state(&mut other, &Backprop::<Mlp, Drawn<Batch>>::state(&one)).unwrap();
    Backprop::<Mlp, Drawn<Batch>>::load_carried(&mut other, Backprop::<Mlp, Drawn<Batch>>::carried(&one)).unwrap();
    let (a, b) = (one.gradients(&model, drawn(&batch)), other.gradients(&model, drawn(&batch)));
    assert_eq!((a.0, flat(&a.1)), (b.0, flat(&b.1)));
    assert!(Backprop::<Mlp, Drawn<Batch>>::load_carried(&mut other, Default::default()).is_err());
}

#[test]
fn the_bound_goes_to_the_quantile() {
    let device = device().autodiff();
    let model = mlp(&device);
    let batch = Batch::new(40, 4, &device);
    let clipping = Clipping::Adaptive { quantile: 0.5, rate: 0.3, count_noise: 1.0 };
    let mut dp =
        DpSgd::new(loss::<Mlp>, |b: &Batch, i| b.one(i), Mechanism { expected: 40, ..mechanism(0.9, 100.0, clipping) }, Secret::fixed([3; 32]))
            .unwrap();
    for _ in 0..80 {
        dp.gradients(&model, drawn(&batch));
    }
    let inside = dp.clipped(&model, &drawn(&batch)).inside;
    assert!((14..=26).contains(&inside), "{inside} of 40 within {}", dp.bound());
}

#[test]
fn layers_that_mix_examples_are_named() {
    let device = device().autodiff();
    let config = ConvNetConfig { batch_norm: true, ..ConvNetConfig::tutorial() };
    let found = check::unfit(&config.init(&device));
    let names: Vec<_> = found.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["features.0.norm", "features.1.norm"]);
    assert!(found[0].kind == "BatchNorm" && found[0].advice.contains("group norm"));
    assert!(check::unfit(&ConvNetConfig::tutorial().init(&device)).is_empty());
    use burn::module::Module;
    let frozen = ConvBlockConfig::new(1, 2, 3).with_batch_norm(true).init(&device).freeze();
    assert!(check::unfit(&frozen).is_empty());
}
