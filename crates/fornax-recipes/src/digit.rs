//! Makes a picture of a digit look like MNIST's: light on dark, in a 20×20 box, its centre of mass in the middle of 28×28.
//!
//! Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998, section III.A.

use image::{GrayImage, Luma, imageops::FilterType};

/// The side of the box that the digit fills.
const BOX: u32 = 20;
/// The side of the image.
const SIDE: u32 = 28;

/// The fitted image, and what was done.
pub(crate) fn fit(picture: &GrayImage) -> (GrayImage, Vec<String>) {
    let mut done = vec![];
    let mut image = picture.clone();
    if border_median(&image) > 127 {
        image.pixels_mut().for_each(|p| p.0[0] = 255 - p.0[0]);
        done.push("inverted it (dark on light)".into());
    }
    if image.dimensions() == (SIDE, SIDE) {
        return (image, done);
    }
    // Paper is never quite black after inversion: what is nearer to the background than to the ink goes.
    let (low, high) = image.pixels().fold((255u8, 0u8), |(low, high), p| (low.min(p.0[0]), high.max(p.0[0])));
    let (low, high) = (border_median(&image).max(low), high);
    if high <= low.saturating_add(8) {
        done.push(format!("scaled {}×{} to {SIDE}×{SIDE}; there is no digit to see", image.width(), image.height()));
        return (image::imageops::resize(&image, SIDE, SIDE, FilterType::Triangle), done);
    }
    let range = f32::from(high - low);
    image.pixels_mut().for_each(|p| {
        let share = (f32::from(p.0[0]) - f32::from(low)) / range;
        p.0[0] = (255.0 * ((share - 0.15) / 0.75).clamp(0.0, 1.0)) as u8;
    });
    let Some((x0, y0, x1, y1)) = ink(&image) else { return (image::imageops::resize(&image, SIDE, SIDE, FilterType::Triangle), done) };
    let (w, h) = (x1 - x0 + 1, y1 - y0 + 1);
    let cut = image::imageops::crop_imm(&image, x0, y0, w, h).to_image();
    let scale = f64::from(BOX) / f64::from(w.max(h));
    let side = |s: u32| ((f64::from(s) * scale).round() as u32).clamp(1, BOX);
    let small = image::imageops::resize(&cut, side(w), side(h), FilterType::Triangle);
    done.push(format!(
        "cut {w}×{h} pixels with ink out of {}×{}, scaled them to {}×{}, and centred their mass in {SIDE}×{SIDE}",
        picture.width(),
        picture.height(),
        side(w),
        side(h)
    ));
    (centre(&small), done)
}

fn border_median(image: &GrayImage) -> u8 {
    let (w, h) = image.dimensions();
    let mut border: Vec<u8> =
        image.enumerate_pixels().filter(|&(x, y, _)| x == 0 || y == 0 || x + 1 == w || y + 1 == h).map(|(_, _, p)| p.0[0]).collect();
    border.sort_unstable();
    border.get(border.len() / 2).copied().unwrap_or(0)
}

fn ink(image: &GrayImage) -> Option<(u32, u32, u32, u32)> {
    let inked = image.enumerate_pixels().filter(|(_, _, p)| p.0[0] > 60).map(|(x, y, _)| (x, y));
    inked.fold(None, |bounds, (x, y)| match bounds {
        None => Some((x, y, x, y)),
        Some((x0, y0, x1, y1)) => Some((x0.min(x), y0.min(y), x1.max(x), y1.max(y))),
    })
}

fn centre(small: &GrayImage) -> GrayImage {
    let (mut mass, mut mx, mut my) = (0.0, 0.0, 0.0);
    for (x, y, p) in small.enumerate_pixels() {
        let m = f64::from(p.0[0]);
        (mass, mx, my) = (mass + m, mx + m * f64::from(x), my + m * f64::from(y));
    }
    let middle = f64::from(SIDE - 1) / 2.0;
    let at = |moment: f64, side: u32| ((middle - moment / mass.max(1.0)).round() as i64).clamp(0, i64::from(SIDE - side));
    let (left, top) = (at(mx, small.width()), at(my, small.height()));
    let mut image = GrayImage::from_pixel(SIDE, SIDE, Luma([0]));
    image::imageops::replace(&mut image, small, left, top);
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A light bar on dark, in a picture of some size.
    fn bar(w: u32, h: u32, invert: bool) -> GrayImage {
        GrayImage::from_fn(w, h, |x, y| {
            let on = x > w / 3 && x < w / 2 && y > h / 5 && y < h * 3 / 4;
            Luma([if on != invert { 230 } else { 20 }])
        })
    }

    #[test]
    fn an_mnist_image_is_left_alone() {
        let image = bar(28, 28, false);
        assert_eq!(fit(&image), (image, vec![]));
    }

    #[test]
    fn any_size_and_polarity_give_nearly_the_same() {
        let (want, _) = fit(&bar(280, 280, false));
        for (w, invert) in [(280, true), (560, false), (141, true)] {
            let (got, done) = fit(&bar(w, w, invert));
            assert_eq!(got.dimensions(), (28, 28));
            let difference: f64 = got.pixels().zip(want.pixels()).map(|(a, b)| f64::from(a.0[0].abs_diff(b.0[0]))).sum::<f64>() / (255.0 * 784.0);
            assert!(difference < 0.03, "{w} {invert}: {difference}");
            assert_eq!(done.len(), 1 + usize::from(invert), "{done:?}");
        }
    }

    #[test]
    fn blank_and_tiny_pictures_do_not_panic() {
        for (w, h) in [(1, 1), (3, 400), (28, 28), (50, 50)] {
            for value in [0, 128, 255] {
                assert_eq!(fit(&GrayImage::from_pixel(w, h, Luma([value]))).0.dimensions(), (28, 28));
            }
        }
    }
}
