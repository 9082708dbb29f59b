//! Named tensors and metadata in one safetensors file, checksummed.

use crate::{WeightError, atomic, onnx::onnx_from_bytes};
use burn::tensor::{DType, TensorData};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, collections::HashMap, fs, path::Path};

/// Tensors by name.
pub type Tensors = BTreeMap<String, TensorData>;

/// Under this name the file's own SHA-256 stands in its metadata.
const CHECKSUM: &str = "fornax.sha256";

/// A safetensors file in memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TensorFile {
    /// Tensors by name.
    pub tensors: Tensors,
    /// Free text by name.
    pub metadata: BTreeMap<String, String>,
    /// Whether the file carried a checksum (which then was right).
    pub checked: bool,
}

/// Reads the tensors of a safetensors or an ONNX file, which are told apart by how they begin.
///
/// # Errors
/// As [`TensorFile::read`] and [`crate::read_onnx`].
pub fn read_tensors(path: &Path) -> Result<Tensors, WeightError> {
    let bytes = fs::read(path).map_err(WeightError::io("read", path))?;
    let tensors = match &bytes[..] {
        [] => Err("it is empty".into()),
        [b'P', b'K', 3, 4, ..] => Err("an archive, as PyTorch's .pt, .pth and .jit files are; take a safetensors or an ONNX file".into()),
        [_, _, _, _, _, _, _, _, b'{', ..] => TensorFile::from_bytes(&bytes).map(|file| file.tensors),
        _ => onnx_from_bytes(&bytes).map_err(|why| format!("{why} (nor does it begin as safetensors)")),
    };
    tensors.map_err(|why| WeightError::Damaged { why, path: path.into() })
}

/// One SHA-256, in hexadecimal, over names, shapes and bytes in name order.
pub fn sha256_of(tensors: &Tensors) -> String {
    digest(tensors, &BTreeMap::new())
}

