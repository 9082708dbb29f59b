use burn::tensor::{DType, Device, Tensor, TensorData};
use fornax_kernels::random::Key;

/// Anything that numbers can be read from.
pub trait Values {
    /// In row-major order.
    fn values(&self) -> Vec<f64>;
}

impl<const D: usize> Values for Tensor<D> {
    fn values(&self) -> Vec<f64> {
        self.to_data().values()
    }
}

impl Values for TensorData {
    fn values(&self) -> Vec<f64> {
        self.iter::<f64>().collect()
    }
}

impl Values for [f64] {
    fn values(&self) -> Vec<f64> {
        self.to_vec()
    }
}

impl<const N: usize> Values for [f64; N] {
    fn values(&self) -> Vec<f64> {
        self.to_vec()
    }
}

impl Values for Vec<f64> {
    fn values(&self) -> Vec<f64> {
        self.clone()
    }
}

impl<V: Values + ?Sized> Values for &V {
    fn values(&self) -> Vec<f64> {
        (**self).values()
    }
}

/// `|got − expected| ≤ atol + rtol · |expected|`, element by element; the worst one is named.
///
/// # Panics
/// If it does not hold, the numbers of elements differ, or either side has a NaN that the other has not.
#[track_caller]
pub fn assert_close(got: impl Values, expected: impl Values, rtol: f64, atol: f64) {
    let (got, expected) = (got.values(), expected.values());
    assert_eq!(got.len(), expected.len(), "number of elements");
    let excess = |(_, (g, e)): &(usize, (&f64, &f64))| match (g.is_nan(), e.is_nan()) {
        (true, true) => f64::NEG_INFINITY,
        (false, false) if g == e => f64::NEG_INFINITY,
        (false, false) => (*g - *e).abs() - (atol + rtol * e.abs()),
        _ => f64::INFINITY,
    };
    let worst = got.iter().zip(&expected).enumerate().max_by(|a, b| excess(a).total_cmp(&excess(b)));
    let Some(worst) = worst.filter(|pair| excess(pair) > 0.0) else { return };
    let (index, (g, e)) = worst;
    let wrong = got.iter().zip(&expected).enumerate().filter(|pair| excess(pair) > 0.0).count();
    panic!("{wrong} of {} elements differ by more than {rtol:e} relative + {atol:e}; the worst is element {index}: {g} instead of {e}", got.len());
}

/// Holds `got` to a value of a fixture: within a share of the largest expected element that suits the type computed in.
///
/// f32: 3e-5, which is 500 roundings; sums of up to 3,000 products stay below it, and a wrong term or factor does not.
/// f64: 1e-9, for fixtures hold 12 digits.
///
/// # Panics
/// If it does not hold.
#[track_caller]
pub fn assert_near(what: &str, got: impl Values, expected: impl Values, dtype: DType) {
    let (got, expected) = (got.values(), expected.values());
    assert_eq!(got.len(), expected.len(), "{what}: number of elements");
    let largest = expected.iter().fold(0f64, |max, x| max.max(x.abs()));
    let allowed = largest * if dtype == DType::F64 { 1e-9 } else { 3e-5 };
    for (i, (g, e)) in got.iter().zip(&expected).enumerate() {
        assert!((g - e).abs() <= allowed, "{what}, element {i} in {dtype:?}: {g} instead of {e} (of at most {largest})");
    }
}

/// The exact bytes of a tensor, to compare without tolerance.
pub fn bits<const D: usize>(x: &Tensor<D>) -> Vec<u8> {
    x.to_data().as_bytes().to_vec()
}

/// Numbers in (−1, 1) that are a function of `seed` alone, for inputs.
pub fn uniform<const D: usize>(shape: [usize; D], seed: u64, device: &Device, dtype: DType) -> Tensor<D> {
    let key = Key::new(seed);
    let values = (0..shape.iter().product::<usize>() as u64).map(|i| 2.0 * key.uniform(i) - 1.0).collect();
    Tensor::from_data(TensorData::new::<f64, _>(values, shape).convert_dtype(dtype), (device, dtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_is_close() {
        assert_close([1.0, -2.0, f64::NAN, f64::INFINITY], [1.0 + 1e-7, -2.0, f64::NAN, f64::INFINITY], 1e-6, 0.0);
        assert_close([0.0], [1e-9], 0.0, 1e-8);
    }

    #[test]
    #[should_panic(expected = "1 of 2 elements differ by more than 1e-6 relative + 0e0; the worst is element 1: 2 instead of 2.1")]
    fn far_is_not() {
        assert_close([1.0, 2.0], [1.0, 2.1], 1e-6, 0.0);
    }

    #[test]
    #[should_panic(expected = "element 0: NaN instead of 1")]
    fn nan_is_not_a_number() {
        assert_close([f64::NAN], [1.0], 1.0, 1.0);
    }

    #[test]
    #[should_panic(expected = "number of elements")]
    fn lengths_count() {
        assert_close([1.0], [1.0, 1.0], 1.0, 1.0);
    }
}
