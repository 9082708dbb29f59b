//! The hand-written convolution against Burn's own, forward and backward.
#![cfg(feature = "flex")]
#![recursion_limit = "256"]

use burn::tensor::{DType, Device, Tensor, TensorData, activation::relu, module, ops::ConvOptions};
use fornax_kernels::conv::{Normalization, conv2d, conv2d_normalized, conv2d_relu};
use fornax_kernels::device::BackendName;
use fornax_kernels::random::Key;
use proptest::prelude::*;

/// Batch, channels in and out, height, width, kernel, stride, padding.
#[derive(Debug, Clone, Copy)]
struct Case(usize, [usize; 2], [usize; 2], [usize; 2], [usize; 2], [usize; 2]);

const CASES: &[Case] = &[
    Case(3, [1, 8], [28, 28], [3, 3], [1, 1], [0, 0]),
    Case(2, [32, 64], [26, 26], [3, 3], [1, 1], [0, 0]),
    Case(5, [24, 48], [12, 12], [3, 3], [1, 1], [0, 0]),
    Case(2, [1, 24], [28, 28], [5, 5], [1, 1], [0, 0]),
    Case(17, [3, 5], [7, 9], [3, 3], [1, 1], [1, 1]),
    Case(9, [4, 6], [11, 8], [5, 5], [1, 1], [2, 2]),
    Case(4, [7, 3], [9, 9], [1, 1], [1, 1], [0, 0]),
    Case(4, [5, 9], [8, 11], [1, 1], [2, 2], [0, 0]),
    Case(3, [3, 16], [32, 32], [3, 3], [2, 2], [1, 1]),
    Case(3, [6, 4], [13, 10], [3, 5], [2, 3], [1, 2]),
    Case(2, [2, 3], [10, 7], [5, 3], [3, 2], [2, 1]),
    Case(6, [2, 2], [3, 3], [3, 3], [1, 1], [0, 0]),
    Case(6, [2, 2], [4, 4], [3, 3], [1, 1], [2, 2]),
    Case(2, [3, 4], [5, 6], [1, 1], [1, 1], [1, 1]),
    Case(2, [2, 4], [9, 7], [2, 2], [3, 3], [0, 0]),
    Case(1, [2, 3], [1, 1], [3, 3], [1, 1], [1, 1]),
    Case(1, [40, 5], [6, 40], [3, 3], [1, 1], [1, 1]),
    Case(2, [1, 2], [50, 60], [7, 7], [1, 1], [3, 3]),
    Case(1, [16, 17], [8, 8], [3, 3], [1, 1], [1, 1]),
    Case(9, [16, 19], [7, 11], [3, 3], [1, 1], [1, 1]),
    Case(5, [23, 16], [5, 13], [3, 3], [1, 1], [0, 2]),
    Case(40, [18, 32], [4, 4], [3, 3], [1, 1], [1, 1]),
    Case(3, [200, 30], [6, 9], [3, 3], [1, 1], [1, 1]),
    Case(5, [265, 162], [5, 6], [3, 3], [1, 1], [1, 1]),
    // One image: channels are shared out.
    Case(1, [64, 70], [16, 16], [3, 3], [2, 2], [1, 1]),
    Case(1, [130, 20], [9, 9], [1, 1], [2, 2], [0, 0]),
    Case(1, [40, 130], [7, 7], [3, 3], [1, 1], [1, 1]),
    Case(1, [24, 40], [14, 14], [3, 3], [1, 1], [1, 1]),
    Case(1, [20, 150], [3, 2], [1, 1], [1, 1], [0, 0]),
    Case(1, [300, 13], [24, 23], [3, 3], [2, 1], [1, 1]),
    // Many images of few pixels.
    Case(35, [17, 130], [4, 4], [3, 3], [1, 1], [1, 1]),
    Case(33, [31, 66], [8, 8], [3, 3], [2, 2], [1, 1]),
];

fn values<const D: usize>(shape: [usize; D], seed: u64) -> TensorData {
    let n: usize = shape.iter().product();
    let x: Vec<f32> = (0..n).map(|i| 2.0 * Key::new(seed).uniform(i as u64) as f32 - 1.0).collect();
    TensorData::new(x, shape)
}

