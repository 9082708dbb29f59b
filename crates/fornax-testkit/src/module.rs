//! Reading and writing a module's parameters in tests.

use crate::close::Values;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, FloatDType, Tensor, TensorData};
use fornax_weights::ModulePath;

struct Cast(FloatDType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|old| match old.is_autodiff() {
            // Through the inner tensor, so that the result is a leaf again.
            true => Tensor::from_inner(old.clone().inner().cast(self.0)).set_require_grad(old.is_require_grad()),
            false => old.cast(self.0),
        })
    }
}

/// The module with all float parameters in another type, trainable as before.
pub fn to_dtype<M: Module>(module: M, dtype: DType) -> M {
    module.map(&mut Cast(dtype.into()))
}

#[derive(Default)]
struct Collect {
    path: ModulePath,
    found: Vec<(ParamId, String, Vec<f64>)>,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.val().is_require_grad() {
            self.found.push((param.id, self.path.name(), param.val().values()));
        }
    }
}

/// Id, name and numbers of every trainable parameter, in the module's order.
pub fn parameters<M: Module>(module: &M) -> Vec<(ParamId, String, Vec<f64>)> {
    let mut collect = Collect::default();
    module.visit(&mut collect);
    collect.found
}

struct Write<F> {
    path: ModulePath,
    new: F,
}

impl<F: FnMut(&str, &mut [f64])> ModuleMapper for Write<F> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        param.map(|old| {
            let mut values = old.values();
            (self.new)(&name, &mut values);
            let data = TensorData::new(values, old.dims()).convert_dtype(old.dtype());
            Tensor::from_data(data, (&old.device(), old.dtype())).set_require_grad(old.is_require_grad())
        })
    }
}

/// The module with every float parameter's numbers, running statistics included, as `new(name, numbers)` leaves them.
pub fn with_parameters<M: Module>(module: M, new: impl FnMut(&str, &mut [f64])) -> M {
    module.map(&mut Write { path: ModulePath::default(), new })
}
