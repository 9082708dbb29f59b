//! Small dense matrices on the host, in f64 and row-major, for preconditioners.

/// Sweeps of Jacobi's method, which converges quadratically: ten are plenty, and a NaN must end too.
const SWEEPS: usize = 30;

/// Eigenvalues and eigenvectors (as columns) of a symmetric matrix, largest first, by Jacobi's rotations.
///
/// Source: Golub and Van Loan, "Matrix computations", 4th edition, 2013, section 8.5. A matrix with a NaN gives NaNs.
pub(crate) fn symmetric_eigen(matrix: &[f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut a = matrix.to_vec();
    let mut v = identity(n);
    if !a.iter().all(|x| x.is_finite()) {
        return (vec![f64::NAN; n], vec![f64::NAN; n * n]);
    }
    let total: f64 = a.iter().map(|x| x * x).sum();
    for _ in 0..SWEEPS {
        let off: f64 = (0..n).flat_map(|i| (0..n).filter(move |&j| j != i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        if off <= 1e-32 * total {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut v, n, p, q);
            }
        }
    }
    let values: Vec<f64> = (0..n).map(|i| a[i * n + i]).collect();
    let order = descending(&values);
    (order.iter().map(|&i| values[i]).collect(), columns(&v, n, &order))
}

/// Makes element (p, q) zero.
fn rotate(a: &mut [f64], v: &mut [f64], n: usize, p: usize, q: usize) {
    let apq = a[p * n + q];
    if apq == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
    let t = if theta == 0.0 { 1.0 } else { theta.signum() / (theta.abs() + theta.hypot(1.0)) };
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    for k in 0..n {
        let (x, y) = (a[k * n + p], a[k * n + q]);
        (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
        let (x, y) = (v[k * n + p], v[k * n + q]);
        (v[k * n + p], v[k * n + q]) = (c * x - s * y, s * x + c * y);
    }
    for k in 0..n {
        let (x, y) = (a[p * n + k], a[q * n + k]);
        (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
    }
}

/// The orthogonal factor Q of `A = Q R`, by Householder's reflections: orthogonal whatever the rank of A.
pub(crate) fn orthogonal_factor(matrix: &[f64], n: usize) -> Vec<f64> {
    let mut a = matrix.to_vec();
    let mut q = identity(n);
    for k in 0..n {
        let mut reflector: Vec<f64> = (k..n).map(|i| a[i * n + k]).collect();
        let length = reflector.iter().map(|x| x * x).sum::<f64>().sqrt();
        reflector[0] += if reflector[0] < 0.0 { -length } else { length };
        let square: f64 = reflector.iter().map(|x| x * x).sum();
        if square == 0.0 {
            continue;
        }
        // A ← H A, from column k on, and Q ← Q H.
        for j in k..n {
            let dot: f64 = (k..n).map(|i| reflector[i - k] * a[i * n + j]).sum();
            (k..n).for_each(|i| a[i * n + j] -= 2.0 * dot / square * reflector[i - k]);
        }
        for row in q.chunks_exact_mut(n) {
            let dot: f64 = (k..n).map(|j| row[j] * reflector[j - k]).sum();
            (k..n).for_each(|j| row[j] -= 2.0 * dot / square * reflector[j - k]);
        }
    }
    q
}

/// `A^p` of a symmetric matrix whose eigenvalues are at least `floor`, but for rounding.
pub(crate) fn symmetric_power(matrix: &[f64], n: usize, power: f64, floor: f64) -> Vec<f64> {
    let (values, vectors) = symmetric_eigen(matrix, n);
    // V Λᵖ, and then times Vᵀ.
    let scaled: Vec<f64> =
        vectors.chunks_exact(n).flat_map(|row| row.iter().zip(&values).map(|(x, value)| x * value.max(floor).powf(power))).collect();
    let transposed: Vec<f64> = (0..n * n).map(|i| vectors[(i % n) * n + i / n]).collect();
    product(&scaled, &transposed, n)
}

/// `A B`
pub(crate) fn product(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    let mut c = vec![0.0; n * n];
    for (row, out) in a.chunks_exact(n).zip(c.chunks_exact_mut(n)) {
        for (x, line) in row.iter().zip(b.chunks_exact(n)) {
            out.iter_mut().zip(line).for_each(|(out, y)| *out += x * y);
        }
    }
    c
}

/// Indices by falling value.
pub(crate) fn descending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[j].total_cmp(&values[i]));
    order
}

/// The matrix of these columns.
pub(crate) fn columns(matrix: &[f64], n: usize, order: &[usize]) -> Vec<f64> {
    matrix.chunks_exact(n).flat_map(|row| order.iter().map(|&j| row[j])).collect()
}

pub(crate) fn identity(n: usize) -> Vec<f64> {
    (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: &[f64], b: &[f64], tolerance: f64) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
    }

    fn transposed(a: &[f64], n: usize) -> Vec<f64> {
        (0..n * n).map(|i| a[(i % n) * n + i / n]).collect()
    }

    fn square() -> impl Strategy<Value = (usize, Vec<f64>)> {
        (1usize..9).prop_flat_map(|n| (Just(n), prop::collection::vec(-2.0f64..2.0, n * n)))
    }

    proptest! {
        #[test]
        fn eigenvectors_rebuild_the_matrix((n, a) in square()) {
            let a = product(&a, &transposed(&a, n), n);
            let (values, v) = symmetric_eigen(&a, n);
            prop_assert!(values.windows(2).all(|w| w[0] >= w[1]));
            prop_assert!(close(&product(&v, &transposed(&v, n), n), &identity(n), 1e-12));
            let scaled: Vec<f64> = v.chunks_exact(n).flat_map(|row| row.iter().zip(&values).map(|(x, l)| x * l)).collect();
            prop_assert!(close(&product(&scaled, &transposed(&v, n), n), &a, 1e-10));
        }

        #[test]
        fn powers_multiply_to_one((n, a) in square()) {
            let mut a = product(&a, &transposed(&a, n), n);
            (0..n).for_each(|i| a[i * (n + 1)] += 0.5);
            let quarter = symmetric_power(&a, n, -0.25, 0.1);
            let half = product(&quarter, &quarter, n);
            prop_assert!(close(&product(&product(&half, &half, n), &a, n), &identity(n), 1e-9));
        }

        #[test]
        fn the_orthogonal_factor_leaves_a_triangle((n, a) in square(), rank_one in any::<bool>()) {
            let a: Vec<f64> = if rank_one { (0..n * n).map(|i| a[i / n] * a[i % n]).collect() } else { a };
            let q = orthogonal_factor(&a, n);
            prop_assert!(close(&product(&q, &transposed(&q, n), n), &identity(n), 1e-12));
            let r = product(&transposed(&q, n), &a, n);
            prop_assert!((0..n).all(|i| (0..i).all(|j| r[i * n + j].abs() < 1e-12)));
        }
    }

    #[test]
    fn nothing_hangs_or_panics_on_nan_and_zero() {
        assert!(symmetric_eigen(&[f64::NAN; 9], 3).0.iter().all(|x| x.is_nan()));
        assert_eq!(symmetric_eigen(&[0.0; 9], 3), (vec![0.0; 3], identity(3)));
        assert_eq!(orthogonal_factor(&[0.0; 9], 3), identity(3));
        assert_eq!(orthogonal_factor(&[f64::NAN; 9], 3).len(), 9);
    }
}
