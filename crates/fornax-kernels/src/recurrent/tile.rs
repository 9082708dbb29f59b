//! Products of a few rows with a matrix that was packed once and is used at every step.
//!
//! An element of a result is one chain of fused multiply-adds over `k` in rising order, whatever the processor and however rows are
//! grouped: so its bits do not depend on who computes it.

use crate::transpose::transpose;

/// Floats that are handled together.
pub(super) const LANES: usize = 16;
/// So many columns of a row.
pub(super) type Lane = [f32; LANES];
/// Rows of one product, at most: with four lanes they fill the registers of AVX-512.
pub(super) const ROWS: usize = 6;

/// A right side `[K, N]`, cut into panels of `V` lanes.
#[derive(Debug)]
pub(super) struct Packed<const V: usize> {
    depth: usize,
    data: Vec<[Lane; V]>,
}

impl<const V: usize> Packed<V> {
    /// Column `i` of lane `v` in panel `p` is `column(p, v, i)`, where its `K` elements are `stride` apart; zeros without one.
    pub(super) fn new(panels: usize, depth: usize, stride: usize, column: impl Fn(usize, usize, usize) -> Option<usize> + Sync, w: &[f32]) -> Self {
        use rayon::prelude::*;
        let mut data = vec![[[0.0; LANES]; V]; panels * depth];
        data.par_chunks_mut(depth.max(1)).enumerate().for_each(|(p, panel)| {
            if stride == 1 && (0..V).all(|v| rows_of(&column, p, v).is_some()) {
                for v in 0..V {
                    let (start, apart) = rows_of(&column, p, v).expect("looked at just now");
                    transpose(&w[start..], [LANES, depth], apart, &mut panel.as_flattened_mut().as_flattened_mut()[v * LANES..], V * LANES);
                }
                return;
            }
            // Blocks that stay in the nearest cache, for reading goes along `k` and writing across it.
            for (block, panel) in panel.chunks_mut(LANES).enumerate() {
                for (v, i) in (0..V).flat_map(|v| (0..LANES).map(move |i| (v, i))) {
                    if let Some(start) = column(p, v, i) {
                        let from = start + block * LANES * stride;
                        panel.iter_mut().zip(w[from..].iter().step_by(stride)).for_each(|(row, w)| row[v][i] = *w);
                    }
                }
            }
        });
        Self { depth, data }
    }

    /// The `K` rows of a panel.
    pub(super) fn panel(&self, index: usize) -> &[[Lane; V]] {
        &self.data[index * self.depth..(index + 1) * self.depth]
    }

    pub(super) fn panels(&self) -> usize {
        self.data.len() / self.depth.max(1)
    }
}

/// Where a lane's first column begins, and the columns' distance, if all are there and equally far from each other.
fn rows_of(column: &impl Fn(usize, usize, usize) -> Option<usize>, panel: usize, lane: usize) -> Option<(usize, usize)> {
    let (first, second) = (column(panel, lane, 0)?, column(panel, lane, 1)?);
    let apart = second.checked_sub(first)?;
    (0..LANES).all(|i| column(panel, lane, i) == Some(first + i * apart)).then_some((first, apart))
}

/// `out[r] = Σₖ a[r][k] panel[k]`, for up to [`ROWS`] rows.
pub(super) fn product<const V: usize>(a: &[&[f32]], panel: &[[Lane; V]], out: &mut [[Lane; V]; ROWS]) {
    fn some<const V: usize, const R: usize>(a: &[&[f32]], panel: &[[Lane; V]], out: &mut [[Lane; V]; ROWS]) {
        let a: [&[f32]; R] = std::array::from_fn(|r| &a[r][..panel.len()]);
        rows(a, panel, out.first_chunk_mut().expect("no more rows than ROWS"));
    }
    match a.len() {
        0 => {}
        1 => some::<V, 1>(a, panel, out),
        2 => some::<V, 2>(a, panel, out),
        3 => some::<V, 3>(a, panel, out),
        4 => some::<V, 4>(a, panel, out),
        5 => some::<V, 5>(a, panel, out),
        ROWS => some::<V, ROWS>(a, panel, out),
        more => panic!("{more} rows in a product of {ROWS} at most"),
    }
}

fn rows<const V: usize, const R: usize>(a: [&[f32]; R], panel: &[[Lane; V]], out: &mut [[Lane; V]; R]) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            #[expect(unsafe_code, reason = "the processor has AVX-512: it was asked")]
            return unsafe { rows_avx512(a, panel, out) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            for (a, out) in a.chunks(3).zip(out.chunks_mut(3)) {
                #[expect(unsafe_code, reason = "the processor has AVX2 and FMA: it was asked")]
                unsafe {
                    match (a, out) {
                        (&[a, b, c], out) => rows_avx2([a, b, c], panel, out),
                        (&[a, b], out) => rows_avx2([a, b], panel, out),
                        (&[a], out) => rows_avx2([a], panel, out),
                        _ => unreachable!("chunks of three"),
                    }
                }
            }
            return;
        }
    }
    rows_portable(a, panel, out);
}

