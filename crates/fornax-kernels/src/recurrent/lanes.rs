//! Lanes in slices whose length is no multiple of theirs, and slices by sequence.

use super::tile::{LANES, Lane};

/// The floats from `at`, with zeros behind the last.
#[inline(always)]
pub(super) fn get(x: &[f32], at: usize) -> Lane {
    let x = x.get(at..).unwrap_or_default();
    x.first_chunk().copied().unwrap_or_else(|| {
        let mut lane = [0.0; LANES];
        lane[..x.len()].copy_from_slice(x);
        lane
    })
}

/// Puts floats at `at`; what is behind the end is dropped.
#[inline(always)]
pub(super) fn put(x: &mut [f32], at: usize, lane: &Lane) {
    let x = x.get_mut(at..).unwrap_or_default();
    match x.first_chunk_mut() {
        Some(place) => *place = *lane,
        None => {
            let n = x.len();
            x.copy_from_slice(&lane[..n]);
        }
    }
}

/// `a + b`
#[inline(always)]
pub(super) fn sum(a: &Lane, b: &Lane) -> Lane {
    std::array::from_fn(|i| a[i] + b[i])
}

/// One piece a sequence, of `width` floats a step; all empty if there is nothing to cut.
pub(super) fn cut<'a>(mut x: &'a mut [f32], lengths: &[usize], width: usize) -> Vec<&'a mut [f32]> {
    let empty = x.is_empty();
    let piece = |length: &usize| {
        let (piece, rest) = std::mem::take(&mut x).split_at_mut(if empty { 0 } else { length * width });
        x = rest;
        piece
    };
    lengths.iter().map(piece).collect()
}

/// [`cut`] of what is only read.
pub(super) fn cut_read<'a>(mut x: &'a [f32], lengths: &[usize], width: usize) -> Vec<&'a [f32]> {
    let empty = x.is_empty();
    let piece = |length: &usize| {
        let (piece, rest) = x.split_at(if empty { 0 } else { length * width });
        x = rest;
        piece
    };
    lengths.iter().map(piece).collect()
}
