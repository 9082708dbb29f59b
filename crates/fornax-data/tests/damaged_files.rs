//! Readers under damaged input: an error of one line, never a panic, never memory out of proportion to the file.
#![expect(unsafe_code, reason = "an allocator that counts must implement an unsafe trait")]

use fornax_data::{
    DataError, csv, idx, npy,
    picture::{self, Colour},
};
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageFormat, RgbImage};
use proptest::prelude::*;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{Cursor, Write},
};

/// Counts what each thread has, and the most that it had.
struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    NOW.set(NOW.get() + change);
    MOST.set(MOST.get().max(NOW.get()));
}

// SAFETY: passes every call on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that `f` had at a time, beyond what there was.
fn most_bytes<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    MOST.set(before);
    let result = f();
    (result, (MOST.get() - before) as usize)
}

/// Any of the readers on any bytes: only how it ends.
fn read(kind: Kind, bytes: &[u8]) -> Result<(), DataError> {
    let name = "damaged".as_ref();
    match kind {
        Kind::Idx => idx::from_bytes(name, bytes).map(drop),
        Kind::Npy => npy::from_bytes(name, bytes).map(|array| drop(array.to_f32())),
        Kind::Csv => csv::from_bytes(name, bytes).map(drop),
        Kind::Picture => picture::from_bytes(name, bytes, Colour::Rgb, Some([28, 28])).map(drop),
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Idx,
    Npy,
    Csv,
    Picture,
}

/// Reads, and checks that an error is one line and that memory stays below 16 MiB: all these files are small.
fn survives(kind: Kind, bytes: &[u8]) -> Result<(), TestCaseError> {
    let (result, most) = most_bytes(|| read(kind, bytes));
    prop_assert!(most < 16 << 20, "{most} bytes for a file of {}", bytes.len());
    if let Err(error) = result {
        let line = error.to_string();
        prop_assert!(!line.is_empty() && line.lines().count() == 1 && line.len() < 400, "{line}");
    }
    Ok(())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn idx_file() -> Vec<u8> {
    [&[0u8, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7][..], &(0..210).collect::<Vec<u8>>()].concat()
}

fn npy_file(shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': True, 'shape': {shape}, }}");
    [&b"\x93NUMPY\x01\x00"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
}

fn picture_file(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.into().write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

/// One good file of each kind and coding.
fn good() -> Vec<(Kind, Vec<u8>)> {
    let rgb = RgbImage::from_fn(31, 17, |x, y| image::Rgb([x as u8 * 8, y as u8 * 15, (x * y) as u8]));
    let grey = GrayImage::from_fn(20, 20, |x, y| image::Luma([(x * 13 + y) as u8]));
    let deep: image::ImageBuffer<image::Rgba<u16>, Vec<u16>> =
        image::ImageBuffer::from_fn(9, 9, |x, y| image::Rgba([x as u16 * 7000, y as u16 * 7000, 1, 40_000]));
    vec![
        (Kind::Idx, idx_file()),
        (Kind::Idx, gzip(&idx_file())),
        (Kind::Npy, npy_file("(3, 5)", &[63; 60])),
        (Kind::Csv, b"a,b,c\n1,2,3\n4.5,-6e2,\"7\"\n".to_vec()),
        (Kind::Picture, picture_file(rgb.clone(), ImageFormat::Png)),
        (Kind::Picture, picture_file(grey.clone(), ImageFormat::Png)),
        (Kind::Picture, picture_file(deep, ImageFormat::Png)),
        (Kind::Picture, picture_file(GrayAlphaImage::new(5, 5), ImageFormat::Png)),
        (Kind::Picture, picture_file(rgb.clone(), ImageFormat::Jpeg)),
        (Kind::Picture, picture_file(grey, ImageFormat::Jpeg)),
        (Kind::Picture, picture_file(rgb, ImageFormat::Pnm)),
        (Kind::Picture, b"P2\n# ascii\n3 2\n255\n0 1 2 3 4 255\n".to_vec()),
    ]
}

#[test]
fn the_good_files_are_good() {
    for (kind, bytes) in good() {
        read(kind, &bytes).unwrap();
    }
}

#[test]
fn every_cut_of_every_file_is_an_error() {
    for (kind, bytes) in good() {
        for end in 0..bytes.len() {
            survives(kind, &bytes[..end]).unwrap();
            // A table or a picture's last bytes may be missing and all of it there; an array's may not.
            if matches!(kind, Kind::Idx | Kind::Npy) {
                assert!(read(kind, &bytes[..end]).is_err(), "{kind:?} cut at {end}");
            }
        }
        if kind == Kind::Picture {
            assert!(read(kind, &bytes[..bytes.len() / 2]).is_err() || bytes.starts_with(&[0xFF, 0xD8]), "half a picture");
        }
    }
}

#[test]
fn a_flipped_bit_of_a_packed_idx_file_is_seen() {
    let good = gzip(&idx_file());
    let mut unseen = 0;
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        survives(Kind::Idx, &bytes).unwrap();
        if let Ok(array) = idx::from_bytes("x".as_ref(), &bytes) {
            // Some bits, as the time stamp in gzip's header, mean nothing for the content.
            assert_eq!((array.dims, &array.data[..]), (vec![5, 6, 7], &idx_file()[16..]), "bit {bit} passes unseen");
            unseen += 1;
        }
    }
    assert!(unseen < 80, "{unseen} bits of {} pass", good.len() * 8);
}

#[test]
fn huge_dimensions_take_no_memory() {
    let png = |width: u32, height: u32| {
        let mut bytes = picture_file(GrayImage::new(8, 8), ImageFormat::Png);
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let sum = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&sum.to_be_bytes());
        bytes
    };
    let idx = |dims: [u32; 3]| [&[0u8, 0, 8, 3][..], &dims.map(u32::to_be_bytes).concat(), &[1, 2, 3]].concat();
    for (kind, bytes) in [
        (Kind::Picture, png(u32::MAX >> 1, u32::MAX >> 1)),
        (Kind::Picture, png(60_000, 60_000)),
        (Kind::Picture, png(0, 5)),
        (Kind::Idx, idx([u32::MAX; 3])),
        (Kind::Idx, idx([1 << 10, 1 << 10, 1 << 10])),
        (Kind::Idx, gzip(&idx([1 << 10, 1 << 10, 1 << 10]))),
        (Kind::Npy, npy_file("(18446744073709551615,)", &[])),
        (Kind::Npy, npy_file("(1073741824, 4)", &[0; 64])),
        (Kind::Npy, npy_file("(4294967296, 4294967296, 4294967296)", &[])),
        (Kind::Picture, b"P6 16384 16384 65535\n123".to_vec()),
        (Kind::Picture, b"P2 99999999 99999999 255\n1 2 3".to_vec()),
        (Kind::Picture, b"P6 1 1 99999999999999999999\n123".to_vec()),
    ] {
        let (result, most) = most_bytes(|| read(kind, &bytes));
        let line = result.unwrap_err().to_string();
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(most < 1 << 20 || kind == Kind::Picture && most < 520 << 20, "{most} bytes: {line}");
    }
}

/// PNG's checksum, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(!0u32, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xEDB8_8320 } else { sum >> 1 }))
}

#[test]
fn gzip_bombs_take_no_memory() {
    // 256 MiB of zeros in 260 KB.
    let zeros = vec![0u8; 256 << 20];
    let promises_five = gzip(&[&[0u8, 0, 8, 1, 0, 0, 0, 5][..], &zeros].concat());
    let not_idx = gzip(&zeros);
    let twice = gzip(&not_idx);
    drop(zeros);
    for bytes in [promises_five, not_idx, twice] {
        let (result, most) = most_bytes(|| read(Kind::Idx, &bytes));
        assert!(result.unwrap_err().to_string().contains("damaged"));
        assert!(most < 1 << 20, "{most} bytes");
    }
}

fn damaged() -> impl Strategy<Value = (Kind, Vec<u8>)> {
    let good = good();
    (0..good.len()).prop_flat_map(move |which| {
        let (kind, bytes) = good[which].clone();
        let len = bytes.len();
        let edits = proptest::collection::vec((0..len, any::<u8>()), 1..6);
        (edits, 0..=len, proptest::collection::vec(any::<u8>(), 0..20), any::<bool>()).prop_map(move |(edits, end, tail, cut)| {
            let mut bytes = bytes.clone();
            edits.into_iter().for_each(|(at, byte)| bytes[at] = byte);
            if cut {
                bytes.truncate(end);
                bytes.extend(tail);
            }
            (kind, bytes)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn edited_and_cut_files_survive((kind, bytes) in damaged()) {
        survives(kind, &bytes)?;
    }

    #[test]
    fn files_of_another_kind_are_refused(which in 0..12usize, kind in 0..4usize) {
        let kind = [Kind::Idx, Kind::Npy, Kind::Csv, Kind::Picture][kind];
        let (truly, bytes) = good().swap_remove(which);
        survives(kind, &bytes)?;
        prop_assert_eq!(read(kind, &bytes).is_ok(), kind == truly);
    }

    #[test]
    fn noise_survives(bytes in proptest::collection::vec(any::<u8>(), 0..300), start in 0..8usize) {
        let starts: [&[u8]; 8] = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"P6 ", b"P2 9 9 9 ", b"\x93NUMPY\x01\x00", b"\x00\x00\x08", b"\x1f\x8b\x08"];
        let bytes = [starts[start], &bytes].concat();
        for kind in [Kind::Idx, Kind::Npy, Kind::Csv, Kind::Picture] {
            survives(kind, &bytes)?;
        }
    }
}