struct Outcome {
    y: TensorData,
    gradients: [TensorData; 3],
}

type Op = fn(Tensor<4>, Tensor<4>, Option<Tensor<1>>, [usize; 2], [usize; 2]) -> Tensor<4>;

fn burns(x: Tensor<4>, w: Tensor<4>, b: Option<Tensor<1>>, stride: [usize; 2], padding: [usize; 2]) -> Tensor<4> {
    module::conv2d(x, w, b, ConvOptions::new(stride, padding, [1, 1], 1))
}

fn run(op: Op, case: Case, device: &Device, dtype: DType) -> Outcome {
    let Case(batch, [inputs, outputs], [h, w], [kh, kw], stride, padding) = case;
    let leaf = |data: TensorData| (data.convert_dtype(dtype), (device, dtype));
    let (data, options) = leaf(values([batch, inputs, h, w], 1));
    let x = Tensor::<4>::from_data(data, options).require_grad();
    let (data, options) = leaf(values([outputs, inputs, kh, kw], 2));
    let weight = Tensor::<4>::from_data(data, options).require_grad();
    let (data, options) = leaf(values([outputs], 3));
    let bias = Tensor::<1>::from_data(data, options).require_grad();
    let y = op(x.clone(), weight.clone(), Some(bias.clone()), stride, padding);
    let (data, options) = leaf(values(y.dims(), 4));
    let loss = (y.clone() * Tensor::from_data(data, options)).sum();
    let grads = loss.backward();
    let gradients = [x.grad(&grads).unwrap().into_data(), weight.grad(&grads).unwrap().into_data(), bias.grad(&grads).unwrap().into_data()];
    Outcome { y: y.into_data(), gradients }
}

#[track_caller]
fn assert_close(got: &TensorData, want: &TensorData, what: &str) {
    assert_eq!(got.shape(), want.shape(), "{what}");
    let (got, want): (Vec<f64>, Vec<f64>) = (got.iter::<f64>().collect(), want.iter::<f64>().collect());
    // Gradients are sums of values of order one, which may cancel to next to nothing where there is but one.
    let scale = want.iter().fold(0.1, |m: f64, x| m.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        assert!((got - want).abs() <= 2e-5 * scale, "{what}, element {i}: {got} is not {want} (of at most {scale})");
    }
}

fn compare(got: &Outcome, want: &Outcome, what: &str) {
    assert_close(&got.y, &want.y, &format!("{what}: output"));
    for (name, (got, want)) in ["input", "weight", "bias"].iter().zip(got.gradients.iter().zip(&want.gradients)) {
        assert_close(got, want, &format!("{what}: gradient of the {name}"));
    }
}

fn flex() -> Device {
    Device::flex().autodiff()
}

/// The devices that run the hand-written operations.
fn in_memory() -> impl Iterator<Item = Device> {
    [BackendName::Flex, BackendName::NdArray].into_iter().filter_map(|backend| backend.device(None).ok()).map(Device::autodiff)
}

#[test]
fn equals_burns_convolution_in_f64() {
    for &case in CASES {
        let want = run(burns, case, &flex(), DType::F64);
        for device in in_memory() {
            compare(&run(conv2d, case, &device, DType::F32), &want, &format!("{case:?} on {device:?}"));
        }
    }
}

#[test]
fn with_relu_equals_burns_convolution_and_relu() {
    for &case in CASES {
        let want = run(|x, w, b, s, p| relu(burns(x, w, b, s, p)), case, &flex(), DType::F32);
        for device in in_memory() {
            compare(&run(conv2d_relu, case, &device, DType::F32), &want, &format!("{case:?} on {device:?}"));
        }
    }
}

