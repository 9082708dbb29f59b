//! The two register tiles of the convolution: a sum of outer products and a block of dot products.

/// Rows of [`outer`]'s tile: with four vectors of sixteen they fill the registers of AVX-512, with two of eight those of AVX2.
pub(super) const ROWS: usize = 6;
/// Columns of [`outer`]'s tile.
pub(super) const COLS: usize = 64;
/// Depth of a panel, which then is a first-level cache.
pub(super) const DEPTH: usize = 128;
/// Rows of [`dots`]' left side.
pub(super) const DOT_ROWS: usize = 4;
/// Rows of [`dots`]' right side.
pub(super) const DOT_COLS: usize = 3;
/// Floats in a vector; [`dots`] takes rows whose length is a multiple of it.
pub(super) const LANES: usize = 8;

/// Floats of a [`Tile`].
pub(super) const TILE: usize = ROWS * COLS;
/// The results of [`outer`]: [`ROWS`] × [`COLS`].
pub(super) type Tile = [f32; TILE];

/// A matrix that is read as it lies: row `r` and column `k` at `r row + k step`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) data: &'a [f32],
    pub(super) row: usize,
    pub(super) step: usize,
}

impl Left<'_> {
    /// From row `r` and column `k` on.
    pub(super) fn from(self, r: usize, k: usize) -> Self {
        Self { data: &self.data[r * self.row + k * self.step..], ..self }
    }
}

/// Rows of [`COLS`] floats anywhere in `data`: row `k` at `at[k] + shift`. They may overlap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Right<'a> {
    data: &'a [f32],
    at: &'a [usize],
    shift: usize,
}

impl<'a> Right<'a> {
    /// # Panics
    /// If a row leaves `data`.
    pub(super) fn new(data: &'a [f32], at: &'a [usize], shift: usize) -> Self {
        let last = at.iter().fold(0, |last, at| last.max(*at));
        assert!(at.is_empty() || last + shift + COLS <= data.len(), "a row that leaves its data");
        Self { data, at, shift }
    }

    /// Row behind row: `[depth, COLS]`, for a depth up to [`DEPTH`].
    pub(super) fn panel(data: &'a [f32]) -> Self {
        const AT: [usize; DEPTH] = {
            let (mut at, mut k) = ([0; DEPTH], 0);
            while k < DEPTH {
                (at[k], k) = (k * COLS, k + 1);
            }
            at
        };
        Self { data, at: &AT[..data.len() / COLS], shift: 0 }
    }

    fn rows(self) -> impl Iterator<Item = &'a [f32; COLS]> {
        self.at.iter().map(move |at| self.data[at + self.shift..].first_chunk().expect("`new` looked at the end"))
    }
}

/// `c[r][j] = Σₖ a[r][k] b[k][j]`, or `+=` if `add`, for the first `rows` and `columns`
///
/// A result is one chain of multiply-adds over `k`, and does not depend on its neighbours.
pub(super) fn outer(a: Left, b: Right, [rows, columns]: [usize; 2], c: &mut Tile, add: bool) {
    assert!((1..=ROWS).contains(&rows) && (1..=COLS).contains(&columns));
    assert!(b.at.is_empty() || (rows - 1) * a.row + (b.at.len() - 1) * a.step < a.data.len());
    match rows {
        1 => some_rows::<1>(a, b, columns, c, add),
        2 => some_rows::<2>(a, b, columns, c, add),
        3 => some_rows::<3>(a, b, columns, c, add),
        4 => some_rows::<4>(a, b, columns, c, add),
        5 => some_rows::<5>(a, b, columns, c, add),
        _ => some_rows::<ROWS>(a, b, columns, c, add),
    }
}

fn some_rows<const R: usize>(a: Left, b: Right, columns: usize, c: &mut Tile, add: bool) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            #[expect(unsafe_code, reason = "the processor has AVX-512: it was asked; `outer` looked at the end of `a`")]
            return unsafe {
                match columns.div_ceil(16) {
                    1 => outer_avx512::<R, 1>(a, b, c, add),
                    2 => outer_avx512::<R, 2>(a, b, c, add),
                    3 => outer_avx512::<R, 3>(a, b, c, add),
                    _ => outer_avx512::<R, 4>(a, b, c, add),
                }
            };
        }
        if fast() {
            #[expect(unsafe_code, reason = "the processor has AVX2 and FMA: `fast` asked it; `outer` looked at the end of `a`")]
            return (0..columns).step_by(16).for_each(|from| unsafe { outer_avx2::<R>(a, b, from, c, add) });
        }
    }
    outer_portable::<R>(a, b, c, add);
}

