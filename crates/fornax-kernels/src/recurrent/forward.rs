//! A layer over whole sequences.

use super::cell::{Cell, SLOTS};
use super::lanes::{cut, get, put, sum};
use super::layer::{Sequences, Sizes, WIDE, Weights, even_chunks, pack_gates, pack_plain};
use super::tile::{LANES, Lane, Packed, ROWS, product};
use super::together;
use crate::gemm::{Matrix, Threads, gemm};
use crate::scratch::Buffer;
use crate::simd::{Work, prefetch, run_vectorized};
use rayon::prelude::*;

/// Panels of hidden units that are not worth a meeting of threads after every step.
const FEW: usize = 4;

/// Results, and what the gradient needs of them.
#[derive(Debug, Default)]
pub(super) struct Forward {
    /// `[N, P]`
    pub(super) y: Vec<f32>,
    /// The last `h` of every sequence: `[B, P]`
    pub(super) h: Vec<f32>,
    /// The last `c` of every sequence: `[B, H]`
    pub(super) c: Vec<f32>,
    /// `[N, SLOTS, H]`
    pub(super) slots: Buffer,
    /// `c` of every step: `[N, H]`
    pub(super) cells: Buffer,
    /// What is projected: `[N, H]`
    pub(super) units: Buffer,
}

/// A sequence on its way.
struct Track<'a> {
    length: usize,
    slots: &'a mut [f32],
    cells: &'a mut [f32],
    units: &'a mut [f32],
    y: &'a mut [f32],
    h: &'a mut [f32],
    c: &'a mut [f32],
    /// The units' results at this step, while others still read `h`.
    next: Vec<f32>,
}

/// `x: [N, I]`, first states `h: [B, P]` and `c: [B, H]`.
pub(super) fn forward<C: Cell<V>, const V: usize>(
    cell: C,
    sizes: Sizes,
    sequences: &Sequences,
    x: &[f32],
    weights: Weights,
    [h, c]: [&[f32]; 2],
    train: bool,
) -> Forward {
    let Sizes { inputs, hidden, outputs } = sizes;
    let (n, width, lengths) = (sequences.rows(), C::SLOTS * hidden, &sequences.lengths);
    let kept = |keeps: bool| Buffer::new(if keeps { n * hidden } else { 0 });
    let mut out = Forward {
        y: vec![0.0; n * outputs],
        h: h.to_vec(),
        c: c.to_vec(),
        slots: Buffer::new(n * width),
        cells: kept(C::MEMORY && train),
        units: kept(weights.w_hr.is_some() && train),
    };
    gemm(&mut out.slots, width, Matrix::new(x, n, inputs), Matrix::new(weights.w_ih, V * hidden, inputs).t(), false, Threads::Pool);
    let pass = Pass {
        cell,
        hidden,
        sequences,
        bias: bias::<C, V>(weights, hidden),
        gates: pack_gates::<V>(weights.w_hh, hidden, outputs),
        projection: weights.w_hr.map(|w| pack_plain(w, outputs, hidden, hidden, 1)),
    };
    let equal = lengths.iter().all(|length| *length == lengths[0]);
    if !train && equal && (1..=ROWS).contains(&lengths.len()) && pass.projection.is_none() && hidden >= FEW * LANES {
        together::forward(&pass, lengths.len(), lengths[0], &mut out);
        return out;
    }
    let ones = vec![1; lengths.len()];
    let mut pieces = cut(&mut out.slots, lengths, width)
        .into_iter()
        .zip(cut(&mut out.cells, lengths, hidden))
        .zip(cut(&mut out.units, lengths, hidden))
        .zip(cut(&mut out.y, lengths, outputs))
        .zip(cut(&mut out.h, &ones, outputs))
        .zip(cut(&mut out.c, &ones, hidden));
    let tracks = lengths.iter().map(|&length| {
        let (((((slots, cells), units), y), h), c) = pieces.next().expect("a piece a sequence");
        Track { length, slots, cells, units, y, h, c, next: vec![0.0; hidden] }
    });
    sequences.shares(tracks.collect()).into_par_iter().with_max_len(1).for_each(|mut tracks| pass.run(&mut tracks));
    out
}

/// The bias of every slot.
pub(super) fn bias<C: Cell<V>, const V: usize>(weights: Weights, hidden: usize) -> Vec<f32> {
    let mut bias = vec![0.0; SLOTS * hidden];
    bias[..V * hidden].copy_from_slice(weights.b_ih);
    for (gate, slot) in C::RECURRENT.into_iter().enumerate() {
        let of_state = &weights.b_hh[gate * hidden..(gate + 1) * hidden];
        bias[slot * hidden..].iter_mut().zip(of_state).for_each(|(bias, b)| *bias += b);
    }
    bias
}

pub(super) struct Pass<'a, C, const V: usize> {
    pub(super) cell: C,
    pub(super) hidden: usize,
    pub(super) sequences: &'a Sequences,
    pub(super) bias: Vec<f32>,
    pub(super) gates: Packed<V>,
    projection: Option<Packed<WIDE>>,
}

