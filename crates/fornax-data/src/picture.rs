//! Any picture file (PNG, JPEG, PPM/PGM, by content) as grey or RGB bytes, `[C, H, W]`.

use crate::DataError;
use image::{DynamicImage, GenericImageView, ImageReader, Limits, RgbaImage, imageops::FilterType};
use std::{
    fs::File,
    io::{BufRead, BufReader, Cursor, Seek},
    path::Path,
};

/// No picture may be wider or higher.
pub const MOST_SIDE: u32 = 16_384;
/// What decoding may take: 512 MiB.
const MOST_ALLOC: u64 = 512 << 20;

/// What becomes of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// One channel: the luma of Rec. 709, as in the `image` crate.
    Grey,
    /// Three channels.
    Rgb,
}

impl Colour {
    /// `C`.
    pub fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

/// A decoded picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// `[C, H, W]`, none of them 0.
    pub shape: [usize; 3],
    /// Row-major.
    pub pixels: Vec<u8>,
    /// Whether the file's picture had colours that differ from grey.
    pub coloured: bool,
    /// Height and width in the file.
    pub original: [usize; 2],
}

/// Decodes a file, and resizes it to `size` (height, width) if given, by area-aware bilinear filtering.
///
/// What is transparent becomes white; 16 bits a channel become 8.
///
/// # Errors
/// [`DataError`] for a file that cannot be read, is no picture, is damaged, or is wider or higher than [`MOST_SIDE`].
pub fn read(path: &Path, colour: Colour, size: Option<[usize; 2]>) -> Result<Picture, DataError> {
    let file = File::open(path).map_err(DataError::io("open", path))?;
    if file.metadata().is_ok_and(|meta| meta.is_dir()) {
        return Err(DataError::damaged("image", path, "it is a folder"));
    }
    decode(path, BufReader::new(file), colour, size)
}

/// Decodes a picture in memory; `name` is for errors.
///
/// # Errors
/// As [`read`].
pub fn from_bytes(name: &Path, bytes: &[u8], colour: Colour, size: Option<[usize; 2]>) -> Result<Picture, DataError> {
    decode(name, Cursor::new(bytes), colour, size)
}

impl Picture {
    /// The pixels in `[0, 1]`.
    pub fn to_f32(&self) -> Vec<f32> {
        self.pixels.iter().map(|&x| f32::from(x) / 255.0).collect()
    }
}

fn decode(path: &Path, reader: impl BufRead + Seek, colour: Colour, size: Option<[usize; 2]>) -> Result<Picture, DataError> {
    let bad = |why: String| DataError::damaged("image", path, why.replace('\n', " "));
    let most = 0..=MOST_SIDE as usize;
    if let Some(size) = size.filter(|size| !size.iter().all(|side| *side > 0 && most.contains(side))) {
        return Err(DataError::Invalid(format!("a picture's size must be from 1 to {MOST_SIDE} a side, not {size:?}")));
    }
    let mut reader = ImageReader::new(reader).with_guessed_format().map_err(DataError::io("read", path))?;
    if reader.format().is_none() {
        return Err(bad("neither PNG, JPEG nor PPM/PGM".into()));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_SIDE);
    limits.max_image_height = Some(MOST_SIDE);
    limits.max_alloc = Some(MOST_ALLOC);
    reader.limits(limits);
    let image = reader.decode().map_err(|error| bad(error.to_string()))?;
    let original = [image.height() as usize, image.width() as usize];
    if original.contains(&0) {
        return Err(bad(format!("it has {} rows and {} columns", original[0], original[1])));
    }
    let image = opaque(image);
    let image = match size {
        Some([height, width]) if original != [height, width] => image.resize_exact(width as u32, height as u32, FilterType::Triangle),
        _ => image,
    };
    let [height, width] = [image.height() as usize, image.width() as usize];
    let shape = [colour.channels(), height, width];
    let coloured = image.color().has_color() && image.pixels().any(|(_, _, pixel)| pixel.0[..3].iter().any(|&x| x.abs_diff(pixel.0[0]) > 8));
    let pixels = match colour {
        Colour::Grey => image.into_luma8().into_raw(),
        Colour::Rgb => {
            let rgb = image.into_rgb8().into_raw();
            let mut planes = Vec::with_capacity(rgb.len());
            (0..3).for_each(|channel| planes.extend(rgb.iter().skip(channel).step_by(3)));
            planes
        }
    };
    Ok(Picture { shape, pixels, coloured, original })
}

