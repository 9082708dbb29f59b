//! Kim's network over words: PyTorch's values (`reference/text_cnn.py`), the paper's sizes, padding, learning by heart, the `Tap` seam.
#![recursion_limit = "256"]

mod by_formula;

use burn::tensor::{Device, Int, Tensor};
use by_formula::check;
use fornax_architectures::{TextCnn, TextCnnConfig, WordVectors};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::{Site, Tap, loss::cross_entropy};
use fornax_optimizers::{Adam, Gradients, Optimizer, PerTensor};
use fornax_testkit::{Values, assert_close, bits, check_module_gradients, device, devices, parameters};
use fornax_weights::count_trainable;

fn small(vectors: WordVectors) -> TextCnnConfig {
    TextCnnConfig { width: 4, vectors, kernels: vec![2, 3, 4], maps: 3, dropout: 0.0, max_norm: 1.0, ..TextCnnConfig::kim(9, 3) }
}

fn words(values: &[usize], shape: [usize; 2], device: &Device) -> Tensor<2, Int> {
    let values: Vec<i64> = values.iter().map(|word| *word as i64).collect();
    Tensor::<1, Int>::from_data(values.as_slice(), device).reshape(shape)
}

#[test]
fn logits_and_gradients_are_pytorchs() {
    for (name, vectors) in [("rand", WordVectors::Rand), ("static", WordVectors::Static), ("multichannel", WordVectors::Multichannel)] {
        check(
            "text_cnn",
            name,
            |d| small(vectors).init(d),
            |model: &TextCnn, case, device, _| {
                let lengths = case.counts("lengths");
                model.forward(words(&case.counts("tokens"), [lengths.len(), 6], device), Some(&lengths))
            },
        );
    }
}

/// Section 3.1 of the paper: filters over 3, 4 and 5 words with 100 maps each, 300 numbers a word, dropout 1/2, norm 3.
#[test]
fn the_paper_s_sizes() {
    let kim = TextCnnConfig::kim(1_000, 2);
    assert_eq!((kim.kernels.as_slice(), kim.maps, kim.width, kim.dropout, kim.max_norm), (&[3, 4, 5][..], 100, 300, 0.5, 3.0));
    assert_eq!(kim.parameters(), 1_000 * 300 + 100 * (300 * 12 + 3) + 301 * 2);
    let device = device().autodiff();
    for vectors in [WordVectors::Rand, WordVectors::Multichannel] {
        let config = TextCnnConfig { vectors, ..TextCnnConfig::kim(50, 2) };
        assert_eq!(count_trainable(&config.init(&device)), config.parameters());
    }
}

#[test]
fn a_sentence_does_not_depend_on_its_company() {
    for device in devices() {
        set_step_key(Key::new(3));
        let model = small(WordVectors::Rand).init(&device);
        let alone = model.forward(words(&[1, 5], [1, 2], &device), None);
        let beside = |padding: usize| {
            let all = [1, 5, padding, padding, padding, 7, 2, 3, 4, 8];
            model.forward(words(&all, [2, 5], &device), Some(&[2, 5]))
        };
        assert_eq!(bits(&beside(0)), bits(&beside(8)), "padding may be any word");
        assert_close(beside(0).narrow(0, 0, 1), alone, 1e-5, 1e-6);
        let swapped = model.forward(words(&[7, 2, 3, 4, 8, 1, 5, 0, 0, 0], [2, 5], &device), Some(&[5, 2]));
        assert_close(swapped.flip([0]), beside(0), 1e-6, 1e-7);
        // No word at all, and sentences shorter than any filter.
        let short = model.forward(words(&[1, 2], [2, 1], &device), Some(&[0, 1]));
        assert!(short.values().iter().all(|x| x.is_finite()));
    }
}

