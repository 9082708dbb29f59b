//! Reductions over whole tensors with a fixed order, so that the same input gives the same bits.
//!
//! A backend may split a large sum by its scheduler's mood; here the tensor is cut into chunks of a fixed size, each is summed
//! by the backend, and the chunk sums are added in order in f64 on the host.

use burn::tensor::Tensor;

/// Elements a chunk: below the size where any backend splits a row.
const CHUNK: usize = 1 << 16;

/// `Σ x`
pub fn sum<const D: usize>(x: Tensor<D>) -> f64 {
    let n = x.shape().num_elements();
    let flat: Tensor<1> = x.reshape([n]);
    let whole = n / CHUNK;
    let mut total = 0.0;
    if whole > 0 {
        let rows: Tensor<2> = flat.clone().narrow(0, 0, whole * CHUNK).reshape([whole, CHUNK]);
        total += host_sum(rows.sum_dim(1).reshape([whole]));
    }
    if n > whole * CHUNK {
        total += host_sum(flat.narrow(0, whole * CHUNK, n - whole * CHUNK).sum());
    }
    total
}

/// `Σ x²`
pub fn sum_of_squares<const D: usize>(x: Tensor<D>) -> f64 {
    sum(x.clone() * x)
}

fn host_sum(x: Tensor<1>) -> f64 {
    x.into_data().convert::<f64>().iter::<f64>().sum()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::random::Key;
    use burn::tensor::Device;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn equals_a_sum_in_f64(n in 1usize..200_000, seed in 0u64..1000) {
            let x = Key::new(seed).mask([n], 0.5, 0.7, &Device::flex());
            let want: f64 = x.to_data().iter::<f64>().sum();
            let got = sum(x);
            prop_assert!((got - want).abs() <= 1e-5 * want.abs().max(1.0), "{got} {want}");
        }
    }

    #[test]
    fn five_million_elements_give_the_same_bits_every_time() {
        let x = Key::new(1).mask([5_000_000], 0.5, 0.3, &Device::flex());
        let first = sum_of_squares(x.clone()).to_bits();
        assert!((0..20).all(|_| sum_of_squares(x.clone()).to_bits() == first));
    }
}
