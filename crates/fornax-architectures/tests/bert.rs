//! BERT: transformers' values (`reference/bert.py`), published sizes and weights, padding, the `Tap` seam.
#![recursion_limit = "256"]

mod by_formula;

use burn::tensor::{Device, Int, Tensor};
use by_formula::check;
use fornax_architectures::{Bert, BertConfig};
use fornax_kernels::random::{Key, set_step_key};
use fornax_layers::{Site, Tap};
use fornax_testkit::{Values, assert_close, bits, device, devices};
use fornax_weights::{Tensors, WeightError, count_trainable, read_tensors, state};
use std::path::PathBuf;

fn small() -> BertConfig {
    BertConfig { vocabulary: 11, context: 8, segments: 2, width: 6, heads: 3, hidden: 10, layers: 2, dropout: 0.0 }
}

fn ints(values: &[usize], shape: [usize; 2], device: &Device) -> Tensor<2, Int> {
    let values: Vec<i64> = values.iter().map(|token| *token as i64).collect();
    Tensor::<1, Int>::from_data(values.as_slice(), device).reshape(shape)
}

#[test]
fn hidden_states_and_gradients_are_those_of_transformers() {
    check(
        "bert",
        "bert",
        |d| small().init(d),
        |model: &Bert, case, device, _| {
            let lengths = case.counts("lengths");
            let [tokens, segments] = ["tokens", "segments"].map(|key| ints(&case.counts(key), [lengths.len(), 7], device));
            let hidden = model.forward(tokens, Some(segments), Some(&lengths));
            let rows = lengths.iter().enumerate().map(|(b, length)| hidden.clone().slice([b..b + 1, 0..*length]).squeeze_dim(0));
            Tensor::cat(rows.chain([model.pool(hidden.clone())]).collect(), 0)
        },
    );
}

#[test]
fn sizes_are_the_published_ones() {
    assert_eq!(BertConfig::base().parameters(), 109_482_240);
    assert_eq!(BertConfig::large().parameters(), 335_141_888);
    assert_eq!(BertConfig::mini_lm().parameters(), 22_713_216);
    let device = device().autodiff();
    assert_eq!(count_trainable(&small().init(&device)), small().parameters());
}

