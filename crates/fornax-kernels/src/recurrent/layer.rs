//! What the passes over a layer share: sizes, weights, and how sequences are laid out and split among threads.

use super::tile::{LANES, Packed};

/// Sizes of a layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// `I`
    pub(super) inputs: usize,
    /// `H`
    pub(super) hidden: usize,
    /// `P`: that of `h`; `H` without a projection.
    pub(super) outputs: usize,
}

/// Gates below each other, as PyTorch has them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights<'a> {
    /// `[V H, I]`
    pub(super) w_ih: &'a [f32],
    /// `[V H, P]`
    pub(super) w_hh: &'a [f32],
    /// `[V H]`
    pub(super) b_ih: &'a [f32],
    /// `[V H]`
    pub(super) b_hh: &'a [f32],
    /// `[P, H]`, the projection.
    pub(super) w_hr: Option<&'a [f32]>,
}

/// One sequence behind the other, without padding: row `Σ lengths before + t` is step `t`.
#[derive(Debug, Clone)]
pub(super) struct Sequences {
    pub(super) lengths: Vec<usize>,
    /// Whether time runs backwards.
    pub(super) reverse: bool,
}

impl Sequences {
    /// Rows in all.
    pub(super) fn rows(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// Steps in the order in which they happen, to the longest sequence's last; a sequence takes part in those below its length.
    pub(super) fn steps(&self, longest: usize) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let reverse = self.reverse;
        (0..longest).map(move |t| if reverse { longest - 1 - t } else { t })
    }

    /// The step of a sequence that happened before `t`.
    pub(super) fn before(&self, t: usize, length: usize) -> Option<usize> {
        if self.reverse { Some(t + 1).filter(|t| *t < length) } else { t.checked_sub(1) }
    }

    /// The first step that happens.
    pub(super) fn first(&self, length: usize) -> Option<usize> {
        let last = length.checked_sub(1)?;
        Some(if self.reverse { last } else { 0 })
    }

    /// Shares of sequences for the threads there are, each from the longest to the shortest. The bits of a sequence don't depend on its company.
    pub(super) fn shares<T>(&self, tracks: Vec<T>) -> Vec<Vec<T>> {
        let shares = rayon::current_num_threads().min(tracks.len()).max(1);
        let mut sorted: Vec<(usize, T)> = self.lengths.iter().copied().zip(tracks).collect();
        sorted.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        let mut out: Vec<Vec<T>> = (0..shares).map(|_| vec![]).collect();
        sorted.into_iter().enumerate().for_each(|(i, (_, track))| out[i % shares].push(track));
        out
    }
}

/// Packs the gates of [`LANES`] hidden units side by side: `w_hh` for the forward pass.
pub(super) fn pack_gates<const V: usize>(w: &[f32], hidden: usize, depth: usize) -> Packed<V> {
    let column =
        |panel: usize, gate: usize, i: usize| Some(panel * LANES + i).filter(|unit| *unit < hidden).map(|unit| (gate * hidden + unit) * depth);
    Packed::new(hidden.div_ceil(LANES), depth, 1, column, w)
}

/// Lanes of a plain product.
pub(super) const WIDE: usize = 4;

/// Packs `columns` columns as they are: column `c` begins at `c · start`, its `depth` elements are `stride` apart.
pub(super) fn pack_plain(w: &[f32], columns: usize, depth: usize, start: usize, stride: usize) -> Packed<WIDE> {
    let column = |panel: usize, v: usize, i: usize| Some((panel * WIDE + v) * LANES + i).filter(|c| *c < columns).map(|c| c * start);
    Packed::new(columns.div_ceil(WIDE * LANES), depth, stride, column, w)
}

/// About equal chunks of at most `most`.
pub(super) fn even_chunks(n: usize, most: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let chunks = n.div_ceil(most);
    (0..chunks).map(move |i| i * n / chunks..(i + 1) * n / chunks)
}