#[test]
fn other_dtypes_and_backends_take_the_composed_path() {
    let case = Case(2, [3, 4], [6, 5], [3, 3], [1, 1], [1, 1]);
    let want = run(burns, case, &flex(), DType::F64);
    compare(&run(conv2d, case, &flex(), DType::F64), &want, "f64");
    for backend in BackendName::compiled_in() {
        let device = backend.device(None).unwrap().autodiff();
        compare(&run(conv2d, case, &device, DType::F32), &want, backend.name());
        let want = run(|x, w, b, s, p| relu(burns(x, w, b, s, p)), case, &device, DType::F32);
        compare(&run(conv2d_relu, case, &device, DType::F32), &want, backend.name());
    }
}

#[test]
fn layouts_and_missing_biases_are_honoured() {
    for device in in_memory() {
        let x = Tensor::<4>::from_data(values([2, 9, 10, 3], 1), &device).permute([0, 3, 2, 1]);
        let weight = Tensor::<4>::from_data(values([3, 3, 3, 8], 2), &device).permute([3, 0, 2, 1]).narrow(0, 1, 5);
        let wide = Tensor::<4>::from_data(values([4, 3, 10, 9], 5), &device);
        for x in [x, wide.narrow(0, 1, 2)] {
            let (got, want) = (conv2d(x.clone(), weight.clone(), None, [1, 1], [1, 1]), burns(x, weight.clone(), None, [1, 1], [1, 1]));
            assert_close(&got.into_data(), &want.into_data(), "a view");
        }
    }
}

#[test]
fn untracked_inputs_get_no_gradient_and_mixed_devices_work() {
    let x = Tensor::<4>::from_data(values([2, 1, 6, 6], 1), &flex());
    let weight = Tensor::<4>::from_data(values([4, 1, 3, 3], 2), &flex()).require_grad();
    let grads = conv2d(x.clone(), weight.clone(), None, [1, 1], [0, 0]).sum().backward();
    assert!(weight.grad(&grads).is_some() && x.grad(&grads).is_none());
    let frozen = Tensor::<4>::from_inner(weight.inner());
    let x = x.require_grad();
    let grads = conv2d_relu(x.clone(), frozen.clone(), None, [1, 1], [0, 0]).sum().backward();
    assert!(x.grad(&grads).is_some() && frozen.grad(&grads).is_none());
}

#[test]
fn nan_goes_through() {
    let mut data = values([1, 1, 5, 5], 1);
    data.as_mut_slice::<f32>().unwrap()[12] = f32::NAN;
    let x = Tensor::<4>::from_data(data, &flex()).require_grad();
    let weight = Tensor::<4>::from_data(values([2, 1, 3, 3], 2), &flex()).require_grad();
    let y = conv2d_relu(x.clone(), weight.clone(), None, [1, 1], [0, 0]);
    assert!(y.clone().into_data().iter::<f32>().all(f32::is_nan));
    let grads = y.sum().backward();
    assert!(weight.grad(&grads).unwrap().into_data().iter::<f32>().all(f32::is_nan));
    assert!(x.grad(&grads).unwrap().into_data().iter::<f32>().all(|g| !g.is_nan()));
}

fn bits(outcome: &Outcome) -> Vec<Vec<u8>> {
    outcome.gradients.iter().chain([&outcome.y]).map(|data| data.as_bytes().to_vec()).collect()
}

#[test]
fn bits_depend_neither_on_the_run_nor_on_the_threads() {
    for case in [
        Case(40, [6, 10], [12, 13], [3, 3], [1, 1], [1, 1]),
        Case(33, [3, 8], [9, 9], [3, 3], [2, 2], [1, 1]),
        Case(34, [40, 50], [4, 4], [3, 3], [1, 1], [1, 1]),
    ] {
        let first = bits(&run(conv2d_relu, case, &flex(), DType::F32));
        assert!((0..20).all(|_| bits(&run(conv2d_relu, case, &flex(), DType::F32)) == first));
        for threads in [1, 2, 3, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let got = pool.install(|| bits(&run(conv2d_relu, case, &flex(), DType::F32)));
            assert!(got == first, "{threads} threads");
        }
    }
}

#[test]
fn bits_of_one_image_do_not_depend_on_the_threads() {
    for case in [Case(1, [33, 70], [16, 16], [3, 3], [1, 1], [1, 1]), Case(1, [40, 90], [8, 8], [3, 3], [2, 2], [1, 1])] {
        let first = bits(&run(conv2d, case, &flex(), DType::F32));
        for threads in [1, 2, 3, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(|| bits(&run(conv2d, case, &flex(), DType::F32))) == first, "{threads} threads");
        }
    }
}

