//! Gradients of a model: norm, accumulation, order.
#![recursion_limit = "256"]

use burn::tensor::{DType, Tensor};
use fornax_optimizers::Gradients;
use fornax_testkit::{Pair, Values, assert_close, device, devices, follow, uniform};
use proptest::prelude::*;

fn gradients(seed: u64, device: &burn::tensor::Device, model: &Pair) -> Gradients {
    follow(model, uniform([2, 3], seed, device, DType::F32), uniform([3], seed + 1, device, DType::F32))
}

fn model(device: &burn::tensor::Device) -> Pair {
    Pair::new(uniform([2, 3], 1, device, DType::F32), uniform([3], 2, device, DType::F32))
}

fn all(gradients: &Gradients) -> Vec<f64> {
    gradients.iter().flat_map(|(_, g)| g.values()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn norm_scale_and_clip(seed in 0u64..10_000, factor in 0.001f64..50.0, limit in 0.01f64..10.0) {
        for device in devices() {
            let device = device.autodiff();
            let mut g = gradients(seed, &device, &model(&device));
            let values = all(&g);
            let norm = values.iter().map(|g| g * g).sum::<f64>().sqrt();
            prop_assert!((g.norm() - norm).abs() < 1e-6 * norm);
            g.scale(factor);
            assert_close(all(&g), values.iter().map(|g| g * factor).collect::<Vec<_>>(), 1e-5, 0.0);
            let scaled = g.norm();
            g.clip(scaled, limit);
            let (clipped, wanted) = (g.norm(), scaled.min(limit));
            prop_assert!((clipped - wanted).abs() < 1e-4 * wanted, "{clipped} instead of {wanted}");
            // The direction stays.
            assert_close(all(&g), values.iter().map(|g| g * clipped / norm).collect::<Vec<_>>(), 1e-4, 1e-7);
        }
    }
}

#[test]
fn accumulation_is_the_mean_over_the_whole_batch() {
    for device in devices() {
        let device = device.autodiff();
        let model = model(&device);
        let x = uniform::<2>([8, 2], 5, &device, DType::F32);
        let loss =
            |rows: std::ops::Range<usize>| (x.clone().slice([rows]).matmul(model.matrix.val()) + model.vector.val().unsqueeze()).square().mean();
        let whole = Gradients::of(&loss(0..8), &model);
        let mut sum = Gradients::default();
        assert!(sum.is_empty());
        for part in 0..4 {
            sum.add(Gradients::of(&loss(2 * part..2 * part + 2), &model));
        }
        sum.scale(0.25);
        assert_eq!(sum.len(), 2);
        assert_close(all(&sum), all(&whole), 1e-5, 1e-6);
    }
}

#[test]
fn the_order_is_the_models_and_gradients_have_no_graph() {
    for device in devices() {
        let device = device.autodiff();
        let model = model(&device);
        for seed in 0..20 {
            let g = gradients(seed, &device, &model);
            assert_eq!(g.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [model.matrix.id, model.vector.id]);
            assert!(g.iter().all(|(_, g)| !g.device().is_autodiff()));
            assert_eq!(g.norm().to_bits(), gradients(seed, &device, &model).norm().to_bits());
        }
    }
}

#[test]
#[should_panic(expected = "on a device without `.autodiff()`")]
fn without_autodiff_the_cause_is_named() {
    let device = device();
    let model = model(&device);
    Gradients::of(&model.vector.val().sum(), &model);
}

#[test]
#[should_panic(expected = "is the model frozen")]
fn a_frozen_model_is_named() {
    use burn::module::Module;
    let device = device().autodiff();
    let model = model(&device).no_grad();
    let x = Tensor::<1>::ones([3], &device).require_grad();
    Gradients::of(&(model.vector.val() * x).sum(), &model);
}

#[test]
#[should_panic(expected = "gradients of different models")]
fn gradients_of_different_models_do_not_add() {
    let device = device().autodiff();
    let (a, b) = (model(&device), model(&device));
    gradients(1, &device, &a).add(gradients(1, &device, &b));
}

#[test]
fn clipping_only_ever_shrinks() {
    for device in devices() {
        let device = device.autodiff();
        for share in [0.3, 0.9, 1.01, 1.5, 1.99, 2.01, 10.0] {
            let mut g = gradients(3, &device, &model(&device));
            let norm = g.norm();
            g.clip(norm, norm * share);
            let wanted = norm * share.min(1.0);
            assert!((g.norm() - wanted).abs() < 1e-4 * wanted, "limit {share} of the norm: {} instead of {wanted}", g.norm());
        }
    }
}
