//! Recurrent layers against PyTorch (`reference/recurrent.py`), and used as streams.
#![recursion_limit = "256"]

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor, TensorData};
use fornax_kernels::{device::BackendName, random::Key, random::set_step_key};
use fornax_layers::{Cell, Recurrent, RecurrentConfig, RecurrentState};
use fornax_testkit::{Reference, Values, bits, devices, reference, to_dtype, uniform};
use fornax_weights::state as tensors_of;

/// 8 `wave(k)` of the fixture.
fn numbers<const D: usize>(k: usize, shape: [usize; D], device: &Device, dtype: DType) -> Tensor<D> {
    let values = (0..shape.iter().product::<usize>()).map(|i| 8.0 * f64::from((0.1 * (0.37 * i as f64 + k as f64).sin()) as f32)).collect();
    Tensor::from_data(TensorData::new::<f64, _>(values, shape).convert_dtype(dtype), (device, dtype))
}

/// Within 1e-5 of the largest in f32.
#[track_caller]
fn near(what: &str, got: impl Values, want: impl Values, dtype: DType) {
    let (got, want) = (got.values(), want.values());
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(0f64, |max, x| max.max(x.abs()));
    let allowed = largest * if dtype == DType::F64 { 1e-9 } else { 1e-5 };
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        assert!((got - want).abs() <= allowed, "{what}, element {i} in {dtype:?}: {got} instead of {want} (of at most {largest})");
    }
}

fn config(case: &Reference) -> RecurrentConfig {
    let cell = match case.text("cell").as_str() {
        "lstm" => Cell::Lstm,
        "gru" => Cell::Gru,
        "tanh" => Cell::Tanh,
        "relu" => Cell::Relu,
        other => panic!("a fixture of `{other}`"),
    };
    let projection = Some(case.count("projection")).filter(|p| *p > 0);
    RecurrentConfig {
        projection,
        ..RecurrentConfig::new(cell, 3, 2).with_layers(case.count("layers")).with_bidirectional(case.flag("bidirectional"))
    }
}

/// Every parameter with its name in PyTorch.
fn parameters(layer: &mut Recurrent, each: &mut dyn FnMut(String, Parameter)) {
    let directions = layer.config.directions();
    for (i, d) in layer.directions.iter_mut().enumerate() {
        let name = |kind: &str| format!("{kind}_l{}{}", i / directions, ["", "_reverse"][i % directions]);
        each(name("weight_ih"), Parameter::Matrix(&mut d.weight_ih));
        each(name("weight_hh"), Parameter::Matrix(&mut d.weight_hh));
        d.bias_ih.iter_mut().for_each(|b| each(name("bias_ih"), Parameter::Vector(b)));
        d.bias_hh.iter_mut().for_each(|b| each(name("bias_hh"), Parameter::Vector(b)));
        d.weight_hr.iter_mut().for_each(|w| each(name("weight_hr"), Parameter::Matrix(w)));
    }
}

