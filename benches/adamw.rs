//! AdamW on 10 million parameters on Flex, beside the time to stream the bytes that a step must touch: reads of parameter, gradient and two moments, writes of
//! all but the gradient.
//!
//! Alone it prints medians. With `--on-request` it answers each line on standard input by a line of JSON, so that `benches/adamw.py` can take turns with PyTorch.
#![recursion_limit = "256"]
#![expect(clippy::print_stdout, reason = "its figures go to standard output")]

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use fornax_kernels::{device::set_threads, random::Key};
use fornax_optimizers::{AdamW, Gradients, Optimizer, PerTensor};
use rayon::prelude::*;
use std::{hint::black_box, io::BufRead, time::Instant};

/// As in `benches/adamw.py`.
const MATRICES: [[usize; 2]; 5] = [[2500, 1600], [1600, 1250], [1250, 1600], [1000, 1000], [1000, 1000]];
const VECTORS: [usize; 8] = [2500, 1600, 1250, 1600, 1000, 1000, 1600, 1600];
const STEPS: usize = 5;
const LR: f64 = 1e-3;

#[derive(Module, Debug)]
struct Model {
    matrices: Vec<Param<Tensor<2>>>,
    vectors: Vec<Param<Tensor<1>>>,
}

fn values(seed: u64, n: usize) -> Vec<f32> {
    let key = Key::new(seed);
    (0..n as u64).map(|i| (key.uniform(i) - 0.5) as f32).collect()
}

impl Model {
    fn new(device: &Device) -> Self {
        let matrix = |(i, shape): (usize, &[usize; 2])| {
            Param::from_tensor(Tensor::from_data(TensorData::new(values(i as u64, shape[0] * shape[1]), *shape), device))
        };
        let vector = |(i, n): (usize, &usize)| Param::from_tensor(Tensor::from_data(TensorData::new(values(100 + i as u64, *n), [*n]), device));
        Self { matrices: MATRICES.iter().enumerate().map(matrix).collect(), vectors: VECTORS.iter().enumerate().map(vector).collect() }
    }

    /// Of the sum of sines: as dense as real ones.
    fn gradients(&self) -> Gradients {
        let matrices = self.matrices.iter().map(|p| p.val().cos().sum());
        let loss = matrices.chain(self.vectors.iter().map(|p| p.val().cos().sum())).reduce(|a, b| a + b).expect("there are parameters");
        Gradients::of(&loss, self)
    }
}

/// The memory of a step without its arithmetic.
struct Stream([Vec<f32>; 4]);

impl Stream {
    fn new(n: usize) -> Self {
        Self(std::array::from_fn(|i| values(i as u64, n)))
    }

    fn pass(&mut self) {
        const CHUNK: usize = 1 << 14;
        let [p, g, m, v] = &mut self.0;
        let parts = p.par_chunks_mut(CHUNK).zip(g.par_chunks(CHUNK)).zip(m.par_chunks_mut(CHUNK)).zip(v.par_chunks_mut(CHUNK));
        parts.for_each(|(((p, g), m), v)| {
            for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                *p += g;
                *m -= g;
                *v += *m;
            }
        });
    }
}

fn best_of<T>(state: &mut T, mut run: impl FnMut(&mut T)) -> f64 {
    let mut time = || {
        let began = Instant::now();
        run(state);
        1e3 * began.elapsed().as_secs_f64()
    };
    (0..STEPS).map(|_| time()).fold(f64::INFINITY, f64::min)
}

/// Adam under a constant gradient moves by η a step, whatever the gradient; AdamW decays as well.
fn check(device: &Device) {
    let start = Model::new(device);
    let before = start.vectors[0].val().inner();
    let gradients = start.gradients();
    let after = PerTensor::new(AdamW::default()).step(LR, start, &gradients).vectors[0].val().inner();
    let sign = gradients.iter().nth(MATRICES.len()).expect("the first vector").1.clone().sign();
    let off: f32 = (before * (1.0 - LR * 0.01) - sign * LR - after).abs().max().into_scalar();
    assert!(off < 1e-6, "a step is off by {off}");
}

fn main() {
    let on_request = std::env::args().any(|arg| arg == "--on-request");
    set_threads(2);
    let device = Device::flex().autodiff();
    check(&device);
    let model = Model::new(&device);
    let gradients = model.gradients();
    let n = model.num_params();
    let mut state = (PerTensor::new(AdamW::default()), Some(model));
    let mut stream = Stream::new(n);
    let mut round = || {
        let step = best_of(&mut state, |(optimizer, slot)| {
            *slot = slot.take().map(|model| black_box(optimizer.step(LR, model, &gradients)));
        });
        (step, best_of(&mut stream, |stream| stream.pass()))
    };
    round();
    if !on_request {
        let rounds: Vec<_> = (0..7).map(|_| round()).collect();
        let median = |part: fn(&(f64, f64)) -> f64| {
            let mut times: Vec<f64> = rounds.iter().map(part).collect();
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        };
        let (step, stream) = (median(|x| x.0), median(|x| x.1));
        println!("AdamW, {n} parameters on flex, 2 threads: {step:.2} ms a step, {stream:.2} ms to stream its bytes, {:.2} x", step / stream);
        return;
    }
    println!("{{\"parameters\":{n}}}");
    for _ in std::io::stdin().lock().lines() {
        let (step, stream) = round();
        println!("{{\"step_ms\":{step},\"stream_ms\":{stream}}}");
    }
}
