//! The hand-written batch norm and max-pooling against those composed of Burn's operations, forward and backward.
#![cfg(feature = "flex")]
#![recursion_limit = "256"]

use burn::tensor::{DType, Device, Tensor, TensorData, activation::relu, module, ops::MaxPoolOptions};
use fornax_kernels::batch_norm::{batch_norm_training, batch_norm_training_relu, batch_norm_training_residual_relu, composed};
use fornax_kernels::device::BackendName;
use fornax_kernels::pool::max_pool2d;
use fornax_kernels::random::Key;
use proptest::prelude::*;

fn values<const D: usize>(shape: [usize; D], seed: u64, scale: f32, shift: f32) -> TensorData {
    let n: usize = shape.iter().product();
    let x: Vec<f32> = (0..n).map(|i| scale * (2.0 * Key::new(seed).uniform(i as u64) as f32 - 1.0) + shift).collect();
    TensorData::new(x, shape)
}

fn leaf<const D: usize>(data: TensorData, device: &Device, dtype: DType) -> Tensor<D> {
    Tensor::from_data(data.convert_dtype(dtype), (device, dtype)).require_grad()
}

fn flex() -> Device {
    Device::flex().autodiff()
}

/// The devices that run the hand-written operations.
fn in_memory() -> impl Iterator<Item = Device> {
    [BackendName::Flex, BackendName::NdArray].into_iter().filter_map(|backend| backend.device(None).ok()).map(Device::autodiff)
}

#[track_caller]
fn assert_close(got: &[TensorData], want: &[TensorData], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len());
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!(got.shape(), want.shape(), "{what}");
        let (got, want): (Vec<f64>, Vec<f64>) = (got.iter::<f64>().collect(), want.iter::<f64>().collect());
        let scale = want.iter().fold(0.1, |m: f64, x| m.max(x.abs()));
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            assert!((got - want).abs() <= tolerance * scale, "{what}, result {index}, element {i}: {got} is not {want} (of at most {scale})");
        }
    }
}

type Norm<const D: usize> = fn(Tensor<D>, Tensor<1>, Tensor<1>, f64) -> (Tensor<D>, Tensor<1>, Tensor<1>);

/// Output, mean, variance, and the gradients of input, weight and bias.
fn norm<const D: usize>(op: Norm<D>, shape: [usize; D], shift: f32, device: &Device, dtype: DType) -> Vec<TensorData> {
    let x = leaf::<D>(values(shape, 1, 2.0, shift), device, dtype);
    let (weight, bias) = (leaf::<1>(values([shape[1]], 2, 0.5, 1.0), device, dtype), leaf::<1>(values([shape[1]], 3, 0.5, 0.2), device, dtype));
    let (y, mean, var) = op(x.clone(), weight.clone(), bias.clone(), 1e-5);
    let direction = Tensor::from_data(values(shape, 4, 1.0, 0.1).convert_dtype(dtype), (device, dtype));
    let grads = (y.clone() * direction).sum().backward();
    let gradients = [x.grad(&grads).unwrap().into_data(), weight.grad(&grads).unwrap().into_data(), bias.grad(&grads).unwrap().into_data()];
    [y.into_data(), mean.into_data(), var.into_data()].into_iter().chain(gradients).collect()
}

fn composed_relu<const D: usize>(x: Tensor<D>, w: Tensor<1>, b: Tensor<1>, epsilon: f64) -> (Tensor<D>, Tensor<1>, Tensor<1>) {
    let (y, mean, var) = composed(x, w, b, epsilon);
    (relu(y), mean, var)
}

fn check<const D: usize>(shape: [usize; D]) {
    for shift in [0.0, 30.0] {
        let what = format!("{shape:?} around {shift}");
        // The shift costs f32 the digits that `x` itself has lost.
        let tolerance = if shift == 0.0 { 1e-5 } else { 1e-4 };
        for device in in_memory() {
            let got = norm(batch_norm_training, shape, shift, &device, DType::F32);
            assert_close(&got, &norm(composed, shape, shift, &flex(), DType::F64), tolerance, &what);
            let got = norm(batch_norm_training_relu, shape, shift, &device, DType::F32);
            assert_close(&got, &norm(composed_relu, shape, shift, &flex(), DType::F64), tolerance, &format!("{what} with ReLU"));
        }
    }
}

