//! The recurrent operation against the one composed of Burn's, forward and backward.
#![cfg(feature = "flex")]
#![recursion_limit = "256"]

use burn::tensor::{DType, Device, Tensor, TensorData};
use fornax_kernels::random::Key;
use fornax_kernels::recurrent::{Cell, State, Weights, composed, recurrent};
use proptest::prelude::*;

const CELLS: [Cell; 4] = [Cell::Lstm, Cell::Gru, Cell::Tanh, Cell::Relu];

/// A layer's call.
#[derive(Debug, Clone)]
struct Case {
    cell: Cell,
    batch: usize,
    time: usize,
    inputs: usize,
    hidden: usize,
    projection: Option<usize>,
    lengths: Option<Vec<usize>>,
    reverse: bool,
}

type Layer = fn(Cell, Tensor<3>, Weights, Option<State>, Option<&[usize]>, bool) -> (Tensor<3>, State);

impl Case {
    fn outputs(&self) -> usize {
        self.projection.unwrap_or(self.hidden)
    }

    /// Inputs in the order of `results`' gradients; those of numbers that `change` moved.
    fn inputs(&self, change: Option<(usize, usize, f64)>, device: &Device, dtype: DType) -> Inputs {
        let rows = self.cell.gates() * self.hidden;
        let data = |index: usize, shape: &[usize], scale: f64| {
            let n: usize = shape.iter().product();
            let mut x: Vec<f64> = (0..n).map(|i| scale * f64::from((2.0 * Key::new(index as u64).uniform(i as u64) - 1.0) as f32)).collect();
            if let Some((_, i, by)) = change.filter(|(at, ..)| *at == index) {
                x[i % n] += by;
            }
            TensorData::new(x, shape.to_vec()).convert_dtype(dtype)
        };
        let matrix = |index: usize, r: usize, c: usize, scale: f64| {
            Tensor::<2>::from_data(data(index, &[r, c], scale), (device, dtype)).set_require_grad(device.is_autodiff())
        };
        let vector = |index: usize| Tensor::<1>::from_data(data(index, &[rows], 0.5), (device, dtype)).set_require_grad(device.is_autodiff());
        let scale = |n: usize| 2.0 / (n as f64).sqrt();
        Inputs {
            x: Tensor::from_data(data(0, &[self.batch, self.time, self.inputs], 1.0), (device, dtype)).set_require_grad(device.is_autodiff()),
            w_ih: matrix(1, rows, self.inputs, scale(self.inputs)),
            w_hh: matrix(2, rows, self.outputs(), scale(self.outputs())),
            bias: [vector(3), vector(4)],
            h: matrix(5, self.batch, self.outputs(), 1.0),
            c: (self.cell == Cell::Lstm).then(|| matrix(6, self.batch, self.hidden, 1.0)),
            w_hr: self.projection.map(|p| matrix(7, p, self.hidden, scale(self.hidden))),
        }
    }

    fn run(&self, layer: Layer, inputs: &Inputs) -> (Tensor<1>, Vec<TensorData>) {
        let Inputs { x, w_ih, w_hh, bias, h, c, w_hr } = inputs.clone();
        let (device, dtype) = (x.device(), x.dtype());
        let weights = Weights { w_ih, w_hh, bias: Some(bias), w_hr };
        let (y, last) = layer(self.cell, x, weights, Some(State { h, c }), self.lengths.as_deref(), self.reverse);
        fn along<const D: usize>(y: &Tensor<D>, seed: u64, device: &Device, dtype: DType) -> Tensor<1> {
            let n = y.shape().num_elements();
            let direction: Vec<f64> = (0..n).map(|i| f64::from((2.0 * Key::new(seed).uniform(i as u64) - 0.8) as f32)).collect();
            (y.clone() * Tensor::from_data(TensorData::new(direction, y.dims()).convert_dtype(dtype), (device, dtype))).sum()
        }
        let mut loss = along(&y, 8, &device, dtype) + along(&last.h, 9, &device, dtype);
        let mut results = vec![y.into_data(), last.h.into_data()];
        if let Some(c) = last.c {
            loss = loss + along(&c, 10, &device, dtype);
            results.push(c.into_data());
        }
        (loss, results)
    }

    /// Outputs, last states, and all gradients.
    fn results(&self, layer: Layer, device: &Device, dtype: DType) -> Vec<TensorData> {
        let inputs = self.inputs(None, device, dtype);
        let (loss, mut results) = self.run(layer, &inputs);
        let grads = loss.backward();
        let Inputs { x, w_ih, w_hh, bias: [b_ih, b_hh], h, c, w_hr } = inputs;
        results.push(x.grad(&grads).expect("a gradient of x").into_data());
        let matrices = [Some(w_ih), Some(w_hh), Some(h), c, w_hr].into_iter().flatten();
        results.extend(matrices.map(|w| w.grad(&grads).expect("a gradient").into_data()));
        results.extend([b_ih, b_hh].map(|b| b.grad(&grads).expect("a gradient of a bias").into_data()));
        results
    }
}

#[derive(Debug, Clone)]
struct Inputs {
    x: Tensor<3>,
    w_ih: Tensor<2>,
    w_hh: Tensor<2>,
    bias: [Tensor<1>; 2],
    h: Tensor<2>,
    c: Option<Tensor<2>>,
    w_hr: Option<Tensor<2>>,
}

fn flex() -> Device {
    Device::flex().autodiff()
}

