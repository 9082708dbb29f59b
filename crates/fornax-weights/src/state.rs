//! Between a module and its named tensors.

use crate::{Tensors, WeightError};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Int, Tensor};
use std::collections::BTreeMap;

/// Where a visitor or mapper is: the names of the fields from the root, joined by dots.
#[derive(Debug, Clone, Default)]
pub struct ModulePath(Vec<String>);

impl ModulePath {
    /// To call from `enter_module`.
    pub fn enter(&mut self, name: &str) {
        self.0.push(name.into());
    }
    /// To call from `exit_module`.
    pub fn exit(&mut self) {
        self.0.pop();
    }
    /// `features.0.conv.weight`
    pub fn name(&self) -> String {
        self.0.join(".")
    }
}

#[derive(Default)]
struct Collect {
    path: ModulePath,
    tensors: Tensors,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.tensors.insert(self.path.name(), param.val().into_data());
    }
    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.tensors.insert(self.path.name(), param.val().into_data());
    }
}

/// Every tensor of a module by name, running statistics included.
pub fn state<M: Module>(module: &M) -> Tensors {
    let mut collect = Collect::default();
    module.visit(&mut collect);
    collect.tensors
}

#[derive(Default)]
struct Names(ModulePath, BTreeMap<ParamId, String>);

impl ModuleVisitor for Names {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.0.enter(name);
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.0.exit();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.1.entry(param.id).or_insert(self.0.name());
    }
}

/// The name of every float parameter by id; a tied one has the name under which it comes first.
pub fn names_by_id<M: Module>(module: &M) -> BTreeMap<ParamId, String> {
    let mut names = Names::default();
    module.visit(&mut names);
    names.1
}

#[derive(Default)]
struct Count(usize);

impl ModuleVisitor for Count {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.val().is_require_grad() {
            self.0 += param.val().shape().num_elements();
        }
    }
}

/// Trainable numbers: neither running statistics nor frozen parameters.
///
/// A module on a device without autodiff is counted as it would train.
pub fn count_trainable<M: Module>(module: &M) -> usize {
    let mut count = Count::default();
    if module.devices().iter().all(|device| device.is_autodiff()) {
        module.visit(&mut count);
    } else {
        module.clone().train().visit(&mut count);
    }
    count.0
}

struct Load<'a> {
    path: ModulePath,
    prefix: &'a str,
    tensors: &'a Tensors,
    used: std::collections::BTreeSet<String>,
    missing: Vec<String>,
    wrong: Option<WeightError>,
}

impl Load<'_> {
    fn take(&mut self, wanted: &[usize]) -> Option<burn::tensor::TensorData> {
        let name = format!("{}{}", self.prefix, self.path.name());
        let Some(data) = self.tensors.get(&name) else {
            self.missing.push(name);
            return None;
        };
        let found = data.shape().to_vec();
        if found != wanted {
            self.wrong.get_or_insert(WeightError::Shape { name, found, wanted: wanted.to_vec() });
            return None;
        }
        self.used.insert(name);
        Some(data.clone())
    }
}

impl ModuleMapper for Load<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.take(&param.val().dims()) {
            None => param,
            Some(data) => param.map(|old| {
                let tensor = Tensor::from_data(data.convert_dtype(old.dtype()), (&old.device(), old.dtype()));
                tensor.set_require_grad(old.is_require_grad())
            }),
        }
    }
    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        match self.take(&param.val().dims()) {
            None => param,
            Some(data) => param.map(|old| Tensor::from_data(data.convert_dtype(old.dtype()), (&old.device(), old.dtype()))),
        }
    }
}

/// Gives a module the tensors named `prefix` + its own names. Strict: every tensor of the module must be there, none may be left.
///
/// # Errors
/// If a tensor is missing, unknown, or of another shape.
pub fn load_state<M: Module>(module: M, tensors: &Tensors, prefix: &str) -> Result<M, WeightError> {
    let mut load = Load { path: ModulePath::default(), prefix, tensors, used: Default::default(), missing: vec![], wrong: None };
    let module = module.map(&mut load);
    if let Some(wrong) = load.wrong {
        return Err(wrong);
    }
    if let Some(first) = load.missing.first() {
        return Err(WeightError::Missing { count: load.missing.len(), first: first.clone() });
    }
    let left: Vec<_> = tensors.keys().filter(|name| name.starts_with(prefix) && !load.used.contains(*name)).collect();
    if let Some(first) = left.first() {
        return Err(WeightError::Unexpected { count: left.len(), first: first.to_string() });
    }
    Ok(module)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    #[derive(Module, Debug)]
    struct Net {
        layers: Vec<Linear>,
        head: Linear,
    }

    fn net(device: &Device) -> Net {
        Net {
            layers: vec![LinearConfig::new(2, 3).init(device), LinearConfig::new(3, 3).init(device)],
            head: LinearConfig::new(3, 1).with_bias(false).init(device),
        }
    }

    #[test]
    fn names_are_the_fields() {
        let names: Vec<_> = state(&net(&Device::flex())).into_keys().collect();
        assert_eq!(names, ["head.weight", "layers.0.bias", "layers.0.weight", "layers.1.bias", "layers.1.weight"]);
    }

    #[test]
    fn loading_is_exact_and_keeps_training() {
        let device = Device::flex().autodiff();
        let (a, b) = (net(&device), net(&device));
        let b = load_state(b, &state(&a), "").unwrap();
        assert_eq!(state(&a), state(&b));
        assert!(b.head.weight.is_require_grad());
        assert_eq!(count_trainable(&b), 6 + 3 + 9 + 3 + 3);
        assert_eq!(count_trainable(&net(&Device::flex())), 24);
    }

    #[test]
    fn missing_unknown_and_misshaped_tensors_are_named() {
        let model = net(&Device::flex());
        let mut tensors = state(&model);
        let head = tensors.remove("head.weight").unwrap();
        assert!(load_state(model.clone(), &tensors, "").unwrap_err().to_string().contains("head.weight"));
        tensors.insert("head.weight".into(), head.clone());
        tensors.insert("extra".into(), head.clone());
        assert!(load_state(model.clone(), &tensors, "").unwrap_err().to_string().contains("extra"));
        tensors.remove("extra");
        tensors.insert("layers.0.bias".into(), head.clone());
        let error = load_state(model, &tensors, "").unwrap_err().to_string();
        assert!(error.contains("layers.0.bias") && error.contains("[3, 1]") && error.contains("[3]"), "{error}");
    }
}
