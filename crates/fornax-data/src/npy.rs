//! NPY, NumPy's array file: a header that is a Python literal, then the elements.
//!
//! Reads booleans, integers and floats of 1 to 8 bytes, either byte order, C or Fortran order, format versions 1 to 3.
//!
//! Source: NEP 1 and <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use crate::{DataError, read::Source};
use std::path::Path;

/// An array, in C order whatever the file's order was.
#[derive(Debug, Clone, PartialEq)]
pub struct NpyArray {
    /// Empty for a scalar.
    pub shape: Vec<usize>,
    /// As many as the product of `shape`.
    pub values: NpyValues,
}

/// The elements, as the file has them.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each is Rust's type of its name")]
pub enum NpyValues {
    Bool(Vec<bool>),
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl NpyArray {
    /// The elements as `f32`, rounded where they do not fit.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.values {
            NpyValues::Bool(v) => v.iter().map(|&x| f32::from(u8::from(x))).collect(),
            NpyValues::U8(v) => v.iter().map(|&x| f32::from(x)).collect(),
            NpyValues::I8(v) => v.iter().map(|&x| f32::from(x)).collect(),
            NpyValues::U16(v) => v.iter().map(|&x| f32::from(x)).collect(),
            NpyValues::I16(v) => v.iter().map(|&x| f32::from(x)).collect(),
            NpyValues::U32(v) => v.iter().map(|&x| x as f32).collect(),
            NpyValues::I32(v) => v.iter().map(|&x| x as f32).collect(),
            NpyValues::U64(v) => v.iter().map(|&x| x as f32).collect(),
            NpyValues::I64(v) => v.iter().map(|&x| x as f32).collect(),
            NpyValues::F32(v) => v.clone(),
            NpyValues::F64(v) => v.iter().map(|&x| x as f32).collect(),
        }
    }
}

/// An array from a file.
///
/// # Errors
/// [`DataError`] for a file that cannot be read, is cut or altered, or holds a type that is not read (complex, text, records).
pub fn read(path: &Path) -> Result<NpyArray, DataError> {
    parse(Source::open("NPY", path, false)?)
}

/// An array in memory; `name` is for errors.
///
/// # Errors
/// As [`read`].
pub fn from_bytes(name: &Path, bytes: &[u8]) -> Result<NpyArray, DataError> {
    parse(Source::bytes("NPY", name, bytes, false)?)
}

fn parse(mut source: Source<'_>) -> Result<NpyArray, DataError> {
    if source.array()? != *b"\x93NUMPY" {
        return Err(source.damaged("it does not start with NumPy's magic number"));
    }
    let [major, minor] = source.array()?;
    let length = match major {
        1 => u32::from(u16::from_le_bytes(source.array()?)),
        2 | 3 => u32::from_le_bytes(source.array()?),
        _ => return Err(source.damaged(format!("format version {major}.{minor} is not known"))),
    };
    // NumPy itself refuses headers above 10,000 characters.
    if length > 1 << 16 {
        return Err(source.damaged(format!("its header is {length} bytes long")));
    }
    let text = source.exactly(u64::from(length))?;
    let text = String::from_utf8(text).map_err(|_| source.damaged("its header is not text"))?;
    let header = Header::parse(&text).ok_or_else(|| {
        let short: String = text.trim().chars().take(80).collect();
        source.damaged(format!("its header does not say descr, fortran_order and shape: {short:?}"))
    })?;
    let Some((size, decode)) = decoder(&header.descr) else {
        return Err(source.damaged(format!("its elements are of type {:?}; booleans, integers and floats are read", header.descr)));
    };
    let bytes = header.shape.iter().try_fold(size as u64, |bytes, &dim| bytes.checked_mul(dim as u64));
    let bytes = bytes.ok_or_else(|| source.damaged(format!("impossible shape {:?}", header.shape)))?;
    let mut data = source.exactly(bytes)?;
    source.end()?;
    if header.descr.starts_with('>') {
        data.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    if header.fortran && header.shape.len() > 1 {
        data = c_order(&data, &header.shape, size);
    }
    Ok(NpyArray { shape: header.shape, values: decode(&data) })
}

type Decode = fn(&[u8]) -> NpyValues;

/// Bytes an element, and how little-endian bytes become values.
fn decoder(descr: &str) -> Option<(usize, Decode)> {
    let kind = descr.strip_prefix(['<', '>', '|', '=']).unwrap_or(descr);
    Some(match kind {
        "b1" | "?" => (1, |bytes| NpyValues::Bool(bytes.iter().map(|&x| x != 0).collect())),
        "u1" => (1, |bytes| NpyValues::U8(bytes.to_vec())),
        "i1" => (1, |bytes| NpyValues::I8(elements(bytes, i8::from_le_bytes))),
        "u2" => (2, |bytes| NpyValues::U16(elements(bytes, u16::from_le_bytes))),
        "i2" => (2, |bytes| NpyValues::I16(elements(bytes, i16::from_le_bytes))),
        "u4" => (4, |bytes| NpyValues::U32(elements(bytes, u32::from_le_bytes))),
        "i4" => (4, |bytes| NpyValues::I32(elements(bytes, i32::from_le_bytes))),
        "u8" => (8, |bytes| NpyValues::U64(elements(bytes, u64::from_le_bytes))),
        "i8" => (8, |bytes| NpyValues::I64(elements(bytes, i64::from_le_bytes))),
        "f4" => (4, |bytes| NpyValues::F32(elements(bytes, f32::from_le_bytes))),
        "f8" => (8, |bytes| NpyValues::F64(elements(bytes, f64::from_le_bytes))),
        _ => return None,
    })
}

fn elements<const N: usize, T>(bytes: &[u8], from: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| from(chunk)).collect()
}