fn any_case() -> impl Strategy<Value = Case> {
    let pair = |range: std::ops::Range<usize>| (range.clone(), range).prop_map(|(a, b)| [a, b]);
    let sizes = (1usize..12, pair(1..40), pair(1..14), pair(1..4), pair(1..4), pair(0..3));
    sizes.prop_filter_map("a kernel larger than the image", |(batch, channels, size, kernel, stride, padding)| {
        let fits = (0..2).all(|d| kernel[d] <= size[d] + 2 * padding[d]);
        fits.then_some(Case(batch, channels, size, kernel, stride, padding))
    })
}

/// A convolution with batch norm, perhaps a residual and ReLU: the operation, and Burn's.
fn normalized(case: Case, residual: bool, activate: bool, device: &Device, dtype: DType) -> [TensorData; 2] {
    let Case(batch, [inputs, outputs], [h, w], [kh, kw], stride, padding) = case;
    let tensor = |shape, seed| Tensor::<4>::from_data(values(shape, seed).convert_dtype(dtype), (device, dtype));
    let vector = |seed| Tensor::<1>::from_data(values([outputs], seed).convert_dtype(dtype), (device, dtype));
    let norm = Normalization { weight: vector(3), bias: vector(4), mean: vector(5), var: vector(6).abs() + 0.1, epsilon: 1e-5 };
    let (x, weight) = (tensor([batch, inputs, h, w], 1), tensor([outputs, inputs, kh, kw], 2));
    let plain = norm.forward(burns(x.clone(), weight.clone(), None, stride, padding));
    let residual = residual.then(|| tensor(plain.dims(), 7));
    let sum = match &residual {
        Some(residual) => plain + residual.clone(),
        None => plain,
    };
    let y = conv2d_normalized(x, weight, norm, residual, activate, stride, padding);
    [y.into_data(), if activate { relu(sum) } else { sum }.into_data()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_convolution_equals_burns(case in any_case()) {
        let want = run(burns, case, &flex(), DType::F64);
        compare(&run(conv2d, case, &flex(), DType::F32), &want, &format!("{case:?}"));
    }

    #[test]
    fn any_normalized_convolution_equals_the_composed_one(case in any_case(), residual: bool, activate: bool) {
        let want = &normalized(case, residual, activate, &Device::flex(), DType::F64)[1];
        for device in in_memory().map(|device| device.inner()) {
            assert_close(&normalized(case, residual, activate, &device, DType::F32)[0], want, &format!("{case:?} {residual} {activate}"));
        }
    }
}

#[test]
fn a_normalized_convolution_elsewhere_is_composed() {
    let case = Case(1, [20, 30], [14, 15], [3, 3], [1, 1], [1, 1]);
    let [got, want] = normalized(case, true, true, &Device::flex(), DType::F64);
    assert_eq!(got, want);
    for backend in BackendName::compiled_in() {
        assert_close(&normalized(case, true, true, &backend.device(None).unwrap(), DType::F32)[0], &want, backend.name());
    }
    // On a device with gradients they flow.
    let x = Tensor::<4>::from_data(values([1, 2, 5, 5], 1), &flex()).require_grad();
    let weight = Tensor::<4>::from_data(values([3, 2, 3, 3], 2), &flex());
    let vector = |value: f32| Tensor::<1>::full([3], value, &flex());
    let norm = Normalization { weight: vector(2.0), bias: vector(0.0), mean: vector(0.0), var: vector(1.0), epsilon: 0.0 };
    let y = conv2d_normalized(x.clone(), weight.clone(), norm, None, false, [1, 1], [1, 1]);
    let want = x.grad(&(conv2d(x.clone(), weight, None, [1, 1], [1, 1]) * 2.0).sum().backward()).unwrap();
    assert_close(&x.grad(&y.sum().backward()).unwrap().into_data(), &want.into_data(), "gradient of the input");
}
