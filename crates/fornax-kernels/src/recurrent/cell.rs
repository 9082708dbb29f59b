//! What happens to a hidden unit at one step: the equations of LSTM, GRU and plain RNN, and their gradients.

use super::tile::{LANES, Lane};
use crate::simd::{sigmoid, tanh};
use std::fmt::Debug;

/// Numbers that a hidden unit has at one step, at most.
pub(super) const SLOTS: usize = 4;

/// A kind of cell with `V` gates.
///
/// A unit has `SLOTS` numbers a step. The input's product goes to the first `V`, the state's to those that `RECURRENT` names; bias is in
/// both. `forward` leaves in them what `backward` reads, and `backward` leaves the gradients of what they were at first.
pub(super) trait Cell<const V: usize>: Debug + Copy + Send + Sync + 'static {
    const SLOTS: usize;
    const RECURRENT: [usize; V];
    /// Whether there is a `c` beside `h`.
    const MEMORY: bool;

    /// From the previous `h` and `c` to the next.
    fn forward(self, slots: &mut [Lane; SLOTS], h: &mut Lane, c: &mut Lane);

    /// From the gradients of the next `h` and `c` to those of the previous; what reaches `h` through a product is not among them.
    fn backward(self, slots: &mut [Lane; SLOTS], previous: State, c: &Lane, dh: &mut Lane, dc: &mut Lane);
}

/// `h` and `c` before a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct State<'a> {
    pub(super) h: &'a Lane,
    pub(super) c: &'a Lane,
}

/// Hochreiter and Schmidhuber, "Long short-term memory", 1997, with the forget gate of Gers et al., 2000.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lstm;

impl Cell<4> for Lstm {
    const SLOTS: usize = 4;
    const RECURRENT: [usize; 4] = [0, 1, 2, 3];
    const MEMORY: bool = true;

    #[inline(always)]
    fn forward(self, [i, f, g, o]: &mut [Lane; SLOTS], h: &mut Lane, c: &mut Lane) {
        for u in 0..LANES {
            (i[u], f[u], g[u], o[u]) = (sigmoid(i[u]), sigmoid(f[u]), tanh(g[u]), sigmoid(o[u]));
            c[u] = f[u] * c[u] + i[u] * g[u];
            h[u] = o[u] * tanh(c[u]);
        }
    }

    #[inline(always)]
    fn backward(self, [i, f, g, o]: &mut [Lane; SLOTS], previous: State, c: &Lane, dh: &mut Lane, dc: &mut Lane) {
        for u in 0..LANES {
            let t = tanh(c[u]);
            let d = dc[u] + dh[u] * o[u] * (1.0 - t * t);
            dc[u] = d * f[u];
            let di = d * g[u] * i[u] * (1.0 - i[u]);
            let df = d * previous.c[u] * f[u] * (1.0 - f[u]);
            let dg = d * i[u] * (1.0 - g[u] * g[u]);
            let d_o = dh[u] * t * o[u] * (1.0 - o[u]);
            (i[u], f[u], g[u], o[u]) = (di, df, dg, d_o);
            dh[u] = 0.0;
        }
    }
}

/// Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014, with the reset gate behind the product, as PyTorch and
/// cuDNN have it. Slots: reset, update, new and the state's part of new.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gru;

impl Cell<3> for Gru {
    const SLOTS: usize = 4;
    const RECURRENT: [usize; 3] = [0, 1, 3];
    const MEMORY: bool = false;

    #[inline(always)]
    fn forward(self, [r, z, n, hn]: &mut [Lane; SLOTS], h: &mut Lane, _: &mut Lane) {
        for u in 0..LANES {
            (r[u], z[u]) = (sigmoid(r[u]), sigmoid(z[u]));
            n[u] = tanh(n[u] + r[u] * hn[u]);
            h[u] = (1.0 - z[u]) * n[u] + z[u] * h[u];
        }
    }

    #[inline(always)]
    fn backward(self, [r, z, n, hn]: &mut [Lane; SLOTS], previous: State, _: &Lane, dh: &mut Lane, _: &mut Lane) {
        for u in 0..LANES {
            let dn = dh[u] * (1.0 - z[u]) * (1.0 - n[u] * n[u]);
            let dz = dh[u] * (previous.h[u] - n[u]) * z[u] * (1.0 - z[u]);
            let dr = dn * hn[u] * r[u] * (1.0 - r[u]);
            dh[u] *= z[u];
            (r[u], z[u], n[u], hn[u]) = (dr, dz, dn, dn * r[u]);
        }
    }
}

/// Elman, "Finding structure in time", 1990.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rnn {
    /// ReLU in place of tanh.
    pub(super) relu: bool,
}

impl Cell<1> for Rnn {
    const SLOTS: usize = 1;
    const RECURRENT: [usize; 1] = [0];
    const MEMORY: bool = false;

    #[inline(always)]
    fn forward(self, [s, ..]: &mut [Lane; SLOTS], h: &mut Lane, _: &mut Lane) {
        for u in 0..LANES {
            // A NaN stays one.
            s[u] = if !self.relu {
                tanh(s[u])
            } else if s[u] <= 0.0 {
                0.0
            } else {
                s[u]
            };
            h[u] = s[u];
        }
    }

    #[inline(always)]
    fn backward(self, [s, ..]: &mut [Lane; SLOTS], _: State, _: &Lane, dh: &mut Lane, _: &mut Lane) {
        for u in 0..LANES {
            let slope = if !self.relu {
                1.0 - s[u] * s[u]
            } else if s[u] <= 0.0 {
                0.0
            } else {
                1.0
            };
            s[u] = dh[u] * slope;
            dh[u] = 0.0;
        }
    }
}