/// Transparent pixels over white.
fn opaque(image: DynamicImage) -> DynamicImage {
    if !image.color().has_alpha() {
        return image;
    }
    let coloured = image.color().has_color();
    let mut rgba: RgbaImage = image.into_rgba8();
    for pixel in rgba.pixels_mut() {
        let alpha = u32::from(pixel.0[3]);
        pixel.0 = pixel.0.map(|x| ((u32::from(x) * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
    }
    let rgb = DynamicImage::ImageRgba8(rgba);
    if coloured { DynamicImage::ImageRgb8(rgb.into_rgb8()) } else { DynamicImage::ImageLuma8(rgb.into_luma8()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba};

    fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.into().write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    }

    fn decoded(bytes: &[u8], colour: Colour, size: Option<[usize; 2]>) -> Result<Picture, String> {
        from_bytes("a.png".as_ref(), bytes, colour, size).map_err(|error| error.to_string())
    }

    #[test]
    fn rgb_becomes_planes_and_grey_becomes_luma() {
        let image = RgbImage::from_fn(3, 2, |x, y| Rgb([x as u8 * 10, y as u8 * 100, 200]));
        for format in [ImageFormat::Png, ImageFormat::Pnm] {
            let picture = decoded(&encoded(image.clone(), format), Colour::Rgb, None).unwrap();
            assert_eq!((picture.shape, picture.original, picture.coloured), ([3, 2, 3], [2, 3], true));
            assert_eq!(picture.pixels, [0, 10, 20, 0, 10, 20, 0, 0, 0, 100, 100, 100, 200, 200, 200, 200, 200, 200]);
        }
        let grey = decoded(&encoded(image, ImageFormat::Png), Colour::Grey, None).unwrap();
        assert_eq!(grey.shape, [1, 2, 3]);
        // 0.2126 R + 0.7152 G + 0.0722 B of (20, 100, 200).
        assert!(grey.pixels[5].abs_diff(90) <= 1, "{:?}", grey.pixels);
    }

    #[test]
    fn jpeg_is_read_by_content_whatever_its_name() {
        let image = GrayImage::from_fn(16, 16, |x, _| Luma([x as u8 * 16]));
        let picture = decoded(&encoded(image, ImageFormat::Jpeg), Colour::Grey, None).unwrap();
        assert!((0..256).all(|i| picture.pixels[i].abs_diff((i % 16) as u8 * 16) < 12));
        assert!(!picture.coloured);
    }

    #[test]
    fn transparent_becomes_white() {
        let image = RgbaImage::from_fn(3, 1, |x, _| Rgba([0, 0, 0, [0, 255, 51][x as usize]]));
        assert_eq!(decoded(&encoded(image, ImageFormat::Png), Colour::Grey, None).unwrap().pixels, [255, 0, 204]);
        let image = image::GrayAlphaImage::from_pixel(1, 1, LumaA([10, 0]));
        assert_eq!(decoded(&encoded(image, ImageFormat::Png), Colour::Grey, None).unwrap().pixels, [255]);
    }

    #[test]
    fn resizing_averages() {
        let image = GrayImage::from_fn(8, 8, |x, _| Luma([if x < 4 { 0 } else { 200 }]));
        let picture = decoded(&encoded(image, ImageFormat::Png), Colour::Grey, Some([2, 4])).unwrap();
        assert_eq!((picture.shape, picture.original), ([1, 2, 4], [8, 8]));
        assert!(picture.pixels[0] < 10 && picture.pixels[3] > 190, "{:?}", picture.pixels);
        assert_eq!(picture.to_f32()[3], f32::from(picture.pixels[3]) / 255.0);
        let error = decoded(&[], Colour::Grey, Some([0, 4])).unwrap_err();
        assert!(error.contains("[0, 4]"), "{error}");
    }

    #[test]
    fn each_fault_has_its_line() {
        let png = encoded(GrayImage::new(40, 40), ImageFormat::Png);
        let mut flipped = png.clone();
        flipped[png.len() / 2] ^= 4;
        let mut wide = png.clone();
        wide[16..24].fill(0x7F);
        for (bytes, says) in [
            (Vec::new(), "neither PNG"),
            (b"just text".to_vec(), "neither PNG"),
            (b"GIF89a".to_vec(), "a.png"),
            (png[..png.len() / 2].to_vec(), "a.png"),
            (flipped, "a.png"),
            (wide, "a.png"),
            (b"P5 2000000000 2000000000 255 ".to_vec(), "a.png"),
            (b"P6 16000 16000 65535 ".to_vec(), "a.png"),
        ] {
            let line = decoded(&bytes, Colour::Rgb, None).unwrap_err();
            assert!(line.contains(says) && line.lines().count() == 1, "{line}");
        }
        assert!(read("/".as_ref(), Colour::Rgb, None).unwrap_err().to_string().contains("folder"));
    }
}
