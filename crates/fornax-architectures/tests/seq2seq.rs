//! The encoder and decoder: PyTorch's values (`reference/seq2seq.py`), sizes, padding, steps one by one, learning by heart, the `Tap` seam.
#![recursion_limit = "256"]

mod by_formula;

use burn::tensor::{Device, Int, Tensor};
use fornax_architectures::{Beam, EncoderDecoder, Seq2Seq, Seq2SeqConfig, StepDecoder, search};
use fornax_kernels::{
    cross_entropy::cross_entropy,
    random::{Key, set_step_key},
};
use fornax_layers::{NoTap, Site, Tap};
use fornax_optimizers::{Adam, Gradients, Optimizer, PerTensor};
use fornax_testkit::{Values, assert_close, bits, check_module_gradients, device, devices, parameters};
use fornax_weights::{count_trainable, load_state, state};

const SOURCE_LENGTHS: [usize; 3] = [6, 1, 4];
const TARGET_LENGTHS: [usize; 3] = [3, 5, 1];
const NONE: i64 = -1;

fn config(encoder_layers: usize, decoder_layers: usize) -> Seq2SeqConfig {
    Seq2SeqConfig { embedding: 3, encoder_layers, decoder_layers, ..Seq2SeqConfig::new(7, 5, 6) }
}

fn model(config: Seq2SeqConfig, seed: u64, device: &Device) -> Seq2Seq {
    set_step_key(Key::new(seed));
    config.init(device)
}

fn symbols<const N: usize>(values: [[usize; N]; 3], device: &Device) -> Tensor<2, Int> {
    let values: Vec<i64> = values.iter().flatten().map(|&value| value as i64).collect();
    Tensor::<1, Int>::from_data(values.as_slice(), device).reshape([3, N])
}

/// With `filler` where padding is.
fn sources(filler: usize, device: &Device) -> Tensor<2, Int> {
    let f = filler;
    symbols([[0, 6, 3, 3, 1, 5], [2, f, f, f, f, f], [4, 0, 1, 6, f, f]], device)
}

fn inputs(filler: usize, device: &Device) -> Tensor<2, Int> {
    let f = filler;
    symbols([[5, 0, 4, f, f], [5, 1, 2, 3, 3], [5, f, f, f, f]], device)
}

/// What comes after each of the inputs.
fn targets(device: &Device) -> Tensor<1, Int> {
    Tensor::from_data([0, 4, 5, NONE, NONE, 1, 2, 3, 3, 5, 5, NONE, NONE, NONE, NONE], device)
}

fn logits(model: &Seq2Seq, filler: [usize; 2], device: &Device) -> Tensor<3> {
    model.forward((sources(filler[0], device), &SOURCE_LENGTHS), (inputs(filler[1], device), &TARGET_LENGTHS))
}

fn loss(model: &Seq2Seq, filler: [usize; 2], device: &Device) -> Tensor<1> {
    cross_entropy(logits(model, filler, device).flatten(0, 1), targets(device), 0.1, Some(NONE))
}

#[test]
fn values_are_pytorchs() {
    for (read, write) in [(2, 1), (2, 2), (1, 1)] {
        let name = format!("{read} layers read, {write} write");
        by_formula::check(
            "seq2seq",
            &name,
            |d| config(read, write).init(d),
            |model: &Seq2Seq, case, device, _| {
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
    for config in [config(2, 1), config(3, 2), Seq2SeqConfig::new(27, 39, 12)] {
        assert_eq!(count_trainable(&config.init(&device)), config.parameters());
    }
}

#[test]
fn padding_is_not_read_and_has_no_gradient() {
    for device in devices() {
        let device = device.autodiff();
        let model = model(config(2, 2), 3, &device);
        let found = |filler: [usize; 2]| {
            let loss = loss(&model, filler, &device);
            let gradients = Gradients::of(&loss, &model);
            let gradients: Vec<Vec<f64>> = parameters(&model).iter().map(|(id, ..)| gradients.get(*id).expect("a gradient").values()).collect();
            (bits(&loss), gradients)
        };
        assert_eq!(found([0, 0]), found([6, 5]));
        // Beside others as alone.
        let alone = model.forward((sources(0, &device).slice([2..3, 0..4]), &[4]), (inputs(0, &device).slice([2..3, 0..1]), &[1]));
        assert_close(logits(&model, [1, 1], &device).slice([2..3, 0..1]), alone, 1e-5, 1e-6);
    }
}

#[test]
fn step_by_step_is_as_all_at_once() {
    for device in devices() {
        let model = model(config(2, 2), 4, &device);
        let all = logits(&model, [0, 0], &device);
        // Rows in another order, one of them twice.
        let rows = [1, 0, 1];
        let mut state = model.select(model.read(sources(0, &device), &SOURCE_LENGTHS, &mut NoTap), &rows);
        assert_eq!(state.lengths, [1, 6, 1]);
        for step in 0..3 {
            let last = inputs(0, &device).narrow(1, step, 1).squeeze_dim::<1>(1);
            let last = Tensor::stack::<2>(rows.iter().map(|&row| last.clone().narrow(0, row, 1)).collect(), 0).squeeze_dim(1);
            let (now, after) = model.step(last, state);
            state = after;
            for (i, &row) in rows.iter().enumerate() {
                assert_close(now.clone().narrow(0, i, 1), all.clone().slice([row..row + 1, step..step + 1]).squeeze_dim::<2>(1), 1e-5, 1e-6);
            }
        }
    }
}

#[test]
fn a_batch_is_learned_by_heart_and_written() {
    let device = device().autodiff();
    let mut model = model(Seq2SeqConfig { hidden: 16, ..config(2, 1) }, 2, &device);
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
            let found = search(&model, model.read(sources(0, &device), &SOURCE_LENGTHS, &mut NoTap), &[8, 8, 8], beam, &device);
            let labels: Vec<&[usize]> = found.iter().map(|found| &found[0].labels[..]).collect();
            assert_eq!(labels, [&[0, 4][..], &[1, 2, 3, 3], &[]], "{beam:?}");
        }
    }
}

#[derive(Default)]
struct Record(Vec<(Site, Vec<usize>)>);

impl Tap for Record {
    fn tap<const D: usize>(&mut self, site: Site, x: Tensor<D>) -> Tensor<D> {
        if site == Seq2Seq::WEIGHTS {
            let sums: Vec<f32> = x.clone().sum_dim(D - 1).into_data().iter::<f32>().collect();
            assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-5), "{sums:?}");
        }
        self.0.push((site, x.dims().to_vec()));
        x
    }
}

#[test]
fn named_activations_are_seen() {
    let device = device();
    let (model, mut record) = (config(2, 1).init(&device), Record::default());
    model.forward_with((sources(0, &device), &SOURCE_LENGTHS), (inputs(0, &device), &TARGET_LENGTHS), &mut record);
    let looks = model.looks((sources(0, &device), &SOURCE_LENGTHS), (inputs(0, &device), &TARGET_LENGTHS)).expect("it looks");
    assert_eq!(looks.dims(), [3, 5, 6]);
    assert_eq!(record.0, [(Seq2Seq::ENCODED, vec![3, 6, 6]), (Seq2Seq::DECODED, vec![3, 5, 6]), (Seq2Seq::WEIGHTS, vec![3, 5, 6])]);
}
