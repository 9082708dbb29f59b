//! The encoder and decoder of "Attention is all you need": PyTorch's values (`reference/transformer.py`), sizes, padding, the future, steps one by one with a
//! cache, learning by heart.
#![recursion_limit = "256"]

mod by_formula;

use burn::tensor::{Device, Int, Tensor};
use fornax_architectures::{Beam, EncoderDecoder, StepDecoder, Transformer, TransformerConfig, search};
use fornax_kernels::{
    cross_entropy::cross_entropy,
    random::{Key, set_step_key},
};
use fornax_layers::{CROSS_PROBABILITIES, NoTap, Site, Tap};
use fornax_optimizers::{Adam, Gradients, Optimizer, PerTensor};
use fornax_testkit::{Values, assert_close, bits, check_module_gradients, device, devices, parameters};
use fornax_weights::{count_trainable, load_state, state};

const SOURCE_LENGTHS: [usize; 3] = [6, 1, 4];
const TARGET_LENGTHS: [usize; 3] = [3, 5, 1];
const NONE: i64 = -1;

fn config(norm_first: bool) -> TransformerConfig {
    let (width, heads, hidden) = (8, 2, 12);
    let small = TransformerConfig::small(7, 5);
    TransformerConfig { width, heads, hidden, encoder_layers: 2, decoder_layers: 2, dropout: 0.0, norm_first, tied: !norm_first, ..small }
}

fn model(config: TransformerConfig, seed: u64, device: &Device) -> Transformer {
    set_step_key(Key::new(seed));
    config.init(device)
}

fn symbols<const N: usize>(values: [[usize; N]; 3], device: &Device) -> Tensor<2, Int> {
    let values: Vec<i64> = values.iter().flatten().map(|&value| value as i64).collect();
    Tensor::<1, Int>::from_data(values.as_slice(), device).reshape([3, N])
}

/// With `filler` where padding is.
fn sources(f: usize, device: &Device) -> Tensor<2, Int> {
    symbols([[0, 6, 3, 3, 1, 5], [2, f, f, f, f, f], [4, 0, 1, 6, f, f]], device)
}

fn inputs(f: usize, device: &Device) -> Tensor<2, Int> {
    symbols([[5, 0, 4, f, f], [5, 1, 2, 3, 3], [5, f, f, f, f]], device)
}

/// What comes after each of the inputs.
fn targets(device: &Device) -> Tensor<1, Int> {
    Tensor::from_data([0, 4, 5, NONE, NONE, 1, 2, 3, 3, 5, 5, NONE, NONE, NONE, NONE], device)
}

fn logits(model: &Transformer, filler: [usize; 2], device: &Device) -> Tensor<3> {
    model.forward((sources(filler[0], device), &SOURCE_LENGTHS), (inputs(filler[1], device), &TARGET_LENGTHS))
}

fn loss(model: &Transformer, filler: [usize; 2], device: &Device) -> Tensor<1> {
    cross_entropy(logits(model, filler, device).flatten(0, 1), targets(device), 0.1, Some(NONE))
}

#[test]
fn values_are_pytorchs() {
    let shared = TransformerConfig { sources: 6, shared: true, tied: true, encoder_layers: 1, ..config(true) };
    for (name, config) in [("pre-norm", config(true)), ("post-norm", config(false)), ("shared", shared)] {
        by_formula::check(
            "transformer",
            name,
            |d| config.init(d),
            |model: &Transformer, case, device, _| {
                let tokens = |key: &str, time: usize| {
                    let values: Vec<i64> = case.counts(key).into_iter().map(|value| value as i64).collect();
                    Tensor::<1, Int>::from_data(values.as_slice(), device).reshape([3, time])
                };
                let (source_lengths, target_lengths) = (case.counts("source_lengths"), case.counts("target_lengths"));
                let logits = model.forward((tokens("sources", 6), &source_lengths), (tokens("targets", 5), &target_lengths));
                let rows = target_lengths.iter().enumerate().map(|(b, length)| logits.clone().slice([b..b + 1, 0..*length]).squeeze_dim(0));
                Tensor::cat(rows.collect(), 0)
            },
        );
    }
}

#[test]
fn sizes_are_what_they_say() {
    let device = device().autodiff();
    let shared = TransformerConfig { sources: 6, shared: true, ..config(true) };
    for config in [config(true), config(false), shared, TransformerConfig { tied: false, ..config(false) }] {
        assert_eq!(count_trainable(&config.init(&device)), config.parameters());
    }
    // Table 3 of the paper says 65 and 213 million, with its vocabulary of about 37,000.
    assert_eq!((TransformerConfig::base(36_999).parameters() + 500_000) / 1_000_000, 63);
    assert_eq!((TransformerConfig::big(36_999).parameters() + 500_000) / 1_000_000, 214);
}

#[test]
fn padding_is_not_read_and_has_no_gradient() {
    for (device, norm_first) in devices().into_iter().flat_map(|device| [(device.clone(), true), (device, false)]) {
        let device = device.autodiff();
        let model = model(config(norm_first), 3, &device);
        let found = |filler: [usize; 2]| {
            let loss = loss(&model, filler, &device);
            let gradients = Gradients::of(&loss, &model);
            let gradients: Vec<Vec<f64>> = parameters(&model).iter().map(|(id, ..)| gradients.get(*id).expect("a gradient").values()).collect();
            (bits(&loss), gradients)
        };
        assert_eq!(found([0, 0]).0, found([6, 5]).0);
        // Beside others as alone.
        let alone = model.forward((sources(0, &device).slice([2..3, 0..4]), &[4]), (inputs(0, &device).slice([2..3, 0..1]), &[1]));
        assert_close(logits(&model, [1, 1], &device).slice([2..3, 0..1]), alone, 1e-5, 1e-6);
    }
}

