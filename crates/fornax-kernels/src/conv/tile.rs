//! The two register tiles of the convolution: a sum of outer products and a block of dot products.

/// Rows of [`outer`]'s tile. Four would need all sixteen AVX2 registers, and the compiler then spills one in every round.
pub(super) const ROWS: usize = 3;
/// Columns of [`outer`]'s tile: three vectors of eight.
pub(super) const COLS: usize = 24;
/// Rows of [`dots`]' left side.
pub(super) const DOT_ROWS: usize = 4;
/// Rows of [`dots`]' right side.
pub(super) const DOT_COLS: usize = 3;
/// Floats in a vector; [`dots`] takes rows whose length is a multiple of it.
pub(super) const LANES: usize = 8;

/// `c[r][j] = Σₖ a[k][r] b[k][j]`, or `+=` if `add`
pub(super) fn outer(a: &[f32], b: &[f32], c: &mut [f32; ROWS * COLS], add: bool) {
    let (a, b) = (a.as_chunks::<ROWS>().0, b.as_chunks::<COLS>().0);
    assert_eq!(a.len(), b.len());
    #[cfg(target_arch = "x86_64")]
    if fast() {
        #[expect(unsafe_code, reason = "the processor has AVX2 and FMA: `fast` asked it")]
        return unsafe { outer_avx2(a, b, c, add) };
    }
    outer_portable(a, b, c, add);
}

fn outer_portable(a: &[[f32; ROWS]], b: &[[f32; COLS]], c: &mut [f32; ROWS * COLS], add: bool) {
    if !add {
        c.fill(0.0);
    }
    for (a, b) in a.iter().zip(b) {
        for (row, a) in c.as_chunks_mut::<COLS>().0.iter_mut().zip(a) {
            row.iter_mut().zip(b).for_each(|(c, b)| *c += a * b);
        }
    }
}

/// `c[r][j] = Σₙ a[r][n] b[j][n]`, with `a: [4, n]` and `b: [3, n]`, `n` a multiple of 8
pub(super) fn dots(a: &[f32], b: &[f32]) -> [[f32; DOT_COLS]; DOT_ROWS] {
    let n = a.len() / DOT_ROWS;
    assert!(n.is_multiple_of(LANES) && a.len() == DOT_ROWS * n && b.len() == DOT_COLS * n);
    #[cfg(target_arch = "x86_64")]
    if fast() {
        #[expect(unsafe_code, reason = "the processor has AVX2 and FMA: `fast` asked it")]
        return unsafe { dots_avx2(a, b, n) };
    }
    dots_portable(a, b, n)
}

fn dots_portable(a: &[f32], b: &[f32], n: usize) -> [[f32; DOT_COLS]; DOT_ROWS] {
    std::array::from_fn(|r| {
        std::array::from_fn(|j| {
            let mut sums = [0.0; LANES];
            let (a, b) = (a[r * n..(r + 1) * n].as_chunks::<LANES>().0, b[j * n..(j + 1) * n].as_chunks::<LANES>().0);
            for (a, b) in a.iter().zip(b) {
                sums.iter_mut().zip(a.iter().zip(b)).for_each(|(s, (a, b))| *s += a * b);
            }
            sums.iter().sum()
        })
    })
}

