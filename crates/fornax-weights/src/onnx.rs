//! The tensors of an ONNX file.

use crate::{
    Tensors, WeightError,
    protobuf::{Fields, Value},
};
use burn::tensor::{DType, TensorData};
use std::{fs, path::Path};

/// Graphs inside of graphs, at most.
const DEEPEST: usize = 32;

/// ONNX's number of a type, and what it is here. Bools are bytes.
const TYPES: [(u64, DType); 13] = [
    (1, DType::F32),
    (2, DType::U8),
    (3, DType::I8),
    (4, DType::U16),
    (5, DType::I16),
    (6, DType::I32),
    (7, DType::I64),
    (9, DType::U8),
    (10, DType::F16),
    (11, DType::F64),
    (12, DType::U32),
    (13, DType::U64),
    (16, DType::BF16),
];

/// Reads the tensors of an ONNX file by name: the initializers of its graph, and what its `Constant` nodes hold as `value`, under the name of
/// their output. Those of graphs inside of nodes (`If`, `Loop`, `Scan`) and of functions are among them.
///
/// The nodes themselves are not read: a file's tensors are not its network. A name that two branches give to different tensors is the first one's;
/// the others' have the way to them in front, `If_0/else_branch/scale`.
///
/// Source: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>
///
/// # Errors
/// If the system refuses, or the file is no ONNX file, is damaged, keeps tensors in other files, or has a tensor of a type that Burn lacks (text,
/// complex, 8-bit floats, 4 bits) or a sparse one.
pub fn read_onnx(path: &Path) -> Result<Tensors, WeightError> {
    let bytes = fs::read(path).map_err(WeightError::io("read", path))?;
    onnx_from_bytes(&bytes).map_err(|why| WeightError::Damaged { why, path: path.into() })
}

/// The same from memory.
///
/// # Errors
/// One line that says what is wrong.
pub fn onnx_from_bytes(bytes: &[u8]) -> Result<Tensors, String> {
    let (mut walk, mut version, mut graphs) = (Walk::default(), 0, 0);
    let foreign = |why: String| format!("no ONNX file: {why}");
    for field in Fields::new(bytes) {
        match field.map_err(foreign)? {
            (1, value) => version = value.varint("the version").map_err(foreign)?,
            (7, value) => {
                walk.graph(value.bytes("the graph").map_err(foreign)?, "", 0)?;
                graphs += 1;
            }
            (25, value) => walk.function(value.bytes("a function")?)?,
            _ => {}
        }
    }
    if version == 0 || graphs != 1 {
        return Err(foreign(format!("it has version {version} and {graphs} graphs")));
    }
    Ok(walk.tensors)
}

#[derive(Default)]
struct Walk {
    tensors: Tensors,
}