#[test]
fn batch_norm_equals_the_composed_one_in_f64() {
    check([5, 3]);
    check([64, 1]);
    check([2, 1, 7]);
    check([17, 6, 5, 9]);
    check([3, 24, 12, 12]);
    check([2, 2, 3, 2, 5]);
}

#[test]
fn batch_norm_elsewhere_is_composed() {
    let want = norm(composed, [4, 3, 5, 5], 0.0, &flex(), DType::F64);
    assert_close(&norm(batch_norm_training, [4, 3, 5, 5], 0.0, &flex(), DType::F64), &want, 1e-12, "f64");
    let want_relu = norm(composed_relu, [4, 3, 5, 5], 0.0, &flex(), DType::F64);
    for backend in BackendName::compiled_in() {
        let device = backend.device(None).unwrap().autodiff();
        assert_close(&norm(batch_norm_training, [4, 3, 5, 5], 0.0, &device, DType::F32), &want, 1e-5, backend.name());
        assert_close(&norm(batch_norm_training_relu, [4, 3, 5, 5], 0.0, &device, DType::F32), &want_relu, 1e-5, backend.name());
    }
}

#[test]
fn batch_norm_of_a_view_and_of_a_nan() {
    let view = Tensor::<4>::from_data(values([6, 5, 4, 3], 1, 1.0, 0.0), &flex()).permute([0, 3, 1, 2]);
    let (weight, bias) = (Tensor::<1>::ones([3], &flex()), Tensor::<1>::zeros([3], &flex()));
    let (got, ..) = batch_norm_training(view.clone(), weight.clone(), bias.clone(), 1e-5);
    assert_close(&[got.into_data()], &[composed(view.clone(), weight.clone(), bias.clone(), 1e-5).0.into_data()], 1e-5, "a view");
    let (y, ..) = batch_norm_training_relu(view.slice_fill([0..1, 1..2], f32::NAN), weight, bias, 1e-5);
    let nans: Vec<bool> = y.into_data().iter::<f32>().map(f32::is_nan).collect();
    assert!(nans.chunks(20).enumerate().all(|(plane, nans)| nans.iter().all(|&nan| nan == (plane % 3 == 1))));
}

