//! ONNX files: tensors wherever they are, every type, damage.

use burn::tensor::{DType, TensorData};
use fornax_weights::onnx_from_bytes;
use proptest::prelude::*;

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn number(field: u64, number: u64) -> Vec<u8> {
    [varint(field << 3), varint(number)].concat()
}

fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn tensor(name: &str, kind: u64, shape: &[u64], data: Vec<u8>) -> Vec<u8> {
    let shape: Vec<u8> = shape.iter().flat_map(|&d| varint(d)).collect();
    [bytes(1, &shape), number(2, kind), bytes(8, name.as_bytes()), data].concat()
}

fn floats(name: &str, values: &[f32]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    tensor(name, 1, &[values.len() as u64], bytes(9, &raw))
}

fn node(name: &str, operator: &str, output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let attributes: Vec<u8> = attributes.iter().flat_map(|a| bytes(5, a)).collect();
    // Attributes first: the order of fields is free.
    [attributes, bytes(2, output.as_bytes()), bytes(3, name.as_bytes()), bytes(4, operator.as_bytes())].concat()
}

fn constant(output: &str, tensor: Vec<u8>) -> Vec<u8> {
    node("", "Constant", output, &[[bytes(1, b"value"), bytes(5, &tensor)].concat()])
}

fn branch(name: &str, content: &[Vec<u8>]) -> Vec<u8> {
    [bytes(1, name.as_bytes()), bytes(6, &content.concat())].concat()
}

fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    [number(1, 8), bytes(2, b"a test"), bytes(7, &graph.concat())].concat()
}

/// Initializers and constants, here and in two branches.
fn sample() -> Vec<u8> {
    let inner = node("deep", "If", "z", &[branch("then_branch", &[bytes(5, &floats("inside", &[4.0]))])]);
    let branches = [
        branch("then_branch", &[bytes(1, &constant("scale", floats("", &[1.0]))), bytes(1, &inner)]),
        branch("else_branch", &[bytes(1, &constant("scale", floats("", &[2.0]))), bytes(1, &constant("w", floats("", &[3.0, -0.5])))]),
    ];
    model(&[bytes(5, &floats("w", &[3.0, -0.5])), bytes(1, &node("If_0", "If", "y", &branches))])
}

#[test]
fn tensors_have_their_names_wherever_they_are() {
    let tensors = onnx_from_bytes(&sample()).unwrap();
    let names: Vec<_> = tensors.keys().map(String::as_str).collect();
    assert_eq!(names, ["If_0/else_branch/scale", "inside", "scale", "w"]);
    assert_eq!(tensors["w"], TensorData::from([3.0f32, -0.5]));
    assert_eq!((&tensors["scale"], &tensors["If_0/else_branch/scale"]), (&TensorData::from([1.0f32]), &TensorData::from([2.0f32])));
    let function = [bytes(1, b"gelu"), bytes(7, &constant("half", floats("", &[0.5])))].concat();
    let with_function = [sample(), bytes(25, &function)].concat();
    assert_eq!(onnx_from_bytes(&with_function).unwrap()["half"], TensorData::from([0.5f32]));
}

