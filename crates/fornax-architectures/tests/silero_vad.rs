//! Silero VAD: PyTorch's values (`reference/silero_vad.py`), streams in pieces, weights under all names, the `Tap` seam.
#![recursion_limit = "256"]

use burn::tensor::{DType, Device, Tensor, TensorData};
use fornax_architectures::{SileroVad, SileroVadConfig, VadState};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::{Site, Tap};
use fornax_optimizers::Gradients;
use fornax_testkit::{Reference, Values, assert_close, bits, devices, parameters, reference, sigmoid_precision, to_dtype, uniform};
use fornax_weights::{Tensors, count_trainable, state};

fn cases() -> Vec<Reference> {
    reference("tests/reference/silero_vad.json").list("cases")
}

/// `bound (2u − 1)`, rounded to f32: what the generator drew.
fn drawn(seed: usize, bound: f64, count: usize) -> Vec<f32> {
    (0..count as u64).map(|i| (bound * (2.0 * Key::new(seed as u64).uniform(i) - 1.0)) as f32).collect()
}

/// The case's weights under the published names.
fn weights(case: &Reference) -> Tensors {
    let config = SileroVadConfig { rate: case.count("rate") as u32, ..SileroVadConfig::v6_16k() };
    let mut tensors: Tensors = case
        .list("weights")
        .iter()
        .map(|w| {
            let shape = w.counts("shape");
            (w.text("name"), TensorData::new(drawn(w.count("seed"), w.number("bound"), shape.iter().product()), shape))
        })
        .collect();
    tensors.insert("stft_conv.weight".into(), state(&config.init(&devices()[0]))["stft.weight"].clone());
    tensors
}

/// Two streams of five chunks.
fn samples(case: &Reference, device: &Device, dtype: DType) -> Tensor<2> {
    let chunk = case.count("rate") * 4 / 125;
    let gains = case.values("gains");
    let values: Vec<f32> = drawn(99, 1.0, 10 * chunk).into_iter().enumerate().map(|(i, x)| x * gains[i / chunk % 5] as f32).collect();
    Tensor::from_data(TensorData::new(values, [2, 5 * chunk]).convert_dtype(dtype), (device, dtype))
}

fn model(rate: u32, device: &Device) -> SileroVad {
    set_step_key(Key::new(7));
    SileroVadConfig { rate, ..SileroVadConfig::v6_16k() }.init(device)
}

#[test]
fn probabilities_and_states_are_pytorchs() {
    for case in cases() {
        for device in devices() {
            for dtype in [DType::F32, DType::F64] {
                let loaded = SileroVad::load(&weights(&case), case.count("rate") as u32, &device).unwrap();
                let (probabilities, VadState { memory, .. }) = to_dtype(loaded, dtype).forward(samples(&case, &device, dtype), None);
                // The basis is in f32.
                let share = if sigmoid_precision(&device, dtype) == DType::F64 { 1e-6 } else { 1e-5 };
                assert_close(probabilities, case.values("probabilities"), share, 0.0);
                assert_close(memory.h, case.values("h"), share, share);
                assert_close(memory.c.expect("an LSTM has a `c`"), case.values("c"), share, share);
            }
        }
    }
}

#[test]
fn a_stream_in_pieces_is_the_whole_and_a_new_one_begins_anew() {
    for device in devices() {
        for rate in [16_000, 8000] {
            let model = model(rate, &device);
            let chunk = model.config.chunk();
            let x = uniform([2, 7 * chunk], 5, &device, DType::F32);
            let (whole, last) = model.forward(x.clone(), None);
            assert_eq!((whole.dims(), last.context.dims(), last.memory.h.dims()), ([2, 7], [2, chunk / 8], [1, 2, 128]));
            let stream = |sizes: &[usize]| {
                let (mut at, mut state, mut found) = (0, None, vec![]);
                for size in sizes {
                    let (p, after) = model.forward(x.clone().narrow(1, at * chunk, size * chunk), state.as_ref());
                    (at, state) = (at + size, Some(after));
                    found.push(p);
                }
                (Tensor::cat(found, 1), state.expect("a state"))
            };
            for sizes in [&[1; 7][..], &[2, 4, 1], &[6, 1]] {
                let (pieces, state) = stream(sizes);
                assert_close(pieces, &whole, 1e-6, 1e-7);
                assert_eq!(bits(&state.context), bits(&last.context));
                assert_close(state.memory.h, &last.memory.h, 1e-5, 1e-6);
            }
            // Without its state a stream begins: the same piece has the same bits as the first time, and others than behind another piece.
            let piece = |state: Option<&VadState>| model.forward(x.clone().narrow(1, 0, chunk), state).0;
            assert_eq!(bits(&piece(None)), bits(&piece(None)));
            let behind = piece(Some(&last)).values();
            assert!(piece(None).values().iter().zip(&behind).all(|(a, b)| (a - b).abs() > 1e-4));
            // The context alone counts too.
            let heard = VadState { context: last.context.zeros_like(), ..last.clone() };
            assert_ne!(bits(&piece(Some(&heard))), bits(&piece(Some(&last))));
        }
    }
}

