//! Recurrent cells that PyTorch does not have, against their papers' equations (`reference/recurrent_variants.py`), as streams, and at random.
#![recursion_limit = "256"]

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, activation::softplus};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::{
    Cell, LayerNormLstmConfig, LstmState, MinCell, MinRnnConfig, PeepholeLstmConfig, RecurrentConfig, SelectiveStateConfig, StepCell, Unrolled,
    Zoneout, linear_scan,
};
use fornax_testkit::{Values, assert_close, bits, check_case, devices, each_case, sigmoid_precision, uniform};
use proptest::prelude::*;

const FIXTURE: &str = "tests/reference/recurrent_variants.json";

/// All outputs and the last state of each sequence: `[B, T H + 2 H]`
fn all<C: StepCell>(layer: &Unrolled<C>, x: &[Tensor<3>], lengths: &[usize]) -> Tensor<2> {
    let state = LstmState { h: x[1].clone().squeeze_dim(0), c: x[2].clone().squeeze_dim(0) };
    let (y, last) = layer.forward_from(x[0].clone(), Some(state), Some(lengths));
    Tensor::cat(vec![y.flatten(1, 2), last.h, last.c], 1)
}

#[test]
fn cells_are_their_papers() {
    each_case(FIXTURE, "unrolled", |case, device, dtype| {
        let (lengths, reverse, how) = (case.counts("lengths"), case.flag("reverse"), (device, dtype, sigmoid_precision(device, dtype)));
        let peephole = |on: bool| move |d: &Device| Unrolled::new(PeepholeLstmConfig::new(3, 2).with_peepholes(on).init(d)).with_reverse(reverse);
        let inputs = ["x", "h", "c"];
        match case.text("cell").as_str() {
            "peephole" => check_case(case, how, peephole(true), &inputs, |m, x| all(m, x, &lengths)),
            "plain" => check_case(case, how, peephole(false), &inputs, |m, x| all(m, x, &lengths)),
            "layer norm" => check_case(case, how, |d| Unrolled::new(LayerNormLstmConfig::new(3, 2).init(d)), &inputs, |m, x| all(m, x, &lengths)),
            "zoneout" => {
                let build = |d: &Device| {
                    let zoneout = Zoneout::new(PeepholeLstmConfig::new(3, 2).with_peepholes(false).init(d), 0.25, 0.5);
                    Unrolled::new(Zoneout { training: Param::from_bool(false), ..zoneout })
                };
                check_case(case, how, build, &inputs, |m, x| all(m, x, &lengths));
            }
            other => panic!("a case of `{other}`"),
        }
    });
}

#[test]
fn minimal_cells_are_their_papers() {
    each_case(FIXTURE, "minimal", |case, device, dtype| {
        let lengths = case.counts("lengths");
        let cell = if case.text("cell") == "gru" { MinCell::Gru } else { MinCell::Lstm };
        let how = (device, dtype, sigmoid_precision(device, dtype));
        check_case(
            case,
            how,
            |d| MinRnnConfig { cell, inputs: 3, hidden: 2 }.init(d),
            &["x", "h"],
            |m, x| {
                let (y, last) = m.forward_from(x[0].clone(), Some(x[1].clone().squeeze_dim(0)), Some(&lengths));
                Tensor::cat(vec![y.flatten(1, 2), last], 1)
            },
        );
    });
}

