//! IDX, the format of MNIST and its relatives: big-endian dimensions, then bytes.
//!
//! Plain or gzip by the file's first bytes. Every dimension is checked against the file, and unpacking stops at the header's size.
//!
//! Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits" (<http://yann.lecun.com/exdb/mnist/>).

use crate::{DataError, read::Source};
use std::path::Path;

/// An array of bytes, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct IdxArray {
    /// One to four sides.
    pub dims: Vec<usize>,
    /// As many as the product of `dims`.
    pub data: Vec<u8>,
}

/// Any IDX file of unsigned bytes.
///
/// # Errors
/// [`DataError`] for a file that cannot be read, is cut or altered, or holds another type.
pub fn read(path: &Path) -> Result<IdxArray, DataError> {
    parse(Source::open("IDX", path, true)?)
}

/// IDX in memory, plain or gzip; `name` is for errors.
///
/// # Errors
/// As [`read`].
pub fn from_bytes(name: &Path, bytes: &[u8]) -> Result<IdxArray, DataError> {
    parse(Source::bytes("IDX", name, bytes, true)?)
}

/// Images: `[N, H, W]`.
///
/// # Errors
/// As [`read`], and for another number of dimensions.
pub fn read_images(path: &Path) -> Result<IdxArray, DataError> {
    ranked(read(path)?, 3, "images", path)
}

/// Labels: `[N]`.
///
/// # Errors
/// As [`read`], and for another number of dimensions.
pub fn read_labels(path: &Path) -> Result<Vec<u8>, DataError> {
    Ok(ranked(read(path)?, 1, "labels", path)?.data)
}

pub(crate) fn ranked(array: IdxArray, rank: usize, what: &str, path: &Path) -> Result<IdxArray, DataError> {
    if array.dims.len() == rank {
        return Ok(array);
    }
    Err(DataError::damaged("IDX", path, format!("{what} have {rank} dimension(s), this file has {:?}", array.dims)))
}

fn parse(mut source: Source<'_>) -> Result<IdxArray, DataError> {
    let [zero, zero2, kind, rank] = source.array()?;
    if [zero, zero2] != [0, 0] {
        return Err(source.damaged(format!("it starts with {zero:02x} {zero2:02x}, not with two zeros")));
    }
    if kind != 0x08 {
        return Err(source.damaged(format!("its elements are of type 0x{kind:02x}, only unsigned bytes (0x08) are read")));
    }
    if !(1..=4).contains(&rank) {
        return Err(source.damaged(format!("it has {rank} dimensions, one to four are read")));
    }
    let mut dims = Vec::with_capacity(usize::from(rank));
    for _ in 0..rank {
        dims.push(u32::from_be_bytes(source.array()?) as usize);
    }
    let size = dims.iter().try_fold(1u64, |size, &dim| size.checked_mul(dim as u64));
    let size = size.ok_or_else(|| source.damaged(format!("impossible dimensions {dims:?}")))?;
    let data = source.exactly(size)?;
    source.end()?;
    Ok(IdxArray { dims, data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn idx(dims: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, dims.len() as u8];
        dims.iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
        bytes.extend(data);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn error(bytes: &[u8]) -> String {
        from_bytes("a.idx".as_ref(), bytes).unwrap_err().to_string()
    }

    #[test]
    fn plain_and_gzip_read_the_same() {
        let data: Vec<u8> = (0..24).collect();
        let plain = idx(&[2, 3, 4], &data);
        for bytes in [&plain, &gzip(&plain)] {
            let array = from_bytes("a.idx".as_ref(), bytes).unwrap();
            assert_eq!((array.dims, array.data), (vec![2, 3, 4], data.clone()));
        }
        let empty = from_bytes("a.idx".as_ref(), &idx(&[0, 28, 28], &[])).unwrap();
        assert!(empty.data.is_empty());
    }

    #[test]
    fn images_and_labels_check_their_rank() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, idx(&[3], &[1, 2, 3])).unwrap();
        assert_eq!(read_labels(&path).unwrap(), [1, 2, 3]);
        let error = read_images(&path).unwrap_err().to_string();
        assert!(error.contains("images have 3 dimension(s), this file has [3]"), "{error}");
        assert!(read(folder.path()).unwrap_err().to_string().contains("folder"));
        assert!(read(&folder.path().join("none")).unwrap_err().to_string().starts_with("cannot open"));
    }

    #[test]
    fn each_fault_has_its_line() {
        let good = idx(&[2, 2], &[1, 2, 3, 4]);
        for (bytes, says) in [
            (vec![], "cut off"),
            (good[..3].to_vec(), "cut off"),
            (good[..good.len() - 1].to_vec(), "cut off"),
            ([&good[..], &[5]].concat(), "more than its header promises"),
            (gzip(&[&good[..], &[5]].concat()), "more than its header promises"),
            ([&[1u8][..], &good[1..]].concat(), "not with two zeros"),
            ([&[0u8, 0, 0x0D][..], &good[3..]].concat(), "type 0x0d"),
            (vec![0, 0, 8, 0], "0 dimensions"),
            (vec![0, 0, 8, 200], "200 dimensions"),
            (idx(&[u32::MAX; 4], &[1]), "impossible dimensions"),
            (idx(&[60_000, 28, 28], &[1]), "cut off: its header promises 47040000 bytes"),
            (gzip(&idx(&[60_000, 28, 28], &[1])), "cut off"),
            (gzip(&good)[..20].to_vec(), "gzip"),
        ] {
            let line = error(&bytes);
            assert!(line.contains(says) && line.lines().count() == 1, "`{line}` should say `{says}`");
        }
        // One bit of the packed data, seen by gzip's checksum alone.
        let mut flipped = gzip(&good);
        let at = flipped.len() - 6;
        flipped[at] ^= 1;
        assert!(error(&flipped).contains("gzip"));
    }

    #[test]
    fn a_gzip_bomb_is_not_unpacked() {
        // 64 MiB of zeros in 64 KiB, under a header that promises four bytes.
        let bomb = gzip(&[idx(&[4], &[]), vec![0; 64 << 20]].concat());
        assert!(bomb.len() < 100_000);
        assert!(error(&bomb).contains("more than its header promises"));
        // A header that promises what the ratio allows, and more than is accepted.
        let claims = gzip(&[idx(&[3, 1 << 30], &[]), vec![0; 64 << 20]].concat());
        assert!(error(&claims).contains("its header promises 3221225472 bytes"));
    }
}
