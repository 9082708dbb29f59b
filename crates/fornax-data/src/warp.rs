/// One affine move of an image, about its centre.
///
/// A point at `p` from the centre goes to `A p + shift`, with `A = R(rotate) · Shear · scale · Flip`. Every output pixel is read
/// back from where it came, bilinearly; what lies outside the image is 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Warp {
    /// Pixels to the right and down.
    pub shift: [f64; 2],
    /// Degrees, counter-clockwise as seen.
    pub rotate: f64,
    /// Factor of size; above 1 enlarges.
    pub scale: f64,
    /// Degrees by which vertical lines lean to the right.
    pub shear: f64,
    /// Mirrored left to right, before all else.
    pub flip: bool,
}

impl Default for Warp {
    fn default() -> Self {
        Self { shift: [0.0; 2], rotate: 0.0, scale: 1.0, shear: 0.0, flip: false }
    }
}

/// `byte / 255`, the same in every path.
static UNIT: [f32; 256] = unit();

const fn unit() -> [f32; 256] {
    let mut table = [0f32; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = i as f32 / 255.0;
        i += 1;
    }
    table
}

impl Warp {
    /// Warps `[C, H, W]` bytes to floats in `[0, 1]`; the identity gives exactly `byte / 255`, and a flip alone moves pixels exactly.
    ///
    /// # Panics
    /// If `image` or `out` does not have the size of `shape`.
    pub fn apply(&self, image: &[u8], shape: [usize; 3], out: &mut [f32]) {
        let [_, height, width] = shape;
        let size = shape.iter().product::<usize>();
        assert!(image.len() == size && out.len() == size, "{} bytes and {} floats for shape {shape:?}", image.len(), out.len());
        if size == 0 {
            return;
        }
        if (Self { flip: false, ..*self }) == Self::default() {
            for (from, to) in image.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                let values = from.iter().map(|&byte| UNIT[usize::from(byte)]);
                if self.flip {
                    to.iter_mut().rev().zip(values).for_each(|(to, value)| *to = value);
                } else {
                    to.iter_mut().zip(values).for_each(|(to, value)| *to = value);
                }
            }
            return;
        }
        let inverse = self.inverse().map(|row| row.map(|x| x as f32));
        let centre = [(width as f32 - 1.0) / 2.0, (height as f32 - 1.0) / 2.0];
        let shift = self.shift.map(|x| x as f32);
        let mut padded = Padded::new(height, width);
        let plane = height * width;
        for (image, out) in image.chunks_exact(plane).zip(out.chunks_exact_mut(plane)) {
            padded.fill(image);
            for (row, line) in out.chunks_exact_mut(width).enumerate() {
                let dy = row as f32 - centre[1] - shift[1];
                let [x0, y0] = [inverse[0][1] * dy + centre[0], inverse[1][1] * dy + centre[1]];
                for (column, value) in line.iter_mut().enumerate() {
                    let dx = column as f32 - centre[0] - shift[0];
                    *value = padded.sample(inverse[0][0] * dx + x0, inverse[1][0] * dx + y0);
                }
            }
        }
    }

    /// `A⁻¹`, rows first, with y downwards.
    fn inverse(&self) -> [[f64; 2]; 2] {
        let [sin, cos] = sin_cos(self.rotate);
        let [shear_sin, shear_cos] = sin_cos(self.shear);
        let lean = shear_sin / shear_cos;
        // Counter-clockwise as seen, since y grows downwards: R = [[c, s], [-s, c]]. A line that leans to the right: Shear = [[1, -t], [0, 1]].
        let sheared = [[cos, -lean * cos + sin], [-sin, lean * sin + cos]];
        let mirror = if self.flip { -1.0 } else { 1.0 };
        let [[a, b], [c, d]] = sheared.map(|[x, y]| [x * self.scale * mirror, y * self.scale]);
        let determinant = a * d - b * c;
        [[d / determinant, -b / determinant], [-c / determinant, a / determinant]]
    }
}

/// One channel as floats in a frame of zeros, so that no sample looks whether it is inside: one before, two behind each line and column.
struct Padded {
    values: Vec<f32>,
    height: usize,
    width: usize,
}

impl Padded {
    fn new(height: usize, width: usize) -> Self {
        Self { values: vec![0.0; (height + 3) * (width + 3)], height, width }
    }

    fn fill(&mut self, image: &[u8]) {
        let stride = self.width + 3;
        for (from, to) in image.chunks_exact(self.width).zip(self.values[stride..].chunks_exact_mut(stride)) {
            to[1..].iter_mut().zip(from).for_each(|(to, &byte)| *to = UNIT[usize::from(byte)]);
        }
    }

    /// Bilinear, 0 outside.
    #[inline]
    fn sample(&self, x: f32, y: f32) -> f32 {
        // Whatever is outside, NaN too, becomes a point of the frame.
        let (x, y) = (x.max(-1.0).min(self.width as f32) + 1.0, y.max(-1.0).min(self.height as f32) + 1.0);
        let (left, top) = (x as i32 as usize, y as i32 as usize);
        let (fx, fy) = (x - left as f32, y - top as f32);
        let at = top * (self.width + 3) + left;
        let mix = |pair: &[f32]| pair[0] + (pair[1] - pair[0]) * fx;
        let upper = mix(&self.values[at..at + 2]);
        let lower = mix(&self.values[at + self.width + 3..][..2]);
        (upper + (lower - upper) * fy).clamp(0.0, 1.0)
    }
}