#[test]
fn the_selective_state_space_block_is_its_paper() {
    let config = SelectiveStateConfig { width: 3, channels: 4, states: 2, kernel: 3, rank: 1 };
    each_case(FIXTURE, "selective", |case, device, dtype| {
        check_case(case, (device, dtype, sigmoid_precision(device, dtype)), |d| config.init(d), &["x"], |m, x| m.forward(x[0].clone()));
    });
    for device in devices() {
        set_step_key(Key::new(4));
        let layer = SelectiveStateConfig::new(5).init(&device);
        assert_eq!((layer.log_a.dims(), layer.step.weight.dims()), ([10, 16], [1, 10]));
        let steps = softplus(layer.step.bias.as_ref().expect("a bias").val(), 1.0).values();
        assert!(steps.iter().all(|step| (0.00099..0.101).contains(step)), "{steps:?}");
        let x: Tensor<3> = uniform([2, 7, 5], 1, &device, DType::F32);
        let (mut pieces, mut memory) = (vec![], None);
        for piece in x.clone().split_with_sizes(vec![1, 4, 2], 1) {
            let (y, next) = layer.forward_from(piece, memory);
            pieces.push(y);
            memory = Some(next.detach());
        }
        assert_close(Tensor::cat(pieces, 1), layer.forward(x), 1e-4, 1e-6);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_scan_is_the_recurrence(time in 1usize..40, batch in 1usize..3, width in 1usize..4, seed in 0u64..1000) {
        for device in devices() {
            let (a, b): (Tensor<3>, Tensor<3>) = (uniform([batch, time, width], seed, &device, DType::F64), uniform([batch, time, width], seed + 1, &device, DType::F64));
            let (a_values, b_values, got) = (a.values(), b.values(), linear_scan(a, b).values());
            for s in 0..batch {
                for d in 0..width {
                    let mut h = 0.0;
                    for t in 0..time {
                        let i = (s * time + t) * width + d;
                        h = a_values[i] * h + b_values[i];
                        prop_assert!((got[i] - h).abs() < 1e-12);
                    }
                }
            }
        }
    }
}

#[test]
fn without_peepholes_it_is_the_fused_lstm() {
    for device in devices() {
        set_step_key(Key::new(1));
        let cell = PeepholeLstmConfig::new(3, 5).with_peepholes(false).init(&device);
        let mut fused = RecurrentConfig::new(Cell::Lstm, 3, 5).init(&device);
        let direction = &mut fused.directions[0];
        direction.weight_ih = Param::from_tensor(cell.input.weight.val().transpose());
        direction.weight_hh = Param::from_tensor(cell.recurrent.weight.val().transpose());
        direction.bias_ih = cell.input.bias.clone();
        direction.bias_hh = Some(Param::from_tensor(Tensor::zeros([20], &device)));
        let x: Tensor<3> = uniform([2, 6, 3], 2, &device, DType::F32);
        assert_close(Unrolled::new(cell).forward(x.clone()), fused.forward(x), 1e-5, 1e-6);
    }
}

#[test]
fn a_stream_in_pieces_is_the_whole() {
    for device in devices() {
        set_step_key(Key::new(4));
        let x: Tensor<3> = uniform([2, 7, 3], 1, &device, DType::F32);
        let layer = Unrolled::new(LayerNormLstmConfig::new(3, 4).init(&device));
        let (mut pieces, mut state) = (vec![], None);
        for piece in x.clone().split_with_sizes(vec![1, 4, 2], 1) {
            let (y, next) = layer.forward_from(piece, state, None);
            pieces.push(y);
            state = Some(next.detach());
        }
        assert_close(Tensor::cat(pieces, 1), layer.forward(x.clone()), 1e-5, 1e-6);
        for layer in [MinRnnConfig::gru(3, 4).init(&device), MinRnnConfig::lstm(3, 4).init(&device)] {
            let (mut pieces, mut state) = (vec![], None);
            for piece in x.clone().split_with_sizes(vec![1, 4, 2], 1) {
                let (y, next) = layer.forward_from(piece, state, None);
                pieces.push(y);
                state = Some(next);
            }
            assert_close(Tensor::cat(pieces, 1), layer.forward(x.clone()), 1e-5, 1e-6);
        }
    }
}

/// NaN in padding reaches nothing, and its gradient is exactly zero.
#[test]
fn nobody_looks_at_padding() {
    let lengths = [2, 0, 4];
    for device in devices().into_iter().map(Device::autodiff) {
        let peephole = Unrolled::new(PeepholeLstmConfig::new(3, 4).init(&device)).with_reverse(true);
        let norm = Unrolled::new(LayerNormLstmConfig::new(3, 4).init(&device));
        let minimal = MinRnnConfig::lstm(3, 4).init(&device);
        let layers: [&dyn Fn(Tensor<3>) -> Tensor<3>; 3] =
            [&|x| peephole.forward_from(x, None, Some(&lengths)).0, &|x| norm.forward_from(x, None, Some(&lengths)).0, &|x| {
                minimal.forward_from(x, None, Some(&lengths)).0
            }];
        for (which, layer) in layers.into_iter().enumerate() {
            let mut x: Tensor<3> = uniform([3, 4, 3], 1, &device, DType::F32);
            for (b, length) in lengths.into_iter().enumerate().filter(|(_, length)| *length < 4) {
                x = x.slice_fill([b..b + 1, length..4, 0..3], f64::NAN);
            }
            let x = x.require_grad();
            let y = layer(x.clone());
            for (i, y) in y.values().into_iter().enumerate() {
                assert!(if (i / 4) % 4 >= lengths[i / 16] { y == 0.0 } else { y.is_finite() }, "layer {which}: {y} at {i}");
            }
            for (i, g) in x.grad(&y.square().sum().backward()).expect("a gradient").values().into_iter().enumerate() {
                assert!(if (i / 3) % 4 >= lengths[i / 12] { g == 0.0 } else { g.is_finite() && g != 0.0 }, "layer {which}: gradient {g} at {i}");
            }
        }
    }
}

#[test]
fn zoneout_keeps_some_units_as_they_were() {
    for device in devices().into_iter().map(Device::autodiff) {
        set_step_key(Key::new(1));
        let cell = PeepholeLstmConfig::new(3, 50).init(&device);
        let x: Tensor<3> = uniform([20, 1, 3], 1, &device, DType::F32);
        let state = LstmState { h: uniform([20, 50], 2, &device, DType::F32), c: uniform([20, 50], 3, &device, DType::F32) };
        let new = cell.step(cell.prepare(x.clone()).squeeze_dim(1), state.clone());
        let zoneout = Zoneout::new(cell, 0.2, 0.6);
        let run = |layer: &Zoneout<_>, key: u64| {
            set_step_key(Key::new(key));
            layer.step(layer.prepare(x.clone()).squeeze_dim(1), state.clone())
        };
        let mixed = run(&zoneout, 7);
        for (old, new, mixed, share) in [(&state.h, &new.h, &mixed.h, 0.2), (&state.c, &new.c, &mixed.c, 0.6)] {
            let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
            let triples: Vec<(f64, f64, f64)> = old.values().into_iter().zip(new.values()).zip(mixed.values()).map(|((a, b), c)| (a, b, c)).collect();
            assert!(triples.iter().all(|(old, new, mixed)| close(*old, *mixed) || close(*new, *mixed)));
            let stayed = triples.iter().filter(|(old, _, mixed)| close(*old, *mixed)).count() as f64 / 1000.0;
            assert!((stayed - share).abs() < 0.06, "{stayed} instead of {share}");
        }
        assert_eq!(bits(&mixed.h), bits(&run(&zoneout, 7).h));
        assert_ne!(bits(&mixed.h), bits(&run(&zoneout, 8).h));
        let frozen = zoneout.freeze();
        assert_close(run(&frozen, 7).h, state.h.clone() * 0.2 + new.h.clone() * 0.8, 1e-5, 1e-6);
    }
}
