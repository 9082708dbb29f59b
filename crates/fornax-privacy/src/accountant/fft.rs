//! The discrete Fourier transform of a power of two, in place.
//!
//! Source: Cooley and Tukey, "An algorithm for the machine calculation of complex Fourier series", 1965.

use rayon::prelude::*;
use std::f64::consts::TAU;

/// A complex number: real and imaginary part.
pub(super) type Complex = [f64; 2];

pub(super) fn product([a, b]: Complex, [c, d]: Complex) -> Complex {
    [a * c - b * d, a * d + b * c]
}

/// `zⁿ` by squaring.
pub(super) fn power(mut base: Complex, mut n: u64) -> Complex {
    let mut result = [1.0, 0.0];
    while n > 0 {
        if n & 1 == 1 {
            result = product(result, base);
        }
        base = product(base, base);
        n >>= 1;
    }
    result
}

/// `X(k) = Σ_n x(n) e^(−2πi k n / N)`; with `inverse` the sign is the other one, and the sum is not divided by `N`.
///
/// # Panics
/// If the length is no power of two.
pub(super) fn transform(x: &mut [Complex], inverse: bool) {
    let n = x.len();
    assert!(n.is_power_of_two(), "a transform of {n}, which is no power of two");
    let bits = n.trailing_zeros();
    for i in 0..n {
        let j = if bits == 0 { 0 } else { i.reverse_bits() >> (usize::BITS - bits) };
        if i < j {
            x.swap(i, j);
        }
    }
    let sign = if inverse { 1.0 } else { -1.0 };
    // Each root by its own sine: products of roots would lose digits.
    let roots: Vec<Complex> = (0..n / 2)
        .into_par_iter()
        .map(|k| {
            let (sin, cos) = (TAU * k as f64 / n as f64).sin_cos();
            [cos, sign * sin]
        })
        .collect();
    let mut half = 1;
    while half < n {
        let stride = n / (2 * half);
        let butterflies = |part: &mut [Complex]| {
            let (even, odd) = part.split_at_mut(half);
            for (k, (even, odd)) in even.iter_mut().zip(odd).enumerate() {
                let ([a, b], [c, d]) = (*even, product(*odd, roots[k * stride]));
                (*even, *odd) = ([a + c, b + d], [a - c, b - d]);
            }
        };
        x.par_chunks_mut(2 * half).with_min_len((1024 / half).max(1)).for_each(butterflies);
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_sum_and_its_inverse_undoes_it() {
        for size in [1, 2, 4, 8, 64, 256] {
            let x: Vec<Complex> = (0..size).map(|i| [(i as f64 * 0.7).sin(), (i as f64 * 1.3).cos()]).collect();
            let mut got = x.clone();
            transform(&mut got, false);
            for (k, got) in got.iter().enumerate() {
                let want = x.iter().enumerate().fold([0.0; 2], |[re, im], (n, x)| {
                    let (sin, cos) = (TAU * ((k * n) % size) as f64 / size as f64).sin_cos();
                    let [a, b] = product(*x, [cos, -sin]);
                    [re + a, im + b]
                });
                assert!((got[0] - want[0]).abs() < 1e-11 && (got[1] - want[1]).abs() < 1e-11, "{size}");
            }
            transform(&mut got, true);
            assert!(got.iter().zip(&x).all(|(g, x)| (g[0] / size as f64 - x[0]).abs() < 1e-13));
        }
    }

    #[test]
    fn powers() {
        let z = [0.6, 0.8];
        assert_eq!(power(z, 0), [1.0, 0.0]);
        let turn = power(z, 5);
        let angle = 5.0 * 0.8f64.atan2(0.6);
        assert!((turn[0] - angle.cos()).abs() < 1e-14 && (turn[1] - angle.sin()).abs() < 1e-14);
    }
}
