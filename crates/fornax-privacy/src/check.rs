//! Layers that mix the examples of a batch, so that no gradient is of one example alone.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use fornax_weights::ModulePath;

/// Types that cannot be private while they learn, and what to do.
const UNFIT: &[(&str, &str)] =
    &[("BatchNorm", "normalizes each example by statistics of the whole batch, and keeps them; leave it out, use layer or group norm, or freeze it")];

/// A layer that cannot be private.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// `features.0.norm`
    pub name: String,
    /// Its type.
    pub kind: &'static str,
    /// What it does, and what to use in its place.
    pub advice: &'static str,
}

#[derive(Default)]
struct Walk {
    path: ModulePath,
    /// What [`UNFIT`] says of the fields that were entered, from the outside in, and the name of what has them.
    inside: Vec<Option<Unfit>>,
    found: Vec<Unfit>,
}

impl ModuleVisitor for Walk {
    fn enter_module(&mut self, name: &str, container: &str) {
        let kind = container.strip_prefix("Struct:").unwrap_or(container);
        let unfit = UNFIT.iter().find(|(of, _)| *of == kind);
        self.inside.push(unfit.map(|(kind, advice)| Unfit { name: self.path.name(), kind, advice }));
        self.path.enter(name);
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
        self.inside.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let layer = self.inside.last().cloned().flatten();
        // With all parameters frozen its statistics stand still, and an example no longer sees the others.
        self.found.extend(layer.filter(|layer| param.val().is_require_grad() && !self.found.contains(layer)));
    }
}

/// All layers of a model on an autodiff device that cannot be private.
pub fn unfit<M: Module>(model: &M) -> Vec<Unfit> {
    let mut walk = Walk::default();
    model.visit(&mut walk);
    walk.found
}
