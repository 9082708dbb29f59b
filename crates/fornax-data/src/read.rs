//! Reading with a bound: what a file claims is checked against what it can hold before memory is taken.

use crate::DataError;
use flate2::read::MultiGzDecoder;
use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

/// No array of a file may be larger: 1 GiB.
pub(crate) const MOST_BYTES: u64 = 1 << 30;

/// A file's bytes, unpacked where it starts with gzip's magic number.
pub(crate) struct Source<'a> {
    kind: &'static str,
    path: &'a Path,
    inner: Box<dyn Read + 'a>,
    /// No more bytes than this can come out.
    most: u64,
}

/// Deflate cannot pack tighter than this (zlib's technical notes: 1032:1).
const MOST_RATIO: u64 = 1032;

impl<'a> Source<'a> {
    /// A file; gzip is unpacked if `unpack`.
    pub(crate) fn open(kind: &'static str, path: &'a Path, unpack: bool) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io("open", path))?;
        let meta = file.metadata().map_err(DataError::io("read", path))?;
        if meta.is_dir() {
            return Err(DataError::damaged(kind, path, "it is a folder"));
        }
        Self::new(kind, path, BufReader::with_capacity(1 << 16, file), meta.len(), unpack)
    }

    /// The same from memory.
    pub(crate) fn bytes(kind: &'static str, path: &'a Path, bytes: &'a [u8], unpack: bool) -> Result<Self, DataError> {
        Self::new(kind, path, bytes, bytes.len() as u64, unpack)
    }

    fn new(kind: &'static str, path: &'a Path, mut reader: impl Read + 'a, size: u64, unpack: bool) -> Result<Self, DataError> {
        let mut magic = Vec::with_capacity(2);
        reader.by_ref().take(2).read_to_end(&mut magic).map_err(DataError::io("read", path))?;
        let packed = unpack && magic == [0x1F, 0x8B];
        let whole = std::io::Cursor::new(magic).chain(reader);
        let inner: Box<dyn Read + 'a> = if packed { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) };
        let most = if packed { size.saturating_mul(MOST_RATIO) } else { size };
        Ok(Self { kind, path, inner, most })
    }

    pub(crate) fn damaged(&self, why: impl Into<String>) -> DataError {
        DataError::damaged(self.kind, self.path, why)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DataError> {
        let bytes = self.exactly(N as u64)?;
        Ok(bytes.try_into().expect("as many bytes as asked for"))
    }

    /// The next `count` bytes. Memory grows with what has been read, never ahead of it by more than twice.
    pub(crate) fn exactly(&mut self, count: u64) -> Result<Vec<u8>, DataError> {
        if count > self.most {
            return Err(self.damaged(format!("cut off: its header promises {count} bytes more than the file holds")));
        }
        if count > MOST_BYTES {
            return Err(self.damaged(format!("its header promises {count} bytes, more than the {MOST_BYTES} that are accepted")));
        }
        let count = count as usize;
        let mut bytes = Vec::new();
        while bytes.len() < count {
            let step = (count - bytes.len()).min(bytes.len().max(1 << 16));
            bytes.try_reserve_exact(step).map_err(|_| self.damaged(format!("no memory for {count} bytes")))?;
            let got = self.inner.by_ref().take(step as u64).read_to_end(&mut bytes).map_err(|e| self.failed(e))?;
            if got < step {
                return Err(self.damaged(format!("cut off: {} of {count} bytes", bytes.len())));
            }
        }
        Ok(bytes)
    }

    /// All that is left, at most [`MOST_BYTES`].
    pub(crate) fn rest(&mut self) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        self.inner.by_ref().take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|e| self.failed(e))?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(self.damaged(format!("it holds more than the {MOST_BYTES} bytes that are accepted")));
        }
        Ok(bytes)
    }

    /// Checks that nothing follows, and with it gzip's checksum.
    pub(crate) fn end(&mut self) -> Result<(), DataError> {
        let mut one = [0u8];
        match self.inner.read(&mut one) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.damaged("it holds more than its header promises")),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: std::io::Error) -> DataError {
        use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        match error.kind() {
            InvalidData | InvalidInput | UnexpectedEof => self.damaged(format!("damaged gzip data: {error}")),
            _ => DataError::io("read", self.path)(error),
        }
    }
}
