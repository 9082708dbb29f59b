//! The tiles of [`super::winograd`]: where they are read, their transforms, and where they are written.

use super::tile::COLS;

/// Products: a tile's window has 4×4 values.
pub(super) const POINTS: usize = 16;
/// Tiles that are neighbours as often as not, and are read and written together.
const FOUR: usize = 4;

/// The tiles of a group of images, four by four.
pub(super) struct Tiles {
    grid: [usize; 2],
    pub(super) count: usize,
    places: Vec<Four>,
}

pub(super) struct Four {
    /// Image, row and column of each tile.
    at: [[usize; 3]; FOUR],
    /// Whether they are neighbours in a row.
    run: bool,
}

impl Tiles {
    pub(super) fn new(images: usize, [h, w]: [usize; 2]) -> Self {
        let grid = [h.div_ceil(2), w.div_ceil(2)];
        let count = images * grid[0] * grid[1];
        let place = |t: usize| [t / (grid[0] * grid[1]), t / grid[1] % grid[0], t % grid[1]];
        let four = |first: usize| {
            let at: [[usize; 3]; FOUR] = std::array::from_fn(|i| place((first + i).min(count - 1)));
            Four { at, run: at[0][0] == at[3][0] && at[0][1] == at[3][1] && at[3][2] == at[0][2] + 3 }
        };
        Self { grid, count, places: (0..count).step_by(FOUR).map(four).collect() }
    }

    /// Height and width of an image that holds every window.
    pub(super) fn padded(&self) -> [usize; 2] {
        self.grid.map(|n| 2 * n + 2)
    }

    /// The tiles of every panel, and how many are left with it.
    pub(super) fn panels(&self) -> impl Iterator<Item = (&[Four], usize)> {
        self.places.chunks(COLS / FOUR).enumerate().map(|(i, fours)| (fours, (self.count - i * COLS).min(COLS)))
    }
}

pub(super) type Window = [[f32; COLS]; POINTS];

/// The windows of the tiles `fours`, value by value, into `d`; a place without a tile keeps what it has.
/// `data` is a plane of every image, `stride` apart.
#[inline(always)]
pub(super) fn windows(fours: &[Four], data: &[f32], stride: usize, wide: usize, d: &mut Window) {
    for (q, four) in fours.iter().enumerate() {
        let at = q * FOUR..(q + 1) * FOUR;
        for r in 0..4 {
            if four.run {
                let [image, y, x] = four.at[0];
                let x: &[f32; 10] = data[image * stride + (2 * y + r) * wide + 2 * x..].first_chunk().expect("a window ends inside its image");
                d[4 * r][at.clone()].copy_from_slice(&[x[0], x[2], x[4], x[6]]);
                d[4 * r + 1][at.clone()].copy_from_slice(&[x[1], x[3], x[5], x[7]]);
                d[4 * r + 2][at.clone()].copy_from_slice(&[x[2], x[4], x[6], x[8]]);
                d[4 * r + 3][at.clone()].copy_from_slice(&[x[3], x[5], x[7], x[9]]);
            } else {
                for (i, &[image, y, x]) in four.at.iter().enumerate() {
                    let x: &[f32; 4] = data[image * stride + (2 * y + r) * wide + 2 * x..].first_chunk().expect("a window ends inside its image");
                    for s in 0..4 {
                        d[4 * r + s][q * FOUR + i] = x[s];
                    }
                }
            }
        }
    }
}

/// `Bᵀ` on four values of every tile.
#[inline(always)]
fn input_four(d: &mut Window, [i, j, k, l]: [usize; 4]) {
    for t in 0..COLS {
        let (a, b, c, e) = (d[i][t], d[j][t], d[k][t], d[l][t]);
        d[i][t] = a - c;
        d[j][t] = b + c;
        d[k][t] = c - b;
        d[l][t] = b - e;
    }
}

/// `Bᵀ d B`
#[inline(always)]
pub(super) fn input_transform(d: &mut Window) {
    for s in 0..4 {
        input_four(d, [s, 4 + s, 8 + s, 12 + s]);
    }
    for r in 0..4 {
        input_four(d, [4 * r, 4 * r + 1, 4 * r + 2, 4 * r + 3]);
    }
}

/// `Aᵀ m A`: the four results of every tile.
#[inline(always)]
pub(super) fn output_transform(m: &[&[f32; COLS]; POINTS]) -> [[f32; COLS]; 4] {
    let mut rows = [[[0.0; COLS]; 4]; 2];
    for s in 0..4 {
        for t in 0..COLS {
            let (a, b, c, e) = (m[s][t], m[4 + s][t], m[8 + s][t], m[12 + s][t]);
            rows[0][s][t] = a + b + c;
            rows[1][s][t] = b - c - e;
        }
    }
    let mut y = [[0.0; COLS]; 4];
    for r in 0..2 {
        let [a, b, c, e] = &rows[r];
        for t in 0..COLS {
            y[2 * r][t] = a[t] + b[t] + c[t];
            y[2 * r + 1][t] = b[t] - c[t] - e[t];
        }
    }
    y
}

/// Writes the results of a row of a panel, whose plane in the first image begins at `from`, `stride` from image to image.
#[inline(always)]
pub(super) fn write(
    y: &[[f32; COLS]; 4],
    fours: &[Four],
    [h, w]: [usize; 2],
    [from, stride]: [usize; 2],
    finish: impl Fn(f32, usize) -> f32,
    out: &mut [f32],
    count: usize,
) {
    for (q, four) in fours.iter().enumerate() {
        let [image, ty, tx] = four.at[0];
        let whole = four.run && 2 * ty + 1 < h && 2 * tx + 2 * FOUR <= w;
        if whole {
            for r in 0..2 {
                let at = from + image * stride + (2 * ty + r) * w + 2 * tx;
                let out: &mut [f32; 2 * FOUR] = out[at..].first_chunk_mut().expect("eight results in the row");
                for i in 0..FOUR {
                    out[2 * i] = finish(y[2 * r][q * FOUR + i], at + 2 * i);
                    out[2 * i + 1] = finish(y[2 * r + 1][q * FOUR + i], at + 2 * i + 1);
                }
            }
            continue;
        }
        for (i, [image, ty, tx]) in four.at.into_iter().enumerate().take(count.saturating_sub(q * FOUR)) {
            for (k, y) in y.iter().enumerate() {
                let [row, column] = [2 * ty + k / 2, 2 * tx + k % 2];
                if row < h && column < w {
                    let at = from + image * stride + row * w + column;
                    out[at] = finish(y[q * FOUR + i], at);
                }
            }
        }
    }
}
