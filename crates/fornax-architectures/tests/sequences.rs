//! Sequence models: PyTorch's values (`reference/sequence_models.py`), sizes, padding, carried state, learning by heart, the `Tap` seam.
#![recursion_limit = "256"]

mod by_formula;

use burn::tensor::{DType, Device, Int, Tensor};
use by_formula::check;
use fornax_architectures::{
    CharRnn, CharRnnConfig, FrameLabeler, FrameLabelerConfig, FrontConv, Pooling, SequenceClassifier, SequenceClassifierConfig, SequenceEncoder,
    SequenceEncoderConfig, SpectralFront,
};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::{Cell, RecurrentState, Site, Tap, loss::cross_entropy};
use fornax_optimizers::{Adam, Gradients, Optimizer, PerTensor};
use fornax_testkit::{
    Classifier, Reference, Values, assert_close, bits, check_classifier, check_module_gradients, device, devices, parameters, uniform,
};
use fornax_weights::count_trainable;

const CLASSIFIERS: [&str; 4] = ["classifier, last", "classifier, mean", "classifier, attention", "classifier, spectral"];

fn encoder(cell: Cell, layers: usize, bidirectional: bool, front: &[[usize; 3]]) -> SequenceEncoderConfig {
    let front = front.iter().map(|&[channels, kernel, stride]| FrontConv { channels, kernel, stride }).collect();
    SequenceEncoderConfig { front, cell, layers, bidirectional, ..SequenceEncoderConfig::new(3, 4) }
}

fn classifier(name: &str) -> SequenceClassifierConfig {
    let (encoder, pooling) = match name {
        "classifier, last" => (encoder(Cell::Lstm, 2, true, &[]), Pooling::Last),
        "classifier, mean" => (encoder(Cell::Gru, 1, false, &[[5, 3, 2]]), Pooling::Mean),
        "classifier, attention" => (encoder(Cell::Lstm, 1, true, &[]), Pooling::Attention),
        "classifier, spectral" => {
            let spectral = [(2, [3, 3], [2, 1]), (3, [1, 3], [1, 2])].map(|(channels, kernel, stride)| SpectralFront { channels, kernel, stride });
            (SequenceEncoderConfig { spectral: spectral.to_vec(), ..encoder(Cell::Lstm, 1, true, &[]) }, Pooling::Mean)
        }
        other => panic!("no case `{other}`"),
    };
    SequenceClassifierConfig { encoder, pooling, dropout: 0.0, classes: 5 }
}

fn labeler() -> FrameLabelerConfig {
    FrameLabelerConfig { encoder: encoder(Cell::Lstm, 1, true, &[[5, 5, 1]]), dropout: 0.0, classes: 5 }
}

fn char_rnn(tied: bool) -> CharRnnConfig {
    CharRnnConfig { tied, ..CharRnnConfig::new(11, 4, 2) }
}

fn tokens(values: impl Iterator<Item = usize>, [batch, time]: [usize; 2], device: &Device) -> Tensor<2, Int> {
    let values: Vec<i64> = values.take(batch * time).map(|v| v as i64).collect();
    Tensor::<1, Int>::from_data(values.as_slice(), device).reshape([batch, time])
}

/// The case's sequences, with NaN behind each.
fn padded(case: &Reference, device: &Device, dtype: DType) -> (Tensor<3>, Vec<usize>) {
    let (mut x, lengths) = (case.tensor::<3>("x", device, dtype), case.counts("lengths"));
    for (b, length) in lengths.iter().enumerate().filter(|(_, length)| **length < 6) {
        x = x.slice_fill([b..b + 1, *length..6, 0..3], f64::NAN);
    }
    (x, lengths)
}

#[test]
fn classifiers_are_pytorchs() {
    for name in CLASSIFIERS {
        check(
            "sequences",
            name,
            |d| classifier(name).init(d),
            |model: &SequenceClassifier, case, device, dtype| {
                let (x, lengths) = padded(case, device, dtype);
                model.forward(x, Some(&lengths))
            },
        );
    }
}

#[test]
fn labelers_are_pytorchs() {
    check(
        "sequences",
        "labeler",
        |d| labeler().init(d),
        |model: &FrameLabeler, case, device, dtype| {
            let (x, lengths) = padded(case, device, dtype);
            let (logits, after) = model.forward(x, Some(&lengths));
            assert_eq!(after.as_ref(), Some(&lengths));
            let rows = lengths.iter().enumerate().map(|(b, length)| logits.clone().slice([b..b + 1, 0..*length]).squeeze_dim(0));
            Tensor::cat(rows.collect(), 0)
        },
    );
}

