//! The gradient of a layer over whole sequences, backwards through time.

use super::cell::{Cell, SLOTS, State};
use super::forward::multiply;
use super::lanes::{cut, cut_read, get, put, sum};
use super::layer::{Sequences, Sizes, WIDE, Weights, even_chunks, pack_plain};
use super::tile::{LANES, Lane, Packed, ROWS};
use crate::scratch::Buffer;
use crate::simd::{Work, prefetch, run_vectorized};
use rayon::prelude::*;

/// What the gradient starts from; what nobody used is empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct Above<'a> {
    /// `[N, P]`
    pub(super) dy: &'a [f32],
    /// `[B, P]`
    pub(super) dh: &'a [f32],
    /// `[B, H]`
    pub(super) dc: &'a [f32],
}

/// A sequence on its way back.
struct Track<'a> {
    length: usize,
    slots: &'a mut [f32],
    cells: &'a [f32],
    y: &'a [f32],
    dy: &'a [f32],
    h0: &'a [f32],
    c0: &'a [f32],
    /// Gradients of the state before the step that was last gone through, but for what goes through `w_hh`.
    dh: &'a mut [f32],
    dc: &'a mut [f32],
    /// Gradients of that step's gates, and the place for the next ones.
    gates: Vec<f32>,
    next: Vec<f32>,
    /// Gradients of all `h`, for the projection's weight.
    projected: &'a mut [f32],
}

/// After the steps: `slots` of the forward pass have become their gradients.
#[derive(Debug, Default)]
pub(super) struct Backward {
    /// `[N, SLOTS, H]`
    pub(super) slots: Buffer,
    /// `[B, P]`
    pub(super) dh: Vec<f32>,
    /// `[B, H]`
    pub(super) dc: Vec<f32>,
    /// Of every `h`, with a projection: `[N, P]`
    pub(super) projected: Vec<f32>,
}

/// Through time, with the first states `h: [B, P]` and `c: [B, H]`.
pub(super) fn backward<C: Cell<V>, const V: usize>(
    cell: C,
    sizes: Sizes,
    sequences: &Sequences,
    weights: Weights,
    [h, c]: [&[f32]; 2],
    [y, cells]: [&[f32]; 2],
    slots: Buffer,
    above: Above,
) -> Backward {
    let Sizes { hidden, outputs, .. } = sizes;
    let (lengths, batch) = (&sequences.lengths, sequences.lengths.len());
    let or_zeros = |x: &[f32], n: usize| if x.is_empty() { vec![0.0; n] } else { x.to_vec() };
    let mut out = Backward {
        slots,
        dh: or_zeros(above.dh, batch * outputs),
        dc: if C::MEMORY { or_zeros(above.dc, batch * hidden) } else { vec![] },
        projected: vec![0.0; if weights.w_hr.is_some() { sequences.rows() * outputs } else { 0 }],
    };
    let pass = Pass {
        cell,
        hidden,
        outputs,
        sequences,
        state: pack_plain(weights.w_hh, outputs, V * hidden, 1, outputs),
        projection: weights.w_hr.map(|w| pack_plain(w, hidden, outputs, 1, hidden)),
    };
    let ones = vec![1; batch];
    let (cells, y, dy) = (cut_read(cells, lengths, hidden), cut_read(y, lengths, outputs), cut_read(above.dy, lengths, outputs));
    let (h, c) = (cut_read(h, &ones, outputs), cut_read(c, &ones, hidden));
    let mut pieces = cut(&mut out.slots, lengths, C::SLOTS * hidden)
        .into_iter()
        .zip(cut(&mut out.dh, &ones, outputs))
        .zip(cut(&mut out.dc, &ones, hidden))
        .zip(cut(&mut out.projected, lengths, outputs));
    let tracks = lengths.iter().enumerate().map(|(b, &length)| {
        let (((slots, dh), dc), projected) = pieces.next().expect("a piece a sequence");
        let [gates, next] = [vec![0.0; V * hidden], vec![0.0; V * hidden]];
        Track { length, slots, cells: cells[b], y: y[b], dy: dy[b], h0: h[b], c0: c[b], dh, dc, gates, next, projected }
    });
    sequences.shares(tracks.collect()).into_par_iter().with_max_len(1).for_each(|mut tracks| pass.run(&mut tracks));
    out
}

struct Pass<'a, C, const V: usize> {
    cell: C,
    hidden: usize,
    outputs: usize,
    sequences: &'a Sequences,
    /// From the gates to `h`.
    state: Packed<WIDE>,
    /// From `h` to the units.
    projection: Option<Packed<WIDE>>,
}

/// The step's row of `width` floats, nothing if there are none.
fn row(x: &[f32], t: usize, width: usize) -> &[f32] {
    x.get(t * width..(t + 1) * width).unwrap_or_default()
}

