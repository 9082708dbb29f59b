use crate::close::Values;
use burn::tensor::{DType, Device, Tensor, TensorData};
use serde_json::Value;

/// A fixture of `reference/generate.py`, or a part of one. Whatever is missing or of another kind panics with its name.
#[derive(Debug, Clone)]
pub struct Reference(Value);

/// Reads a fixture: `tests/reference/layers.json`, from the crate's root (where cargo runs tests).
///
/// # Panics
/// If the file is not there or no JSON.
#[track_caller]
pub fn reference(path: &str) -> Reference {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{error}: {path}; `python reference/generate.py` writes it"));
    Reference(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {path}")))
}

impl Reference {
    /// A member.
    #[track_caller]
    pub fn get(&self, key: &str) -> Self {
        Self(self.0.get(key).unwrap_or_else(|| panic!("the fixture has no `{key}` here")).clone())
    }

    /// Whether there is such a member.
    pub fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some()
    }

    /// The members of an object, by name.
    #[track_caller]
    pub fn members(&self, key: &str) -> Vec<(String, Value)> {
        let Value::Object(members) = self.get(key).0 else { panic!("`{key}` of the fixture is no object") };
        members.into_iter().collect()
    }

    /// The members of a list.
    #[track_caller]
    pub fn list(&self, key: &str) -> Vec<Self> {
        let Value::Array(items) = self.get(key).0 else { panic!("`{key}` of the fixture is no list") };
        items.into_iter().map(Self).collect()
    }

    /// The members of this, if it is a list.
    #[track_caller]
    pub fn items(&self) -> Vec<Self> {
        let Value::Array(items) = &self.0 else { panic!("{} of the fixture is no list", self.0) };
        items.iter().cloned().map(Self).collect()
    }

    /// The cases of a kind.
    ///
    /// # Panics
    /// If there is none: a loop over them would test nothing.
    #[track_caller]
    pub fn cases(&self, kind: &str) -> Vec<Self> {
        let cases: Vec<_> = self.list("cases").into_iter().filter(|case| case.text("kind") == kind).collect();
        assert!(!cases.is_empty(), "the fixture has no case of kind `{kind}`");
        cases
    }

    /// A string.
    #[track_caller]
    pub fn text(&self, key: &str) -> String {
        self.get(key).0.as_str().unwrap_or_else(|| panic!("`{key}` of the fixture is no string")).into()
    }

    /// This, if it is a string.
    #[track_caller]
    pub fn string(&self) -> String {
        self.0.as_str().unwrap_or_else(|| panic!("{} of the fixture is no string", self.0)).into()
    }

    /// A number.
    #[track_caller]
    pub fn number(&self, key: &str) -> f64 {
        self.get(key).0.as_f64().unwrap_or_else(|| panic!("`{key}` of the fixture is no number"))
    }

    /// A whole number.
    #[track_caller]
    pub fn count(&self, key: &str) -> usize {
        self.get(key).0.as_u64().unwrap_or_else(|| panic!("`{key}` of the fixture is no whole number")) as usize
    }

    /// A truth value.
    #[track_caller]
    pub fn flag(&self, key: &str) -> bool {
        self.get(key).0.as_bool().unwrap_or_else(|| panic!("`{key}` of the fixture is no truth value"))
    }

    /// A list of whole numbers.
    #[track_caller]
    pub fn counts(&self, key: &str) -> Vec<usize> {
        let whole = |item: Self| item.0.as_u64().unwrap_or_else(|| panic!("`{key}` of the fixture holds something else than whole numbers"));
        self.list(key).into_iter().map(|item| whole(item) as usize).collect()
    }

    /// A list of lists of whole numbers.
    #[track_caller]
    pub fn lists(&self, key: &str) -> Vec<Vec<usize>> {
        let whole = |item: &Value| item.as_u64().unwrap_or_else(|| panic!("`{key}` of the fixture holds something else than whole numbers")) as usize;
        let row = |item: Self| {
            item.0.as_array().unwrap_or_else(|| panic!("`{key}` of the fixture holds something else than lists")).iter().map(whole).collect()
        };
        self.list(key).into_iter().map(row).collect()
    }

    /// A tensor, in f64.
    #[track_caller]
    pub fn data(&self, key: &str) -> TensorData {
        let tensor = self.get(key);
        let values = tensor.list("data").into_iter().map(|x| x.0.as_f64().unwrap_or_else(|| panic!("`{key}` holds something else than numbers")));
        TensorData::new(values.collect::<Vec<f64>>(), tensor.counts("shape"))
    }

    /// A tensor's numbers.
    #[track_caller]
    pub fn values(&self, key: &str) -> Vec<f64> {
        self.data(key).values()
    }

    /// A tensor on a device.
    #[track_caller]
    pub fn tensor<const D: usize>(&self, key: &str, device: &Device, dtype: DType) -> Tensor<D> {
        Tensor::from_data(self.data(key).convert_dtype(dtype), (device, dtype))
    }
}