fn outer_portable<const R: usize>(a: Left, b: Right, c: &mut Tile, add: bool) {
    for (r, c) in c.as_chunks_mut::<COLS>().0.iter_mut().enumerate().take(R) {
        if !add {
            c.fill(0.0);
        }
        for (k, b) in b.rows().enumerate() {
            let a = a.data[r * a.row + k * a.step];
            c.iter_mut().zip(b).for_each(|(c, b)| *c += a * b);
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

/// The first `16 N` columns.
///
/// # Safety
/// Row `R - 1` of `a` has as many columns as `b` has rows.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[expect(unsafe_code, reason = "a row of `b` and of `c` has 64 floats, of which 16 N are touched: `Right::new` looked; the caller answers for `a`")]
unsafe fn outer_avx512<const R: usize, const N: usize>(a: Left, b: Right, c: &mut Tile, add: bool) {
    let mut sums = [[_mm512_setzero_ps(); N]; R];
    let mut at = a.data.as_ptr();
    let start = b.data.as_ptr().wrapping_add(b.shift);
    for row in b.at {
        let b: [__m512; N] = std::array::from_fn(|i| unsafe { _mm512_loadu_ps(start.wrapping_add(row + 16 * i)) });
        for (r, sums) in sums.iter_mut().enumerate() {
            let a = _mm512_set1_ps(unsafe { *at.add(r * a.row) });
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = _mm512_fmadd_ps(a, b, *sum);
            }
        }
        at = at.wrapping_add(a.step);
    }
    for (c, sums) in c.as_chunks_mut::<COLS>().0.iter_mut().zip(sums) {
        for (i, sum) in sums.into_iter().enumerate() {
            let place = &mut c[16 * i..16 * (i + 1)];
            unsafe {
                let sum = if add { _mm512_add_ps(_mm512_loadu_ps(place.as_ptr()), sum) } else { sum };
                _mm512_storeu_ps(place.as_mut_ptr(), sum);
            }
        }
    }
}

/// Sixteen columns from `from`.
///
/// # Safety
/// Row `R - 1` of `a` has as many columns as `b` has rows.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "sixteen floats of a row of 64 are touched: `Right::new` looked, and slices; the caller answers for `a`")]
unsafe fn outer_avx2<const R: usize>(a: Left, b: Right, from: usize, c: &mut Tile, add: bool) {
    let mut sums = [[_mm256_setzero_ps(); 2]; R];
    let mut at = a.data.as_ptr();
    let start = b.data.as_ptr().wrapping_add(b.shift + from);
    for row in b.at {
        let b = [0, 8].map(|i| unsafe { _mm256_loadu_ps(start.wrapping_add(row + i)) });
        for (r, sums) in sums.iter_mut().enumerate() {
            let a = _mm256_set1_ps(unsafe { *at.add(r * a.row) });
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = _mm256_fmadd_ps(a, b, *sum);
            }
        }
        at = at.wrapping_add(a.step);
    }
    for (c, sums) in c.as_chunks_mut::<COLS>().0.iter_mut().zip(sums) {
        for (i, sum) in sums.into_iter().enumerate() {
            let place = &mut c[from + 8 * i..from + 8 * (i + 1)];
            unsafe {
                let sum = if add { _mm256_add_ps(_mm256_loadu_ps(place.as_ptr()), sum) } else { sum };
                _mm256_storeu_ps(place.as_mut_ptr(), sum);
            }
        }
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

    fn value(i: usize) -> f32 {
        ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0
    }

    /// Every processor's tile of `R` rows.
    fn all<const R: usize>(a: Left, b: Right, columns: usize, add: bool) -> Vec<Tile> {
        let mut tiles = vec![[1.0; ROWS * COLS]; 2];
        outer(a, b, [R, columns], &mut tiles[0], add);
        outer_portable::<R>(a, b, &mut tiles[1], add);
        #[cfg(target_arch = "x86_64")]
        if fast() {
            tiles.push([1.0; ROWS * COLS]);
            #[expect(unsafe_code, reason = "the processor has AVX2 and FMA: `fast` asked it; `outer` looked at the end of `a`")]
            (0..columns).step_by(16).for_each(|from| unsafe { outer_avx2::<R>(a, b, from, &mut tiles[2], add) });
        }
        tiles
    }

    #[test]
    fn outer_products_equal_plain_sums() {
        for (depth, columns, add) in [(0, 64, true), (1, 1, false), (7, 17, true), (16, 33, false), (40, 64, true), (104, 48, false)] {
            let b: Vec<f32> = (0..depth * COLS).map(|i| value(i + 5)).collect();
            let data: Vec<f32> = (0..ROWS * depth.max(1) + 9).map(value).collect();
            let shuffled: Vec<usize> = (0..depth).map(|k| k * 7 % depth * COLS).collect();
            for (row, step, right) in [(depth, 1, Right::panel(&b)), (1, ROWS, Right::new(&b, &shuffled, 0))] {
                let a = Left { data: &data, row, step }.from(0, 0);
                for (rows, tiles) in
                    [(1, all::<1>(a, right, columns, add)), (4, all::<4>(a, right, columns, add)), (6, all::<6>(a, right, columns, add))]
                {
                    for (r, j) in (0..rows).flat_map(|r| (0..columns).map(move |j| (r, j))) {
                        let want = f32::from(add) + (0..depth).map(|k| data[r * row + k * step] * b[right.at[k] + j]).sum::<f32>();
                        assert!(tiles.iter().all(|tile| (tile[r * COLS + j] - want).abs() < 1e-4), "{depth} {columns} {rows}: {r} {j}");
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "a.data.len()")]
    fn a_matrix_that_is_too_short_is_not_read() {
        outer(Left { data: &[0.0; 11], row: 2, step: 1 }, Right::panel(&[0.0; 2 * COLS]), [6, 64], &mut [0.0; ROWS * COLS], false);
    }

    #[test]
    #[should_panic(expected = "a row that leaves its data")]
    fn a_row_that_leaves_its_data_is_not_read() {
        Right::new(&[0.0; 2 * COLS], &[0, 65], 0);
    }

    #[test]
    fn dot_products_equal_plain_sums() {
        for n in [0, 8, 16, 40, 104] {
            let (a, b): (Vec<f32>, Vec<f32>) = ((0..n * DOT_ROWS).map(value).collect(), (0..n * DOT_COLS).map(|i| value(i + 5)).collect());
            for (i, (got, portable)) in dots(&a, &b).as_flattened().iter().zip(dots_portable(&a, &b, n).as_flattened()).enumerate() {
                let want: f32 = (0..n).map(|k| a[i / DOT_COLS * n + k] * b[i % DOT_COLS * n + k]).sum();
                assert!((got - want).abs() < 1e-4 && (portable - want).abs() < 1e-4, "{got} {portable} {want}");
            }
        }
    }
}
