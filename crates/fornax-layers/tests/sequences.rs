//! Layers over sequences of different lengths against PyTorch (`reference/sequences.py`), and what padding must not do.
#![recursion_limit = "256"]

use burn::tensor::{DType, Device, Tensor};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::{
    AdditiveAttentionConfig, AttentionPoolConfig, Cell, DropoutConfig, LuongAttentionConfig, MaxOverTimeConfig, RecurrentConfig, TemporalConvConfig,
    steps::mean_over_steps, steps::softmax_over_steps,
};
use fornax_testkit::{assert_close, bits, check_case, check_layer, devices, each_case, uniform};

const FIXTURE: &str = "tests/reference/sequences.json";

#[test]
fn attention_pooling() {
    each_case(FIXTURE, "attention_pool", |case, device, dtype| {
        let lengths = case.counts("lengths");
        check_case(case, (device, dtype, dtype), |d| AttentionPoolConfig::new(4, 3).init(d), &["x"], |m, x| m.forward(x[0].clone(), Some(&lengths)));
    });
    check_layer(|d| AttentionPoolConfig::new(4, 3).init(d), [2, 3, 4], [2, 4], |m, x| m.forward(x, None));
}

#[test]
fn additive_attention() {
    each_case(FIXTURE, "additive", |case, device, dtype| {
        let lengths = case.counts("lengths");
        let build = |d: &Device| AdditiveAttentionConfig::new(3, 4, 5).init(d);
        check_case(case, (device, dtype, dtype), build, &["queries", "keys"], |m, x| {
            m.forward(x[0].clone(), x[1].clone(), m.project(x[1].clone(), Some(&lengths)), Some(&lengths)).0
        });
    });
}

#[test]
fn luong_attention() {
    each_case(FIXTURE, "luong", |case, device, dtype| {
        let (lengths, general) = (case.counts("lengths"), case.flag("general"));
        let build = |d: &Device| LuongAttentionConfig::new(if general { 3 } else { 4 }, 4).with_dot(!general).init(d);
        check_case(case, (device, dtype, dtype), build, &["queries", "keys"], |m, x| m.forward(x[0].clone(), x[1].clone(), Some(&lengths)).0);
    });
}

#[test]
fn temporal_convolution() {
    each_case(FIXTURE, "temporal_conv", |case, device, dtype| {
        let (lengths, stride) = (case.counts("lengths"), case.count("stride"));
        let [outputs, inputs, kernel] = case.get("weight").counts("shape")[..] else { panic!("a kernel has three dimensions") };
        let build = |d: &Device| TemporalConvConfig::new(inputs, outputs, kernel).with_stride(stride).init(d);
        let after: Vec<usize> = lengths.iter().map(|length| length.div_ceil(stride)).collect();
        check_case(case, (device, dtype, dtype), build, &["x"], |m, x| {
            let (y, shorter) = m.forward(x[0].clone(), Some(&lengths));
            assert_eq!(shorter.as_ref(), Some(&after));
            y
        });
    });
    check_layer(|d| TemporalConvConfig::new(2, 3, 3).init(d), [2, 5, 2], [2, 5, 3], |m, x| m.forward(x, None).0);
}

/// PyTorch's values are those of `TextCnn`.
#[test]
fn strongest_answers_of_filters() {
    for kernel in [1, 2, 4] {
        check_layer(|d| MaxOverTimeConfig::new(2, 3, kernel).init(d), [2, 3, 2], [2, 3], |m, x| m.forward(x, None));
        check_layer(|d| MaxOverTimeConfig::new(2, 3, kernel).init(d), [2, 3, 2], [2, 3], |m, x| m.forward(x, Some(&[3, 1])));
    }
    for device in devices() {
        let filters = MaxOverTimeConfig::new(3, 4, 2).init(&device);
        let x: Tensor<3> = uniform([2, 5, 3], 1, &device, DType::F32);
        let spoiled = x.clone().slice_fill([1..2, 2..5, 0..3], f64::NAN);
        let answers = filters.forward(spoiled, Some(&[5, 2]));
        assert_close(answers.clone().narrow(0, 1, 1), filters.forward(x.clone().narrow(0, 1, 1).narrow(1, 0, 2), None), 1e-6, 1e-7);
        assert_close(answers.narrow(0, 0, 1), filters.forward(x.narrow(0, 0, 1), None), 1e-6, 1e-7);
    }
}

/// NaN in padding reaches no result, and its gradient is exactly zero.
#[test]
fn nobody_looks_at_padding() {
    let lengths = [2, 0, 4];
    for device in devices().into_iter().map(Device::autodiff) {
        let (pool, additive) = (AttentionPoolConfig::new(3, 4).init(&device), AdditiveAttentionConfig::new(3, 3, 4).init(&device));
        let (luong, conv) = (LuongAttentionConfig::new(3, 3).init(&device), TemporalConvConfig::new(3, 2, 3).init(&device));
        let queries = uniform([3, 2, 3], 2, &device, DType::F32);
        let check = |what: &str, forward: &dyn Fn(Tensor<3>) -> Tensor<1>| {
            let mut x: Tensor<3> = uniform([3, 4, 3], 1, &device, DType::F32);
            let clean = forward(x.clone());
            for (b, length) in lengths.into_iter().enumerate().filter(|(_, length)| *length < 4) {
                x = x.slice_fill([b..b + 1, length..4, 0..3], f64::NAN);
            }
            let x = x.require_grad();
            let loss = forward(x.clone());
            assert!(bits(&loss) == bits(&clean), "{what} looks at padding");
            let gradient: Vec<f32> = x.grad(&loss.backward()).expect("a gradient").to_data().iter::<f32>().collect();
            for (i, g) in gradient.iter().enumerate() {
                let padding = (i / 3) % 4 >= lengths[i / 12];
                assert!(if padding { *g == 0.0 } else { g.is_finite() && *g != 0.0 }, "{what}: gradient {g} of element {i}");
            }
        };
        let squares = |y: Tensor<3>| -> Tensor<1> { (y * 3.0).exp().sum() };
        check("attention pooling", &|x| squares(pool.forward(x, Some(&lengths)).unsqueeze_dim(1)));
        check("additive attention", &|x| {
            squares(additive.forward(queries.clone(), x.clone(), additive.project(x, Some(&lengths)), Some(&lengths)).0)
        });
        check("Luong's attention", &|x| squares(luong.forward(queries.clone(), x, Some(&lengths)).0));
        check("the mean", &|x| squares(mean_over_steps(x, Some(&lengths)).unsqueeze_dim(1)));
        let once = conv.forward(uniform([3, 4, 3], 1, &device, DType::F32), Some(&lengths)).0;
        let wider = Tensor::cat(vec![uniform([3, 4, 3], 1, &device, DType::F32), uniform([3, 2, 3], 9, &device, DType::F32)], 1);
        assert_close(conv.forward(wider, Some(&lengths)).0.narrow(1, 0, 4), once, 1e-6, 1e-7);
    }
}

