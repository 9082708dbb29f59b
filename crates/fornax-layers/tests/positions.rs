//! Positions: values of the papers' equations done by hand, and what they promise.
#![recursion_limit = "256"]

use burn::tensor::{DType, Tensor};
use fornax_layers::positions::{Pairing, Rotary, alibi, hide_padding, sinusoidal, sliding_window};
use fornax_testkit::{assert_close, bits, devices, uniform};

const HIDDEN: f32 = f32::NEG_INFINITY;

#[test]
fn sines_and_cosines_are_the_papers() {
    for device in devices() {
        let all: Vec<f32> = sinusoidal(0, 3, 4, &device, DType::F32).into_data().iter::<f32>().collect();
        let want = [0.0, 1.0, 0.0, 1.0, 1f64.sin(), 1f64.cos(), 0.01f64.sin(), 0.01f64.cos(), 2f64.sin(), 2f64.cos(), 0.02f64.sin(), 0.02f64.cos()];
        all.iter().zip(want).for_each(|(got, want)| assert!((f64::from(*got) - want).abs() < 1e-7, "{got} {want}"));
        assert_eq!(bits(&sinusoidal(0, 9, 5, &device, DType::F32).narrow(0, 4, 5)), bits(&sinusoidal(4, 5, 5, &device, DType::F32)));
    }
}

#[test]
fn rotary_products_depend_on_the_distance_alone() {
    for (device, pairing) in devices().into_iter().flat_map(|d| [(d.clone(), Pairing::Halves), (d, Pairing::Neighbours)]) {
        let rotary = Rotary::new(pairing);
        let [q, k] = [1, 2].map(|seed| uniform::<4>([1, 2, 1, 6], seed, &device, DType::F32));
        let product = |i: usize, j: usize| (rotary.forward(q.clone(), i) * rotary.forward(k.clone(), j)).sum_dim(3);
        assert_close(product(7, 3), product(104, 100), 1e-4, 1e-5);
        // Position 0 is not turned; position 1 turns the first pair by one radian.
        assert_eq!(bits(&rotary.forward(q.clone(), 0)), bits(&q));
        let [first, second] = if pairing == Pairing::Halves { [0, 3] } else { [0, 1] };
        let part = |x: Tensor<4>, i: usize| x.narrow(3, i, 1);
        let turned = part(q.clone(), first) * 1f64.cos() - part(q.clone(), second) * 1f64.sin();
        assert_close(part(rotary.forward(q.clone(), 1), first), turned, 1e-5, 1e-6);
        // In one piece as in two.
        let long = uniform::<4>([2, 3, 5, 4], 3, &device, DType::F32);
        let pieces = vec![rotary.forward(long.clone().narrow(2, 0, 2), 0), rotary.forward(long.clone().narrow(2, 2, 3), 2)];
        assert_eq!(bits(&rotary.forward(long, 0)), bits(&Tensor::cat(pieces, 2)));
    }
}

#[test]
fn linear_biases_have_the_papers_slopes() {
    for device in devices() {
        let values = |x: Tensor<4>| x.into_data().iter::<f32>().collect::<Vec<f32>>();
        assert_eq!(
            values(alibi(2, 1, 2, &device)),
            [-0.0625, 0.0, HIDDEN, -0.125, -0.0625, 0.0, -0.003_906_25, 0.0, HIDDEN, -0.007_812_5, -0.003_906_25, 0.0]
        );
        // Three heads: those of two, and the first of four.
        let slopes = values(alibi(3, 0, 2, &device).slice([0..1, 0..3, 1..2, 0..1]));
        assert_eq!(slopes, [-0.0625, -0.003_906_25, -0.25]);
    }
}

#[test]
fn windows_and_padding_hide() {
    for device in devices() {
        let seen = |x: Tensor<4>| x.into_data().iter::<f32>().map(|x| u8::from(x == 0.0)).collect::<Vec<u8>>();
        assert_eq!(seen(sliding_window(2, 1, 3, &device)), [1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1]);
        assert_eq!(seen(hide_padding(&[2, 0, 3], 3, &device)), [1, 1, 0, 0, 0, 0, 1, 1, 1]);
    }
}
