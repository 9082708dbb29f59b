//! The hand-written operations of Transformers in f32, on every backend that runs them, against their composed twins in f64: values, all
//! gradients, odd sizes, views, bits for any number of threads.
#![cfg(feature = "flex")]
#![recursion_limit = "256"]

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use fornax_kernels::activation::Activation;
use fornax_kernels::attention::{self, Mask, attention, self_attention};
use fornax_kernels::device::BackendName;
use fornax_kernels::random::Key;
use fornax_kernels::{cross_entropy, embedding::embedding, layer_norm, linear};
use proptest::prelude::*;

fn numbers(n: usize, seed: u64, device: &Device, dtype: DType) -> Tensor<1> {
    let x: Vec<f32> = (0..n).map(|i| 2.0 * Key::new(seed).uniform(i as u64) as f32 - 1.0).collect();
    Tensor::from_data(TensorData::new(x, [n]).convert_dtype(dtype), (device, dtype))
}

/// The result of `f` on flat leaves of these lengths, and the gradient of each leaf of `Σ y ⊙ direction`.
fn run<const D: usize>(lengths: &[usize], device: &Device, dtype: DType, f: &dyn Fn(&[Tensor<1>]) -> Tensor<D>) -> Vec<TensorData> {
    let leaves: Vec<Tensor<1>> = lengths.iter().enumerate().map(|(i, &n)| (numbers(n, i as u64, device, dtype) * 2.0).require_grad()).collect();
    let y = f(&leaves);
    let y = y.clone().reshape([y.shape().num_elements()]);
    let grads = (y.clone() * numbers(y.dims()[0], 99, device, dtype)).sum().backward();
    let gradients = leaves.iter().map(|leaf| leaf.grad(&grads).expect("every leaf has a gradient").into_data());
    std::iter::once(y.into_data()).chain(gradients).collect()
}

fn flex() -> Device {
    Device::flex().autodiff()
}

/// `fused` in f32 on every backend within 1e-5 of the largest of `composed` in f64, and the same bits with 1, 2 and 5 threads.
#[track_caller]
fn compare<const D: usize>(
    what: &str,
    lengths: &[usize],
    fused: &(dyn Fn(&[Tensor<1>]) -> Tensor<D> + Sync),
    composed: &dyn Fn(&[Tensor<1>]) -> Tensor<D>,
) {
    let want = run(lengths, &flex(), DType::F64, composed);
    let largest = |data: &TensorData| data.iter::<f64>().fold(0.0, |m: f64, x| m.max(x.abs()));
    let largest_gradient = want[1..].iter().map(largest).fold(0.1, f64::max);
    for backend in [BackendName::Flex, BackendName::NdArray].into_iter().filter(|b| b.is_compiled_in()) {
        let device = backend.device(None).expect("it is compiled in").autodiff();
        for (part, (got, want)) in run(lengths, &device, DType::F32, fused).iter().zip(&want).enumerate() {
            // Values of order one cancel where a result is exactly 0, as the keys' gradient is if there is but one key, whatever the others' sums.
            let largest = match largest(want) {
                0.0..1e-12 => largest_gradient,
                largest => largest.max(0.1),
            };
            for (i, (got, want)) in got.iter::<f64>().zip(want.iter::<f64>()).enumerate() {
                let off = (got - want).abs();
                assert!(off <= 1e-5 * largest, "{what} on {backend}, part {part}, element {i}: {got} is not {want} (of at most {largest})");
            }
        }
    }
    let bits = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| run(lengths, &flex(), DType::F32, fused).iter().map(|data| data.as_bytes().to_vec()).collect::<Vec<_>>())
    };
    let first = bits(1);
    assert!(bits(2) == first && bits(5) == first, "{what}: the bits depend on the number of threads");
}

/// 0 to 1 less than some primes and powers of two, where blocks and tiles end.
fn size(most: usize) -> impl Strategy<Value = usize> {
    prop_oneof![1..=most.min(9), Just(most), Just(most - 1), 1..=most]
}

