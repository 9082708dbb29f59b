//! Transformers: published sizes, PyTorch's values (`reference/architectures.py`), causality to the bit, learning by heart, the `Tap` seam.
#![recursion_limit = "256"]

use burn::tensor::{DType, Device, Int, Tensor};
use fornax_architectures::{Gpt, GptConfig, ImageClassifier, LanguageModel, Sampling, Vit, VitConfig, generate};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::loss::cross_entropy;
use fornax_layers::{Site, Tap};
use fornax_optimizers::{Adam, Gradients, Optimizer, PerTensor};
use fornax_testkit::{
    Classifier, Reference, Values, assert_near, bits, check_classifier, check_module_gradients, device, devices, parameters, reference, to_dtype,
    with_parameters,
};
use fornax_weights::count_trainable;

fn tokens(values: impl Iterator<Item = usize>, [batch, time]: [usize; 2], device: &Device) -> Tensor<2, Int> {
    let values: Vec<i64> = values.take(batch * time).map(|v| v as i64).collect();
    Tensor::<1, Int>::from_data(values.as_slice(), device).reshape([batch, time])
}

#[test]
fn sizes_are_the_published_ones() {
    let gpts = [GptConfig::gpt2(), GptConfig::gpt2_medium(), GptConfig::gpt2_large(), GptConfig::gpt2_xl()];
    assert_eq!(gpts.map(|c| c.parameters()), [124_439_808, 354_823_168, 774_030_080, 1_557_611_200]);
    let vits = [VitConfig::deit_tiny(), VitConfig::deit_small(), VitConfig::deit_base()];
    assert_eq!(vits.map(|c| c.parameters()), [5_717_416, 22_050_664, 86_567_656]);
    assert_eq!([GptConfig::small().parameters(), GptConfig::wide().parameters(), VitConfig::tiny_4().parameters()], [818_176, 10_795_776, 5_362_378]);
    for config in [GptConfig::small(), GptConfig::nano_cpu()] {
        assert_eq!(count_trainable(&config.init(&device().autodiff())), config.parameters());
    }
    for class_token in [false, true] {
        let config = VitConfig { class_token, layers: 2, ..VitConfig::tiny_4() };
        assert_eq!(count_trainable(&config.init(&device().autodiff())), config.parameters());
    }
}

/// Logits, loss and all gradients of a case of the fixture; weights are a wave of their position in it.
fn check<M: burn::module::Module>(name: &str, build: impl Fn(&Device) -> M, forward: impl Fn(&M, &Reference, &Device, DType) -> Tensor<2>) {
    let cases = reference("tests/reference/transformers.json").list("cases");
    let case = cases.into_iter().find(|case| case.text("name") == name).expect("a case of that name");
    let weights = case.list("weights");
    let position = |name: &str| weights.iter().position(|w| w.text("name") == name).unwrap_or_else(|| panic!("PyTorch's model has no `{name}`"));
    for device in devices() {
        for dtype in [DType::F32, DType::F64] {
            let device = device.clone().autodiff();
            let model = with_parameters(to_dtype(build(&device), dtype), |name, values| {
                let k = position(name) as f64;
                values.iter_mut().enumerate().for_each(|(i, x)| *x = f64::from((0.1 * (0.37 * i as f64 + k).sin()) as f32));
            });
            assert_eq!(count_trainable(&model), case.count("parameters"));
            let logits = forward(&model, &case, &device, dtype);
            assert_near("logits", &logits, case.values("logits"), dtype);
            let classes: Vec<i64> = case.counts("classes").into_iter().map(|c| c as i64).collect();
            let loss = cross_entropy(logits, Tensor::<1, Int>::from_data(classes.as_slice(), &device), 0.0);
            assert_near("loss", &loss, [case.number("loss")], dtype);
            let gradients = Gradients::of(&loss, &model);
            let share = if dtype == DType::F64 { 1e-8 } else { 3e-4 };
            for (id, name, _) in parameters(&model) {
                let expected = &weights[position(&name)];
                let gradient = gradients.get(id).expect("a gradient").values();
                let largest = expected.number("largest");
                for (i, want) in expected.counts("indices").into_iter().zip(expected.values("samples")) {
                    assert!((gradient[i] - want).abs() <= share * largest, "{name} {i} in {dtype:?}: {} instead of {want}", gradient[i]);
                }
                let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
                assert!((norm - expected.number("norm")).abs() <= share * norm, "the norm of {name}");
                let projection = gradient.iter().enumerate().map(|(i, g)| g * (0.61 * i as f64).cos()).sum::<f64>();
                assert!((projection - expected.number("projection")).abs() <= share * norm, "the projection of {name}");
            }
        }
    }
}

fn little(tied: bool) -> GptConfig {
    GptConfig { tied, ..GptConfig::new(11, 9, [12, 3, 2]) }
}

fn little_vit(class_token: bool) -> VitConfig {
    VitConfig { image: [1, 28, 28], patch: 7, width: 12, heads: 3, layers: 2, class_token, ..VitConfig::tiny_4() }
}

#[test]
fn gpt_is_pytorchs() {
    for (name, tied) in [("gpt", false), ("gpt, tied", true)] {
        check(
            name,
            |d| little(tied).init(d),
            |model: &Gpt, case, device, _| model.forward(tokens(case.counts("tokens").into_iter(), [2, 7], device)).flatten(0, 1),
        );
    }
}

#[test]
fn vit_is_pytorchs() {
    for (name, class_token) in [("vit", false), ("vit, class token", true)] {
        check(name, |d| little_vit(class_token).init(d), |model: &Vit, case, device, dtype| model.forward(case.tensor("images", device, dtype)));
    }
}

