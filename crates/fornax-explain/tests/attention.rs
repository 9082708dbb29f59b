//! What Transformers look at and what their activations carry: the values of `reference/explain_attention.py`, and what holds in any model.
#![recursion_limit = "256"]

use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor};
use fornax_architectures::{Gpt, GptConfig, ImageClassifier, LanguageModel, Llama, LlamaConfig, Transformer, TransformerConfig, Vit, VitConfig};
use fornax_explain::{AttentionTap, PatchTap, attention_probabilities, attention_rollout, causal_trace, gradient_x_attention, logit_lens};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::{CROSS_PROBABILITIES, PROBABILITIES, Site};
use fornax_testkit::{Reference, Values, assert_close, assert_near, device, devices, reference, to_dtype, with_parameters};

fn case() -> Reference {
    reference("tests/reference/explain_attention.json").list("cases").remove(0)
}

fn vit(case: &Reference, device: &Device, dtype: DType) -> Vit {
    let config = VitConfig { image: [1, 6, 6], patch: 3, width: 12, heads: 3, layers: 2, classes: 4, class_token: true, ..VitConfig::tiny_4() };
    let names: Vec<String> = case.list("names").iter().map(Reference::string).collect();
    let model = with_parameters(to_dtype(config.init(device), dtype), |name, values| {
        let k = names.iter().position(|other| other == name).unwrap_or_else(|| panic!("the generator has no `{name}`")) as f64;
        values.iter_mut().enumerate().for_each(|(i, x)| *x = 10.0 * f64::from((0.1 * (0.37 * i as f64 + k).sin()) as f32));
    });
    model.freeze()
}

#[test]
fn attention_and_its_relevance_are_the_references() {
    let case = case();
    for device in devices() {
        for dtype in [DType::F32, DType::F64] {
            for device in [device.clone(), device.clone().autodiff()] {
                let model = vit(&case, &device, dtype);
                let x: Tensor<4> = case.tensor("x", &device, dtype);
                assert_near("logits", model.forward(x.clone()), case.values("logits"), dtype);
                let seen = attention_probabilities(PROBABILITIES, |tap| model.forward_with(x.clone(), tap));
                assert_near("probabilities", Tensor::stack::<5>(seen.clone(), 0), case.values("probabilities"), dtype);
                assert_near("rollout", attention_rollout(&seen).unwrap(), case.values("rollout"), dtype);
            }
            let device = device.clone().autodiff();
            let model = vit(&case, &device, dtype);
            let relevance = gradient_x_attention(&[1, 2], |tap| model.forward_with(case.tensor("x", &device, dtype), tap)).unwrap();
            // Less the identity, which is large.
            let less = |values: Vec<f64>| values.iter().enumerate().map(|(i, v)| v - f64::from(u8::from(i % 25 % 6 == 0))).collect::<Vec<_>>();
            let (got, want) = (less(relevance.values()), less(case.values("relevance")));
            assert_near("relevance", got, want, dtype);
        }
    }
}

#[test]
fn blocks_speak_and_are_patched_as_in_the_reference() {
    let case = case();
    for device in devices() {
        for dtype in [DType::F32, DType::F64] {
            let model = vit(&case, &device, dtype);
            let x: Tensor<4> = case.tensor("x", &device, dtype);
            let lens = logit_lens(Vit::BLOCK, |tap| model.forward_with(x.clone(), tap));
            assert_near("lens", Tensor::stack::<3>(lens, 0), case.values("lens"), dtype);

            let image = |n| x.clone().narrow(0, n, 1);
            let score = |logits: Tensor<2>| logits.values()[1];
            let trace = causal_trace(Vit::BLOCK, |tap| score(model.forward_with(image(0), tap)), |tap| score(model.forward_with(image(1), tap)));
            assert_near("ends", [trace.clean, trace.corrupted], [case.number("clean"), case.number("corrupted")], dtype);
            assert_near("patched", trace.patched.concat(), case.values("patched"), dtype);
            // The class token of the last block is all that the head reads.
            let restored = trace.restored();
            assert!((restored[1][0] - 1.0).abs() < 1e-3 && restored[1][1..].iter().all(|share| share.abs() < 1e-3), "{restored:?}");
        }
    }
}

