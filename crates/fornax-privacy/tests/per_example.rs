//! Gradients of each example by one pass, against a loop of batches of one: every layer that takes part, and models made of them.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_architectures::{
    ConvNetConfig, Gpt, GptConfig, ImageClassifier, LanguageModel, LeNet5Config, MlpConfig, Pooling, SequenceClassifierConfig, Stage, VitConfig,
};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::{
    Activation, Cell, ConvBlockConfig, DenseBlockConfig, LayerNormConfig, LinearConfig, MultiHeadAttentionConfig, Recurrent, RecurrentConfig,
    RecurrentState, RmsNormConfig, TemporalConvConfig, TransformerBlockConfig, loss::cross_entropy,
};
use fornax_optimizers::Gradients;
use fornax_privacy::PerExample;
use fornax_testkit::devices;

/// Examples of a batch.
const B: usize = 5;

fn values<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let key = Key::new(seed);
    let data: Vec<f32> = (0..shape.iter().product::<usize>() as u64).map(|i| key.normal(i) as f32).collect();
    Tensor::from_data(TensorData::new(data, shape), device)
}

fn numbers<const D: usize>(shape: [usize; D], below: u64, seed: u64, device: &Device) -> Tensor<D, Int> {
    let key = Key::new(seed);
    let data: Vec<i64> = (0..shape.iter().product::<usize>() as u64).map(|i| (key.bits(i) % below) as i64).collect();
    Tensor::from_data(TensorData::new(data, shape), device)
}

/// `tanh(y)` times something of each example's own, summed, the mean over examples: not even, so that examples differ.
fn uneven<const D: usize>(y: Tensor<D>, first: usize) -> Tensor<1> {
    let shape = y.dims();
    let batch = shape[0];
    let mut all = shape;
    all[0] = B;
    let factors = values(all, 99, &y.device()).narrow(0, first, batch);
    let one: Tensor<2> = (y.tanh() * factors).reshape([batch, shape[1..].iter().product()]);
    one.sum_dim(1).mean()
}

/// `loss(model, first, count)` is the mean over these examples.
#[track_caller]
fn compare<M: Module>(what: &str, model: &M, loss: impl Fn(&M, usize, usize) -> Tensor<1>) {
    let all = PerExample::of(model, B, || loss(model, 0, B)).unwrap_or_else(|| panic!("{what}: not all parameters take part"));
    let each = all.each();
    let squares = all.squares();
    let weights: Vec<f64> = (0..B).map(|i| 0.3 + i as f64).collect();
    let weighted = all.weighted(|_| &weights);
    let mut sums = vec![];
    for i in 0..B {
        let alone = Gradients::of(&loss(model, i, 1), model);
        assert_eq!(alone.len(), each.len(), "{what}: parameters with a gradient");
        for (place, (id, want)) in alone.iter().enumerate() {
            let (got_id, got) = &each[place];
            assert_eq!(got_id, id, "{what}: the order of parameters");
            let got: Vec<f32> = got.clone().narrow(0, i, 1).into_data().iter::<f32>().collect();
            let want: Vec<f32> = want.to_data().iter::<f32>().collect();
            close(&format!("{what}, parameter {place} of example {i}"), &got, &want);
            let square: f64 = want.iter().map(|x| f64::from(*x).powi(2)).sum();
            assert!((squares[place].1[i].sqrt() - square.sqrt()).abs() <= 1e-5 * square.sqrt().max(1.0), "{what}: norm of parameter {place}");
            if i == 0 {
                sums.push(vec![0.0; want.len()]);
            }
            sums[place].iter_mut().zip(&want).for_each(|(sum, x)| *sum += (weights[i] as f32) * x);
        }
    }
    for (place, (sum, (_, got))) in sums.iter().zip(&weighted).enumerate() {
        close(&format!("{what}, weighted sum of parameter {place}"), &got.to_data().iter::<f32>().collect::<Vec<_>>(), sum);
    }
}

#[track_caller]
fn close(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(1.0f32, |most, x| most.max(x.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= 1e-5 * largest, "{what}, element {i}: {g}, alone {w}");
    }
}

fn each_device(test: impl Fn(&Device)) {
    for device in devices() {
        set_step_key(Key::new(1));
        test(&device.autodiff());
    }
}

