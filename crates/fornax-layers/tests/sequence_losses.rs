//! CTC and CRF: PyTorch's values (`reference/sequence_losses.py`), all paths written out, finite differences, and what does not fit.
#![recursion_limit = "256"]

use burn::tensor::{DType, Tensor, TensorData};
use fornax_layers::{CrfConfig, CtcLoss, CtcReduction, Emission, ctc_beam, ctc_greedy};
use fornax_testkit::{
    Values, assert_close, assert_exact, check_case, check_gradients, check_layer, check_module_gradients, device, devices, each_case, uniform,
};
use proptest::prelude::*;
use std::collections::HashMap;

const FIXTURE: &str = "tests/reference/sequence_losses.json";

#[test]
fn ctc_is_pytorchs() {
    each_case(FIXTURE, "ctc", |case, device, dtype| {
        let reduction = match case.text("reduction").as_str() {
            "mean" => CtcReduction::Mean,
            "sum" => CtcReduction::Sum,
            _ => CtcReduction::None,
        };
        let loss = CtcLoss { blank: case.count("blank"), zero_infinity: case.flag("zero_infinity"), reduction };
        let x: Tensor<3> = case.tensor("x", device, dtype).require_grad();
        let y = loss.forward(x.clone(), &case.lists("targets"), Some(&case.counts("lengths")));
        assert_exact(&case.text("name"), &y, case.values("y"), dtype);
        let grads = (y * case.tensor("direction", device, dtype)).sum().backward();
        assert_exact(&case.text("name"), x.grad(&grads).expect("a gradient"), case.get("gradients").values("x"), dtype);
    });
}

#[test]
fn crf_is_the_sum_over_all_labellings() {
    each_case(FIXTURE, "crf", |case, device, dtype| {
        let (labels, lengths) = (case.lists("labels"), case.counts("lengths"));
        let k = case.get("start").counts("shape")[0];
        check_case(case, (device, dtype, dtype), |d| CrfConfig::new(k).init(d), &["x"], |m, x| m.loss(x[0].clone(), &labels, Some(&lengths)));
        let crf = fornax_testkit::with_parameters(fornax_testkit::to_dtype(CrfConfig::new(k).init(device), dtype), |name, values| {
            values.copy_from_slice(&case.values(name));
        });
        let best: Vec<Vec<usize>> = crf.decode(case.tensor("x", device, dtype), Some(&lengths)).into_iter().map(|(labels, _)| labels).collect();
        assert_eq!(best, case.lists("best"));
    });
}

#[test]
fn gradients_are_finite_differences() {
    for device in devices() {
        let x: Tensor<3> = uniform([3, 6, 4], 1, &device, DType::F64) * 2.0;
        let targets = [vec![1, 1, 3], vec![], vec![2]];
        for reduction in [CtcReduction::Mean, CtcReduction::Sum] {
            let loss = CtcLoss { reduction, ..CtcLoss::default() };
            check_gradients(&device, &x, |x| loss.forward(x, &targets, Some(&[6, 4, 5])));
            // Of something that the loss goes through, too.
            check_gradients(&device, &x, |x| loss.forward(x, &targets, None).square().sum());
        }
        let labels = [vec![0, 3, 3, 1, 2, 0], vec![1], vec![]];
        let crf = fornax_testkit::to_dtype(CrfConfig::new(4).init(&device.clone().autodiff()), DType::F64);
        let weights: Tensor<1> = uniform([3], 5, &device.clone().autodiff(), DType::F64);
        check_gradients(&device, &x, |x| (crf.loss(x, &labels, Some(&[6, 1, 0])) * weights.clone()).sum());
        check_module_gradients(&crf, 20, |crf| {
            let x: Tensor<3> = uniform([3, 6, 4], 1, &device.clone().autodiff(), DType::F64);
            (crf.loss(x * 2.0, &labels, Some(&[6, 1, 0])) * weights.clone()).sum()
        });
    }
    let all = vec![vec![0, 1, 2, 3, 0]; 2];
    check_layer(|d| CrfConfig::new(4).init(d), [2, 5, 4], [2], |m, x| m.loss(x, &all, None));
}

