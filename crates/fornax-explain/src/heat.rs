use image::{GrayImage, ImageBuffer, Luma, Rgb, RgbImage, imageops::FilterType};

/// Lays a heat map `[H, W]` with values in `[0, 1]` over an image, stretched to its size: blue little, red most.
pub fn overlay(base: &GrayImage, map: &[f32], [height, width]: [usize; 2]) -> RgbImage {
    let heat: ImageBuffer<Luma<f32>, Vec<f32>> =
        ImageBuffer::from_fn(width as u32, height as u32, |x, y| Luma([map.get(y as usize * width + x as usize).copied().unwrap_or(0.0)]));
    let heat = image::imageops::resize(&heat, base.width(), base.height(), FilterType::Triangle);
    RgbImage::from_fn(base.width(), base.height(), |x, y| {
        let grey = f32::from(base.get_pixel(x, y).0[0]);
        let hot = heat.get_pixel(x, y).0[0].clamp(0.0, 1.0);
        let colour = colour_map(hot);
        // Where there is no heat the image shows unchanged.
        let share = 0.65 * hot.sqrt();
        Rgb(colour.map(|c| (grey * (1.0 - share) + c * share) as u8))
    })
}

/// Blue, cyan, yellow, red.
fn colour_map(t: f32) -> [f32; 3] {
    let ramp = |centre: f32| (1.5 - (4.0 * t - centre).abs()).clamp(0.0, 1.0) * 255.0;
    [ramp(3.0), ramp(2.0), ramp(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_shows_where_it_is() {
        let base = GrayImage::from_pixel(8, 8, Luma([100]));
        let mut map = vec![0.0; 16];
        map[0] = 1.0;
        let over = overlay(&base, &map, [4, 4]);
        assert_eq!(over.dimensions(), (8, 8));
        let hot = over.get_pixel(0, 0).0;
        assert!(hot[0] > hot[2] + 50, "{hot:?}");
        assert_eq!(over.get_pixel(7, 7).0, [100, 100, 100]);
    }
}
