//! Llama: values of PyTorch and transformers (`reference/llama.py`), published sizes, the future, and generation with a cache.
#![recursion_limit = "256"]

mod by_formula;

use burn::tensor::{Device, Int, Tensor};
use fornax_architectures::{LanguageModel, Llama, LlamaConfig, Sampling, generate};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::FeedForwardKind;
use fornax_testkit::{assert_close, bits, device, devices, with_parameters};
use fornax_weights::count_trainable;

fn config(name: &str) -> LlamaConfig {
    let llama = LlamaConfig { groups: 2, hidden: 20, ..LlamaConfig::new(11, 9, [16, 4, 2]) };
    let qwen = LlamaConfig { query_key_norm: true, tied: true, ..llama };
    match name {
        "llama" => llama,
        "qwen3" => qwen,
        "windowed" => LlamaConfig { feed_forward: FeedForwardKind::ReluSquared, window: 3, ..qwen },
        other => panic!("no case `{other}`"),
    }
}

const NAMES: [&str; 3] = ["llama", "qwen3", "windowed"];

fn tokens(values: &[usize], [batch, time]: [usize; 2], device: &Device) -> Tensor<2, Int> {
    let values: Vec<i64> = values.iter().map(|&v| v as i64).collect();
    Tensor::<1, Int>::from_data(values.as_slice(), device).reshape([batch, time])
}

/// With large weights, so that the likeliest token depends on the text.
fn lively(name: &str, device: &Device) -> Llama {
    let mut k = 0;
    with_parameters(config(name).init(device), |_, values| {
        k += 1;
        values.iter_mut().enumerate().for_each(|(i, x)| *x = 0.7 * (0.37 * (i * k) as f64 + k as f64).sin());
    })
}

#[test]
fn values_are_those_of_transformers() {
    for name in NAMES {
        by_formula::check(
            "llama",
            name,
            |d| config(name).init(d),
            |model: &Llama, case, device, _| model.forward(tokens(&case.counts("tokens"), [2, 7], device)).flatten(0, 1),
        );
    }
}

#[test]
fn sizes_are_the_published_ones() {
    let all = [LlamaConfig::llama2_7b(), LlamaConfig::llama2_13b(), LlamaConfig::llama2_70b(), LlamaConfig::llama3_8b(), LlamaConfig::tinyllama()];
    assert_eq!(all.map(|c| c.parameters()), [6_738_415_616, 13_015_864_320, 68_976_648_192, 8_030_261_248, 1_100_048_384]);
    let zero = LlamaConfig { zero_init: true, feed_forward: FeedForwardKind::GeGlu, ..config("llama") };
    for config in NAMES.map(config).into_iter().chain([zero]) {
        assert_eq!(count_trainable(&config.init(&device().autodiff())), config.parameters());
    }
}

#[test]
fn blocks_that_begin_as_identities_do() {
    for device in devices() {
        set_step_key(Key::new(1));
        let model = LlamaConfig { zero_init: true, ..config("qwen3") }.init(&device);
        let x = model.token.forward(tokens(&[1, 2, 3, 4], [2, 2], &device));
        assert_eq!(bits(&model.blocks[1].forward(x.clone())), bits(&x));
    }
}

#[test]
fn the_future_is_not_seen_and_the_window_ends() {
    for device in devices() {
        let text = |at: usize| (0..9).map(|i| if i == at { 10 } else { i }).collect::<Vec<usize>>();
        for (name, seen) in [("qwen3", 9), ("windowed", 5)] {
            let model = lively(name, &device);
            let logits = |at: usize| model.forward(tokens(&text(at), [1, 9], &device));
            let differ: Vec<bool> = (0..9).map(|t| bits(&logits(99).narrow(1, t, 1)) != bits(&logits(2).narrow(1, t, 1))).collect();
            // Two blocks that see two tokens back reach four.
            let expected: Vec<bool> = (0..9).map(|t| t >= 2 && t < 2 + seen).collect();
            assert_eq!(differ, expected, "{name}");
        }
    }
}

#[test]
fn a_cache_changes_nothing() {
    for (device, name) in devices().into_iter().flat_map(|device| NAMES.map(|name| (device.clone(), name))) {
        let model = lively(name, &device);
        let text: Vec<usize> = (0..18).map(|i| (i * i * 3 + i) % 11).collect();
        let whole = tokens(&text, [2, 9], &device);
        let mut memory = vec![];
        let pieces = [(0, 4), (4, 1), (5, 3), (8, 1)].map(|(first, count)| model.go_on(whole.clone().narrow(1, first, count), &mut memory));
        assert_close(Tensor::cat(pieces.to_vec(), 1), model.forward(whole), 1e-4, 1e-5);
        for number in 0..40usize {
            let prompt: Vec<u32> = (0..1 + number % 5).map(|i| ((number * 31 + i * i * 7) % 11) as u32).collect();
            let mut by_hand = prompt.clone();
            for _ in 0..4 {
                let window: Vec<usize> = by_hand.iter().map(|&t| t as usize).collect();
                let logits = model.forward(tokens(&window, [1, window.len()], &device)).narrow(1, window.len() - 1, 1);
                by_hand.push(Sampling::GREEDY.next(&logits.into_data().iter::<f32>().collect::<Vec<f32>>(), 0.0) as u32);
            }
            assert_eq!(generate(&model, &prompt, 4, Sampling::GREEDY, &device, || 0.0, |_| ()), by_hand[prompt.len()..], "{name} {prompt:?}");
        }
    }
}