impl<C: Cell<V>, const V: usize> Pass<'_, C, V> {
    /// All steps of some sequences, from the longest to the shortest.
    fn run(&self, tracks: &mut [Track]) {
        let longest = tracks.first().map_or(0, |track| track.length);
        for t in self.sequences.steps(longest) {
            let active = tracks.partition_point(|track| track.length > t);
            let tracks = &mut tracks[..active];
            let mut sums = [[[0.0; LANES]; V]; ROWS];
            for panel in 0..self.gates.panels() {
                for chunk in even_chunks(active, ROWS) {
                    tracks[chunk.clone()].iter().for_each(|track| self.expect(track, t, panel * LANES));
                    multiply(&tracks[chunk.clone()], |track| track.h, self.gates.panel(panel), &mut sums);
                    run_vectorized(Update { pass: self, tracks: &mut tracks[chunk], t, from: panel * LANES, sums: &sums });
                }
            }
            self.finish(tracks, t);
        }
    }

    /// Has what `update` will want fetched while products keep the processor busy.
    fn expect(&self, track: &Track, t: usize, from: usize) {
        for slot in 0..C::SLOTS {
            prefetch(&track.slots[(t * C::SLOTS + slot) * self.hidden + from..]);
        }
        if !track.cells.is_empty() {
            prefetch(&track.cells[t * self.hidden + from..]);
        }
    }

    /// [`LANES`] units of a sequence from `from`.
    #[inline(always)]
    fn update(&self, track: &mut Track, t: usize, from: usize, sums: &[Lane; V]) {
        let row = &mut track.slots[t * C::SLOTS * self.hidden..(t + 1) * C::SLOTS * self.hidden];
        let (mut h, mut c) = (get(track.h, from), get(track.c, from));
        let slots = update::<C, V>(self.cell, self.hidden, row, &self.bias, from, sums, &mut h, &mut c);
        for (slot, lane) in row.chunks_exact_mut(self.hidden).zip(&slots) {
            put(slot, from, lane);
        }
        put(&mut track.next, from, &h);
        put(track.c, from, &c);
        if let Some(cells) = track.cells.chunks_exact_mut(self.hidden).nth(t) {
            put(cells, from, &c);
        }
    }

    /// Makes the units' results the next state.
    fn finish(&self, tracks: &mut [Track], t: usize) {
        if let Some(projection) = &self.projection {
            let mut sums = [[[0.0; LANES]; WIDE]; ROWS];
            for panel in 0..projection.panels() {
                for chunk in even_chunks(tracks.len(), ROWS) {
                    multiply(&tracks[chunk.clone()], |track| &track.next, projection.panel(panel), &mut sums);
                    for (track, sums) in tracks[chunk].iter_mut().zip(&sums) {
                        sums.iter().enumerate().for_each(|(v, lane)| put(track.h, (panel * WIDE + v) * LANES, lane));
                    }
                }
            }
        }
        for track in tracks {
            match &self.projection {
                None => track.h.copy_from_slice(&track.next),
                Some(_) if track.units.is_empty() => {}
                Some(_) => track.units[t * self.hidden..(t + 1) * self.hidden].copy_from_slice(&track.next),
            }
            let outputs = track.h.len();
            track.y[t * outputs..(t + 1) * outputs].copy_from_slice(track.h);
        }
    }
}

/// [`LANES`] units of some sequences at a step.
struct Update<'a, 't, C, const V: usize> {
    pass: &'a Pass<'a, C, V>,
    tracks: &'a mut [Track<'t>],
    t: usize,
    from: usize,
    sums: &'a [[Lane; V]],
}

impl<C: Cell<V>, const V: usize> Work for Update<'_, '_, C, V> {
    #[inline(always)]
    fn run(self) {
        for (track, sums) in self.tracks.iter_mut().zip(self.sums) {
            self.pass.update(track, self.t, self.from, sums);
        }
    }
}

/// The products of some rows, one a track, with a panel.
pub(super) fn multiply<T, const V: usize>(tracks: &[T], row: impl Fn(&T) -> &[f32], panel: &[[Lane; V]], sums: &mut [[Lane; V]; ROWS]) {
    let mut rows: [&[f32]; ROWS] = [&[]; ROWS];
    rows.iter_mut().zip(tracks).for_each(|(place, track)| *place = row(track));
    product(&rows[..tracks.len()], panel, sums);
}

/// One step of [`LANES`] units: `row` holds the input's products, `sums` are the state's.
#[inline(always)]
pub(super) fn update<C: Cell<V>, const V: usize>(
    cell: C,
    hidden: usize,
    row: &[f32],
    bias: &[f32],
    from: usize,
    sums: &[Lane; V],
    h: &mut Lane,
    c: &mut Lane,
) -> [Lane; SLOTS] {
    let of = |x: &[f32], slot: usize| get(&x[slot * hidden..(slot + 1) * hidden], from);
    let mut slots = [[0.0; LANES]; SLOTS];
    for (slot, lane) in slots.iter_mut().enumerate().take(C::SLOTS) {
        *lane = of(bias, slot);
        if slot < V {
            *lane = sum(lane, &of(row, slot));
        }
    }
    for (slot, state) in C::RECURRENT.into_iter().zip(sums) {
        slots[slot] = sum(&slots[slot], state);
    }
    cell.forward(&mut slots, h, c);
    slots
}