impl<C: Cell<V>, const V: usize> Pass<'_, C, V> {
    /// All steps of some sequences, from the longest to the shortest.
    fn run(&self, tracks: &mut [Track]) {
        let longest = tracks.first().map_or(0, |track| track.length);
        for t in self.sequences.steps(longest).rev() {
            let active = tracks.partition_point(|track| track.length > t);
            let tracks = &mut tracks[..active];
            if let Some(projection) = &self.projection {
                self.through(&self.state, tracks, |track| &track.gates, Then::Project(t));
                tracks.iter_mut().for_each(|track| track.dh.fill(0.0));
                self.through(projection, tracks, |track| row(track.projected, t, self.outputs), Then::Units(t));
            } else {
                self.through(&self.state, tracks, |track| &track.gates, Then::Step(t));
            }
            tracks.iter_mut().for_each(|track| std::mem::swap(&mut track.gates, &mut track.next));
        }
        self.through(&self.state, tracks, |track| &track.gates, Then::Start);
    }

    fn through(&self, matrix: &Packed<WIDE>, tracks: &mut [Track], of: impl for<'t> Fn(&'t Track<'_>) -> &'t [f32], then: Then) {
        let mut sums = [[[0.0; LANES]; WIDE]; ROWS];
        for panel in 0..matrix.panels() {
            for chunk in even_chunks(tracks.len(), ROWS) {
                if let Then::Step(t) | Then::Units(t) = then {
                    tracks[chunk.clone()].iter().for_each(|track| self.expect(track, t, panel * WIDE * LANES));
                }
                multiply(&tracks[chunk.clone()], &of, matrix.panel(panel), &mut sums);
                run_vectorized(Absorb { pass: self, tracks: &mut tracks[chunk], panel, sums: &sums, then });
            }
        }
    }

    /// Has what `update` will want fetched while products keep the processor busy.
    fn expect(&self, track: &Track, t: usize, from: usize) {
        let hidden = self.hidden;
        for at in (from..hidden.min(from + WIDE * LANES)).step_by(LANES) {
            (0..C::SLOTS).for_each(|slot| prefetch(&track.slots[(t * C::SLOTS + slot) * hidden + at..]));
            for x in [track.cells, track.y, track.dy] {
                prefetch(x.get(t * hidden + at..).unwrap_or_default());
            }
        }
    }

    /// `dh` of [`LANES`] outputs from `from`: what goes through `w_hh`, what does not, and what comes from above.
    #[inline(always)]
    fn gradient(&self, track: &Track, t: usize, from: usize, through: &Lane) -> Lane {
        sum(&sum(&get(track.dh, from), through), &get(row(track.dy, t, self.outputs), from))
    }

    /// [`LANES`] units of a sequence from `from`: the gradients of their slots in place of the slots, and what reaches `h` directly.
    #[inline(always)]
    fn update(&self, track: &mut Track, t: usize, from: usize, mut dh: Lane) -> Lane {
        let hidden = self.hidden;
        let before = self.sequences.before(t, track.length);
        let previous = |first: &[f32], all: &[f32]| get(before.map_or(first, |t| row(all, t, hidden)), from);
        let (h, c_before) = (previous(track.h0, track.y), previous(track.c0, track.cells));
        let (c, mut dc) = (get(row(track.cells, t, hidden), from), get(track.dc, from));
        let places = &mut track.slots[t * C::SLOTS * hidden..(t + 1) * C::SLOTS * hidden];
        let mut slots = [[0.0; LANES]; SLOTS];
        for (lane, place) in slots.iter_mut().zip(places.chunks_exact(hidden)) {
            *lane = get(place, from);
        }
        self.cell.backward(&mut slots, State { h: &h, c: &c_before }, &c, &mut dh, &mut dc);
        for (lane, place) in slots.iter().zip(places.chunks_exact_mut(hidden)) {
            put(place, from, lane);
        }
        for (slot, gate) in C::RECURRENT.into_iter().zip(track.next.chunks_exact_mut(hidden)) {
            put(gate, from, &slots[slot]);
        }
        put(track.dc, from, &dc);
        dh
    }
}

/// What a product is for.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// The step `t`.
    Step(usize),
    /// The step `t` up to the projection …
    Project(usize),
    /// … and from there.
    Units(usize),
    /// The first state.
    Start,
}

/// The products of some sequences' rows with a panel.
struct Absorb<'a, 't, C, const V: usize> {
    pass: &'a Pass<'a, C, V>,
    tracks: &'a mut [Track<'t>],
    panel: usize,
    sums: &'a [[Lane; WIDE]],
    then: Then,
}

impl<C: Cell<V>, const V: usize> Work for Absorb<'_, '_, C, V> {
    #[inline(always)]
    fn run(self) {
        let Self { pass, tracks, panel, sums, then } = self;
        let columns = if let Then::Step(_) | Then::Units(_) = then { pass.hidden } else { pass.outputs };
        for (track, sums) in tracks.iter_mut().zip(sums) {
            for (v, through) in sums.iter().enumerate() {
                let from = (panel * WIDE + v) * LANES;
                if from >= columns {
                    break;
                }
                match then {
                    Then::Step(t) => {
                        let dh = pass.update(track, t, from, pass.gradient(track, t, from, through));
                        put(track.dh, from, &dh);
                    }
                    Then::Project(t) => {
                        let dh = pass.gradient(track, t, from, through);
                        put(&mut track.projected[t * pass.outputs..(t + 1) * pass.outputs], from, &dh);
                    }
                    Then::Units(t) => {
                        pass.update(track, t, from, *through);
                    }
                    Then::Start => {
                        let dh = sum(&get(track.dh, from), through);
                        put(track.dh, from, &dh);
                    }
                }
            }
        }
    }
}