/// From the first index fastest to the last index fastest.
fn c_order(data: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let strides: Vec<usize> = shape.iter().scan(1, |next, &dim| Some(std::mem::replace(next, *next * dim))).collect();
    let mut index = vec![0; shape.len()];
    for _ in 0..data.len() / size {
        let at: usize = index.iter().zip(&strides).map(|(i, stride)| i * stride).sum();
        out.extend_from_slice(&data[at * size..(at + 1) * size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    out
}

#[derive(Debug, PartialEq)]
struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, its keys in any order, and nothing else.
    fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let (key, after) = quoted(rest)?;
            rest = after.trim_start().strip_prefix(':')?.trim_start();
            match key {
                "descr" if descr.is_none() => {
                    let (value, after) = quoted(rest)?;
                    descr = Some(value.to_string());
                    rest = after;
                }
                "fortran_order" if fortran.is_none() => {
                    let (value, after) =
                        [("True", true), ("False", false)].iter().find_map(|(word, value)| Some((*value, rest.strip_prefix(word)?)))?;
                    fortran = Some(value);
                    rest = after;
                }
                "shape" if shape.is_none() => {
                    let (inside, after) = rest.strip_prefix('(')?.split_once(')')?;
                    let dims: Vec<&str> = inside.split(',').map(str::trim).filter(|dim| !dim.is_empty()).collect();
                    // NumPy allows 64 dimensions.
                    if dims.len() > 64 {
                        return None;
                    }
                    shape = Some(dims.into_iter().map(|dim| dim.trim_end_matches('L').parse().ok()).collect::<Option<Vec<usize>>>()?);
                    rest = after;
                }
                _ => return None,
            }
            rest = rest.trim_start();
            rest = match rest.strip_prefix(',') {
                Some(after) => after.trim_start(),
                None if rest.is_empty() => rest,
                None => return None,
            };
        }
        Some(Self { descr: descr?, fortran: fortran?, shape: shape? })
    }
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn parsed(bytes: &[u8]) -> Result<NpyArray, String> {
        from_bytes("a.npy".as_ref(), bytes).map_err(|error| error.to_string())
    }

    /// `numpy.save(f, numpy.arange(6, dtype='<f4').reshape(2, 3))`, NumPy 1.26.
    #[test]
    fn reads_what_numpy_writes() {
        let mut header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }".to_string();
        header += &" ".repeat(117 - header.len());
        header.push('\n');
        let data: Vec<u8> = (0..6u8).flat_map(|x| f32::from(x).to_le_bytes()).collect();
        let array = parsed(&npy(&header, &data)).unwrap();
        assert_eq!(array.shape, [2, 3]);
        assert_eq!(array.values, NpyValues::F32(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
    }

    #[test]
    fn orders_of_bytes_and_axes() {
        let data: Vec<u8> = [1i16, -2, 3, -4, 5, -6].iter().flat_map(|x| x.to_be_bytes()).collect();
        let array = parsed(&npy("{'shape': (2, 3), 'fortran_order': True, 'descr': '>i2'}", &data)).unwrap();
        // Columns first in the file: [[1, 3, 5], [-2, -4, -6]].
        assert_eq!(array.values, NpyValues::I16(vec![1, 3, 5, -2, -4, -6]));
        assert_eq!(array.to_f32(), [1.0, 3.0, 5.0, -2.0, -4.0, -6.0]);
    }

    #[test]
    fn every_type_and_version() {
        for (descr, bytes, wanted) in [
            ("|b1", vec![1u8, 0], vec![1.0, 0.0]),
            ("|u1", vec![200, 1], vec![200.0, 1.0]),
            ("|i1", vec![255, 1], vec![-1.0, 1.0]),
            ("<u2", [500u16, 1].iter().flat_map(|x| x.to_le_bytes()).collect(), vec![500.0, 1.0]),
            ("<u4", [70_000u32, 1].iter().flat_map(|x| x.to_le_bytes()).collect(), vec![70_000.0, 1.0]),
            ("<i4", [-70_000i32, 1].iter().flat_map(|x| x.to_le_bytes()).collect(), vec![-70_000.0, 1.0]),
            ("<u8", [1u64 << 40, 1].iter().flat_map(|x| x.to_le_bytes()).collect(), vec![1.0995116e12, 1.0]),
            ("<i8", [-5i64, 1].iter().flat_map(|x| x.to_le_bytes()).collect(), vec![-5.0, 1.0]),
            (">f8", [0.5f64, 1.0].iter().flat_map(|x| x.to_be_bytes()).collect(), vec![0.5, 1.0]),
        ] {
            let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (2,), }}");
            assert_eq!(parsed(&npy(&header, &bytes)).unwrap().to_f32(), wanted, "{descr}");
        }
        let header = b"{'descr': '|u1', 'fortran_order': False, 'shape': ()}";
        let version2 = [&b"\x93NUMPY\x02\x00"[..], &(header.len() as u32).to_le_bytes(), header, &[7]].concat();
        let scalar = parsed(&version2).unwrap();
        assert_eq!((scalar.shape, scalar.values), (vec![], NpyValues::U8(vec![7])));
    }

    #[test]
    fn each_fault_has_its_line() {
        let header = |shape: &str, descr: &str| format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        for (bytes, says) in [
            (b"PK\x03\x04 a zip file".to_vec(), "magic number"),
            (b"\x93NUMPY\x09\x00\x00\x00".to_vec(), "version 9.0"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f".to_vec(), "header is 2147483647 bytes"),
            (npy(&header("(2,)", "<c8"), &[0; 16]), "type \"<c8\""),
            (npy(&header("(2,)", "|O"), &[0; 16]), "type \"|O\""),
            (npy(&header("(2,)", "<f4"), &[0; 7]), "cut off"),
            (npy(&header("(2,)", "<f4"), &[0; 9]), "more than its header"),
            (npy(&header("(99999999999, 99999999999)", "<f4"), &[]), "impossible shape"),
            (npy(&header("(4000000000,)", "<f4"), &[]), "cut off"),
            (npy(&header("(-1,)", "<f4"), &[]), "does not say"),
            (npy("{'descr': '<f4', 'shape': (1,)}", &[0; 4]), "does not say"),
            (npy("__import__('os')", &[]), "does not say"),
        ] {
            let line = parsed(&bytes).unwrap_err();
            assert!(line.contains(says) && line.lines().count() == 1, "`{line}` should say `{says}`");
        }
    }
}
