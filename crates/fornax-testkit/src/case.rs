use crate::{Reference, Values, parameters, reference, to_dtype, with_parameters};
use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use fornax_kernels::device::BackendName;
use fornax_optimizers::Gradients;

/// Runs `check` for every case of a kind in a fixture, on every device with autodiff, in f32 and f64.
pub fn each_case(path: &str, kind: &str, check: impl Fn(&Reference, &Device, DType)) {
    for case in reference(path).cases(kind) {
        for device in crate::devices() {
            for dtype in [DType::F32, DType::F64] {
                check(&case, &device.clone().autodiff(), dtype);
            }
        }
    }
}

/// The type whose precision to expect: Burn's NdArray backend computes the sigmoid in f32 whatever the type.
pub fn sigmoid_precision(device: &Device, dtype: DType) -> DType {
    let ndarray = BackendName::NdArray.device(None).is_ok_and(|ndarray| ndarray == *device);
    if ndarray { DType::F32 } else { dtype }
}

/// Holds values to those of a fixture: within 1e-5 of the largest in f32, 1e-9 in f64.
///
/// # Panics
/// If it does not hold.
#[track_caller]
pub fn assert_exact(what: &str, got: impl Values, expected: impl Values, precision: DType) {
    let (got, expected) = (got.values(), expected.values());
    assert_eq!(got.len(), expected.len(), "{what}: number of elements");
    let largest = expected.iter().fold(0f64, |max, x| max.max(x.abs()));
    let allowed = largest * if precision == DType::F64 { 1e-9 } else { 1e-5 };
    for (i, (g, e)) in got.iter().zip(&expected).enumerate() {
        assert!((g - e).abs() <= allowed, "{what}, element {i} in {precision:?}: {g} instead of {e} (of at most {largest})");
    }
}

/// Holds a module to a case of a fixture: its `y`, and the `gradients` of `Σ y ⊙ direction` by every one of `inputs` and every parameter.
///
/// Parameters are the case's members of their names, with `_` for `.`; all of them must be there, and all get a gradient.
///
/// # Panics
/// If something differs by more than [`assert_exact`] allows.
#[track_caller]
pub fn check_case<M: Module, const O: usize>(
    case: &Reference,
    (device, dtype, precision): (&Device, DType, DType),
    build: impl Fn(&Device) -> M,
    inputs: &[&str],
    forward: impl Fn(&M, &[Tensor<3>]) -> Tensor<O>,
) {
    let name = case.text("name");
    let member = |parameter: &str| parameter.replace('.', "_");
    let module = with_parameters(to_dtype(build(device), dtype), |parameter, values| values.copy_from_slice(&case.values(&member(parameter))));
    let leaves: Vec<Tensor<3>> = inputs.iter().map(|input| case.tensor::<3>(input, device, dtype).require_grad()).collect();
    let loss = || {
        let y = forward(&module, &leaves);
        assert_exact(&name, &y, case.values("y"), precision);
        (y * case.tensor("direction", device, dtype)).sum()
    };
    let wanted = case.get("gradients");
    let grads = loss().backward();
    for (input, leaf) in inputs.iter().zip(&leaves) {
        let gradient = leaf.grad(&grads).unwrap_or_else(|| panic!("{name}: {input} gets no gradient"));
        assert_exact(&format!("{name}: gradient of {input}"), gradient, wanted.values(input), precision);
    }
    let gradients = Gradients::of(&loss(), &module);
    for (id, parameter, _) in parameters(&module) {
        let gradient = gradients.get(id).unwrap_or_else(|| panic!("{name}: `{parameter}` gets no gradient"));
        assert_exact(&format!("{name}: gradient of {parameter}"), gradient, wanted.values(&member(&parameter)), precision);
    }
}