fn activation() -> impl Strategy<Value = Activation> {
    proptest::sample::select(Activation::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn linear_layers(rows in size(300), k in size(40), n in size(70), a in activation(), bias: bool, turned: bool) {
        // The input as a view: its rows and columns swapped.
        let shape = |x: &[Tensor<1>]| {
            let input = if turned { x[0].clone().reshape([k, rows]).transpose() } else { x[0].clone().reshape([rows, k]) };
            let weight = if turned { x[1].clone().reshape([n, k]).transpose() } else { x[1].clone().reshape([k, n]) };
            (input * (k as f64).powf(-0.5), weight, bias.then(|| x[2].clone()))
        };
        let lengths = [rows * k, k * n, n];
        let lengths = if bias { &lengths[..] } else { &lengths[..2] };
        compare("linear", lengths, &|x| { let (x, w, b) = shape(x); linear::linear(x, w, b, a) }, &|x| { let (x, w, b) = shape(x); linear::composed(x, w, b, a) });
        let parts = |x: &[Tensor<1>]| (x[0].clone().reshape([rows, k]), x[1].clone().reshape([n, k]));
        compare("a tied head", &lengths[..2], &|x| { let (x, w) = parts(x); linear::linear_transposed(x, w) }, &|x| { let (x, w) = parts(x); x.matmul(w.transpose()) });
    }

    #[test]
    fn activations(n in size(20_000), a in activation()) {
        compare("an activation", &[n], &|x| a.forward(x[0].clone() * 4.0), &|x| a.composed(x[0].clone() * 4.0));
    }

    #[test]
    fn norms(rows in size(70), width in 2usize..80) {
        let input = |x: &[Tensor<1>]| x[0].clone().reshape([rows, width]) + 3.0;
        let lengths = [rows * width, width, width];
        compare("layer norm", &lengths, &|x| layer_norm::layer_norm(input(x), x[1].clone(), x[2].clone(), 1e-2), &|x| layer_norm::composed_layer_norm(input(x), x[1].clone(), x[2].clone(), 1e-2));
        compare("RMS norm", &lengths[..2], &|x| layer_norm::rms_norm(input(x), x[1].clone(), 1e-2), &|x| layer_norm::composed_rms_norm(input(x), x[1].clone(), 1e-2));
    }

    #[test]
    fn cross_entropies(rows in size(200), classes in size(90), smoothing in prop_oneof![Just(0.0), Just(0.1)], ignore: bool) {
        let ignore = ignore.then_some(-1);
        // The first row counts.
        let ids = |device: &Device| Tensor::<1, Int>::from_data((0..rows).map(|i| if i % 3 == 1 && ignore.is_some() { -1 } else { (i * 7 % classes) as i64 }).collect::<Vec<_>>().as_slice(), device);
        let logits = |x: &[Tensor<1>]| x[0].clone().reshape([rows, classes]) * 3.0;
        let loss = |x: &[Tensor<1>]| cross_entropy::cross_entropy(logits(x), ids(&x[0].device()), smoothing, ignore) * 5.0;
        compare("cross-entropy", &[rows * classes], &loss, &|x| cross_entropy::composed(logits(x), ids(&x[0].device()), smoothing, ignore) * 5.0);
    }

    #[test]
    fn embeddings(rows in size(30), width in size(20), batch in size(9), time in size(20)) {
        let ids = |device: &Device| Tensor::<1, Int>::from_data((0..batch * time).map(|i| (i * i % rows) as i64).collect::<Vec<_>>().as_slice(), device).reshape([batch, time]);
        let table = |x: &[Tensor<1>]| x[0].clone().reshape([rows, width]);
        compare("embedding", &[rows * width], &|x| embedding(table(x), ids(&x[0].device())), &|x| burn::tensor::module::embedding(table(x), ids(&x[0].device())));
    }

    #[test]
    fn attention_of_three(batch in 1usize..3, groups in 1usize..3, shared in 1usize..3, t in size(131), s in size(70), d in size(9), causal: bool, kind in 0usize..4) {
        let heads = groups * shared;
        let lengths = [batch * heads * t * d, batch * groups * s * d, batch * groups * s * d];
        let parts = |x: &[Tensor<1>]| [x[0].clone().reshape([batch, heads, t, d]), x[1].clone().reshape([batch, groups, s, d]), x[2].clone().reshape([batch, groups, s, d])];
        let mask = |x: &[Tensor<1>]| Mask { causal, bias: bias(kind, [batch, heads, t, s], &x[0]), ..Mask::default() };
        compare("attention", &lengths, &|x| { let [q, k, v] = parts(x); attention(q, k, v, &mask(x)) }, &|x| { let [q, k, v] = parts(x); attention::composed(q, k, v, &mask(x)) });
    }

    #[test]
    fn attention_of_one(batch in 1usize..4, groups in 1usize..3, shared in 1usize..3, t in size(131), d in size(9), causal: bool, kind in 0usize..4) {
        let heads = groups * shared;
        let width = (heads + 2 * groups) * d;
        let part = |x: &[Tensor<1>]| x[0].clone().reshape([batch, t, width]);
        let mask = |x: &[Tensor<1>]| Mask { causal, bias: bias(kind, [batch, heads, t, t], &x[0]), ..Mask::default() };
        compare("self-attention", &[batch * t * width], &|x| self_attention(part(x), [heads, groups], &mask(x)), &|x| attention::composed_self_attention(part(x), [heads, groups], &mask(x)));
    }
}

/// None; a distance for all; a padding that hides the last third of the first sequence; blind queries.
fn bias(kind: usize, [b, h, t, s]: [usize; 4], like: &Tensor<1>) -> Option<Tensor<4>> {
    let (device, dtype) = (like.device(), like.dtype());
    let tensor = |shape: [usize; 4], f: &dyn Fn(usize) -> f32| {
        let values: Vec<f32> = (0..shape.iter().product()).map(f).collect();
        Some(Tensor::from_data(TensorData::new(values, shape).convert_dtype(dtype), (&device, dtype)))
    };
    let hide = |hidden: bool| if hidden { f32::NEG_INFINITY } else { 0.0 };
    match kind {
        1 => tensor([1, h, t, s], &|i| (i % 7) as f32 * 0.25),
        2 => tensor([b, 1, 1, s], &|i| hide(i < s && i >= s.div_ceil(3) * 2)),
        3 => tensor([1, 1, t, 1], &|i| hide(i % 3 == 1)),
        _ => None,
    }
}

#[test]
fn a_blind_query_gives_zeros_and_no_gradient() {
    let leaf = (numbers(2 * 3 * 4, 1, &flex(), DType::F32)).require_grad();
    let part = |i: usize| leaf.clone().reshape([1, 2, 3, 4]).slice([0..1, 0..1, i..3]);
    let bias = Some(Tensor::<4>::full([1, 1, 3, 3], f32::NEG_INFINITY, &flex()));
    let y = attention(part(0), part(0), part(0), &Mask { bias, ..Mask::causal() });
    assert!(y.clone().into_data().iter::<f32>().all(|y| y == 0.0));
    let gradient = leaf.grad(&y.sum().backward()).expect("a gradient");
    assert!(gradient.into_data().iter::<f32>().all(|g| g == 0.0));
}

#[test]
fn large_scores_and_logits_do_not_overflow() {
    let x = numbers(3 * 5, 1, &flex(), DType::F32).reshape([3, 5]) * 1e4;
    let targets = Tensor::<1, Int>::from_data([0, 1, 2], &flex());
    assert!(cross_entropy::cross_entropy(x.clone(), targets, 0.1, None).into_scalar::<f32>().is_finite());
    let q = x.reshape([1, 1, 3, 5]);
    assert!(attention(q.clone(), q.clone(), q, &Mask::causal()).into_data().iter::<f32>().all(f32::is_finite));
}

#[test]
#[should_panic(expected = "target Some(5) is none of 5 classes")]
fn a_target_that_is_no_class_is_named() {
    let targets = Tensor::<1, Int>::from_data([0, 5], &flex());
    cross_entropy::cross_entropy(Tensor::zeros([2, 5], &flex()), targets, 0.0, Some(-1));
}

#[test]
#[should_panic(expected = "number 7 has no row in an embedding of 7")]
fn an_id_without_a_row_is_named() {
    embedding(Tensor::zeros([7, 2], &flex()), Tensor::<2, Int>::from_data([[0, 7]], &flex()));
}
