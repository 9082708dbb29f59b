//! Small dense matrices on the host, in f64 and row-major, for preconditioners.

/// Implicit shifts for an eigenvalue: two or three are usual, and a matrix that needs more has a NaN.
const SHIFTS: usize = 60;

/// Eigenvalues and eigenvectors (as columns) of a symmetric matrix, largest first: reflections to a tridiagonal one, then rotations with implicit shifts.
///
/// Source: Golub and Van Loan, "Matrix computations", 4th edition, 2013, sections 8.3.1 and 8.3.3. A matrix with a NaN gives NaNs.
pub(crate) fn symmetric_eigen(matrix: &[f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let solved = || {
        let (mut diagonal, mut beside, mut rows) = tridiagonal(matrix.to_vec(), n);
        diagonalize(&mut diagonal, &mut beside, &mut rows, n).then_some((diagonal, rows))
    };
    let Some((values, rows)) = matrix.iter().all(|x| x.is_finite()).then(solved).flatten() else {
        return (vec![f64::NAN; n], vec![f64::NAN; n * n]);
    };
    let order = descending(&values);
    let vectors = (0..n * n).map(|i| rows[order[i % n] * n + i / n]).collect();
    (order.iter().map(|&i| values[i]).collect(), vectors)
}

/// The diagonal, what is beside it, and the rows of `Qᵀ`, where `A = Q T Qᵀ`.
fn tridiagonal(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let mut q = identity(n);
    for k in 0..n.saturating_sub(2) {
        // The reflection I − 2 v vᵀ / vᵀv that clears column k below the place under the diagonal.
        let first = k + 1;
        let mut v: Vec<f64> = (first..n).map(|i| a[i * n + k]).collect();
        let length = dot(&v, &v).sqrt();
        v[0] += if v[0] < 0.0 { -length } else { length };
        let square = dot(&v, &v);
        if square == 0.0 {
            continue;
        }
        // A ← H A H: w = 2 A v / vᵀv less its part along v, A ← A − v wᵀ − w vᵀ.
        let mut w: Vec<f64> = (k..n).map(|i| 2.0 / square * dot(&a[i * n + first..(i + 1) * n], &v)).collect();
        let along = dot(&w[1..], &v) / square;
        w[1..].iter_mut().zip(&v).for_each(|(w, v)| *w -= along * v);
        for i in k..n {
            let (vi, wi) = (if i == k { 0.0 } else { v[i - first] }, w[i - k]);
            let row = &mut a[i * n + first..(i + 1) * n];
            row.iter_mut().zip(&v).zip(&w[1..]).for_each(|((a, v), w)| *a -= vi * w + wi * v);
        }
        (first..n).for_each(|i| a[i * n + k] = a[k * n + i]);
        // Qᵀ ← H Qᵀ.
        let mut sums = vec![0.0; n];
        for (v, row) in v.iter().zip(q[first * n..].chunks_exact(n)) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += v * x);
        }
        for (v, row) in v.iter().zip(q[first * n..].chunks_exact_mut(n)) {
            row.iter_mut().zip(&sums).for_each(|(x, sum)| *x -= 2.0 / square * v * sum);
        }
    }
    let diagonal = (0..n).map(|i| a[i * n + i]).collect();
    let beside = (0..n).map(|i| if i + 1 < n { a[i * n + i + 1] } else { 0.0 }).collect();
    (diagonal, beside, q)
}

/// Makes what is beside the diagonal nothing, and turns the rows along. Whether it came to an end.
fn diagonalize(d: &mut [f64], e: &mut [f64], rows: &mut [f64], n: usize) -> bool {
    for l in 0..n {
        for shift in 0.. {
            // Where the matrix falls into two.
            let m = (l..n - 1).find(|&m| e[m].abs() <= f64::EPSILON * (d[m].abs() + d[m + 1].abs())).unwrap_or(n - 1);
            if m == l {
                break;
            }
            if shift == SHIFTS {
                return false;
            }
            let half = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let mut g = d[m] - d[l] + e[l] / (half + half.hypot(1.0).copysign(half));
            let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
            let mut whole = true;
            for i in (l..m).rev() {
                let (f, b) = (s * e[i], c * e[i]);
                let r = f.hypot(g);
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= p;
                    e[m] = 0.0;
                    whole = false;
                    break;
                }
                (s, c) = (f / r, g / r);
                g = d[i + 1] - p;
                let t = (d[i] - g) * s + 2.0 * c * b;
                p = s * t;
                d[i + 1] = g + p;
                g = c * t - b;
                let (upper, lower) = rows[i * n..(i + 2) * n].split_at_mut(n);
                upper.iter_mut().zip(lower).for_each(|(x, y)| (*x, *y) = (c * *x - s * *y, s * *x + c * *y));
            }
            if whole {
                d[l] -= p;
                e[l] = g;
                e[m] = 0.0;
            }
        }
    }
    true
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
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