/// The published names of ONNX, or of safetensors, behind something.
fn renamed(tensors: &Tensors, prefix: &str, onnx: bool) -> Tensors {
    let name = |ours: &str| match (ours, onnx) {
        ("stft.weight", true) => "stft.forward_basis_buffer".into(),
        ("stft.weight", false) => "stft_conv.weight".into(),
        (ours, true) => ours.replace("head.", "decoder.decoder.2.").replace("directions.0", "rnn"),
        (ours, false) => ours.replace("head.", "final_conv.").replace("decoder.directions.0", "lstm_cell"),
    };
    let number = |name: String| match name.strip_prefix("encoder.").map(|rest| rest.split_at(1)) {
        Some((i, rest)) if onnx => format!("encoder.{i}.reparam_conv{rest}"),
        Some((i, rest)) => format!("conv{}{rest}", i.parse::<usize>().unwrap() + 1),
        None => name,
    };
    tensors.iter().map(|(ours, data)| (format!("{prefix}{}", number(name(ours))), data.clone())).collect()
}

#[test]
fn weights_have_one_network_for_each_rate_under_any_of_the_names() {
    let device = &devices()[0];
    let (high, low) = (state(&model(16_000, device)), state(&model(8000, device)));
    let x = |rate: usize| uniform([1, rate * 4 / 125], 3, device, DType::F32);
    let first = |model: &SileroVad, rate: usize| model.forward(x(rate), None).0;
    let constant = Tensors::from([("sr".into(), TensorData::from([1i64]))]);
    let both: Tensors = [renamed(&high, "If_0_then_", true), renamed(&low, "If_0_else_", true), constant].into_iter().flatten().collect();
    assert_eq!(SileroVad::rates_in(&both), [8000, 16_000]);
    for rate in [8000, 16_000] {
        let loaded = SileroVad::load(&both, rate as u32, device).unwrap();
        assert_eq!(bits(&first(&loaded, rate)), bits(&first(&model(rate as u32, device), rate)));
    }
    let alone = renamed(&high, "", false);
    assert_eq!(SileroVad::rates_in(&alone), [16_000]);
    assert_eq!(bits(&first(&SileroVad::load(&alone, 16_000, device).unwrap(), 16_000)), bits(&first(&model(16_000, device), 16_000)));
    assert_eq!(SileroVad::rates_in(&high), [16_000]);

    let error = |tensors: &Tensors, rate| SileroVad::load(tensors, rate, device).unwrap_err().to_string();
    assert!(error(&alone, 8000).contains("for 8000 samples a second"));
    let mut less = alone.clone();
    less.remove("lstm_cell.bias_hh");
    assert!(error(&less, 16_000).contains("`lstm_cell.bias_hh`"));
    let mut other = alone;
    other.insert("conv3.weight".into(), TensorData::from([1.0f32]));
    assert!(error(&other, 16_000).contains("[64, 64, 3] in the model"));
    assert_eq!(SileroVad::rates_in(&Tensors::new()), [0; 0]);
}

#[test]
fn it_trains_apart_from_the_transform_also_on_silence() {
    for device in devices() {
        let device = device.autodiff();
        let model = model(16_000, &device);
        // Four convolutions over three steps, the cell with two biases, the head.
        let parameters_of_parts = (3 * 129 + 1) * 128 + (3 * 128 + 1) * 64 + (3 * 64 + 1) * 64 + (3 * 64 + 1) * 128 + 512 * (128 + 128 + 2) + 129;
        assert_eq!((model.config.parameters(), count_trainable(&model)), (parameters_of_parts, parameters_of_parts));
        let (probabilities, _) = model.forward(Tensor::zeros([1, 1024], &device), None);
        let gradients = Gradients::of(&probabilities.sum(), &model);
        let names: Vec<_> = parameters(&model).into_iter().map(|(id, name, _)| (gradients.get(id).expect("a gradient").values(), name)).collect();
        assert_eq!(names.len(), 14);
        assert!(names.iter().all(|(gradient, name)| name != "stft.weight" && gradient.iter().all(|g| g.is_finite())));
        // And to the samples.
        let x = Tensor::<2>::zeros([1, 512], &device).require_grad();
        let gradient = x.grad(&model.forward(x.clone(), None).0.sum().backward()).expect("a gradient");
        assert!(gradient.values().iter().all(|g| g.is_finite()));
    }
}

#[derive(Default)]
struct Sites(Vec<(&'static str, Vec<usize>)>);

impl Tap for Sites {
    fn tap<const D: usize>(&mut self, site: Site, x: Tensor<D>) -> Tensor<D> {
        self.0.push((site.0, x.dims().to_vec()));
        x
    }
}

#[test]
fn its_sites_are_shown() {
    let mut sites = Sites::default();
    let device = &devices()[0];
    model(8000, device).forward_with(Tensor::zeros([2, 768], device), None, &mut sites);
    let shape = |a: usize, b: usize, c: usize| vec![a, b, c];
    let expected = [
        ("spectrum", shape(6, 4, 65)),
        ("encoded", shape(6, 4, 128)),
        ("encoded", shape(6, 2, 64)),
        ("encoded", shape(6, 1, 64)),
        ("encoded", shape(6, 1, 128)),
        ("memory", shape(2, 3, 128)),
    ];
    assert_eq!(sites.0, expected);
}

#[test]
#[should_panic(expected = "chunks of 512 samples, not 700 samples")]
fn part_of_a_chunk_is_refused() {
    let device = &devices()[0];
    model(16_000, device).forward(Tensor::zeros([1, 700], device), None);
}
