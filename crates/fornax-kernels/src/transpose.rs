//! The transpose of a matrix in memory, eight by eight.

/// Rows and columns of a block.
const BLOCK: usize = 8;

/// `out[j][i] = x[i][j]`: `[rows, cols]` with rows `stride` apart, to rows `out_stride` apart.
///
/// # Panics
/// If that leaves `x` or `out`.
pub(crate) fn transpose(x: &[f32], [rows, cols]: [usize; 2], stride: usize, out: &mut [f32], out_stride: usize) {
    if rows == 0 || cols == 0 {
        return;
    }
    assert!((rows - 1) * stride + cols <= x.len() && (cols - 1) * out_stride + rows <= out.len(), "a matrix larger than its data");
    let [whole_rows, whole_cols] = [rows / BLOCK * BLOCK, cols / BLOCK * BLOCK];
    for i in (0..whole_rows).step_by(BLOCK) {
        for j in (0..whole_cols).step_by(BLOCK) {
            block(&x[i * stride + j..], stride, &mut out[j * out_stride + i..], out_stride);
        }
    }
    let mut rest = |rows: std::ops::Range<usize>, cols: std::ops::Range<usize>| {
        for j in cols {
            rows.clone().for_each(|i| out[j * out_stride + i] = x[i * stride + j]);
        }
    };
    rest(0..whole_rows, whole_cols..cols);
    rest(whole_rows..rows, 0..cols);
}

fn block(x: &[f32], stride: usize, out: &mut [f32], out_stride: usize) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "the processor has AVX2: it was asked")]
        return unsafe { block_avx2(x, stride, out, out_stride) };
    }
    block_portable(x, stride, out, out_stride);
}

fn block_portable(x: &[f32], stride: usize, out: &mut [f32], out_stride: usize) {
    for j in 0..BLOCK {
        (0..BLOCK).for_each(|i| out[j * out_stride + i] = x[i * stride + j]);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn block_avx2(x: &[f32], stride: usize, out: &mut [f32], out_stride: usize) {
    use std::arch::x86_64::*;
    let row = |i: usize| {
        let x: &[f32; BLOCK] = x[i * stride..].first_chunk().expect("`transpose` looked at the end");
        #[expect(unsafe_code, reason = "the array has the eight floats")]
        unsafe {
            _mm256_loadu_ps(x.as_ptr())
        }
    };
    // Pairs of rows, then fours, then the halves.
    let [a, b, c, d, e, f, g, h] = [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)];
    let pairs = [
        [_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), _mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d)],
        [_mm256_unpacklo_ps(e, f), _mm256_unpackhi_ps(e, f), _mm256_unpacklo_ps(g, h), _mm256_unpackhi_ps(g, h)],
    ];
    let four = |[p, q, r, s]: [__m256; 4]| {
        [_mm256_shuffle_ps::<0x44>(p, r), _mm256_shuffle_ps::<0xee>(p, r), _mm256_shuffle_ps::<0x44>(q, s), _mm256_shuffle_ps::<0xee>(q, s)]
    };
    let [upper, lower] = [four(pairs[0]), four(pairs[1])];
    for i in 0..4 {
        let halves = [_mm256_permute2f128_ps::<0x20>(upper[i], lower[i]), _mm256_permute2f128_ps::<0x31>(upper[i], lower[i])];
        for (j, half) in [i, i + 4].into_iter().zip(halves) {
            let out: &mut [f32; BLOCK] = out[j * out_stride..].first_chunk_mut().expect("`transpose` looked at the end");
            #[expect(unsafe_code, reason = "the array has the eight floats")]
            unsafe {
                _mm256_storeu_ps(out.as_mut_ptr(), half);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        for [rows, cols] in [[0, 3], [1, 1], [8, 8], [7, 20], [24, 9], [17, 33]] {
            let [stride, out_stride] = [cols + 2, rows + 3];
            let x: Vec<f32> = (0..rows * stride).map(|i| i as f32).collect();
            let mut out = vec![-1.0; cols * out_stride];
            transpose(&x, [rows, cols], stride, &mut out, out_stride);
            for (at, got) in out.iter().enumerate() {
                let [j, i] = [at / out_stride, at % out_stride];
                assert_eq!(*got, if i < rows { x[i * stride + j] } else { -1.0 });
            }
        }
        let x: Vec<f32> = (0..64).map(|i| i as f32).collect();
        let (mut fast, mut plain) = ([0.0; 64], [0.0; 64]);
        block(&x, 8, &mut fast, 8);
        block_portable(&x, 8, &mut plain, 8);
        assert_eq!(fast, plain);
    }
}