#[test]
fn every_type_is_read_from_bytes_and_from_lists() {
    let read = |tensor: Vec<u8>| onnx_from_bytes(&model(&[bytes(5, &tensor)])).map(|tensors| tensors["x"].clone());
    let list = |field: u64, numbers: &[u64]| bytes(field, &numbers.iter().flat_map(|&n| varint(n)).collect::<Vec<_>>());
    let minus_one = u64::MAX;
    assert_eq!(read(tensor("x", 7, &[2, 1], list(7, &[minus_one, 5]))).unwrap(), TensorData::from([[-1i64], [5]]));
    assert_eq!(read(tensor("x", 7, &[], number(7, 5))).unwrap(), TensorData::new(vec![5i64], Vec::<usize>::new()));
    assert_eq!(read(tensor("x", 6, &[2], list(5, &[minus_one, 7]))).unwrap(), TensorData::from([-1i32, 7]));
    assert_eq!(read(tensor("x", 3, &[2], list(5, &[minus_one, 127]))).unwrap(), TensorData::from([-1i8, 127]));
    assert_eq!(read(tensor("x", 9, &[2], list(5, &[1, 0]))).unwrap(), TensorData::from([1u8, 0]));
    assert_eq!(read(tensor("x", 12, &[1], list(11, &[u64::from(u32::MAX)]))).unwrap(), TensorData::from([u32::MAX]));
    assert_eq!(read(tensor("x", 13, &[1], list(11, &[u64::MAX]))).unwrap(), TensorData::from([u64::MAX]));
    // 0x3C00 is 1 in half precision, 0x3F80 in bfloat16.
    let one = |kind, bits| read(tensor("x", kind, &[1], list(5, &[bits]))).unwrap().convert_dtype(DType::F32);
    assert_eq!((one(10, 0x3C00), one(16, 0x3F80)), (TensorData::from([1.0f32]), TensorData::from([1.0f32])));
    let packed: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(read(tensor("x", 1, &[2], bytes(4, &packed))).unwrap(), TensorData::from([1.5f32, -2.0]));
    assert_eq!(read(tensor("x", 11, &[1], bytes(10, &2.5f64.to_le_bytes()))).unwrap(), TensorData::from([2.5f64]));
    assert_eq!(read(tensor("x", 1, &[0, 3], vec![])).unwrap().shape().to_vec(), [0, 3]);
}

#[test]
fn what_cannot_be_read_is_named() {
    let initializer = |tensor: Vec<u8>| model(&[bytes(5, &tensor)]);
    let raw = bytes(9, &[0; 8]);
    let deep = (0..40).fold(vec![], |inside, _| bytes(1, &node("", "If", "", &[branch("b", &[inside])])));
    let both = [raw.clone(), bytes(4, &[0; 8])].concat();
    let wrong: [(Vec<u8>, &str); 13] = [
        (vec![], "version 0 and 0 graphs"),
        (number(1, 8), "0 graphs"),
        (b"Once upon a time".to_vec(), "no ONNX file"),
        (initializer(tensor("x", 1, &[3], raw.clone())), "`x` has 8 bytes for shape [3]"),
        (initializer(tensor("x", 1, &[u64::MAX, u64::MAX], raw.clone())), "`x` has 8 bytes"),
        (initializer(tensor("x", 1, &[1; 9], raw.clone())), "more than 8 dimensions"),
        (initializer(tensor("x", 8, &[1], bytes(6, b"text"))), "`x` has ONNX's type 8"),
        (initializer(tensor("x", 2, &[1], bytes(5, &varint(256)))), "not of its type"),
        (initializer(tensor("x", 1, &[2], [bytes(13, b""), number(14, 1)].concat())), "`x` is kept in another file"),
        (initializer(tensor("x", 1, &[2], both)), "`x` has its numbers twice"),
        (initializer(tensor("", 1, &[2], raw)), "without a name"),
        (model(&[bytes(15, b"")]), "sparse"),
        (model(&[deep]), "more than 32 graphs"),
    ];
    for (file, part) in wrong {
        let error = onnx_from_bytes(&file).unwrap_err();
        assert!(error.contains(part) && !error.contains('\n'), "{part}: {error}");
    }
    let twice = [bytes(5, &floats("x", &[1.0])), bytes(5, &floats("x", &[2.0]))];
    assert!(onnx_from_bytes(&model(&twice)).unwrap_err().contains("`x` is the name of two different tensors"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_cut_is_refused_or_harmless_and_other_damage_never_panics(at in 0usize..10_000, to in any::<u8>(), cut in any::<bool>()) {
        let (whole, mut damaged) = (sample(), sample());
        let at = at % whole.len();
        if cut {
            damaged.truncate(at);
            prop_assert!(onnx_from_bytes(&damaged).is_err_and(|error| !error.contains('\n')));
        } else {
            damaged[at] = to;
            let numbers = onnx_from_bytes(&damaged).map_or(0, |tensors| tensors.values().map(|data| data.num_elements()).sum());
            prop_assert!(numbers <= damaged.len());
        }
    }

    #[test]
    fn any_bytes_end_in_a_result(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let numbers = onnx_from_bytes(&bytes).map_or(0, |tensors| tensors.values().map(|data| data.num_elements()).sum());
        prop_assert!(numbers <= bytes.len());
    }
}