enum Parameter<'a> {
    Matrix(&'a mut Param<Tensor<2>>),
    Vector(&'a mut Param<Tensor<1>>),
}

/// On every device in both types; NdArray's sigmoid is in f32 whatever the type.
fn check(case: &Reference, device: &Device, dtype: DType) {
    let (config, name) = (config(case), case.text("name"));
    let ndarray = BackendName::NdArray.device(None).is_ok_and(|ndarray| ndarray == *device);
    let precision = if ndarray { DType::F32 } else { dtype };
    let device = &device.clone().autodiff();
    let names: Vec<String> = case.list("parameters").iter().map(Reference::string).collect();
    let mut layer = to_dtype(config.init(device), dtype);
    let mut seen = 0;
    parameters(&mut layer, &mut |name, parameter| {
        let k = 7 + names.iter().position(|n| *n == name).unwrap_or_else(|| panic!("PyTorch has no `{name}`"));
        seen += 1;
        match parameter {
            Parameter::Matrix(p) => *p = Param::from_tensor(numbers(k, p.dims(), device, dtype)),
            Parameter::Vector(p) => *p = Param::from_tensor(numbers(k, p.dims(), device, dtype)),
        }
    });
    assert_eq!(seen, names.len(), "{name}: parameters");

    let lengths = Some(case.counts("lengths")).filter(|lengths| !lengths.is_empty());
    let stacked = config.layers * config.directions();
    let mut x = numbers::<3>(1, [3, 4, 3], device, dtype);
    // Nobody looks at padding.
    for (b, length) in lengths.iter().flatten().enumerate().filter(|(_, length)| **length < 4) {
        x = x.slice_fill([b..b + 1, *length..4, 0..3], f64::NAN);
    }
    let x = x.require_grad();
    let h = numbers::<3>(2, [stacked, 3, config.outputs()], device, dtype).require_grad();
    let c = numbers::<3>(3, [stacked, 3, 2], device, dtype).require_grad();
    let first = RecurrentState { h: h.clone(), c: (config.cell == Cell::Lstm).then(|| c.clone()) };
    let (y, last) = layer.forward_from(x.clone(), Some(&first), lengths.as_deref());
    near(&name, &y, case.values("y"), precision);
    near(&format!("{name}: last h"), &last.h, case.values("last_h"), precision);
    let times = |y: Tensor<3>, k: usize| -> Tensor<1> { (y.clone() * numbers(k, y.dims(), device, dtype)).sum() };
    let mut loss = times(y, 4) + times(last.h, 5);
    if let Some(last_c) = last.c {
        near(&format!("{name}: last c"), &last_c, case.values("last_c"), precision);
        loss = loss + times(last_c, 6);
    }
    let grads = loss.backward();
    let wanted = case.get("gradients");
    let gradient = |what: &str, got: Option<TensorData>| {
        let what_of = format!("{name}: gradient of {what}");
        near(&what_of, got.unwrap_or_else(|| panic!("{what_of} is missing")), wanted.values(what), precision);
    };
    gradient("x", x.grad(&grads).map(Tensor::into_data));
    gradient("h", h.grad(&grads).map(Tensor::into_data));
    if config.cell == Cell::Lstm {
        gradient("c", c.grad(&grads).map(Tensor::into_data));
    }
    parameters(&mut layer, &mut |name, parameter| match parameter {
        Parameter::Matrix(p) => gradient(&name, p.val().grad(&grads).map(Tensor::into_data)),
        Parameter::Vector(p) => gradient(&name, p.val().grad(&grads).map(Tensor::into_data)),
    });
}

#[test]
fn all_that_pytorch_gives() {
    for case in reference("tests/reference/recurrent.json").cases("recurrent") {
        for device in devices() {
            for dtype in [DType::F32, DType::F64] {
                check(&case, &device, dtype);
            }
        }
    }
}

fn configs() -> [RecurrentConfig; 4] {
    [
        RecurrentConfig::lstm(5, 19),
        RecurrentConfig::gru(5, 17).with_layers(2),
        RecurrentConfig::rnn(5, 3).with_layers(3),
        RecurrentConfig::lstm(5, 8).with_projection(3).with_layers(2),
    ]
}

#[test]
fn a_stream_in_pieces_is_the_whole() {
    for device in devices() {
        for config in configs() {
            set_step_key(Key::new(4));
            let layer = config.init(&device);
            let x: Tensor<3> = uniform([2, 7, 5], 1, &device, DType::F32);
            let (whole, last) = layer.forward_from(x.clone(), None, None);
            let (mut pieces, mut state) = (vec![], None);
            for piece in x.split_with_sizes(vec![1, 1, 3, 2], 1) {
                let (y, next) = layer.forward_from(piece, state.as_ref(), None);
                pieces.push(y);
                state = Some(next);
            }
            let state = state.expect("pieces went through");
            near("y", Tensor::cat(pieces, 1), whole, DType::F32);
            near("h", state.h, last.h, DType::F32);
            state.c.zip(last.c).into_iter().for_each(|(c, last)| near("c", c, last, DType::F32));
        }
    }
}

#[test]
fn a_detached_state_ends_the_gradient() {
    for device in devices().into_iter().map(Device::autodiff) {
        let layer = RecurrentConfig::lstm(5, 4).init(&device);
        let gradient = |cut: bool| {
            let x: Tensor<3> = uniform([2, 3, 5], 1, &device, DType::F32);
            let x = x.require_grad();
            let (_, state) = layer.forward_from(x.clone(), None, None);
            let state = if cut { state.detach() } else { state };
            let (y, _) = layer.forward_from(uniform([2, 3, 5], 2, &device, DType::F32), Some(&state), None);
            x.grad(&y.sum().backward())
        };
        assert!(gradient(true).is_none(), "history behind the cut");
        let through = gradient(false).expect("a gradient through the state");
        assert!(through.abs().sum().into_scalar::<f32>() > 0.0);
    }
}

#[test]
fn dropout_is_between_layers_and_a_function_of_the_key() {
    for device in devices().into_iter().map(Device::autodiff) {
        set_step_key(Key::new(1));
        let x: Tensor<3> = uniform([2, 4, 5], 1, &device, DType::F32);
        let run = |layer: &Recurrent, key: u64| {
            set_step_key(Key::new(key));
            bits(&layer.forward(x.clone()))
        };
        let one = RecurrentConfig::gru(5, 4).with_dropout(0.5).init(&device);
        assert_eq!(run(&one, 1), run(&one, 2), "a single layer has no dropout");
        let two = RecurrentConfig::gru(5, 4).with_layers(2).with_dropout(0.5).init(&device);
        assert_eq!(run(&two, 1), run(&two, 1));
        assert_ne!(run(&two, 1), run(&two, 2));
    }
}

#[test]
fn names_and_first_weights_are_pytorchs() {
    let device = &devices()[0];
    let config = RecurrentConfig::lstm(3, 16).with_layers(2).with_bidirectional(true);
    set_step_key(Key::new(0));
    let layer = config.init(device);
    let tensors = tensors_of(&layer);
    let names: Vec<String> = tensors.keys().filter_map(|name| layer.pytorch_name(name)).collect();
    assert_eq!(names.len(), 16);
    assert!(names.contains(&"weight_hh_l1_reverse".to_string()) && names.contains(&"bias_ih_l0".to_string()), "{names:?}");
    let weights: Vec<f32> =
        tensors.iter().filter(|(name, _)| layer.pytorch_name(name).is_some()).flat_map(|(_, x)| x.iter::<f32>().collect::<Vec<_>>()).collect();
    let largest = weights.iter().fold(0f32, |max, x| max.max(x.abs()));
    assert!(largest <= 0.25 && largest > 0.249, "U(-1/4, 1/4) for 16 units, and {largest} is the largest");
}
