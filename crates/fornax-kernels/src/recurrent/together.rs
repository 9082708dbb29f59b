//! A few sequences without gradient: there are too few to share out, so threads share out the hidden units, and meet after every step.
//!
//! A thread has panels of its own, whose weights stay in its cache, and takes those of a thread that does not come. So nobody waits for
//! work that nobody does.

use super::cell::Cell;
use super::forward::{Forward, Pass, multiply, update};
use super::lanes::{get, put};
use super::layer::even_chunks;
use super::tile::{LANES, Lane, ROWS};
use crate::simd::{Work, run_vectorized};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Looks at the clock of the others before their panels are taken, or the processor is given away.
const PATIENCE: usize = 2000;

/// What belongs to [`LANES`] hidden units.
#[derive(Debug)]
struct Unit {
    c: [Lane; ROWS],
    /// `h` of every step: `[T, B]`
    y: Vec<Lane>,
}

struct Shared<'a, C, const V: usize> {
    pass: &'a Pass<'a, C, V>,
    batch: usize,
    time: usize,
    /// The input's products: `[B, T, SLOTS, H]`
    slots: &'a [f32],
    /// `h: [B, H]` of even and odd steps, as bits.
    h: [Vec<AtomicU32>; 2],
    units: Vec<Mutex<Unit>>,
    /// The steps that were begun, panel by panel.
    begun: Vec<AtomicUsize>,
    /// Panels that were finished, in all steps together.
    done: AtomicUsize,
    threads: usize,
}

/// All steps of `batch` sequences of one length; `out` holds first states and the input's products, and gets results.
pub(super) fn forward<C: Cell<V>, const V: usize>(pass: &Pass<C, V>, batch: usize, time: usize, out: &mut Forward) {
    let (hidden, panels) = (pass.hidden, pass.gates.panels());
    let lanes = |x: &[f32], from: usize| {
        std::array::from_fn(|b| if b < batch { get(x.get(b * hidden..(b + 1) * hidden).unwrap_or_default(), from) } else { [0.0; LANES] })
    };
    let bits = |x: &f32| AtomicU32::new(x.to_bits());
    let shared = Shared {
        pass,
        batch,
        time,
        slots: &out.slots,
        h: [out.h.iter().map(bits).collect(), out.h.iter().map(bits).collect()],
        units: (0..panels).map(|p| Mutex::new(Unit { c: lanes(&out.c, p * LANES), y: vec![[0.0; LANES]; time * batch] })).collect(),
        begun: (0..panels).map(|_| AtomicUsize::new(0)).collect(),
        done: AtomicUsize::new(0),
        threads: rayon::current_num_threads().min(panels),
    };
    rayon::scope(|scope| {
        let shared = &shared;
        (1..shared.threads).for_each(|thread| scope.spawn(move |_| shared.work(thread)));
        shared.work(0);
    });
    let (last, units) = (pass.sequences.steps(time).last(), shared.units);
    for (panel, unit) in units.into_iter().enumerate() {
        let Unit { c, y } = unit.into_inner().expect("no holder of the lock panics");
        for b in 0..batch {
            let rows = out.y[b * time * hidden..(b + 1) * time * hidden].chunks_exact_mut(hidden);
            rows.zip(y.chunks_exact(batch)).for_each(|(row, y)| put(row, panel * LANES, &y[b]));
            if let Some(last) = last {
                put(&mut out.h[b * hidden..(b + 1) * hidden], panel * LANES, &y[last * batch + b]);
            }
            if C::MEMORY {
                put(&mut out.c[b * hidden..(b + 1) * hidden], panel * LANES, &c[b]);
            }
        }
    }
}

impl<C: Cell<V>, const V: usize> Shared<'_, C, V> {
    /// One thread's part of all steps.
    fn work(&self, thread: usize) {
        let own = even_chunks(self.units.len(), self.units.len().div_ceil(self.threads)).nth(thread).unwrap_or(0..0);
        let mut h = vec![0.0; self.batch * self.pass.hidden];
        for (step, t) in self.pass.sequences.steps(self.time).enumerate() {
            let before = step * self.units.len();
            while !self.waits_for(before) {
                std::thread::yield_now();
            }
            h.iter_mut().zip(&self.h[step % 2]).for_each(|(h, bits)| *h = f32::from_bits(bits.load(Ordering::Relaxed)));
            own.clone().for_each(|panel| self.take(panel, step, t, &h));
            if !self.waits_for(before + self.units.len()) {
                (0..self.units.len()).for_each(|panel| self.take(panel, step, t, &h));
            }
        }
    }

    /// Whether so many panels are finished, now or soon.
    fn waits_for(&self, panels: usize) -> bool {
        (0..PATIENCE).any(|_| {
            std::hint::spin_loop();
            self.done.load(Ordering::Acquire) >= panels
        })
    }

    /// Does a panel's step, unless somebody has begun it.
    fn take(&self, panel: usize, step: usize, t: usize, h: &[f32]) {
        if self.begun[panel].compare_exchange(step, step + 1, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let hidden = self.pass.hidden;
        let rows: Vec<&[f32]> = h.chunks_exact(hidden).collect();
        let mut sums = [[[0.0; LANES]; V]; ROWS];
        multiply(&rows, |row| row, self.pass.gates.panel(panel), &mut sums);
        let mut unit = self.units[panel].lock().expect("no holder of the lock panics");
        run_vectorized(Step { shared: self, t, from: panel * LANES, h, sums: &sums, unit: &mut unit });
        for (b, lane) in unit.y[t * self.batch..(t + 1) * self.batch].iter().enumerate() {
            let places = &self.h[(step + 1) % 2][b * hidden..(b + 1) * hidden];
            places[panel * LANES..].iter().zip(lane).for_each(|(place, h)| place.store(h.to_bits(), Ordering::Relaxed));
        }
        self.done.fetch_add(1, Ordering::Release);
    }
}

/// [`LANES`] units of all sequences at a step.
struct Step<'a, 's, C, const V: usize> {
    shared: &'a Shared<'s, C, V>,
    t: usize,
    from: usize,
    h: &'a [f32],
    sums: &'a [[Lane; V]],
    unit: &'a mut Unit,
}

impl<C: Cell<V>, const V: usize> Work for Step<'_, '_, C, V> {
    #[inline(always)]
    fn run(self) {
        let Self { shared, t, from, h, sums, unit } = self;
        let (hidden, width) = (shared.pass.hidden, C::SLOTS * shared.pass.hidden);
        for b in 0..shared.batch {
            let row = &shared.slots[(b * shared.time + t) * width..][..width];
            let mut state = get(&h[b * hidden..(b + 1) * hidden], from);
            update::<C, V>(shared.pass.cell, hidden, row, &shared.pass.bias, from, &sums[b], &mut state, &mut unit.c[b]);
            unit.y[t * shared.batch + b] = state;
        }
    }
}