#[test]
fn a_text_does_not_depend_on_its_company() {
    for device in devices() {
        set_step_key(Key::new(3));
        let model = small().init(&device);
        let beside = |padding: usize| {
            let tokens = [1, 5, 2, padding, padding, 7, 2, 3, 4, 8];
            model.embed(ints(&tokens, [2, 5], &device), Some(&[3, 5]))
        };
        assert_eq!(bits(&beside(0)), bits(&beside(9)), "padding may be any token");
        assert_close(beside(0).narrow(0, 0, 1), model.embed(ints(&[1, 5, 2], [1, 3], &device), None), 1e-5, 1e-6);
        let length: f64 = beside(0).narrow(0, 1, 1).values().iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
}

/// The weights of a model under Hugging Face's names and layouts.
fn theirs(model: &Bert, layers: usize) -> Tensors {
    let ours = state(model);
    let values = |name: &str| -> Vec<f32> { ours[name].iter::<f32>().collect() };
    let mut theirs = Tensors::new();
    let mut put = |name: String, values: Vec<f32>, shape: &[usize]| {
        theirs.insert(format!("bert.{name}"), burn::tensor::TensorData::new(values, shape.to_vec()));
    };
    let d = 6;
    put("embeddings.word_embeddings.weight".into(), values("token.weight"), &[11, d]);
    put("embeddings.position_embeddings.weight".into(), values("position.weight"), &[8, d]);
    put("embeddings.token_type_embeddings.weight".into(), values("segment.weight"), &[2, d]);
    put("embeddings.position_ids".into(), vec![0.0; 8], &[1, 8]);
    let transposed = |values: Vec<f32>, outputs: usize| -> Vec<f32> {
        let inputs = values.len() / outputs;
        (0..values.len()).map(|i| values[i % inputs * outputs + i / inputs]).collect()
    };
    for part in ["weight", "bias"] {
        put(format!("embeddings.LayerNorm.{part}"), values(&format!("norm.{part}")), &[d]);
    }
    put("pooler.dense.weight".into(), transposed(values("pooler.weight"), d), &[d, d]);
    put("pooler.dense.bias".into(), values("pooler.bias"), &[d]);
    for i in 0..layers {
        for part in ["weight", "bias"] {
            put(format!("encoder.layer.{i}.attention.output.LayerNorm.{part}"), values(&format!("blocks.{i}.norm1.{part}")), &[d]);
            put(format!("encoder.layer.{i}.output.LayerNorm.{part}"), values(&format!("blocks.{i}.norm2.{part}")), &[d]);
        }
        let qkv = transposed(values(&format!("blocks.{i}.attention.qkv.weight")), 3 * d);
        let bias = values(&format!("blocks.{i}.attention.qkv.bias"));
        for (k, kind) in ["query", "key", "value"].into_iter().enumerate() {
            put(format!("encoder.layer.{i}.attention.self.{kind}.weight"), qkv[k * d * d..][..d * d].to_vec(), &[d, d]);
            put(format!("encoder.layer.{i}.attention.self.{kind}.bias"), bias[k * d..][..d].to_vec(), &[d]);
        }
        for (ours, theirs, outputs, inputs) in
            [("attention.proj", "attention.output.dense", d, d), ("up", "intermediate.dense", 10, d), ("down", "output.dense", d, 10)]
        {
            put(format!("encoder.layer.{i}.{theirs}.weight"), transposed(values(&format!("blocks.{i}.{ours}.weight")), outputs), &[outputs, inputs]);
            put(format!("encoder.layer.{i}.{theirs}.bias"), values(&format!("blocks.{i}.{ours}.bias")), &[outputs]);
        }
    }
    theirs
}

#[test]
fn weights_are_found_by_hugging_faces_names() {
    let device = device();
    set_step_key(Key::new(5));
    let model = small().init(&device);
    let mut tensors = theirs(&model, 2);
    set_step_key(Key::new(6));
    let loaded = Bert::load(&small(), &tensors, &device).unwrap();
    assert_eq!(state(&loaded), state(&model));
    let error = Bert::load(&BertConfig { hidden: 12, ..small() }, &tensors, &device).unwrap_err();
    assert!(matches!(error, WeightError::Shape { .. }), "{error}");
    tensors.remove("bert.encoder.layer.1.output.dense.bias");
    let error = Bert::load(&small(), &tensors, &device).unwrap_err().to_string();
    assert!(error.contains("bert.encoder.layer.1.output.dense.bias"), "{error}");
    assert!(Bert::load(&small(), &Tensors::new(), &device).unwrap_err().to_string().contains("embeddings.word_embeddings.weight"));
}

/// Needs the published weights: FORNAX_MINILM names `model.safetensors` of all-MiniLM-L6-v2, FORNAX_DATA the folder that holds `pretrained-goldens`.
#[test]
fn published_weights_give_the_published_vectors() {
    let [weights, data] = ["FORNAX_MINILM", "FORNAX_DATA"].map(|name| std::env::var_os(name).map(PathBuf::from));
    let (Some(weights), Some(data)) = (weights, data) else {
        eprintln!("skipped: FORNAX_MINILM and FORNAX_DATA are not both set");
        return;
    };
    let device = device();
    let model = Bert::load(&BertConfig::mini_lm(), &read_tensors(&weights).unwrap(), &device).unwrap();
    let text = std::fs::read_to_string(data.join("pretrained-goldens/minilm.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let ids: Vec<usize> = case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as usize).collect();
        let wanted: Vec<f64> = case["embedding_mean_pooled_l2"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        let length = ids.len();
        let padded: Vec<usize> = ids.into_iter().chain([0, 0]).collect();
        let found = model.embed(ints(&padded, [1, length + 2], &device), Some(&[length]));
        assert_close(found, wanted, 0.0, 1e-5);
    }
}

#[derive(Default)]
struct Record(Vec<(Site, Vec<usize>)>, Vec<(&'static str, usize)>);

impl Tap for Record {
    fn scope(&mut self, name: &'static str, index: usize) {
        self.1.push((name, index));
    }
    fn tap<const D: usize>(&mut self, site: Site, x: Tensor<D>) -> Tensor<D> {
        self.0.push((site, x.dims().to_vec()));
        x
    }
}

#[test]
fn named_activations_are_seen() {
    let device = device();
    let mut record = Record::default();
    let model = small().init(&device);
    let tokens = ints(&[1, 2, 3, 4, 5, 6], [2, 3], &device);
    assert_eq!(bits(&model.forward_with(tokens.clone(), None, None, &mut record)), bits(&model.forward(tokens, None, None)));
    assert_eq!(record.0, [(Bert::EMBEDDED, vec![2, 3, 6]), (Bert::BLOCK, vec![2, 3, 6]), (Bert::BLOCK, vec![2, 3, 6])]);
    assert_eq!(record.1, [("blocks", 0), ("blocks", 1)]);
}