#[test]
fn weights_of_a_class_are_no_longer_than_they_may_be() {
    for device in devices() {
        let model = TextCnnConfig { max_norm: 0.0, ..small(WordVectors::Rand) }.init(&device);
        let x = words(&[1, 2, 3, 4], [1, 4], &device);
        let free = model.forward(x.clone(), None);
        let weight = model.head.weight.val();
        let longest = weight.clone().square().sum_dim(0).sqrt().values().into_iter().fold(0f64, f64::max);
        let with = |max_norm: f64| {
            let mut held = TextCnnConfig { max_norm, ..small(WordVectors::Rand) }.init(&device);
            (held.embedding, held.filters, held.head) = (model.embedding.clone(), model.filters.clone(), model.head.clone());
            held.forward(x.clone(), None)
        };
        assert_close(with(2.0 * longest), free.clone(), 1e-6, 1e-7);
        let bias = model.head.bias.as_ref().expect("a bias").val().unsqueeze_dim::<2>(0);
        let lengths = weight.square().sum_dim(0).sqrt();
        let short = 1e-3;
        assert_close(with(short), (free - bias.clone()) * short / lengths + bias, 1e-4, 1e-7);
    }
}

#[test]
fn it_learns_a_batch_by_heart() {
    let device = device().autodiff();
    for vectors in [WordVectors::Rand, WordVectors::Static, WordVectors::Multichannel] {
        set_step_key(Key::new(2));
        let mut model = TextCnnConfig { max_norm: 0.0, ..small(vectors) }.init(&device);
        let x = words(&(0..30).map(|i| (i * i + 3 * i + i / 5) % 9).collect::<Vec<_>>(), [6, 5], &device);
        let targets = Tensor::<1, Int>::from_data([0, 1, 2, 2, 1, 0], &device);
        let loss = |model: &TextCnn| cross_entropy(model.forward(x.clone(), Some(&[5, 4, 5, 3, 5, 5])), targets.clone(), 0.0);
        let kept = model.kept.as_ref().map(|kept| bits(&kept.weight.val()));
        let mut optimizer = PerTensor::new(Adam::default());
        for _ in 0..400 {
            let gradients = Gradients::of(&loss(&model), &model);
            assert_eq!(gradients.len(), parameters(&model).len() - usize::from(vectors != WordVectors::Rand));
            model = optimizer.step(1e-2, model, &gradients);
        }
        let last = loss(&model).into_scalar::<f32>();
        assert!(last < 0.05, "the loss is still {last}");
        assert_eq!(kept, model.kept.as_ref().map(|kept| bits(&kept.weight.val())));
    }
    let model = TextCnnConfig { max_norm: 0.0, ..small(WordVectors::Rand) }.init(&device);
    check_module_gradients(&model, 2, |model| {
        let x = words(&[1, 5, 8, 2, 3, 3, 7, 0], [2, 4], &device);
        cross_entropy(model.forward(x, Some(&[4, 3])), Tensor::<1, Int>::from_data([0, 2], &device), 0.1)
    });
}

#[test]
fn given_vectors_are_what_it_begins_with() {
    let device = device();
    let vectors: Vec<f32> = (0..36).map(|i| i as f32 / 8.0).collect();
    let model = small(WordVectors::Multichannel).init_with(&vectors, &device);
    let wanted: Vec<f64> = vectors.iter().map(|x| f64::from(*x)).collect();
    assert_eq!(model.embedding.weight.val().values(), wanted);
    assert_eq!(model.kept.expect("a second table").weight.val().values(), wanted);
    assert!(small(WordVectors::Static).init_with(&vectors, &device).kept.is_none());
}

#[derive(Default)]
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
    let mut record = Record::default();
    let model = small(WordVectors::Rand).init(&device);
    let x = words(&[1, 2, 3, 4, 5, 6], [2, 3], &device);
    assert_eq!(bits(&model.forward_with(x.clone(), None, &mut record)), bits(&model.forward(x, None)));
    assert_eq!(record.0, [(TextCnn::WORDS, vec![2, 3, 4]), (TextCnn::POOLED, vec![2, 9])]);
}