impl Walk {
    /// `way` leads to it, with a slash behind.
    fn graph(&mut self, graph: &[u8], way: &str, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("more than {DEEPEST} graphs inside of each other"));
        }
        for field in Fields::new(graph) {
            match field? {
                (1, value) => self.node(value.bytes("a node")?, way, depth)?,
                (5, value) => {
                    let tensor = Tensor::read(value.bytes("an initializer")?)?;
                    self.insert(tensor.name.to_string(), tensor.data()?, way)?;
                }
                (15, _) => return Err("it has a sparse initializer, which is not supported".into()),
                _ => {}
            }
        }
        Ok(())
    }

    fn function(&mut self, function: &[u8]) -> Result<(), String> {
        let mut name = "function";
        for field in Fields::new(function) {
            match field? {
                (1, value) => name = value.text("the name of a function")?,
                (7, value) => self.node(value.bytes("a node")?, &format!("{name}/"), 0)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn node(&mut self, node: &[u8], way: &str, depth: usize) -> Result<(), String> {
        let (mut output, mut name, mut operator, mut attributes) = (None, "", "", vec![]);
        for field in Fields::new(node) {
            match field? {
                (2, value) if output.is_none() => output = Some(value.text("an output")?),
                (3, value) => name = value.text("the name of a node")?,
                (4, value) => operator = value.text("an operator")?,
                (5, value) => attributes.push(value.bytes("an attribute")?),
                _ => {}
            }
        }
        for attribute in attributes {
            let (mut kind, mut tensor, mut graphs) = ("", None, vec![]);
            for field in Fields::new(attribute) {
                match field? {
                    (1, value) => kind = value.text("the name of an attribute")?,
                    (5, value) => tensor = Some(value.bytes("a tensor")?),
                    (6 | 11, value) => graphs.push(value.bytes("a graph")?),
                    _ => {}
                }
            }
            if let Some(tensor) = tensor.filter(|_| operator == "Constant" && kind == "value") {
                let output = output.ok_or_else(|| format!("the constant `{name}` has no output"))?;
                let tensor = Tensor { name: output, ..Tensor::read(tensor)? };
                self.insert(output.to_string(), tensor.data()?, way)?;
            }
            for graph in graphs {
                let name = if name.is_empty() { operator } else { name };
                self.graph(graph, &format!("{way}{name}/{kind}/"), depth + 1)?;
            }
        }
        Ok(())
    }

    fn insert(&mut self, name: String, data: TensorData, way: &str) -> Result<(), String> {
        let name = match self.tensors.get(&name) {
            Some(known) if *known == data => return Ok(()),
            Some(_) => format!("{way}{name}"),
            None => name,
        };
        match self.tensors.get(&name) {
            Some(known) if *known != data => Err(format!("`{name}` is the name of two different tensors")),
            _ => {
                self.tensors.insert(name, data);
                Ok(())
            }
        }
    }
}

/// A `TensorProto`. Numbers are in the bytes `raw`, or in one of the lists that its type has.
#[derive(Default)]
struct Tensor<'a> {
    name: &'a str,
    shape: Vec<u64>,
    kind: u64,
    raw: Option<&'a [u8]>,
    /// Little-endian, of `float_data` and `double_data`.
    floats: Vec<u8>,
    /// Of `int32_data`, `int64_data` and `uint64_data`.
    numbers: Vec<u64>,
    /// Why its numbers can't be had.
    elsewhere: Option<&'static str>,
}

impl<'a> Tensor<'a> {
    fn read(message: &'a [u8]) -> Result<Self, String> {
        let mut tensor = Self::default();
        for field in Fields::new(message) {
            match field? {
                (1, value) => value.varints("a shape", &mut tensor.shape)?,
                (2, value) => tensor.kind = value.varint("the type of a tensor")?,
                (3, _) => tensor.elsewhere = Some("is in several segments"),
                (4, value) => value.fixed::<4>("float_data", &mut tensor.floats)?,
                (5 | 7 | 11, value) => value.varints("numbers", &mut tensor.numbers)?,
                (8, value) => tensor.name = value.text("the name of a tensor")?,
                (9, value) => tensor.raw = Some(value.bytes("raw_data")?),
                (10, value) => value.fixed::<8>("double_data", &mut tensor.floats)?,
                (13, _) | (14, Value::Varint(1..)) => tensor.elsewhere = Some("is kept in another file"),
                _ => {}
            }
        }
        Ok(tensor)
    }

    /// Its numbers.
    fn data(self) -> Result<TensorData, String> {
        let Self { name, shape, kind, raw, floats, numbers, elsewhere } = self;
        if name.is_empty() {
            return Err("it has a tensor without a name".into());
        }
        if let Some(elsewhere) = elsewhere {
            return Err(format!("`{name}` {elsewhere}, which is not supported"));
        }
        let dtype = TYPES.iter().find(|(number, _)| *number == kind).map(|(_, dtype)| *dtype);
        let dtype = dtype.ok_or_else(|| format!("`{name}` has ONNX's type {kind}, which is not supported"))?;
        let shape: Option<Vec<usize>> = shape.into_iter().map(|d| usize::try_from(d).ok()).collect();
        let shape = shape.filter(|shape| shape.len() <= 8).ok_or_else(|| format!("`{name}` has more than 8 dimensions, or huge ones"))?;
        let bytes = match raw {
            Some(raw) if floats.is_empty() && numbers.is_empty() => raw.to_vec(),
            Some(_) => return Err(format!("`{name}` has its numbers twice")),
            None if matches!(dtype, DType::F32 | DType::F64) => floats,
            None => little_endian(numbers, dtype).ok_or_else(|| format!("`{name}` has a number that is not of its type"))?,
        };
        let wanted = shape.iter().try_fold(dtype.size(), |n, &d| n.checked_mul(d));
        if wanted != Some(bytes.len()) {
            return Err(format!("`{name}` has {} bytes for shape {shape:?} of {dtype:?}", bytes.len()));
        }
        Ok(TensorData::from_bytes_vec(bytes, shape, dtype))
    }
}

/// The low bytes of each number; None if one needs more.
fn little_endian(numbers: Vec<u64>, dtype: DType) -> Option<Vec<u8>> {
    let size = dtype.size();
    let mut bytes = Vec::with_capacity(numbers.len() * size);
    for number in numbers {
        let high = number as i64 >> (8 * size - 1);
        // What is cut off is zeros, or the sign of a negative number.
        if size < 8 && !matches!(high, -1..=1) {
            return None;
        }
        bytes.extend(&number.to_le_bytes()[..size]);
    }
    Some(bytes)
}
