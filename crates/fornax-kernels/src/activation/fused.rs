//! Activations and their derivatives on slices of f32.

use super::{Activation, CUBIC, SLOPE};
use crate::op::{self, Array, Op, Tape, View};
use crate::simd::{erf_and_exp, sigmoid, tanh, vectorized};
use burn::tensor::Tensor;
use rayon::prelude::*;
use std::f32::consts::FRAC_1_SQRT_2;

/// Elements a task.
const TASK: usize = 1 << 14;
/// `1 / √(2π)`
const DENSITY: f32 = 0.398_942_3;

/// See [`Activation::forward`].
pub(super) fn activate<const D: usize>(activation: Activation, x: Tensor<D>) -> Tensor<D> {
    let [y, ..] = op::apply(activation, [x.into_dispatch()]);
    Tensor::from_dispatch(y)
}

/// `Φ(x)`, and `x φ(x)` with the density `φ`.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    let (erf, exp) = erf_and_exp(x * FRAC_1_SQRT_2);
    (0.5 + 0.5 * erf, x * exp * DENSITY)
}

/// `½ (1 + tanh u)` and `u'` of GELU's approximation.
#[inline(always)]
fn approximate(x: f32) -> (f32, f32) {
    let (cubic, slope) = (CUBIC as f32, SLOPE as f32);
    let u = slope * (x + cubic * x * x * x);
    (sigmoid(2.0 * u), slope * (1.0 + 3.0 * cubic * x * x))
}

#[inline(always)]
fn map(x: &mut [f32], f: impl Fn(f32) -> f32) {
    x.iter_mut().for_each(|x| *x = f(*x));
}

/// `g ← g a'`, with `a'` of what is put by.
#[inline(always)]
fn chain(g: &mut [f32], of: &[f32], slope: impl Fn(f32) -> f32) {
    g.iter_mut().zip(of).for_each(|(g, &x)| *g *= slope(x));
}

impl Activation {
    /// Whether the derivative is read from the result, and not from the input.
    pub(crate) fn reads_result(self) -> bool {
        matches!(self, Self::Identity | Self::Relu | Self::Tanh | Self::Sigmoid)
    }

    /// `x ← a(x)`
    pub(crate) fn run(self, x: &mut [f32]) {
        vectorized(
            #[inline(always)]
            || match self {
                Self::Identity => {}
                Self::Relu => map(x, |x| if x <= 0.0 { 0.0 } else { x }),
                Self::Gelu => map(x, |x| x * normal(x).0),
                Self::GeluTanh => map(x, |x| x * approximate(x).0),
                Self::Silu => map(x, |x| x * sigmoid(x)),
                Self::Tanh => map(x, tanh),
                Self::Sigmoid => map(x, sigmoid),
            },
        );
    }

    /// `g ← g a'(x)`; `of` is the result or the input, as [`Activation::reads_result`] says.
    pub(crate) fn differentiate(self, g: &mut [f32], of: &[f32]) {
        vectorized(
            #[inline(always)]
            || match self {
                Self::Identity => {}
                Self::Relu => g.iter_mut().zip(of).for_each(|(g, &y)| *g = if y > 0.0 { *g } else { 0.0 }),
                Self::Gelu => chain(g, of, |x| {
                    let (cdf, density) = normal(x);
                    cdf + density
                }),
                Self::GeluTanh => chain(g, of, |x| {
                    let (half, slope) = approximate(x);
                    half + 2.0 * x * half * (1.0 - half) * slope
                }),
                Self::Silu => chain(g, of, |x| {
                    let s = sigmoid(x);
                    s * (1.0 + x * (1.0 - s))
                }),
                Self::Tanh => chain(g, of, |y| 1.0 - y * y),
                Self::Sigmoid => chain(g, of, |y| y * (1.0 - y)),
            },
        );
    }
}

impl Op for Activation {
    fn forward(&self, inputs: &[View], _train: bool) -> (Vec<Array>, Vec<Vec<f32>>) {
        let x = inputs[0];
        let mut y = x.data.to_vec();
        y.par_chunks_mut(TASK).for_each(|y| self.run(y));
        (vec![Array::new(y, x.shape.to_vec())], vec![])
    }

    fn backward(&self, tape: &Tape, dy: &[Option<View>], _wanted: &[bool]) -> Vec<Option<Array>> {
        let Some(dy) = dy[0] else { return vec![None] };
        let of = if self.reads_result() { tape.output(0) } else { tape.input(0) };
        let mut dx = dy.data.to_vec();
        dx.par_chunks_mut(TASK).zip(of.data.par_chunks(TASK)).for_each(|(dx, of)| self.differentiate(dx, of));
        vec![Some(Array::new(dx, dy.shape.to_vec()))]
    }

    fn keeps_input(&self, _index: usize) -> bool {
        !self.reads_result()
    }
    fn keeps_output(&self, _index: usize) -> bool {
        self.reads_result()
    }
}
