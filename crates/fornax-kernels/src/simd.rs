//! Loops over floats as the processor's widest vectors, and functions that vectorize: no branch, no table.
//!
//! Errors are against f64, over every float of the range where it is stated.

/// Compiles `f`'s loops for AVX2 where the processor has it. `f`, and what it calls, should be `#[inline(always)]`: what is not inlined here
/// is compiled for any processor.
pub(crate) fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn wide<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            #[expect(unsafe_code, reason = "the processor has AVX2 and FMA: it was asked")]
            return unsafe { wide(f) };
        }
    }
    f()
}

/// Work for [`run_vectorized`]: mark [`Work::run`] `#[inline(always)]`. A closure that is too large is not inlined, and compiles without vectors.
pub(crate) trait Work {
    fn run(self);
}

/// [`vectorized`], whatever the size of the loops.
pub(crate) fn run_vectorized(work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn wide(work: impl Work) {
            work.run();
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            #[expect(unsafe_code, reason = "the processor has AVX2 and FMA: it was asked")]
            return unsafe { wide(work) };
        }
    }
    work.run();
}

/// Asks for the cache line of the first float, for reading and writing.
#[inline(always)]
pub(crate) fn prefetch(x: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[expect(unsafe_code, reason = "a hint: any address will do")]
        unsafe {
            _mm_prefetch(x.as_ptr().cast(), _MM_HINT_T0);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = x;
}

/// `eˣ`, relative error below 2e-7; 0 under −87.3, `e^88.3` above it. NaN stays NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // 2ⁿ eʳ with |r| ≤ ln 2 / 2; ln 2 in two parts, the first with few bits. The polynomial is Cephes'.
    let bounded = x.clamp(-87.3, 88.3);
    // Added to 1.5 · 2²³ a number is rounded, and stands in the lowest bits.
    let shifted = bounded * std::f32::consts::LOG2_E + 12_582_912.0;
    let n = shifted - 12_582_912.0;
    let r = bounded - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = ((((1.987_569_1e-4 * r + 1.398_2e-3) * r + 8.333_452e-3) * r + 4.166_579_6e-2) * r + 1.666_666_6e-1) * r + 0.5;
    let e = p * r * r + r + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x < -87.3 { 0.0 } else { e * scale }
}

/// `1 / (1 + e⁻ˣ)`, absolute error below 2e-7.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `tanh x`, absolute error below 3e-7.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

/// `erf x`, absolute error below 6e-7, and the `e^(−x²)` that it takes.
///
/// Source: Abramowitz and Stegun, 1964, 7.1.26 has five terms and 1.5e-7 in exact arithmetic.
#[inline(always)]
pub(crate) fn erf_and_exp(x: f32) -> (f32, f32) {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let p = ((((1.061_405_4 * t - 1.453_152_1) * t + 1.421_413_8) * t - 0.284_496_72) * t + 0.254_829_6) * t;
    let exp = exp(-a * a);
    ((1.0 - p * exp).copysign(x), exp)
}

/// `a ← a + b`
#[inline(always)]
pub(crate) fn add(a: &mut [f32], b: &[f32]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
}

/// Sums beside each other.
const LANES: usize = 16;

/// `Σ f(aᵢ, bᵢ)`, in sixteen sums that are added at the end.
///
/// # Panics
/// If the lengths differ.
#[inline(always)]
pub(crate) fn sum(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    assert_eq!(a.len(), b.len());
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        (0..LANES).for_each(|i| sums[i] += f(a[i], b[i]));
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(&a, &b)| f(a, b)).sum();
    sums.iter().sum::<f32>() + rest
}

/// The largest; −∞ of none. Skips NaN.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut most = [f32::NEG_INFINITY; LANES];
    for x in chunks {
        (0..LANES).for_each(|i| most[i] = if x[i] > most[i] { x[i] } else { most[i] });
    }
    most.iter().chain(rest).fold(f32::NEG_INFINITY, |m, &x| if x > m { x } else { m })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(range: std::ops::Range<f32>, f: fn(f32) -> f32, want: fn(f64) -> f64, relative: bool) -> f64 {
        let steps = 200_000;
        (0..=steps)
            .map(|i| range.start + (range.end - range.start) * (i as f32 / steps as f32))
            .map(|x| {
                let want = want(f64::from(x));
                (f64::from(f(x)) - want).abs() / if relative { want.abs() } else { 1.0 }
            })
            .fold(0.0, f64::max)
    }

    /// By its series, and its continued fraction where that converges faster.
    fn erf64(x: f64) -> f64 {
        if x.abs() < 3.0 {
            let (mut term, mut sum) = (x, x);
            for n in 1..120 {
                term *= -x * x / n as f64;
                sum += term / (2 * n + 1) as f64;
            }
            return sum * std::f64::consts::FRAC_2_SQRT_PI;
        }
        let a = x.abs();
        let fraction = (1..60).rev().fold(a, |f, k| a + k as f64 / 2.0 / f);
        (1.0 - (-a * a).exp() / fraction / std::f64::consts::PI.sqrt()).copysign(x)
    }

    fn erf(x: f32) -> f32 {
        erf_and_exp(x).0
    }

    #[test]
    fn errors_are_as_stated() {
        assert!(worst(-87.0..88.0, exp, f64::exp, true) < 2e-7);
        assert!(worst(-30.0..30.0, sigmoid, |x| 1.0 / (1.0 + (-x).exp()), false) < 2e-7);
        assert!(worst(-15.0..15.0, tanh, f64::tanh, false) < 3e-7);
        assert!(worst(-6.0..6.0, erf, erf64, false) < 6e-7);
    }

    #[test]
    fn sums_and_maxima_are_those_of_a_plain_loop() {
        for n in [0, 1, 15, 16, 17, 33, 100] {
            let (a, b): (Vec<f32>, Vec<f32>) = (0..n).map(|i| ((i * 7 % 23) as f32 - 11.0, (i % 5) as f32)).unzip();
            assert_eq!(sum(&a, &b, |a, b| a * b), a.iter().zip(&b).map(|(a, b)| a * b).sum::<f32>());
            assert_eq!(max(&a), a.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let mut c = a.clone();
            add(&mut c, &b);
            assert!(c.iter().zip(a.iter().zip(&b)).all(|(c, (a, b))| *c == a + b));
        }
    }

    #[test]
    fn ends_are_kept() {
        for f in [exp, sigmoid, tanh, erf] {
            assert!(f(f32::NAN).is_nan());
        }
        assert!(sigmoid(-200.0) < 1e-38);
        assert_eq!([exp(f32::NEG_INFINITY), tanh(50.0), tanh(-50.0), erf(9.0), erf(-9.0)], [0.0, 1.0, -1.0, 1.0, -1.0]);
        assert!(exp(f32::INFINITY) > 1e38 && sigmoid(200.0) == 1.0);
    }
}