#[test]
fn the_future_is_not_seen() {
    for device in devices() {
        let model = model(config(true), 5, &device);
        let read = || (sources(0, &device), &SOURCE_LENGTHS[..]);
        let before = model.forward(read(), (symbols([[5, 0, 4, 1, 1], [5, 1, 2, 3, 3], [5, 2, 2, 0, 0]], &device), &[5; 3]));
        let after = model.forward(read(), (symbols([[5, 0, 4, 2, 1], [5, 1, 2, 0, 4], [5, 2, 2, 1, 3]], &device), &[5; 3]));
        assert_eq!(bits(&before.narrow(1, 0, 3)), bits(&after.narrow(1, 0, 3)));
    }
}

#[test]
fn step_by_step_is_as_all_at_once() {
    for (device, norm_first) in devices().into_iter().flat_map(|device| [(device.clone(), true), (device, false)]) {
        let model = model(config(norm_first), 4, &device);
        let all = logits(&model, [0, 0], &device);
        // Rows in another order, one of them twice, and swapped again on the way.
        let mut rows = vec![1, 0, 1];
        let mut state = model.select(model.start(sources(0, &device), &SOURCE_LENGTHS), &rows);
        for step in 0..3 {
            let last = inputs(0, &device).narrow(1, step, 1).squeeze_dim::<1>(1);
            let last = Tensor::stack::<2>(rows.iter().map(|&row| last.clone().narrow(0, row, 1)).collect(), 0).squeeze_dim(1);
            let (now, after) = model.step(last, state);
            for (i, &row) in rows.iter().enumerate() {
                assert_close(now.clone().narrow(0, i, 1), all.clone().slice([row..row + 1, step..step + 1]).squeeze_dim::<2>(1), 1e-5, 1e-6);
            }
            state = model.select(after, &[1, 0, 0]);
            rows = vec![rows[1], rows[0], rows[0]];
        }
    }
}

#[test]
fn a_batch_is_learned_by_heart_and_written() {
    let device = device().autodiff();
    let mut model = model(TransformerConfig { width: 16, ..config(true) }, 2, &device);
    check_module_gradients(&model, 2, |model| loss(model, [0, 0], &device));
    let mut optimizer = PerTensor::new(Adam::default());
    for _ in 0..300 {
        let gradients = Gradients::of(&loss(&model, [0, 0], &device), &model);
        assert_eq!(gradients.len(), parameters(&model).len());
        model = optimizer.step(1e-2, model, &gradients);
    }
    for device in devices() {
        let model = load_state(model.config.init(&device), &state(&model), "").unwrap();
        for beam in [Beam::GREEDY, Beam::new(3), Beam { length_penalty: 1.0, ..Beam::new(4) }] {
            let found = search(&model, model.start(sources(0, &device), &SOURCE_LENGTHS), &[8, 8, 8], beam, &device);
            let labels: Vec<&[usize]> = found.iter().map(|found| &found[0].labels[..]).collect();
            assert_eq!(labels, [&[0, 4][..], &[1, 2, 3, 3], &[]], "{beam:?}");
        }
    }
}

#[test]
fn where_each_step_looks_is_what_its_output_is_made_of() {
    for device in devices() {
        for norm_first in [false, true] {
            let model = model(config(norm_first), 4, &device);
            let (read, written) = ((sources(0, &device), &SOURCE_LENGTHS[..]), (inputs(0, &device), &TARGET_LENGTHS[..]));
            let looks = model.looks(read.clone(), written.clone()).expect("a Transformer looks");
            assert_eq!(looks.dims(), [3, 5, 6]);
            let shares: Vec<f32> = looks.into_data().iter::<f32>().collect();
            for (row, shares) in shares.chunks_exact(6).enumerate() {
                let (seen, hidden) = shares.split_at(SOURCE_LENGTHS[row / 5]);
                assert!((seen.iter().sum::<f32>() - 1.0).abs() < 1e-5 && hidden.iter().all(|share| *share == 0.0), "{shares:?}");
            }
            // Values weighted by them are what attention gives.
            let (x, bias) = model.encode(read.0, read.1, &mut NoTap);
            let cross = &model.decoder[1].cross;
            let memory = cross.remember(x.clone());
            let mut seen = Weights::default();
            let found = cross.forward_tapped(x, &memory, Some(bias), &mut seen);
            let weighted = seen.0.expect("weights").matmul(memory.v.clone());
            let want = cross.proj.forward(weighted.swap_dims(1, 2).reshape([3, 6, 8]));
            let want: Vec<f64> = want.into_data().iter::<f64>().collect();
            let found: Vec<f64> = found.into_data().iter::<f64>().collect();
            assert!(found.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?} {want:?}");
        }
    }
}

/// Keeps the weights of attention to what was read.
#[derive(Default)]
struct Weights(Option<Tensor<4>>);

impl Tap for Weights {
    const ATTENTION: bool = true;

    fn tap<const D: usize>(&mut self, site: Site, x: Tensor<D>) -> Tensor<D> {
        if let (CROSS_PROBABILITIES, &[b, h, t, s]) = (site, &x.dims()[..]) {
            self.0 = Some(x.clone().reshape([b, h, t, s]));
        }
        x
    }
}

/// Only looks.
struct Eyes;

impl Tap for Eyes {}

#[test]
fn looking_changes_no_logit() {
    let device = device();
    let model = model(config(true), 5, &device);
    let seen = model.forward_with((sources(0, &device), &SOURCE_LENGTHS), inputs(0, &device), &mut Eyes);
    assert!(bits(&seen) == bits(&logits(&model, [0, 0], &device)));
}