#[test]
fn char_rnns_are_pytorchs_with_the_state_carried() {
    for (name, tied) in [("char rnn", false), ("char rnn, tied", true)] {
        check(
            "sequences",
            name,
            |d| char_rnn(tied).init(d),
            |model: &CharRnn, case, device, _| {
                let tokens = tokens(case.counts("tokens").into_iter(), [2, 7], device);
                let (first, state) = model.forward(tokens.clone().narrow(1, 0, 4), None);
                let (second, _) = model.forward(tokens.narrow(1, 4, 3), Some(&state));
                Tensor::cat(vec![first, second], 1).flatten(0, 1)
            },
        );
    }
}

#[test]
fn sizes_are_what_they_say() {
    let device = device().autodiff();
    let graves = FrameLabelerConfig::graves_2005();
    assert_eq!(graves.parameters(), 2 * 4 * 93 * (26 + 93 + 2) + 187 * 61);
    assert_eq!(count_trainable(&graves.init(&device)), graves.parameters());
    for name in CLASSIFIERS {
        assert_eq!(count_trainable(&classifier(name).init(&device)), classifier(name).parameters());
    }
    assert_eq!(count_trainable(&labeler().init(&device)), labeler().parameters());
    for config in [char_rnn(false), char_rnn(true), CharRnnConfig { embedding: 7, cell: Cell::Gru, ..char_rnn(false) }] {
        assert_eq!(count_trainable(&config.init(&device)), config.parameters());
    }
}

#[test]
fn classifiers_keep_their_contract() {
    for name in CLASSIFIERS {
        let config = classifier(name);
        let expected = Classifier { input: [6, 1, 9, 3], classes: 5, parameters: config.parameters(), steps: 400, lr: 1e-2 };
        // On NdArray the sigmoid is in f32, too coarse for the finite differences there; `device()` is Flex unless told otherwise.
        check_classifier(expected, |d| config.init(d), |m, x: Tensor<4>| m.forward(x.squeeze_dim(1), Some(&[9, 1, 7, 4, 9, 2])));
    }
}

#[test]
fn a_sequence_does_not_depend_on_its_company() {
    for device in devices() {
        for name in CLASSIFIERS {
            set_step_key(Key::new(3));
            let model = classifier(name).init(&device);
            let x: Tensor<3> = uniform([2, 8, 3], 1, &device, DType::F32);
            let alone = model.forward(x.clone().slice([1..2, 0..3]), None);
            let beside = model.forward(x.clone(), Some(&[8, 3])).narrow(0, 1, 1);
            assert_close(beside, alone, 1e-5, 1e-6);
            // No steps at all: pooled to zeros, so the logits are the head's bias.
            let none = model.forward(x, Some(&[8, 0])).narrow(0, 1, 1);
            assert_close(none, model.head.bias.as_ref().expect("a bias").val(), 1e-6, 1e-7);
        }
    }
}

#[test]
fn char_rnn_learns_a_batch_by_heart() {
    let device = device().autodiff();
    for config in [char_rnn(false), CharRnnConfig { hidden: 12, embedding: 12, cell: Cell::Gru, ..char_rnn(true) }] {
        set_step_key(Key::new(2));
        let mut model = CharRnnConfig { hidden: 12, embedding: 12, ..config }.init(&device);
        let x = tokens((0..).map(|i| (i * i + 3 * i) % 11), [3, 9], &device);
        let targets = tokens((0..).map(|i| (i * i * 5 + 1) % 11), [3, 9], &device).reshape([27]);
        let loss = |model: &CharRnn| cross_entropy(model.forward(x.clone(), None).0.flatten(0, 1), targets.clone(), 0.0);
        let mut optimizer = PerTensor::new(Adam::default());
        for _ in 0..400 {
            let gradients = Gradients::of(&loss(&model), &model);
            assert_eq!(gradients.len(), parameters(&model).len());
            model = optimizer.step(1e-2, model, &gradients);
        }
        let last = loss(&model).into_scalar::<f32>();
        assert!(last < 0.05, "the loss is still {last}");
        check_module_gradients(&model, 2, |model| cross_entropy(model.forward(x.clone(), None).0.flatten(0, 1), targets.clone(), 0.1));
    }
}