#[test]
fn linear() {
    each_device(|device| {
        for (inputs, outputs, bias) in [(7, 4, true), (3, 60, false)] {
            let layer = LinearConfig::new(inputs, outputs).with_bias(bias).init(device);
            let x = values([B, inputs], 2, device);
            compare("linear", &layer, |m, i, n| uneven(m.forward(x.clone().narrow(0, i, n)), i));
            let x = values([B, 3, inputs], 3, device);
            compare("linear over steps", &layer, |m, i, n| uneven(m.forward(x.clone().narrow(0, i, n)), i));
            let x = values([B, 3, 20, inputs], 4, device);
            compare("linear over rows", &layer, |m, i, n| uneven(m.forward(x.clone().narrow(0, i, n)), i));
        }
        let block = DenseBlockConfig::new(5, 3).with_activation(Activation::Gelu).init(device);
        let x = values([B, 5], 5, device);
        compare("dense block", &block, |m, i, n| uneven(m.forward(x.clone().narrow(0, i, n)), i));
    });
}

#[test]
fn norms() {
    each_device(|device| {
        let x = values([B, 4, 6], 2, device);
        let norm = LayerNormConfig::new(6).init(device);
        compare("layer norm", &norm, |m, i, n| uneven(m.forward(x.clone().narrow(0, i, n)), i));
        let norm = RmsNormConfig::new(6).init(device);
        compare("RMS norm", &norm, |m, i, n| uneven(m.forward(x.clone().narrow(0, i, n)), i));
    });
}

#[test]
fn convolutions() {
    each_device(|device| {
        let x = values([B, 3, 9, 8], 2, device);
        for (kernel, stride, padding, activation) in
            [(3, 1, 0, Activation::Relu), (3, 2, 1, Activation::Tanh), (1, 1, 0, Activation::Identity), (5, 3, 2, Activation::Relu)]
        {
            let block = ConvBlockConfig::new(3, 4, kernel).with_stride(stride).with_padding(padding).with_activation(activation).init(device);
            compare(&format!("convolution {kernel} {stride} {padding}"), &block, |m, i, n| uneven(m.forward(x.clone().narrow(0, i, n)), i));
        }
        // Few positions of many weights: its norm without the gradients.
        let wide = ConvBlockConfig::new(3, 40, 5).init(device);
        compare("convolution of many channels", &wide, |m, i, n| uneven(m.forward(x.clone().narrow(0, i, n)), i));
        let temporal = TemporalConvConfig::new(3, 5, 3).init(device);
        let x = values([B, 7, 3], 3, device);
        let lengths = [7, 3, 5, 1, 6];
        compare("temporal convolution", &temporal, |m, i, n| uneven(m.forward(x.clone().narrow(0, i, n), Some(&lengths[i..i + n])).0, i));
    });
}

#[test]
fn recurrent_layers() {
    each_device(|device| {
        let x = values([B, 6, 3], 2, device);
        let lengths = [6, 2, 5, 1, 4];
        let state = |layer: &Recurrent, seed| {
            let places = layer.directions.len();
            let h = values([places, B, layer.config.outputs()], seed, device);
            RecurrentState { c: (layer.config.cell == Cell::Lstm).then(|| h.clone() * 0.5), h }
        };
        let part = |s: &RecurrentState, i, n| RecurrentState { h: s.h.clone().narrow(1, i, n), c: s.c.clone().map(|c| c.narrow(1, i, n)) };
        for cell in [Cell::Lstm, Cell::Gru, Cell::Tanh, Cell::Relu] {
            for config in [
                RecurrentConfig::new(cell, 3, 4),
                RecurrentConfig::new(cell, 3, 4).with_layers(2).with_bidirectional(true),
                RecurrentConfig::new(cell, 3, 9).with_bias(false),
            ] {
                let layer = config.init(device);
                let take = |i, n| x.clone().narrow(0, i, n);
                compare(&format!("{config:?}"), &layer, |m, i, n| uneven(m.forward(take(i, n)), i));
                compare(&format!("{config:?} of lengths"), &layer, |m, i, n| uneven(m.forward_from(take(i, n), None, Some(&lengths[i..i + n])).0, i));
                let first = state(&layer, 5);
                compare(&format!("{config:?} from a state"), &layer, |m, i, n| {
                    let (y, last) = m.forward_from(take(i, n), Some(&part(&first, i, n)), None);
                    uneven(y, i) + uneven(last.h.swap_dims(0, 1), i)
                });
            }
        }
    });
}