/// Every path of `K` classes over `T` steps with its probability.
fn paths(log_p: &[f64], classes: usize) -> Vec<(Vec<usize>, f64)> {
    let mut all = vec![(vec![], 0.0)];
    for row in log_p.chunks_exact(classes) {
        all = all.into_iter().flat_map(|(path, p): (Vec<usize>, f64)| (0..classes).map(move |k| ([&path[..], &[k]].concat(), p + row[k]))).collect();
    }
    all
}

/// A path without repetitions and blanks.
fn collapse(path: &[usize], blank: usize) -> Vec<usize> {
    let mut path = path.to_vec();
    path.dedup();
    path.retain(|k| *k != blank);
    path
}

/// The probability of every labelling.
fn labellings(logits: &[f64], classes: usize, blank: usize) -> HashMap<Vec<usize>, f64> {
    let total = |row: &[f64]| row.iter().map(|x| x.exp()).sum::<f64>().ln();
    let log_p: Vec<f64> = logits.chunks_exact(classes).flat_map(|row| row.iter().map(|x| x - total(row)).collect::<Vec<_>>()).collect();
    let mut sums = HashMap::new();
    paths(&log_p, classes).into_iter().for_each(|(path, p)| *sums.entry(collapse(&path, blank)).or_insert(0.0) += p.exp());
    sums
}

fn tensor(values: &[f64], shape: [usize; 3]) -> Tensor<3> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (&device(), DType::F64))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn ctc_sums_over_all_paths_and_beams_find_the_best(
        time in 1usize..6, classes in 2usize..4, blank in 0usize..2, values in proptest::collection::vec(-4.0..4.0f64, 15),
    ) {
        let logits = &values[..time * classes.min(values.len() / time)];
        let classes = logits.len() / time;
        prop_assume!(classes >= 2);
        let all = labellings(logits, classes, blank);
        let x = tensor(logits, [1, time, classes]);
        let loss = CtcLoss { blank, reduction: CtcReduction::None, ..CtcLoss::default() };
        for (labels, p) in &all {
            let got = loss.forward(x.clone(), std::slice::from_ref(labels), None).values()[0];
            prop_assert!((got + p.ln()).abs() < 1e-9, "{labels:?}: {got} instead of {}", -p.ln());
        }
        // Probabilities of all labellings that fit sum to one, so none that does not is counted.
        prop_assert!((all.values().sum::<f64>() - 1.0).abs() < 1e-9);
        let beam = &ctc_beam(x.clone(), None, blank, 10_000)[0];
        prop_assert_eq!(beam.len(), all.len());
        for pair in beam.windows(2) {
            prop_assert!(pair[0].log_probability >= pair[1].log_probability);
        }
        for found in beam {
            prop_assert!((found.log_probability - all[&found.labels].ln()).abs() < 1e-9, "{found:?}");
        }
        let narrow = &ctc_beam(x.clone(), None, blank, 1)[0];
        prop_assert_eq!(narrow.len(), 1);
        prop_assert!(narrow[0].log_probability <= beam[0].log_probability + 1e-12);
        // Greedy: the most probable single path.
        let best = logits.chunks_exact(classes).map(|row| (0..classes).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap());
        let greedy: Vec<usize> = ctc_greedy(x, None, blank)[0].iter().map(|e| e.label).collect();
        prop_assert_eq!(greedy, collapse(&best.collect::<Vec<_>>(), blank));
    }
}

#[test]
fn a_beam_sees_what_the_best_path_does_not() {
    // The best path is blank, blank; but "1" has three paths.
    let x = tensor(&[0.6f64.ln(), 0.4f64.ln(), 0.6f64.ln(), 0.4f64.ln()], [1, 2, 2]);
    assert!(ctc_greedy(x.clone(), None, 0)[0].is_empty());
    let beam = ctc_beam(x, None, 0, 5);
    assert_eq!(beam[0][0].labels, [1]);
    assert_close([beam[0][0].log_probability.exp(), beam[0][1].log_probability.exp()], [0.64, 0.36], 1e-9, 0.0);
}

