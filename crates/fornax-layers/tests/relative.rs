//! T5's attention, capped scores and experts: transformers' values (`reference/relative.py`), forward and gradients.
#![recursion_limit = "256"]

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use fornax_kernels::attention::{Mask, Scores, attention_by};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::{Linear, LinearConfig, MixtureOfExperts, MixtureOfExpertsConfig, RelativeAttention, RelativeAttentionConfig, bucket};
use fornax_testkit::{
    assert_close, assert_exact, bits, check_case, check_layer, devices, each_case, reference, sigmoid_precision, to_dtype, uniform, with_parameters,
};

const FIXTURE: &str = "tests/reference/relative.json";

#[test]
fn distances_have_the_buckets_of_t5() {
    for case in reference(FIXTURE).cases("buckets") {
        let (both, count, furthest) = (case.flag("both"), case.count("count"), case.count("furthest"));
        for (distance, wanted) in case.counts("distances").into_iter().zip(case.counts("buckets")) {
            let distance = distance as i64 - 1000;
            assert_eq!(bucket(distance, both, count, furthest), wanted, "{}: distance {distance}", case.text("name"));
        }
    }
}

#[test]
fn relative_attention() {
    each_case(FIXTURE, "relative_attention", |case, device, dtype| {
        let config = RelativeAttentionConfig {
            width: case.get("proj_weight").counts("shape")[1],
            heads: case.count("heads"),
            head: case.count("head"),
            buckets: case.count("buckets"),
            furthest: case.count("furthest"),
            causal: case.flag("causal"),
        };
        let [batch, time, _] = case.get("x").counts("shape")[..] else { panic!("three dimensions") };
        let hidden = (case.count("hidden") > 0).then(|| {
            let bias: Tensor<4> = Tensor::zeros([batch, 1, 1, time], device);
            bias.slice_fill([0..1, 0..1, 0..1, time - case.count("hidden")..time], f32::NEG_INFINITY)
        });
        check_case(case, (device, dtype, dtype), |d| config.init(d), &["x"], |m: &RelativeAttention, x| m.forward(x[0].clone(), hidden.clone()));
    });
    check_layer(
        |d| RelativeAttentionConfig { buckets: 8, furthest: 16, ..RelativeAttentionConfig::new(4, 2) }.init(d),
        [2, 5, 4],
        [2, 5, 4],
        |m, x| m.forward(x, None),
    );
}

#[test]
fn the_future_is_hidden() {
    for device in devices() {
        let config = RelativeAttentionConfig { buckets: 6, furthest: 16, ..RelativeAttentionConfig::new(4, 2).with_causal(true) };
        let attention = config.init(&device);
        let x: Tensor<3> = uniform([1, 6, 4], 1, &device, DType::F32);
        let other = Tensor::cat(vec![x.clone().narrow(1, 0, 4), uniform([1, 2, 4], 9, &device, DType::F32)], 1);
        let first = |x: Tensor<3>| bits(&attention.forward(x, None).narrow(1, 0, 4));
        assert_eq!(first(x), first(other));
    }
}

/// Attention with a projection.
#[derive(Module, Debug)]
struct Capped {
    proj: Linear,
    cap: f64,
}

#[test]
fn scores_are_held_below_a_cap() {
    each_case(FIXTURE, "soft_cap", |case, device, dtype| {
        let cap = case.number("cap");
        let build = |d: &Device| Capped { proj: LinearConfig::new(4, 4).with_bias(false).init(d), cap };
        check_case(case, (device, dtype, sigmoid_precision(device, dtype)), build, &["q", "k", "v"], |m, x| {
            let [q, k, v] = [0, 1, 2].map(|i: usize| x[i].clone().unsqueeze_dim::<4>(1));
            let scale = (q.dims()[3] as f64).powf(-0.5);
            m.proj.forward(attention_by(q, k, v, &Mask::causal(), Scores { scale, cap: Some(m.cap) }).squeeze_dim::<3>(1))
        });
    });
}

#[test]
fn experts_are_mixtrals() {
    each_case(FIXTURE, "mixture", |case, device, dtype| {
        let width = case.get("router_weight").counts("shape")[0];
        let config = MixtureOfExpertsConfig::new(width, case.count("hidden"), case.count("experts")).with_top(case.count("top"));
        let precision = sigmoid_precision(device, dtype);
        check_case(case, (device, dtype, precision), |d| config.init(d), &["x"], |m: &MixtureOfExperts, x| m.forward(x[0].clone()).output);
        let mixture =
            with_parameters(to_dtype(config.init(device), dtype), |name, values| values.copy_from_slice(&case.values(&name.replace('.', "_"))));
        let x = case.tensor::<3>("x", device, dtype).require_grad();
        let balance = mixture.forward(x.clone()).balance;
        assert_exact("balance", &balance, [case.number("balance")], precision);
        let wanted = case.get("by_balance");
        let grads = balance.backward();
        assert_exact("balance by x", x.grad(&grads).expect("a gradient"), wanted.values("x"), precision);
        let router = mixture.router.weight.val().grad(&grads).expect("a gradient");
        assert_exact("balance by the router", router, wanted.values("router_weight"), precision);
    });
}

/// A token's output depends on no other token; with all experts it is their weighted sum; used alike, the balance is the number of experts a token.
#[test]
fn tokens_go_their_own_ways() {
    for device in devices() {
        set_step_key(Key::new(4));
        let mixture = MixtureOfExpertsConfig::new(4, 5, 3).init(&device);
        let x: Tensor<3> = uniform([2, 6, 4], 1, &device, DType::F32);
        let all = mixture.forward(x.clone()).output;
        for (b, t) in [(0, 0), (1, 5)] {
            let alone = mixture.forward(x.clone().narrow(0, b, 1).narrow(1, t, 1)).output;
            assert_close(alone, all.clone().narrow(0, b, 1).narrow(1, t, 1), 1e-5, 1e-6);
        }
        let dense = MixtureOfExperts { top: 3, ..mixture.clone() }.forward(x.clone()).output;
        let shares = burn::tensor::activation::softmax(mixture.router.forward(x.clone()), 2);
        let sum =
            mixture.experts.iter().enumerate().map(|(e, expert)| expert.forward(x.clone()) * shares.clone().narrow(2, e, 1)).reduce(|a, b| a + b);
        assert_close(dense, sum.expect("experts"), 1e-5, 1e-6);
        let even = MixtureOfExperts { top: 3, ..mixture }.forward(x * 0.0).balance;
        assert_close(even, [3.0], 1e-6, 0.0);
    }
}

#[test]
#[should_panic(expected = "5 of 4 experts a token")]
fn more_experts_than_there_are() {
    MixtureOfExpertsConfig::new(2, 2, 4).with_top(5).init(&Device::flex());
}
