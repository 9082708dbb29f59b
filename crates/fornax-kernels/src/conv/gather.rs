//! Reading images at positions: padding, and copying eight neighbouring positions at a time.

use super::tile::LANES;
use rayon::prelude::*;

/// Floats that one thread copies.
const ALONE: usize = 1 << 16;

/// A batch of images, seen with zeros around them.
pub(super) struct Images<'a> {
    pub(super) data: &'a [f32],
    /// Where an image has to be read as zero: a value of the same place that is not positive.
    pub(super) mask: Option<&'a [f32]>,
    pub(super) channels: usize,
    /// Height and width.
    pub(super) size: [usize; 2],
    /// Zeros above and left.
    pub(super) before: [usize; 2],
    /// Height and width with the zeros.
    pub(super) padded: [usize; 2],
}

/// `d` where the output of a ReLU was positive (or NaN), else 0
pub(super) fn masked(d: f32, output: f32) -> f32 {
    if output <= 0.0 { 0.0 } else { d }
}

impl Images<'_> {
    /// Floats an image as [`Images::read`] gives it.
    pub(super) fn stride(&self) -> usize {
        self.channels * self.padded[0] * self.padded[1]
    }

    /// Images `first..first + count`, padded; `buffer` holds zeros, or what an earlier read of the same batch left there.
    pub(super) fn read<'b>(&'b self, first: usize, count: usize, buffer: &'b mut Vec<f32>) -> &'b [f32] {
        let [h, w] = self.size;
        if self.padded == self.size && self.mask.is_none() {
            let n = self.channels * h * w;
            return &self.data[first * n..(first + count) * n];
        }
        buffer.resize(buffer.len().max(count * self.stride()), 0.0);
        let plane = self.padded[0] * self.padded[1];
        let planes = buffer[..count * self.stride()].par_chunks_exact_mut(plane).enumerate().with_min_len(ALONE.div_ceil(plane));
        planes.for_each(|(plane, out)| self.plane(first * self.channels + plane, out));
        &buffer[..count * self.stride()]
    }

    /// One channel of an image, the `index`-th of the batch, into `out`; what lies around it stays.
    pub(super) fn plane(&self, index: usize, out: &mut [f32]) {
        let [h, w] = self.size;
        for y in 0..h {
            let from = (index * h + y) * w..(index * h + y + 1) * w;
            let to = &mut out[(y + self.before[0]) * self.padded[1] + self.before[1]..][..w];
            match self.mask {
                None => to.copy_from_slice(&self.data[from]),
                Some(mask) => to.iter_mut().zip(self.data[from.clone()].iter().zip(&mask[from])).for_each(|(to, (d, m))| *to = masked(*d, *m)),
            }
        }
    }
}

/// Where the windows of a group of images start, in the padded images' memory.
pub(super) fn origins(images: usize, image: usize, grid: [usize; 2], step: [usize; 2], row: usize) -> Vec<usize> {
    let places = |i: usize| (0..grid[0]).flat_map(move |y| (0..grid[1]).map(move |x| i * image + y * step[0] * row + x * step[1]));
    (0..images).flat_map(places).collect()
}

/// Eight positions: neighbours, every second one, two runs of neighbours, or any.
pub(super) enum Octet {
    Run(usize),
    Second(usize),
    /// The first run's start, and the second's if it were continued back to the first place; the length of the first.
    TwoRuns(usize, usize, usize),
    Any([usize; LANES]),
}

impl Octet {
    /// The eight positions from `first`; beyond the end, the last one again.
    pub(super) fn new(origins: &[usize], first: usize) -> Self {
        let last = origins.len() - 1;
        let at: [usize; LANES] = std::array::from_fn(|i| origins[(first + i).min(last)]);
        if at[LANES - 1] == at[0] + LANES - 1 && at.is_sorted_by(|a, b| a < b) {
            return Self::Run(at[0]);
        }
        if at.windows(2).all(|w| w[1] == w[0] + 2) {
            return Self::Second(at[0]);
        }
        let breaks = at.windows(2).filter(|w| w[1] != w[0] + 1).count();
        match at.windows(2).position(|w| w[1] != w[0] + 1) {
            Some(split) if breaks == 1 && at[LANES - 1] > at[0] + LANES - 1 => Self::TwoRuns(at[0], at[LANES - 1] + 1 - LANES, split + 1),
            _ => Self::Any(at),
        }
    }

    /// The values `offset` behind the eight positions.
    #[inline(always)]
    pub(super) fn read(&self, data: &[f32], offset: usize) -> [f32; LANES] {
        let run = |at: usize| -> [f32; LANES] { *data[at + offset..].first_chunk().expect("a window ends inside its image") };
        match *self {
            Self::Run(at) => run(at),
            Self::Second(at) => {
                let x: &[f32; 2 * LANES - 1] = data[at + offset..].first_chunk().expect("a window ends inside its image");
                std::array::from_fn(|i| x[2 * i])
            }
            Self::TwoRuns(first, second, split) => {
                let (a, b) = (run(first), run(second));
                std::array::from_fn(|i| if i < split { a[i] } else { b[i] })
            }
            Self::Any(at) => at.map(|at| data[at + offset]),
        }
    }

    /// Whether the eight are neighbours, and where they start.
    pub(super) fn as_run(&self) -> Option<usize> {
        match self {
            Self::Run(at) => Some(*at),
            _ => None,
        }
    }
}

/// Copies the windows' values `offsets` behind the eight positions, `width` floats apart.
pub(super) fn copy_column(octet: &Octet, data: &[f32], offsets: &[usize], out: &mut [f32], width: usize) {
    // One loop a kind, so that the kind is not asked for at every offset.
    let rows = out.chunks_mut(width).zip(offsets);
    match octet {
        Octet::Run(at) => rows.for_each(|(out, offset)| out[..LANES].copy_from_slice(&data[at + offset..][..LANES])),
        Octet::Second(at) => rows.for_each(|(out, offset)| {
            let x: &[f32; 2 * LANES - 1] = data[at + offset..].first_chunk().expect("a window ends inside its image");
            for i in 0..LANES {
                out[i] = x[2 * i];
            }
        }),
        Octet::TwoRuns(..) | Octet::Any(_) => rows.for_each(|(out, offset)| out[..LANES].copy_from_slice(&octet.read(data, *offset))),
    }
}