#[test]
fn greedy_tells_where_labels_begin() {
    let path = [0, 2, 2, 0, 2, 1, 1];
    let logits: Vec<f64> = path.iter().flat_map(|k| (0..3).map(move |j| if j == *k { 1.0 } else { 0.0 })).collect();
    let emissions = |pairs: &[[usize; 2]]| pairs.iter().map(|[label, step]| Emission { label: *label, step: *step }).collect::<Vec<_>>();
    assert_eq!(ctc_greedy(tensor(&logits, [1, 7, 3]), None, 0)[0], emissions(&[[2, 1], [2, 4], [1, 5]]));
    assert_eq!(ctc_greedy(tensor(&logits, [1, 7, 3]), Some(&[4]), 0)[0], emissions(&[[2, 1]]));
    assert!(ctc_greedy(tensor(&logits, [1, 7, 3]), Some(&[0]), 0)[0].is_empty());
    assert_eq!(ctc_beam(tensor(&logits, [1, 7, 3]), Some(&[0]), 0, 3)[0].len(), 1);
}

#[test]
fn padding_is_not_looked_at_and_what_does_not_fit_is_infinite() {
    for device in devices().into_iter().map(|d| d.autodiff()) {
        let x: Tensor<3> = uniform([3, 4, 3], 1, &device, DType::F32);
        let x = x.slice_fill([0..1, 2..4], f64::NAN).slice_fill([1..2, 0..4], f64::NAN).require_grad();
        let loss = CtcLoss { reduction: CtcReduction::None, ..CtcLoss::default() };
        // A label in two steps; no label in none; three in two.
        let y = loss.forward(x.clone(), &[vec![1], vec![], vec![1, 1]], Some(&[2, 0, 2]));
        let values = y.values();
        assert!(values[0].is_finite() && values[1] == 0.0 && values[2] == f64::INFINITY, "{values:?}");
        let gradient = x.grad(&y.sum().backward()).expect("a gradient").values();
        assert!(gradient[..6].iter().all(|g| g.is_finite() && *g != 0.0) && gradient[6..].iter().all(|g| *g == 0.0), "{gradient:?}");
        let zero = CtcLoss { zero_infinity: true, ..loss };
        assert_eq!(zero.forward(x.clone(), &[vec![1], vec![1], vec![1, 1]], Some(&[2, 0, 2])).values()[1..], [0.0, 0.0]);
        // A class that cannot be: its logit is −∞, and nothing becomes NaN.
        let masked: Tensor<3> = uniform([1, 4, 3], 1, &device, DType::F32);
        let masked = masked.slice_fill([0..1, 0..4, 2..3], f64::NEG_INFINITY).require_grad();
        let y = loss.forward(masked.clone(), &[vec![1]], None);
        assert!(y.values()[0].is_finite());
        assert!(masked.grad(&y.sum().backward()).expect("a gradient").values().iter().all(|g| g.is_finite()));
    }
}

#[test]
fn labels_outside_the_alphabet_are_named() {
    let loss = CtcLoss { blank: 2, ..CtcLoss::default() };
    assert!(loss.check(&[vec![0, 1], vec![3]], 4).is_ok());
    let error = loss.check(&[vec![0, 1], vec![3, 4]], 4).unwrap_err();
    assert_eq!(error, "label 1 of sequence 1 is 4, which is no class: 4 classes, counted from 0, and 2 is the blank");
    assert!(loss.check(&[vec![2]], 4).unwrap_err().contains("which is the blank"));
    assert!(loss.check(&[vec![]], 2).unwrap_err().contains("no such class"));
}

#[test]
#[should_panic(expected = "label 0 of sequence 0 is 7, which is no class")]
fn the_loss_refuses_them() {
    CtcLoss::default().forward(Tensor::zeros([1, 2, 3], &device()), &[vec![7]], None);
}

#[test]
#[should_panic(expected = "sequence 1: labels of its steps")]
fn a_crf_wants_a_label_for_every_step() {
    CrfConfig::new(3).init(&device()).loss(Tensor::zeros([2, 2, 3], &device()), &[vec![0, 1], vec![0]], None);
}