#[cfg(target_arch = "x86_64")]
fn fast() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn load(x: &[f32; LANES]) -> __m256 {
    #[expect(unsafe_code, reason = "the array has the eight floats")]
    unsafe {
        _mm256_loadu_ps(x.as_ptr())
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn store(x: &mut [f32; LANES], v: __m256) {
    #[expect(unsafe_code, reason = "the array has the eight floats")]
    unsafe {
        _mm256_storeu_ps(x.as_mut_ptr(), v);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn outer_avx2(a: &[[f32; ROWS]], b: &[[f32; COLS]], c: &mut [f32; ROWS * COLS], add: bool) {
    let mut sums = [[_mm256_setzero_ps(); COLS / LANES]; ROWS];
    for (a, b) in a.iter().zip(b) {
        let b = b.as_chunks::<LANES>().0;
        let b: [__m256; COLS / LANES] = [load(&b[0]), load(&b[1]), load(&b[2])];
        for (row, a) in sums.iter_mut().zip(a) {
            let a = _mm256_set1_ps(*a);
            for (sum, b) in row.iter_mut().zip(b) {
                *sum = _mm256_fmadd_ps(a, b, *sum);
            }
        }
    }
    for (c, sum) in c.as_chunks_mut::<LANES>().0.iter_mut().zip(sums.as_flattened()) {
        let sum = if add { _mm256_add_ps(load(c), *sum) } else { *sum };
        store(c, sum);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn dots_avx2(a: &[f32], b: &[f32], n: usize) -> [[f32; DOT_COLS]; DOT_ROWS] {
    let row = |x: &'_ [f32], i: usize| -> *const f32 { x[i * n..(i + 1) * n].as_ptr() };
    let (a, b) = ([row(a, 0), row(a, 1), row(a, 2), row(a, 3)], [row(b, 0), row(b, 1), row(b, 2)]);
    let mut sums = [[_mm256_setzero_ps(); DOT_COLS]; DOT_ROWS];
    for i in (0..n).step_by(LANES) {
        #[expect(unsafe_code, reason = "every row has n floats, and i + 8 is at most n, which is a multiple of 8")]
        let (a, b) = unsafe { (a.map(|a| _mm256_loadu_ps(a.add(i))), b.map(|b| _mm256_loadu_ps(b.add(i)))) };
        for (row, a) in sums.iter_mut().zip(a) {
            for (sum, b) in row.iter_mut().zip(b) {
                *sum = _mm256_fmadd_ps(a, b, *sum);
            }
        }
    }
    let mut out = [[0.0; DOT_COLS]; DOT_ROWS];
    for (out, sums) in out.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
        let x = _mm_add_ps(_mm256_castps256_ps128(*sums), _mm256_extractf128_ps::<1>(*sums));
        let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
        *out = _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_equal_plain_sums() {
        let value = |i: usize| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0;
        for n in [0, 8, 16, 40, 104] {
            let (a, b): (Vec<f32>, Vec<f32>) = ((0..n * DOT_ROWS).map(value).collect(), (0..n * COLS).map(|i| value(i + 5)).collect());
            let mut tiles = [[1.0; ROWS * COLS]; 2];
            outer(&a[..n * ROWS], &b, &mut tiles[0], true);
            outer_portable(a[..n * ROWS].as_chunks().0, b.as_chunks().0, &mut tiles[1], true);
            for (i, (c, portable)) in tiles[0].iter().zip(tiles[1]).enumerate() {
                let want = 1.0 + (0..n).map(|k| a[k * ROWS + i / COLS] * b[k * COLS + i % COLS]).sum::<f32>();
                assert!((c - want).abs() < 1e-4 && (portable - want).abs() < 1e-4, "{c} {portable} {want}");
            }
            let mut fresh = [[1.0; ROWS * COLS]; 2];
            outer(&a[..n * ROWS], &b, &mut fresh[0], false);
            outer_portable(a[..n * ROWS].as_chunks().0, b.as_chunks().0, &mut fresh[1], false);
            assert!(fresh.as_flattened().iter().zip(tiles.as_flattened()).all(|(fresh, added)| (fresh + 1.0 - added).abs() < 1e-4));
            let b = &b[..n * DOT_COLS];
            for (i, (got, portable)) in dots(&a, b).as_flattened().iter().zip(dots_portable(&a, b, n).as_flattened()).enumerate() {
                let want: f32 = (0..n).map(|k| a[i / DOT_COLS * n + k] * b[i % DOT_COLS * n + k]).sum();
                assert!((got - want).abs() < 1e-4 && (portable - want).abs() < 1e-4, "{got} {portable} {want}");
            }
        }
    }
}
