use crate::module::{parameters, to_dtype, with_parameters};
use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};
use fornax_kernels::random::Key;
use fornax_optimizers::Gradients;

/// Half the distance of a central difference. In f64 its error is about h² = 1e-10 from the third derivative, and 1e-16 / h = 1e-11
/// from rounding.
const STEP: f64 = 1e-5;
/// What a gradient may differ by, of the largest: far above both errors, far below a wrong term.
const TOLERANCE: f64 = 1e-6;

/// Compares the gradient of a scalar function with central finite differences, all in f64, in every element of `x`.
///
/// `f` must be smooth within 1e-5 of `x`: keep away from the corners of a ReLU.
///
/// # Panics
/// If an element differs by more than a millionth of the largest.
#[track_caller]
pub fn check_gradients<const D: usize>(device: &Device, x: &Tensor<D>, f: impl Fn(Tensor<D>) -> Tensor<1>) {
    let device = device.clone().autodiff();
    let data = x.to_data().convert::<f64>();
    let leaf = |values: Vec<f64>| Tensor::<D>::from_data(TensorData::new(values, x.dims()), (&device, DType::F64)).require_grad();
    let values: Vec<f64> = data.iter::<f64>().collect();
    let at = |values: Vec<f64>| value(&f(leaf(values)));

    let leaf_x = leaf(values.clone());
    let loss = f(leaf_x.clone());
    let gradient: Vec<f64> = leaf_x.grad(&loss.backward()).expect("the function does not depend on x").to_data().iter::<f64>().collect();
    let differences = (0..values.len()).map(|i| {
        let moved = |by: f64| at(values.iter().enumerate().map(|(j, &v)| if i == j { v + by } else { v }).collect());
        (i, (moved(STEP) - moved(-STEP)) / (2.0 * STEP))
    });
    compare("x", &gradient, &differences.collect::<Vec<_>>());
}

/// As [`check_gradients`], for up to `samples` elements of each trainable parameter of a module, which is cast to f64.
///
/// # Panics
/// As there, or if no parameter is trainable.
#[track_caller]
pub fn check_module_gradients<M: Module>(module: &M, samples: usize, f: impl Fn(&M) -> Tensor<1>) {
    let module = to_dtype(module.clone(), DType::F64);
    let gradients = Gradients::of(&f(&module), &module);
    for (k, (id, name, values)) in parameters(&module).into_iter().enumerate() {
        let gradient: Vec<f64> = gradients.get(id).unwrap_or_else(|| panic!("`{name}` got no gradient")).to_data().iter::<f64>().collect();
        let key = Key::new(k as u64);
        let all = values.len();
        let chosen: Vec<usize> =
            if all <= samples { (0..all).collect() } else { (0..samples).map(|s| (key.bits(s as u64) % all as u64) as usize).collect() };
        let differences = chosen.into_iter().map(|i| {
            let moved = |by: f64| {
                value(&f(&with_parameters(module.clone(), |other, values| {
                    if other == name {
                        values[i] += by;
                    }
                })))
            };
            (i, (moved(STEP) - moved(-STEP)) / (2.0 * STEP))
        });
        compare(&name, &gradient, &differences.collect::<Vec<_>>());
    }
}

fn value(loss: &Tensor<1>) -> f64 {
    assert_eq!(loss.dims(), [1], "a loss is one number");
    assert_eq!(loss.dtype(), DType::F64, "finite differences need f64 from end to end");
    loss.to_data().iter::<f64>().next().expect("one number")
}

#[track_caller]
fn compare(name: &str, gradient: &[f64], differences: &[(usize, f64)]) {
    let largest = gradient.iter().fold(0f64, |max, g| max.max(g.abs()));
    assert!(largest.is_finite(), "the gradient of `{name}` is not finite");
    for &(i, difference) in differences {
        let allowed = TOLERANCE * largest.max(1e-3);
        assert!(
            (gradient[i] - difference).abs() <= allowed,
            "the gradient of `{name}` in element {i} is {}, but a finite difference gives {difference} (largest gradient {largest})",
            gradient[i]
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{devices, uniform};
    use burn::module::Param;

    #[derive(Module, Debug)]
    struct Scale {
        by: Param<Tensor<1>>,
    }

    #[test]
    fn right_gradients_pass() {
        for device in devices() {
            let x = uniform([3, 2], 1, &device, DType::F64);
            check_gradients(&device, &x, |x| (x.clone().tanh() * x).sum());
            let scale = Scale { by: Param::from_tensor(uniform([4], 2, &device.clone().autodiff(), DType::F32)) };
            check_module_gradients(&scale, 3, |m| (m.by.val().exp() * 3.0).sum());
        }
    }

    #[test]
    #[should_panic(expected = "the gradient of `x` in element 0")]
    fn a_missing_term_is_found() {
        let device = crate::device();
        // x·stop(x) has the value of x², but half its gradient.
        check_gradients(&device, &uniform([3], 1, &device, DType::F64), |x| (x.clone().detach() * x).sum());
    }

    #[test]
    #[should_panic(expected = "the gradient of `by` in element")]
    fn a_missing_term_of_a_parameter_is_found() {
        let scale = Scale { by: Param::from_tensor(uniform([2], 1, &crate::device().autodiff(), DType::F32)) };
        check_module_gradients(&scale, 3, |m| (Tensor::from_inner(m.by.val().inner()) * m.by.val()).sum());
    }
}
