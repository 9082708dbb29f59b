//! What [`ConvNetConfig::features`] accepts and refuses.
#![recursion_limit = "256"]

use burn::tensor::Tensor;
use fornax_architectures::{ConvNetConfig, ImageClassifier, Stage};
use fornax_testkit::device;
use proptest::prelude::*;

fn with(stages: Vec<Stage>) -> ConvNetConfig {
    ConvNetConfig { stages, ..ConvNetConfig::tutorial() }
}

#[test]
fn the_tutorials_features() {
    assert_eq!(ConvNetConfig::tutorial().features(), Ok(64 * 6 * 6));
    assert_eq!(with(vec![]).features(), Ok(28 * 28));
}

#[test]
fn a_zero_is_named() {
    let good = Stage::valid3(4, 1);
    for bad in [Stage { channels: 0, ..good }, Stage { kernel: 0, ..good }, Stage { stride: 0, ..good }, Stage { pool: 0, ..good }] {
        let error = with(vec![good, bad]).features().expect_err("a zero");
        assert!(error.contains("stage 1") && error.contains("at least 1"), "{error}");
    }
}

#[test]
fn an_image_that_is_used_up_is_named_with_its_rest() {
    let error = with(vec![Stage::valid3(4, 4), Stage::valid3(4, 4), Stage::valid3(4, 1)]).features().expect_err("28 → 6 → 1 → nothing");
    assert!(error.contains("stage 2") && error.contains("1×1"), "{error}");
    let error = with(vec![Stage::valid3(4, 27)]).features().expect_err("26 pixels cannot be pooled by 27");
    assert!(error.contains("stage 0") && error.contains("28×28"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn features_are_what_the_network_computes(
        height in 1usize..20, width in 1usize..20,
        stages in prop::collection::vec((1usize..4, 1usize..5, 1usize..3, 0usize..3, 1usize..4), 0..4),
    ) {
        let stages: Vec<Stage> =
            stages.into_iter().map(|(channels, kernel, stride, padding, pool)| Stage { channels, kernel, stride, padding, pool }).collect();
        let config = ConvNetConfig { image: [2, height, width], stages, dense: vec![], classes: 3, batch_norm: false, dropout: 0.0, tanh: false };
        // What is accepted runs; what is refused says where.
        match config.features() {
            Ok(features) => {
                let model = config.init(&device());
                prop_assert_eq!(model.head.weight.val().dims(), [features, 3]);
                prop_assert_eq!(model.forward(Tensor::zeros([1, 2, height, width], &device())).dims(), [1, 3]);
            }
            Err(error) => prop_assert!(error.starts_with("stage "), "{}", error),
        }
    }
}

#[test]
#[should_panic(expected = "stage 0 has only 28×28 pixels left")]
fn building_what_does_not_fit_panics_with_the_reason() {
    with(vec![Stage { kernel: 29, ..Stage::valid3(1, 1) }]).init(&device());
}