/// Output, mean, variance, and the gradients of input, weight, bias and residual, behind the sum and its ReLU.
fn with_residual(by_hand: bool, shape: [usize; 4], device: &Device, dtype: DType) -> Vec<TensorData> {
    let (x, residual) = (leaf::<4>(values(shape, 1, 2.0, 0.3), device, dtype), leaf::<4>(values(shape, 5, 1.0, -0.1), device, dtype));
    let (weight, bias) = (leaf::<1>(values([shape[1]], 2, 0.5, 1.0), device, dtype), leaf::<1>(values([shape[1]], 3, 0.5, 0.2), device, dtype));
    let (y, mean, var) = if by_hand {
        batch_norm_training_residual_relu(x.clone(), weight.clone(), bias.clone(), 1e-5, residual.clone())
    } else {
        let (y, mean, var) = composed(x.clone(), weight.clone(), bias.clone(), 1e-5);
        (relu(y + residual.clone()), mean, var)
    };
    let direction = Tensor::from_data(values(shape, 4, 1.0, 0.1).convert_dtype(dtype), (device, dtype));
    let grads = (y.clone() * direction).sum().backward();
    let gradients = [x.grad(&grads).unwrap().into_data(), weight.grad(&grads).unwrap().into_data(), bias.grad(&grads).unwrap().into_data()];
    let outputs = [y.into_data(), mean.into_data(), var.into_data()].into_iter().chain(gradients);
    outputs.chain([residual.grad(&grads).unwrap().into_data()]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn batch_norm_with_a_residual_equals_the_composed_one(b in 1usize..9, c in 1usize..20, h in 1usize..9, w in 2usize..20) {
        let shape = [b, c, h, w];
        let want = with_residual(false, shape, &flex(), DType::F64);
        // Of two values a channel, the gradient is a difference of what cancels.
        let tolerance = if b * h * w < 4 { 1e-3 } else { 2e-5 };
        for device in in_memory() {
            assert_close(&with_residual(true, shape, &device, DType::F32), &want, tolerance, &format!("{shape:?} on {device:?}"));
        }
        assert_close(&with_residual(true, shape, &flex(), DType::F64), &want, 1e-12, "f64");
    }
}

#[test]
fn a_residual_may_want_no_gradient_and_a_nan_stays_one() {
    let x = Tensor::<4>::from_data(values([2, 3, 4, 4], 1, 1.0, 0.0), &flex()).require_grad();
    let (weight, bias) = (Tensor::<1>::ones([3], &flex()), Tensor::<1>::zeros([3], &flex()));
    let residual = Tensor::<4>::zeros([2, 3, 4, 4], &flex()).slice_fill([0..1, 1..2], f32::NAN);
    let (y, ..) = batch_norm_training_residual_relu(x.clone(), weight, bias, 1e-5, residual.clone());
    let nans = y.clone().into_data().iter::<f32>().filter(|y| y.is_nan()).count();
    assert_eq!(nans, 16);
    let grads = y.sum().backward();
    assert!(x.grad(&grads).is_some() && residual.grad(&grads).is_none());
}

type Pool = fn(Tensor<4>, usize) -> Tensor<4>;

fn burns_pool(x: Tensor<4>, size: usize) -> Tensor<4> {
    module::max_pool2d(x, MaxPoolOptions::new([size, size]))
}

fn pool(op: Pool, shape: [usize; 4], size: usize, device: &Device, dtype: DType) -> Vec<TensorData> {
    let x = leaf::<4>(values(shape, 1, 1.0, 0.0), device, dtype);
    let y = op(x.clone(), size);
    let direction = Tensor::from_data(values(y.dims(), 4, 1.0, 0.1).convert_dtype(dtype), (device, dtype));
    let grads = (y.clone() * direction).sum().backward();
    vec![y.into_data(), x.grad(&grads).unwrap().into_data()]
}

#[test]
fn max_pooling_equals_burns() {
    for (shape, size) in [([3, 2, 24, 24], 4), ([5, 3, 9, 11], 2), ([2, 7, 7, 10], 3), ([2, 2, 4, 4], 1), ([1, 1, 5, 5], 5), ([300, 3, 8, 8], 2)] {
        let want = pool(burns_pool, shape, size, &flex(), DType::F32);
        for device in in_memory() {
            assert_close(&pool(max_pool2d, shape, size, &device, DType::F32), &want, 0.0, &format!("{shape:?} by {size}"));
        }
        assert_close(&pool(max_pool2d, shape, size, &flex(), DType::F64), &want, 1e-6, "f64");
    }
    for backend in BackendName::compiled_in() {
        let device = backend.device(None).unwrap().autodiff();
        let want = pool(burns_pool, [3, 2, 6, 6], 2, &device, DType::F32);
        assert_close(&pool(max_pool2d, [3, 2, 6, 6], 2, &device, DType::F32), &want, 0.0, backend.name());
    }
}

#[test]
fn max_pooling_sends_ties_to_the_first_and_keeps_nan() {
    let x = leaf::<4>(TensorData::new(vec![0.0f32, 0.0, 0.0, 0.0, 1.0, f32::NAN, 2.0, 0.0], [2, 1, 2, 2]), &flex(), DType::F32);
    let y = max_pool2d(x.clone(), 2);
    let grads = (y.clone() * Tensor::from_data(TensorData::new(vec![3.0f32, 5.0], [2, 1, 1, 1]), &flex())).sum().backward();
    let got: Vec<f32> = y.into_data().iter::<f32>().collect();
    assert!(got[0] == 0.0 && got[1].is_nan());
    assert_eq!(x.grad(&grads).unwrap().into_data().iter::<f32>().collect::<Vec<_>>(), [3.0, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0]);
}

#[test]
fn bits_depend_neither_on_the_run_nor_on_the_threads() {
    let all = || {
        let results = norm(batch_norm_training_relu, [40, 10, 11, 9], 0.3, &flex(), DType::F32).into_iter();
        let results = results.chain(with_residual(true, [40, 10, 11, 9], &flex(), DType::F32));
        results.chain(pool(max_pool2d, [40, 10, 11, 9], 2, &flex(), DType::F32)).map(|data| data.as_bytes().to_vec()).collect::<Vec<_>>()
    };
    let first = all();
    assert!((0..20).all(|_| all() == first));
    for threads in [1, 2, 3, 7] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(all) == first, "{threads} threads");
    }
}
