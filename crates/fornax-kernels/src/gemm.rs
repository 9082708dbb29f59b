//! Matrix products of f32 in memory: the `gemm` crate behind lengths that are checked.

use gemm::Parallelism;

/// A matrix that is read, with any strides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Row-major.
    pub(crate) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, [rows, cols], [cols, 1])
    }

    /// Row `i` and column `j` at `i strides[0] + j strides[1]`.
    ///
    /// # Panics
    /// If that leaves `data`.
    pub(crate) fn strided(data: &'a [f32], [rows, cols]: [usize; 2], strides: [usize; 2]) -> Self {
        if rows > 0 && cols > 0 {
            assert!((rows - 1) * strides[0] + (cols - 1) * strides[1] < data.len(), "a matrix larger than its data");
        }
        Self { data, rows, cols, row_stride: strides[0], col_stride: strides[1] }
    }

    /// The transpose.
    pub(crate) fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }
}

/// Whether the pool of threads works on one product, or the caller has split the work already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    One,
    Pool,
}

/// `C = A B`, or `C += A B` if `add`; rows of `C` are `row_stride` apart, its columns adjacent.
///
/// The bits do not depend on the number of threads.
///
/// # Panics
/// If sizes do not agree.
pub(crate) fn gemm(c: &mut [f32], row_stride: usize, a: Matrix, b: Matrix, add: bool, threads: Threads) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    assert_eq!(k, b.rows, "inner sizes of a product");
    if m == 0 || n == 0 {
        return;
    }
    assert!(n <= row_stride && (m - 1) * row_stride + n <= c.len(), "a product larger than its place");
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::Pool => Parallelism::Rayon(0),
    };
    #[expect(unsafe_code, reason = "`Matrix::strided` and the assertion above looked at every bound; `c` is borrowed exclusively")]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            row_stride as isize,
            add,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37 + seed * 11) % 101) as f32 / 50.0 - 1.0).collect()
    }

    proptest! {
        #[test]
        fn equals_three_loops(m in 0usize..20, n in 0usize..20, k in 0usize..20, a_t: bool, b_t: bool, add: bool, gap in 0usize..3, pool: bool) {
            let (a, b) = (values(m * k, 1), values(k * n, 2));
            let left = if a_t { Matrix::new(&a, k, m).t() } else { Matrix::new(&a, m, k) };
            let right = if b_t { Matrix::new(&b, n, k).t() } else { Matrix::new(&b, k, n) };
            let stride = n + gap;
            let mut c = vec![0.5; m * stride];
            gemm(&mut c, stride, left, right, add, if pool { Threads::Pool } else { Threads::One });
            for i in 0..m {
                for j in 0..stride {
                    let sum: f32 = (0..k).map(|l| a[if a_t { l * m + i } else { i * k + l }] * b[if b_t { j * k + l } else { l * n + j.min(n.max(1) - 1) }]).take(if j < n { k } else { 0 }).sum();
                    let want = if j >= n { 0.5 } else { sum + if add { 0.5 } else { 0.0 } };
                    prop_assert!((c[i * stride + j] - want).abs() < 1e-4);
                }
            }
        }
    }
}