fn digest(tensors: &Tensors, metadata: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    // Lengths go in before what they measure, so that no two files have the same input.
    let text = |hash: &mut Sha256, s: &str| {
        hash.update((s.len() as u64).to_le_bytes());
        hash.update(s);
    };
    for (name, data) in tensors {
        text(&mut hash, name);
        text(&mut hash, &format!("{:?}", data.dtype()));
        let shape = data.shape().to_vec();
        hash.update((shape.len() as u64).to_le_bytes());
        shape.iter().for_each(|&d| hash.update((d as u64).to_le_bytes()));
        hash.update(data.as_bytes());
    }
    for (key, value) in metadata.iter().filter(|(key, _)| *key != CHECKSUM) {
        text(&mut hash, key);
        text(&mut hash, value);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl TensorFile {
    /// Tensors without metadata.
    pub fn new(tensors: Tensors) -> Self {
        Self { tensors, ..Self::default() }
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// If the system refuses, or the file is no safetensors file, is damaged, or holds a type that Burn lacks.
    pub fn read(path: &Path) -> Result<Self, WeightError> {
        let bytes = fs::read(path).map_err(WeightError::io("read", path))?;
        Self::from_bytes(&bytes).map_err(|why| WeightError::Damaged { why, path: path.into() })
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// If the system refuses; a file that was there before is then untouched.
    pub fn write(&self, path: &Path) -> Result<(), WeightError> {
        let bytes = self.to_bytes().map_err(|why| WeightError::Damaged { why, path: path.into() })?;
        atomic::write(path, &bytes).map_err(WeightError::io("write", path))
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// If a tensor's type has no name in the format.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let mut metadata: HashMap<String, String> = self.metadata.clone().into_iter().collect();
        metadata.insert(CHECKSUM.into(), digest(&self.tensors, &self.metadata));
        let mut views = Vec::with_capacity(self.tensors.len());
        for (name, data) in &self.tensors {
            let dtype = to_safetensors(data.dtype()).ok_or_else(|| format!("`{name}` has type {:?}", data.dtype()))?;
            let view = TensorView::new(dtype, data.shape().to_vec(), data.as_bytes()).map_err(|e| e.to_string())?;
            views.push((name.as_str(), view));
        }
        safetensors::serialize(views, Some(metadata)).map_err(|e| e.to_string())
    }

    /// Parses and checks a file's bytes.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        let metadata: BTreeMap<_, _> = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let mut tensors = Tensors::new();
        for (name, view) in file.iter() {
            let dtype = from_safetensors(view.dtype()).ok_or_else(|| format!("`{name}` has type {:?}, which is not supported", view.dtype()))?;
            let wanted = view.shape().iter().try_fold(dtype.size(), |n, &d| n.checked_mul(d));
            if wanted != Some(view.data().len()) {
                return Err(format!("`{name}` has {} bytes for shape {:?}", view.data().len(), view.shape()));
            }
            if view.shape().len() > 8 {
                return Err(format!("`{name}` has {} dimensions", view.shape().len()));
            }
            tensors.insert(name.to_string(), TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype));
        }
        let checked = match metadata.get(CHECKSUM) {
            None => false,
            Some(sum) if *sum == digest(&tensors, &metadata) => true,
            Some(_) => return Err("its checksum does not match its content".into()),
        };
        let mut metadata = metadata;
        metadata.remove(CHECKSUM);
        Ok(Self { tensors, metadata, checked })
    }

    /// The tensors whose name starts with `prefix`, without it.
    pub fn part(&self, prefix: &str) -> Tensors {
        self.tensors.iter().filter_map(|(name, data)| Some((name.strip_prefix(prefix)?.to_string(), data.clone()))).collect()
    }
}

const DTYPES: [(DType, Dtype); 11] = [
    (DType::F64, Dtype::F64),
    (DType::F32, Dtype::F32),
    (DType::F16, Dtype::F16),
    (DType::BF16, Dtype::BF16),
    (DType::I64, Dtype::I64),
    (DType::I32, Dtype::I32),
    (DType::I16, Dtype::I16),
    (DType::I8, Dtype::I8),
    (DType::U64, Dtype::U64),
    (DType::U32, Dtype::U32),
    (DType::U8, Dtype::U8),
];

fn to_safetensors(dtype: DType) -> Option<Dtype> {
    DTYPES.iter().find(|(ours, _)| *ours == dtype).map(|&(_, theirs)| theirs)
}

fn from_safetensors(dtype: Dtype) -> Option<DType> {
    DTYPES.iter().find(|(_, theirs)| *theirs == dtype).map(|&(ours, _)| ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> TensorFile {
        let mut file = TensorFile::default();
        file.tensors.insert("a.weight".into(), TensorData::from([[1.0f32, -2.0], [3.5, f32::MIN_POSITIVE]]));
        file.tensors.insert("a.bias".into(), TensorData::from([7.0f64, 8.0]));
        file.tensors.insert("ids".into(), TensorData::from([1i64, -1, 5]));
        file.metadata.insert("config".into(), "{\"lr\": 0.1}".into());
        file
    }

    #[test]
    fn round_trips_bit_for_bit() {
        let file = sample();
        let read = TensorFile::from_bytes(&file.to_bytes().unwrap()).unwrap();
        assert!(read.checked);
        assert_eq!((read.tensors, read.metadata), (file.tensors, file.metadata));
    }

    #[test]
    fn the_hash_sees_names_shapes_and_bytes() {
        let base = sample();
        let mut seen = std::collections::HashSet::from([sha256_of(&base.tensors)]);
        let mut renamed = base.clone();
        let data = renamed.tensors.remove("a.weight").unwrap();
        renamed.tensors.insert("b.weight".into(), data.clone());
        let mut reshaped = base.clone();
        reshaped.tensors.insert("a.weight".into(), TensorData::from_bytes_vec(data.as_bytes().to_vec(), [4, 1], data.dtype()));
        let mut changed = base.clone();
        changed.tensors.insert("ids".into(), TensorData::from([1i64, -1, 4]));
        for other in [renamed, reshaped, changed] {
            assert!(seen.insert(sha256_of(&other.tensors)));
        }
    }

    #[test]
    fn files_are_told_apart_by_how_they_begin() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            read_tensors(&path).map_err(|e| e.to_string())
        };
        assert_eq!(read(&sample().to_bytes().unwrap()), Ok(sample().tensors));
        // Version 8, and a graph with the initializer `x` of shape [1].
        let tensor = [&[0x08, 1, 0x10, 1, 0x42, 1, b'x', 0x4A, 4][..], &1.5f32.to_le_bytes()].concat();
        let model = [&[0x08, 8, 0x3A, 2 + tensor.len() as u8, 0x2A, tensor.len() as u8][..], &tensor].concat();
        assert_eq!(read(&model), Ok(Tensors::from([("x".into(), TensorData::from([1.5f32]))])));
        for (bytes, part) in
            [(&b""[..], "empty"), (b"PK\x03\x04...", "safetensors or an ONNX"), (b"weights of mine", "no ONNX file"), (b"12345678{}", "")]
        {
            let error = read(bytes).unwrap_err();
            assert!(error.contains(part) && error.lines().count() == 1, "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn a_flipped_bit_or_a_cut_is_refused_or_harmless(at in 0usize..10_000, bit in 0u8..8, cut in any::<bool>()) {
            let file = sample();
            let mut bytes = file.to_bytes().unwrap();
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            if let Ok(read) = TensorFile::from_bytes(&bytes) {
                // Only damage that changes nothing may pass: say, white space in the header, or the checksum's own name.
                prop_assert_eq!(read.tensors, file.tensors);
            }
        }

        #[test]
        fn any_bytes_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(TensorFile::from_bytes(&bytes).is_err());
        }
    }
}