/// Sine and cosine of degrees by their Taylor series: the system's own differ in the last bit between platforms.
fn sin_cos(degrees: f64) -> [f64; 2] {
    let x = (degrees % 360.0) * (std::f64::consts::PI / 180.0);
    // A quarter of the angle, and the double-angle formula twice.
    let q = x / 4.0;
    let (mut sin, mut cos, mut term) = (0.0, 0.0, 1.0);
    for n in 1..=24u32 {
        // term = q^(n-1) / (n-1)!
        match n % 4 {
            1 => cos += term,
            2 => sin += term,
            3 => cos -= term,
            _ => sin -= term,
        }
        term *= q / f64::from(n);
    }
    for _ in 0..2 {
        (sin, cos) = (2.0 * sin * cos, 1.0 - 2.0 * sin * sin);
    }
    [sin, cos]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warped(warp: Warp, image: &[u8], shape: [usize; 3]) -> Vec<f32> {
        let mut out = vec![f32::NAN; image.len()];
        warp.apply(image, shape, &mut out);
        out
    }

    /// One bright pixel at (x, y) of a 9×9 image.
    fn dot(x: usize, y: usize) -> Vec<u8> {
        let mut image = vec![0; 81];
        image[y * 9 + x] = 255;
        image
    }

    fn brightest(values: &[f32]) -> (usize, usize) {
        let at = (0..81).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap();
        (at % 9, at / 9)
    }

    #[test]
    fn a_known_angle_moves_a_dot_to_a_known_place() {
        let right = dot(7, 4);
        for (degrees, wanted) in [(0.0, (7, 4)), (90.0, (4, 1)), (180.0, (1, 4)), (-90.0, (4, 7)), (450.0, (4, 1))] {
            let out = warped(Warp { rotate: degrees, ..Warp::default() }, &right, [1, 9, 9]);
            assert_eq!(brightest(&out), wanted, "{degrees} degrees");
            assert!((out[wanted.1 * 9 + wanted.0] - 1.0).abs() < 1e-5, "{degrees} degrees");
        }
        // 45 degrees: 3 to the right becomes (2.12, -2.12), nearest pixel (6, 2).
        let out = warped(Warp { rotate: 45.0, ..Warp::default() }, &right, [1, 9, 9]);
        assert_eq!(brightest(&out), (6, 2));
    }

    #[test]
    fn shift_scale_shear_and_flip_move_a_dot_as_said() {
        let cases = [
            (Warp { shift: [2.0, -1.0], ..Warp::default() }, (5, 4), (7, 3)),
            (Warp { scale: 2.0, ..Warp::default() }, (5, 3), (6, 2)),
            (Warp { shear: 45.0, ..Warp::default() }, (4, 2), (6, 2)),
            (Warp { flip: true, ..Warp::default() }, (7, 2), (1, 2)),
            // The flip comes first, then the rotation, then the shift.
            (Warp { flip: true, rotate: 90.0, shift: [1.0, 0.0], ..Warp::default() }, (7, 4), (5, 7)),
        ];
        for (warp, from, to) in cases {
            assert_eq!(brightest(&warped(warp, &dot(from.0, from.1), [1, 9, 9])), to, "{warp:?}");
        }
    }

    #[test]
    fn half_a_pixel_is_the_mean_of_two() {
        let out = warped(Warp { shift: [0.5, 0.0], ..Warp::default() }, &[0, 100, 200, 50], [1, 1, 4]);
        for (value, wanted) in out.iter().zip([0.0, 50.0, 150.0, 125.0]) {
            assert!((value - wanted / 255.0).abs() < 1e-6, "{out:?}");
        }
    }

    #[test]
    fn the_identity_is_exact_and_channels_stay_apart() {
        let image: Vec<u8> = (0..=255).collect();
        let exact: Vec<f32> = image.iter().map(|&x| f32::from(x) / 255.0).collect();
        assert_eq!(warped(Warp::default(), &image, [4, 8, 8]), exact);
        let out = warped(Warp { shift: [0.0, 1.0], ..Warp::default() }, &image, [4, 8, 8]);
        for channel in 0..4 {
            assert!(out[channel * 64..][..8].iter().all(|&x| x == 0.0));
            assert_eq!(out[channel * 64 + 8..][..56], exact[channel * 64..][..56]);
        }
    }

    #[test]
    fn sine_and_cosine_are_right() {
        for degrees in -720..=720 {
            let x = f64::from(degrees) * std::f64::consts::PI / 180.0;
            let [sin, cos] = sin_cos(f64::from(degrees));
            assert!((sin - x.sin()).abs() < 1e-13 && (cos - x.cos()).abs() < 1e-13, "{degrees}");
        }
    }

    #[test]
    fn degenerate_moves_stay_in_range() {
        let image = dot(4, 4);
        for warp in [
            Warp { scale: 0.0, ..Warp::default() },
            Warp { scale: 1e-30, ..Warp::default() },
            Warp { shear: 90.0, ..Warp::default() },
            Warp { shift: [f64::MAX, f64::NAN], ..Warp::default() },
            Warp { rotate: f64::INFINITY, ..Warp::default() },
        ] {
            assert!(warped(warp, &image, [1, 9, 9]).iter().all(|x| (0.0..=1.0).contains(x)), "{warp:?}");
        }
        warped(Warp { rotate: 3.0, ..Warp::default() }, &[], [1, 0, 4]);
    }
}