fn rows_portable<const V: usize, const R: usize>(a: [&[f32]; R], panel: &[[Lane; V]], out: &mut [[Lane; V]; R]) {
    for (a, out) in a.into_iter().zip(out) {
        *out = [[0.0; LANES]; V];
        for (a, row) in a.iter().zip(panel) {
            for (out, b) in out.as_flattened_mut().iter_mut().zip(row.as_flattened()) {
                *out = a.mul_add(*b, *out);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn rows_avx512<const V: usize, const R: usize>(a: [&[f32]; R], panel: &[[Lane; V]], out: &mut [[Lane; V]; R]) {
    let mut sums = [[_mm512_setzero_ps(); V]; R];
    let a = a.map(|a| &a[..panel.len()]);
    for (k, row) in panel.iter().enumerate() {
        #[expect(unsafe_code, reason = "a lane has the sixteen floats")]
        let b: [__m512; V] = std::array::from_fn(|v| unsafe { _mm512_loadu_ps(row[v].as_ptr()) });
        for (sums, a) in sums.iter_mut().zip(a) {
            let a = _mm512_set1_ps(a[k]);
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = _mm512_fmadd_ps(a, b, *sum);
            }
        }
    }
    for (out, sum) in out.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
        #[expect(unsafe_code, reason = "a lane has the sixteen floats")]
        unsafe {
            _mm512_storeu_ps(out.as_mut_ptr(), *sum);
        }
    }
}

/// Half lanes one after the other: three rows of four then fit the registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn rows_avx2<const V: usize, const R: usize>(a: [&[f32]; R], panel: &[[Lane; V]], out: &mut [[Lane; V]]) {
    const HALF: usize = LANES / 2;
    let a = a.map(|a| &a[..panel.len()]);
    for half in [0, 1] {
        let mut sums = [[_mm256_setzero_ps(); V]; R];
        for (k, row) in panel.iter().enumerate() {
            let a: [__m256; R] = std::array::from_fn(|r| _mm256_set1_ps(a[r][k]));
            for v in 0..V {
                #[expect(unsafe_code, reason = "half a lane has the eight floats")]
                let b = unsafe { _mm256_loadu_ps(row[v].as_chunks::<HALF>().0[half].as_ptr()) };
                for r in 0..R {
                    sums[r][v] = _mm256_fmadd_ps(a[r], b, sums[r][v]);
                }
            }
        }
        for (out, sum) in out.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
            #[expect(unsafe_code, reason = "half a lane has the eight floats")]
            unsafe {
                _mm256_storeu_ps(out.as_chunks_mut::<HALF>().0[half].as_mut_ptr(), *sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const V: usize>() {
        let value = |i: usize| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0;
        for (n, depth) in [(1, 1), (40, 7), (64, 33), (67, 100)] {
            let w: Vec<f32> = (0..n * depth).map(value).collect();
            let packed =
                Packed::<V>::new(n.div_ceil(V * LANES), depth, 1, |p, v, i| Some((p * V + v) * LANES + i).filter(|c| *c < n).map(|c| c * depth), &w);
            assert_eq!(packed.panels(), n.div_ceil(V * LANES));
            let a: Vec<f32> = (0..ROWS * depth).map(|i| value(i + 3)).collect();
            for count in 1..=ROWS {
                let rows: Vec<&[f32]> = a.chunks(depth).take(count).collect();
                for p in 0..packed.panels() {
                    let mut out = [[[f32::NAN; LANES]; V]; ROWS];
                    product(&rows, packed.panel(p), &mut out);
                    let mut portable = [[[0.0; LANES]; V]; 1];
                    for r in 0..count {
                        rows_portable([rows[r]], packed.panel(p), &mut portable);
                        assert_eq!(out[r], portable[0], "the same bits on every processor");
                        for (i, got) in out[r].as_flattened().iter().enumerate() {
                            let c = p * V * LANES + i;
                            let want: f32 = if c < n { (0..depth).map(|k| a[r * depth + k] * w[c * depth + k]).sum() } else { 0.0 };
                            assert!((got - want).abs() < 1e-4, "{got} {want}");
                        }
                    }
                }
            }
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                let (rows, panel): ([&[f32]; 3], _) = (std::array::from_fn(|r| &a[r * depth..(r + 1) * depth]), packed.panel(0));
                let (mut avx2, mut portable) = ([[[f32::NAN; LANES]; V]; 3], [[[0.0; LANES]; V]; 3]);
                #[expect(unsafe_code, reason = "the processor has AVX2 and FMA: it was asked")]
                unsafe {
                    rows_avx2(rows, panel, &mut avx2);
                }
                rows_portable(rows, panel, &mut portable);
                assert_eq!(avx2, portable);
            }
        }
    }

    #[test]
    fn products_equal_plain_sums() {
        check::<1>();
        check::<3>();
        check::<4>();
    }
}
