//! A spectrogram with rows of classes below it, for a report.

use image::{Rgb, RgbImage};

/// Pixels of a frame's width.
const WIDE: usize = 3;
/// And of a band's height.
const HIGH: usize = 4;
/// Of a row of classes, with the gap above it.
const ROW: usize = 18;
const GAP: usize = 4;
const WHITE: Rgb<u8> = Rgb([255, 255, 255]);

/// Bands `[T, D]` over time, low ones at the bottom, and below them the classes of every `stride`-th frame. `silence` is white.
pub(crate) fn draw(bands: &[f32], width: usize, stride: usize, rows: &[&[usize]], silence: usize) -> RgbImage {
    let frames = bands.len() / width.max(1);
    let (low, high) = bands.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), x| (low.min(*x), high.max(*x)));
    let top = width * HIGH;
    RgbImage::from_fn((frames * WIDE) as u32, (top + rows.len() * ROW) as u32, |x, y| {
        let (t, y) = (x as usize / WIDE, y as usize);
        if y < top {
            let value = bands[t * width + width - 1 - y / HIGH];
            return heat((value - low) / (high - low).max(1e-6));
        }
        let (row, within) = ((y - top) / ROW, (y - top) % ROW);
        match rows[row].get(t / stride) {
            Some(&class) if within >= GAP && class != silence => colour(class),
            _ => WHITE,
        }
    })
}

/// From black over violet and orange to light yellow.
fn heat(x: f32) -> Rgb<u8> {
    const STOPS: [[f32; 3]; 5] = [[4.0, 4.0, 20.0], [80.0, 18.0, 123.0], [183.0, 55.0, 121.0], [252.0, 137.0, 97.0], [252.0, 253.0, 191.0]];
    let place = x.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
    let below = (place as usize).min(STOPS.len() - 2);
    let share = place - below as f32;
    Rgb(std::array::from_fn(|c| (STOPS[below][c] * (1.0 - share) + STOPS[below + 1][c] * share) as u8))
}

/// Hues that are far apart for neighbours: the golden angle.
fn colour(class: usize) -> Rgb<u8> {
    let hue = (class as f32 * 137.508 / 60.0) % 6.0;
    let channel = |shift: f32| {
        let k = (shift + hue) % 6.0;
        ((0.78 - 0.62 * k.min(4.0 - k).clamp(0.0, 1.0)) * 255.0) as u8
    };
    Rgb([channel(5.0), channel(3.0), channel(1.0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_stand_upright_over_their_classes() {
        // Two bands, four frames: the upper band is loud in the last frame.
        let bands = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        let image = draw(&bands, 2, 2, &[&[0, 2], &[2, 1]], 2);
        assert_eq!(image.dimensions(), (4 * WIDE as u32, (2 * HIGH + 2 * ROW) as u32));
        let at = |t: usize, y: usize| *image.get_pixel((t * WIDE) as u32, y as u32);
        assert_eq!((at(3, 0), at(3, HIGH), at(0, 0)), (heat(1.0), heat(0.0), heat(0.0)));
        let (first, second) = (2 * HIGH + GAP, 2 * HIGH + ROW + GAP);
        assert_eq!([at(0, first), at(1, first), at(2, first)], [colour(0), colour(0), WHITE]);
        assert_eq!([at(0, second), at(3, second)], [WHITE, colour(1)]);
        assert_eq!(at(0, 2 * HIGH), WHITE, "a gap");
        let colours: std::collections::BTreeSet<_> = (0..10).map(|class| colour(class).0).collect();
        assert_eq!(colours.len(), 10);
    }
}