#[test]
fn weights_are_a_softmax_over_the_steps_there_are() {
    for device in devices() {
        let scores: Tensor<3> = uniform([3, 1, 4], 3, &device, DType::F32) * 50.0;
        let weights = softmax_over_steps(scores.clone(), Some(&[4, 2, 0]));
        let sums: Vec<f32> = weights.clone().sum_dim(2).to_data().iter::<f32>().collect();
        assert_close(sums.iter().map(|x| f64::from(*x)).collect::<Vec<_>>(), [1.0, 1.0, 0.0], 0.0, 1e-6);
        let two = softmax_over_steps(scores.narrow(0, 1, 1).narrow(2, 0, 2), None);
        assert_close(weights.clone().narrow(0, 1, 1).narrow(2, 0, 2), two, 1e-6, 0.0);
        assert_close(weights.narrow(0, 1, 1).narrow(2, 2, 2), [0.0, 0.0], 0.0, 0.0);
    }
}

#[test]
#[should_panic(expected = "lengths [5] of sequences of 4 steps")]
fn a_length_above_the_time_is_named() {
    mean_over_steps(Tensor::zeros([1, 4, 2], &fornax_testkit::device()), Some(&[5]));
}

#[test]
fn a_locked_mask_is_the_same_at_every_step() {
    for device in devices() {
        let ones = Tensor::<3>::ones([40, 3, 50], &device.clone().autodiff());
        let dropout = DropoutConfig::new(0.25).init_locked();
        set_step_key(Key::new(1));
        let y: Vec<f32> = dropout.forward(ones.clone()).to_data().iter::<f32>().collect();
        let kept = |b: usize, t: usize, d: usize| y[(b * 3 + t) * 50 + d];
        let all = (0..40).flat_map(|b| (0..50).map(move |d| (b, d)));
        assert!(all.clone().all(|(b, d)| kept(b, 0, d) == kept(b, 1, d) && kept(b, 0, d) == kept(b, 2, d)));
        assert!(y.iter().all(|x| *x == 0.0 || (*x - 4.0 / 3.0).abs() < 1e-6));
        let share = all.filter(|(b, d)| kept(*b, 0, *d) > 0.0).count() as f64 / 2000.0;
        assert!((share - 0.75).abs() < 0.04, "{share}");
        assert!((0..50).any(|d| kept(0, 0, d) != kept(1, 0, d)), "each sequence has a mask of its own");
        assert!(bits(&dropout.forward(Tensor::ones([2, 3, 50], &device))) == bits(&Tensor::<3>::ones([2, 3, 50], &device)), "only in training");
    }
}

/// All cells, both directions: padding of NaN reaches nothing and its gradient is exactly zero; sequences and batches of no steps are right, too.
#[test]
fn recurrent_layers_do_not_look_at_padding() {
    for device in devices().into_iter().map(Device::autodiff) {
        for cell in [Cell::Lstm, Cell::Gru, Cell::Tanh, Cell::Relu] {
            let layer = RecurrentConfig::new(cell, 3, 5).with_layers(2).with_bidirectional(true).init(&device);
            for lengths in [[2, 0, 4], [0, 0, 0]] {
                let mut x: Tensor<3> = uniform([3, 4, 3], 1, &device, DType::F32);
                for (b, length) in lengths.into_iter().enumerate().filter(|(_, length)| *length < 4) {
                    x = x.slice_fill([b..b + 1, length..4, 0..3], f64::NAN);
                }
                let x = x.require_grad();
                let (y, last) = layer.forward_from(x.clone(), None, Some(&lengths));
                for (i, y) in y.to_data().iter::<f32>().enumerate() {
                    let padding = (i / 10) % 4 >= lengths[i / 40];
                    assert!(if padding { y == 0.0 } else { y.is_finite() }, "{cell:?}: {y} at {i} with {lengths:?}");
                }
                let none: Vec<f32> = last.h.clone().narrow(1, 1, 1).to_data().iter::<f32>().collect();
                assert!(none.iter().all(|h| *h == 0.0), "the state after no steps is the first one");
                let grads = (y.square().sum() + last.h.square().sum()).backward();
                for (i, g) in x.grad(&grads).expect("a gradient").to_data().iter::<f32>().enumerate() {
                    let padding = (i / 3) % 4 >= lengths[i / 12];
                    assert!(if padding { g == 0.0 } else { g.is_finite() }, "{cell:?}: gradient {g} at {i} with {lengths:?}");
                }
            }
        }
    }
}