#[test]
fn labeler_learns_a_batch_by_heart() {
    let device = device().autodiff();
    set_step_key(Key::new(2));
    let mut model = FrameLabelerConfig { encoder: SequenceEncoderConfig { hidden: 12, ..labeler().encoder }, ..labeler() }.init(&device);
    let x: Tensor<3> = uniform([3, 6, 3], 1, &device, DType::F32);
    let targets = tokens((0..).map(|i| (i * i + 1) % 5), [3, 6], &device).reshape([18]);
    let loss = |model: &FrameLabeler, x: Tensor<3>| cross_entropy(model.forward(x, None).0.flatten(0, 1), targets.clone(), 0.0);
    check_module_gradients(&model, 2, |model| loss(model, uniform([3, 6, 3], 1, &device, DType::F64)));
    let mut optimizer = PerTensor::new(Adam::default());
    for _ in 0..300 {
        let gradients = Gradients::of(&loss(&model, x.clone()), &model);
        model = optimizer.step(1e-2, model, &gradients);
    }
    assert!(loss(&model, x).into_scalar::<f32>() < 0.05);
}

#[test]
fn a_detached_state_cuts_the_history() {
    let device = device().autodiff();
    let model = char_rnn(false).init(&device);
    let x = tokens(0..8, [2, 4], &device);
    let (_, state) = model.forward(x.clone(), None);
    let detached: Vec<RecurrentState> = state.iter().cloned().map(RecurrentState::detach).collect();
    // Token 10 is in the first piece alone.
    let gradient = |cut: bool| {
        let (_, before) = model.forward(tokens(std::iter::repeat(10), [2, 4], &device), Some(&state));
        let before: Vec<RecurrentState> = if cut { before.into_iter().map(RecurrentState::detach).collect() } else { before };
        let loss = model.forward(x.clone(), Some(&before)).0.sum();
        Gradients::of(&loss, &model).get(model.embedding.weight.id).expect("a gradient").values()[40..44].iter().map(|g| g.abs()).sum::<f64>()
    };
    assert!(gradient(false) > 0.0 && gradient(true) == 0.0);
    assert_eq!(bits(&model.forward(x.clone(), Some(&state)).0), bits(&model.forward(x, Some(&detached)).0));
}

#[test]
fn configs_are_read_by_the_names_of_cells() {
    let text = serde_json::to_string(&classifier("classifier, mean")).unwrap();
    assert!(text.contains(r#""cell":"gru""#) && text.contains(r#""pooling":"mean""#), "{text}");
    assert_eq!(serde_json::from_str::<SequenceClassifierConfig>(&text).unwrap(), classifier("classifier, mean"));
    let error =
        serde_json::from_str::<CharRnnConfig>(&serde_json::to_string(&char_rnn(true)).unwrap().replace("lstm", "lstn")).unwrap_err().to_string();
    assert!(error.contains("no cell is called `lstn`: use lstm, gru, tanh or relu"), "{error}");
}

#[derive(Default)]
struct Record(Vec<(Site, Vec<usize>)>, Vec<(&'static str, usize)>);

impl Tap for Record {
    fn scope(&mut self, name: &'static str, index: usize) {
        self.1.push((name, index));
    }
    fn tap<const D: usize>(&mut self, site: Site, x: Tensor<D>) -> Tensor<D> {
        self.0.push((site, x.dims().to_vec()));
        x
    }
}

#[test]
fn named_activations_are_seen() {
    let device = device();
    let x: Tensor<3> = uniform([2, 6, 3], 1, &device, DType::F32);
    let mut record = Record::default();
    let model = classifier("classifier, mean").init(&device);
    assert!(bits(&model.forward_with(x.clone(), None, &mut record)) == bits(&model.forward(x.clone(), None)));
    assert_eq!(
        record.0,
        [(SequenceEncoder::FRONT, vec![2, 3, 5]), (SequenceEncoder::ENCODED, vec![2, 3, 4]), (SequenceClassifier::POOLED, vec![2, 4])]
    );
    assert_eq!(record.1, [("front", 0)]);
    let mut record = Record::default();
    labeler().init(&device).forward_with(x, None, &mut record);
    assert_eq!(record.0, [(SequenceEncoder::FRONT, vec![2, 6, 5]), (SequenceEncoder::ENCODED, vec![2, 6, 8])]);
    let mut record = Record::default();
    char_rnn(false).init(&device).forward_with(tokens(0..14, [2, 5], &device), None, &mut record);
    assert_eq!(record.0, [(CharRnn::EMBEDDED, vec![2, 5, 4]), (CharRnn::LAYER, vec![2, 5, 4]), (CharRnn::LAYER, vec![2, 5, 4])]);
    assert_eq!(record.1, [("layers", 0), ("layers", 1)]);
}