#[track_caller]
fn assert_near(case: &Case, got: &[TensorData], want: &[TensorData]) {
    assert_eq!(got.len(), want.len());
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!(got.shape(), want.shape(), "{case:?}, result {index}");
        let (got, want): (Vec<f64>, Vec<f64>) = (got.iter::<f64>().collect(), want.iter::<f64>().collect());
        // Gradients are sums of values of order one, which may cancel to next to nothing where there is but one cell.
        let scale = want.iter().fold(0.1, |m: f64, x| m.max(x.abs()));
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            assert!((got - want).abs() <= 1e-5 * scale, "{case:?}, result {index}, element {i}: {got} is not {want} (of at most {scale})");
        }
    }
}

fn size() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![1, 2, 3, 5, 7, 13])
}

prop_compose! {
    fn case()(
        cell in prop::sample::select(CELLS.to_vec()),
        (batch, time, inputs) in (size(), size(), size()),
        hidden in prop::sample::select(vec![1, 2, 5, 15, 16, 17, 31, 67]),
        projection in prop::option::of(prop::sample::select(vec![1, 4, 17, 65])),
        lengths in prop::option::of(prop::collection::vec(0usize..=13, 13)),
        reverse: bool,
    ) -> Case {
        let lengths = lengths.map(|lengths| lengths[..batch].iter().map(|l| l % (time + 1)).collect());
        Case { cell, batch, time, inputs, hidden, projection: projection.filter(|_| cell == Cell::Lstm), lengths, reverse }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn equals_the_composed_one_in_f64(case in case()) {
        // ReLU without a bound would amplify roundings.
        let case = if case.cell == Cell::Relu { Case { time: case.time.min(3), lengths: None, ..case } } else { case };
        assert_near(&case, &case.results(recurrent, &flex(), DType::F32), &case.results(composed, &flex(), DType::F64));
    }
}

fn large(cell: Cell, reverse: bool) -> Case {
    let lengths = reverse.then(|| (0..11).map(|b| (b * 5) % 10).collect());
    Case { cell, batch: 11, time: 9, inputs: 20, hidden: 70, projection: (cell == Cell::Lstm && reverse).then_some(33), lengths, reverse }
}

#[test]
fn bits_do_not_depend_on_threads_or_runs() {
    let run = |case: &Case, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| case.results(recurrent, &flex(), DType::F32))
    };
    for case in CELLS.into_iter().flat_map(|cell| [large(cell, false), large(cell, true)]) {
        let one = run(&case, 1);
        for threads in [1, 2, 3, 8] {
            assert!(run(&case, threads) == one, "{case:?} on {threads} threads");
        }
    }
}

#[test]
fn gradients_of_the_composed_one_are_differences() {
    for case in
        CELLS.into_iter().flat_map(|cell| [false, true].map(|reverse| Case { batch: 2, time: 3, inputs: 2, hidden: 3, ..large(cell, reverse) }))
    {
        let projection = case.projection.map(|_| 2);
        let case = Case { projection, lengths: case.reverse.then(|| vec![3, 2]), ..case };
        let inputs = case.inputs(None, &flex(), DType::F64);
        let grads = case.run(composed, &inputs).0.backward();
        let check = |index: usize, gradient: TensorData| {
            for (i, gradient) in gradient.iter::<f64>().enumerate() {
                let loss = |by: f64| case.run(composed, &case.inputs(Some((index, i, by)), &flex(), DType::F64)).0.into_scalar::<f64>();
                let difference = (loss(1e-6) - loss(-1e-6)) / 2e-6;
                assert!(
                    (gradient - difference).abs() < 1e-7 * gradient.abs().max(1.0),
                    "{case:?}, input {index}, element {i}: {gradient}, {difference}"
                );
            }
        };
        let Inputs { x, w_ih, w_hh, bias: [b_ih, b_hh], h, c, w_hr } = inputs;
        check(0, x.grad(&grads).expect("a gradient").into_data());
        for (index, w) in [(1, Some(w_ih)), (2, Some(w_hh)), (5, Some(h)), (6, c), (7, w_hr)] {
            w.into_iter().for_each(|w| check(index, w.grad(&grads).expect("a gradient").into_data()));
        }
        for (index, b) in [(3, b_ih), (4, b_hh)] {
            check(index, b.grad(&grads).expect("a gradient").into_data());
        }
    }
}

#[test]
fn only_the_state_is_used_and_inputs_need_no_gradient() {
    for cell in CELLS {
        let case = large(cell, false);
        let of_state = |layer: Layer, dtype: DType| {
            let Inputs { x, w_ih, w_hh, bias, h, c, w_hr } = case.inputs(None, &flex(), dtype);
            let weights = Weights { w_ih: w_ih.detach(), w_hh: w_hh.clone(), bias: Some(bias), w_hr };
            let (_, last) = layer(cell, x.detach(), weights, Some(State { h, c }), None, false);
            vec![w_hh.grad(&last.h.sum().backward()).expect("a gradient").into_data()]
        };
        assert_near(&case, &of_state(recurrent, DType::F32), &of_state(composed, DType::F64));
    }
}

/// Without gradient a few sequences take another path: the same bits, on any number of threads.
#[test]
fn a_few_sequences_without_gradient_give_the_bits_of_training() {
    for (cell, batch, reverse) in CELLS.into_iter().flat_map(|cell| [(cell, 1, false), (cell, 3, true), (cell, 6, false), (cell, 7, false)]) {
        let case = Case { cell, batch, time: 6, inputs: 5, hidden: 133, projection: None, lengths: None, reverse };
        let run = |device: &Device| case.run(recurrent, &case.inputs(None, device, DType::F32)).1;
        let want = run(&flex());
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            for _ in 0..5 {
                assert!(pool.install(|| run(&Device::flex())) == want, "{case:?} on {threads} threads");
            }
        }
    }
}