#[test]
fn attention_and_transformers() {
    each_device(|device| {
        let x = values([B, 5, 8], 2, device);
        let attention = MultiHeadAttentionConfig::new(8, 2).with_causal(true).init(device);
        compare("attention", &attention, |m, i, n| uneven(m.forward(x.clone().narrow(0, i, n)), i));
        let block = TransformerBlockConfig::new(MultiHeadAttentionConfig::new(8, 4)).init(device);
        compare("transformer block", &block, |m, i, n| uneven(m.forward(x.clone().narrow(0, i, n)), i));
        let tokens = numbers([B, 6], 11, 3, device);
        let targets = numbers([B, 6], 11, 4, device);
        for tied in [false, true] {
            let config = GptConfig { tied, ..GptConfig::new(11, 6, [8, 2, 2]) };
            let loss = |m: &Gpt, i, n| {
                let logits = m.forward(tokens.clone().narrow(0, i, n));
                cross_entropy(logits.reshape([n * 6, 11]), targets.clone().narrow(0, i, n).reshape([n * 6]), 0.0)
            };
            compare(&format!("GPT, tied: {tied}"), &config.init(device), loss);
        }
    });
}

#[test]
fn classifiers() {
    each_device(|device| {
        let x = values([B, 1, 28, 28], 2, device);
        let targets = numbers([B], 10, 3, device);
        let config = ConvNetConfig { stages: vec![Stage::valid3(4, 2), Stage::valid3(6, 4)], dense: vec![16], ..ConvNetConfig::tutorial() };
        fn loss<'a, M: ImageClassifier>(x: &'a Tensor<4>, targets: &'a Tensor<1, Int>) -> impl Fn(&M, usize, usize) -> Tensor<1> + 'a {
            |m, i, n| cross_entropy(m.forward(x.clone().narrow(0, i, n)), targets.clone().narrow(0, i, n), 0.0)
        }
        compare("ConvNet", &config.init(device), loss(&x, &targets));
        compare("LeNet-5", &LeNet5Config::mnist().init(device), loss(&x, &targets));
        compare("MLP", &MlpConfig { hidden: vec![9, 8], ..MlpConfig::mnist() }.init(device), loss(&x, &targets));
        let x = values([B, 7, 3], 4, device);
        let lengths = [7, 3, 5, 2, 6];
        for pooling in [Pooling::Mean, Pooling::Attention] {
            let config = SequenceClassifierConfig { pooling, ..SequenceClassifierConfig::new(3, 5, 10) };
            compare("sequence classifier", &config.init(device), |m, i, n| {
                cross_entropy(m.forward(x.clone().narrow(0, i, n), Some(&lengths[i..i + n])), targets.clone().narrow(0, i, n), 0.0)
            });
        }
    });
}

#[test]
fn what_does_not_take_part_is_noticed() {
    each_device(|device| {
        let x = values([B, 3, 8, 8], 2, device);
        let norm = ConvBlockConfig::new(3, 4, 3).with_batch_norm(true).init(device);
        assert!(PerExample::of(&norm, B, || uneven(norm.forward(x.clone()), 0)).is_none(), "batch norm");
        let x = values([B, 6, 3], 2, device);
        let projected = RecurrentConfig::lstm(3, 4).with_projection(2).init(device);
        assert!(PerExample::of(&projected, B, || uneven(projected.forward(x.clone()), 0)).is_none(), "an LSTM with a projection");
        let vit = VitConfig::tiny_4().init(device);
        let images = values([B, 3, 32, 32], 3, device);
        assert!(PerExample::of(&vit, B, || uneven(vit.forward(images.clone()), 0)).is_none(), "a class token");
        // Rows of all examples in one dimension: nobody can tell them apart.
        let layer = LinearConfig::new(3, 4).init(device);
        let mixed = || uneven(layer.forward(x.clone().reshape([B * 6, 3])).reshape([B, 24]), 0);
        assert!(PerExample::of(&layer, B, mixed).is_none(), "rows of all examples");
    });
}
