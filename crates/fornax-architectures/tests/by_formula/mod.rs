//! Models whose weights are given by a formula, beside PyTorch's.

use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor};
use fornax_layers::loss::cross_entropy;
use fornax_optimizers::Gradients;
use fornax_testkit::{Reference, Values, assert_exact, devices, parameters, reference, sigmoid_precision, to_dtype, with_parameters};
use fornax_weights::count_trainable;

/// Logits, loss and all gradients of a case of a file; weights are a wave of their position in it.
pub(crate) fn check<M: Module>(file: &str, name: &str, build: impl Fn(&Device) -> M, forward: impl Fn(&M, &Reference, &Device, DType) -> Tensor<2>) {
    let cases = reference(&format!("tests/reference/{file}.json")).list("cases");
    let case = cases.into_iter().find(|case| case.text("name") == name).expect("a case of that name");
    let weights = case.list("weights");
    let position = |name: &str| weights.iter().position(|w| w.text("name") == name).unwrap_or_else(|| panic!("PyTorch's model has no `{name}`"));
    for device in devices() {
        for dtype in [DType::F32, DType::F64] {
            let precision = sigmoid_precision(&device, dtype);
            let device = device.clone().autodiff();
            let model = with_parameters(to_dtype(build(&device), dtype), |name, values| {
                let k = position(name) as f64;
                values.iter_mut().enumerate().for_each(|(i, x)| *x = 5.0 * f64::from((0.1 * (0.37 * i as f64 + k).sin()) as f32));
            });
            assert_eq!(count_trainable(&model), case.count("parameters"));
            assert_eq!(parameters(&model).len(), weights.len());
            let logits = forward(&model, &case, &device, dtype);
            assert_exact(&format!("{name}: logits"), &logits, case.values("logits"), precision);
            let classes: Vec<i64> = case.counts("classes").into_iter().map(|c| c as i64).collect();
            let loss = cross_entropy(logits, Tensor::<1, Int>::from_data(classes.as_slice(), &device), 0.0);
            assert_exact(&format!("{name}: loss"), &loss, [case.number("loss")], precision);
            let gradients = Gradients::of(&loss, &model);
            let share = if precision == DType::F64 { 1e-8 } else { 3e-5 };
            // A gradient that is the small rest of large terms, as under a softmax, is held to the size of those.
            let floor = 1e-2 * weights.iter().filter(|w| w.has("largest")).map(|w| w.number("largest")).fold(0f64, f64::max);
            for (id, parameter, _) in parameters(&model) {
                let expected = &weights[position(&parameter)];
                if !expected.has("norm") {
                    assert!(gradients.get(id).is_none(), "{name}: {parameter} is not learned");
                    continue;
                }
                let gradient = gradients.get(id).expect("a gradient").values();
                let (largest, norm) = (expected.number("largest").max(floor), expected.number("norm").max(floor));
                for (i, want) in expected.counts("indices").into_iter().zip(expected.values("samples")) {
                    assert!((gradient[i] - want).abs() <= share * largest, "{name}: {parameter} {i} in {dtype:?}: {} instead of {want}", gradient[i]);
                }
                assert!(
                    (gradient.iter().map(|g| g * g).sum::<f64>().sqrt() - expected.number("norm")).abs() <= share * norm,
                    "{name}: the norm of {parameter}"
                );
                let projection = gradient.iter().enumerate().map(|(i, g)| g * (0.61 * i as f64).cos()).sum::<f64>();
                assert!((projection - expected.number("projection")).abs() <= share * norm, "{name}: the projection of {parameter}");
            }
        }
    }
}