#[test]
fn a_model_that_shows_nothing_says_nothing() {
    let device = device();
    let model = vit(&case(), &device, DType::F32);
    let x: Tensor<4> = Tensor::zeros([1, 1, 6, 6], &device);
    let elsewhere = Site("elsewhere");
    assert!(logit_lens(elsewhere, |tap| model.forward_with(x.clone(), tap)).is_empty());
    assert!(attention_probabilities(elsewhere, |tap| model.forward_with(x.clone(), tap)).is_empty());
    assert!(attention_rollout(&[]).is_none());
    let same = |tap: &mut PatchTap| model.forward_with(x.clone(), tap).values()[0];
    let trace = causal_trace(Vit::BLOCK, same, same);
    assert_eq!(trace.clean, trace.corrupted);
    assert!(trace.restored().concat().iter().all(|share| *share == 0.0));
}

fn tokens(values: &[i64], batch: usize, device: &Device) -> Tensor<2, Int> {
    Tensor::<1, Int>::from_data(values, device).reshape([batch, values.len() / batch])
}

/// Rows add up to 1 and see what `sees(query, key)` says, no more; and the logits are those of the fused path.
fn rows_see(seen: &[Tensor<4>], sees: impl Fn(usize, usize, usize) -> bool) {
    for weights in seen {
        let [_, heads, queries, keys] = weights.dims();
        for (row, values) in weights.values().chunks(keys).enumerate() {
            assert!((values.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{values:?}");
            let (example, query) = (row / queries / heads, row % queries);
            for (key, &weight) in values.iter().enumerate() {
                assert!((weight > 0.0) == sees(example, query, key), "example {example}: {query} gives {key} a weight of {weight}");
            }
        }
    }
}

#[test]
fn language_models_show_what_their_masks_let_through() {
    for device in devices() {
        set_step_key(Key::new(1));
        let ids = tokens(&[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8], 2, &device);
        let gpt: Gpt = GptConfig::new(11, 9, [12, 3, 2]).init(&device);
        let seen =
            attention_probabilities(PROBABILITIES, |tap| assert_close(gpt.forward_with(ids.clone(), tap), gpt.forward(ids.clone()), 1e-4, 1e-5));
        assert_eq!(seen.iter().map(|weights| weights.dims()).collect::<Vec<_>>(), [[2, 3, 6, 6]; 2]);
        rows_see(&seen, |_, query, key| key <= query);
        // A rollout of causal attention is causal.
        let rollout = attention_rollout(&seen).unwrap().values();
        assert!((0..72).all(|i| i % 6 <= i / 6 % 6 || rollout[i] == 0.0), "{rollout:?}");

        let llama: Llama = LlamaConfig { groups: 1, window: 3, query_key_norm: true, ..LlamaConfig::new(11, 9, [12, 3, 2]) }.init(&device);
        let seen =
            attention_probabilities(PROBABILITIES, |tap| assert_close(llama.forward_with(ids.clone(), tap), llama.forward(ids.clone()), 1e-4, 1e-5));
        rows_see(&seen, |_, query, key| key <= query && query < key + 3);
    }
}

#[test]
fn a_translator_shows_both_attentions() {
    for device in devices() {
        set_step_key(Key::new(2));
        let config = TransformerConfig { width: 8, heads: 2, hidden: 12, encoder_layers: 2, decoder_layers: 2, ..TransformerConfig::small(7, 6) };
        let model: Transformer = config.init(&device);
        let (sources, lengths) = (tokens(&[1, 2, 3, 4, 5, 0, 0, 0], 2, &device), [4, 1]);
        let targets = tokens(&[6, 1, 2, 6, 3, 0], 2, &device);
        let forward = |tap: &mut AttentionTap| model.forward_with((sources.clone(), &lengths[..]), targets.clone(), tap);
        let cross = attention_probabilities(CROSS_PROBABILITIES, forward);
        assert_eq!(cross.iter().map(|weights| weights.dims()).collect::<Vec<_>>(), [[2, 2, 3, 4]; 2]);
        rows_see(&cross, |example, _, key| key < lengths[example]);
        // Both encoder blocks, then both decoder blocks.
        let own = attention_probabilities(PROBABILITIES, forward);
        assert_eq!(own.iter().map(|weights| weights.dims()).collect::<Vec<_>>(), [[2, 2, 4, 4], [2, 2, 4, 4], [2, 2, 3, 3], [2, 2, 3, 3]]);
        rows_see(&own[..2], |example, _, key| key < lengths[example]);
        rows_see(&own[2..], |_, query, key| key <= query);
    }
}