#[test]
fn vit_keeps_the_contract_of_classifiers() {
    for class_token in [false, true] {
        let config = VitConfig { image: [2, 12, 8], patch: 4, width: 16, heads: 2, layers: 2, classes: 4, class_token, ..VitConfig::tiny_4() };
        let expected = Classifier { input: [6, 2, 12, 8], classes: 4, parameters: config.parameters(), steps: 300, lr: 3e-3 };
        check_classifier(expected, |d| config.init(d), |m, x| m.forward(x));
    }
}

#[test]
fn the_past_does_not_see_the_future() {
    for device in devices() {
        set_step_key(Key::new(1));
        let model = GptConfig::small().init(&device);
        let logits = |changed: bool| {
            let text = (0..64).map(|i| if changed && i == 40 { 3 } else { (i * 7 + 1) % 65 });
            model.forward(tokens(text, [1, 64], &device))
        };
        let part = |x: Tensor<3>, from: usize, to: usize| bits(&x.slice([0..1, from..to]));
        assert!(part(logits(false), 0, 40) == part(logits(true), 0, 40), "an earlier logit moved");
        let rows = |changed| (40..64).map(move |t| (t, changed));
        assert!(rows(false).zip(rows(true)).all(|((t, a), (_, b))| part(logits(a), t, t + 1) != part(logits(b), t, t + 1)), "a later logit did not");
    }
}

#[test]
fn a_cache_changes_no_token() {
    // Large weights, so that the likeliest token depends on the text.
    let model = |device: &Device| {
        set_step_key(Key::new(6));
        with_parameters(little(false).init(device), |name, values| {
            if !name.contains("norm") {
                values.iter_mut().for_each(|x| *x *= 20.0);
            }
        })
    };
    let by_hand = |model: &Gpt, prompt: &[u32], count: usize, device: &Device| {
        let mut text = prompt.to_vec();
        for _ in 0..count {
            let window = &text[text.len().saturating_sub(9)..];
            let logits = model.forward(tokens(window.iter().map(|&t| t as usize), [1, window.len()], device));
            let last: Vec<f32> = logits.narrow(1, window.len() - 1, 1).into_data().iter::<f32>().collect();
            text.push(Sampling::GREEDY.next(&last, 0.0) as u32);
        }
        text.split_off(prompt.len())
    };
    for device in devices() {
        let model = model(&device);
        // Prompts within the context and beyond it, and texts that leave it.
        let mut firsts = [false; 11];
        for number in 0..1000usize {
            let prompt: Vec<u32> = (0..1 + number % 11).map(|i| ((number * 31 + i * i * 7 + i * number) % 11) as u32).collect();
            let cached = generate(&model, &prompt, 6, Sampling::GREEDY, &device, || 0.0, |_| ());
            assert_eq!(cached, by_hand(&model, &prompt, 6, &device), "{prompt:?}");
            firsts[cached[0] as usize] = true;
        }
        assert!(firsts.iter().filter(|seen| **seen).count() > 3, "the prompts make no difference: {firsts:?}");
    }
}

#[test]
fn gpt_learns_a_batch_by_heart() {
    let device = device().autodiff();
    for config in [little(false), GptConfig { tanh_gelu: true, ..little(true) }] {
        set_step_key(Key::new(2));
        let mut model = config.init(&device);
        let x = tokens((0..).map(|i| (i * i + 3 * i) % 11), [3, 9], &device);
        let targets = tokens((0..).map(|i| (i * i * 5 + 1) % 11), [3, 9], &device).reshape([27]);
        let loss = |model: &Gpt| cross_entropy(model.forward(x.clone()).flatten(0, 1), targets.clone(), 0.0);
        let mut optimizer = PerTensor::new(Adam::default());
        for _ in 0..250 {
            let gradients = Gradients::of(&loss(&model), &model);
            assert_eq!(gradients.len(), parameters(&model).len());
            model = optimizer.step(1e-2, model, &gradients);
        }
        let last = loss(&model).into_scalar::<f32>();
        assert!(last < 0.05, "the loss is still {last}");
        check_module_gradients(&model, 2, |model| cross_entropy(model.forward(x.clone()).flatten(0, 1), targets.clone(), 0.1));
    }
}

struct Record(Vec<(Site, Vec<usize>)>);

impl Tap for Record {
    fn tap<const D: usize>(&mut self, site: Site, x: Tensor<D>) -> Tensor<D> {
        self.0.push((site, x.dims().to_vec()));
        x
    }
}

#[test]
fn named_activations_are_seen() {
    let device = device();
    let model = little(false).init(&device);
    let x = tokens((0..).map(|i| i % 11), [2, 7], &device);
    let mut record = Record(vec![]);
    assert!(bits(&model.forward_with(x.clone(), &mut record)) == bits(&model.forward(x)));
    let names: Vec<Site> = record.0.iter().map(|(site, _)| *site).collect();
    assert_eq!(names, [Gpt::EMBEDDED, Gpt::BLOCK, Gpt::BLOCK, Gpt::FINAL]);
    assert!(record.0.iter().all(|(_, dims)| *dims == [2, 7, 12]));
    let mut record = Record(vec![]);
    little_vit(true).init(&device).forward_with(Tensor::zeros([2, 1, 28, 28], &device), &mut record);
    let names: Vec<Site> = record.0.iter().map(|(site, _)| *site).collect();
    assert_eq!(names, [Vit::EMBEDDED, Vit::BLOCK, Vit::BLOCK, Vit::FINAL]);
    assert!(record.0.iter().all(|(_, dims)| *dims == [2, 17, 12]));
}
