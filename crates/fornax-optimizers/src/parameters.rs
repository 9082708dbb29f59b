use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use fornax_weights::ModulePath;

/// A parameter with its name, as groups and transforms see it.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its key in [`Gradients`](crate::Gradients).
    pub id: ParamId,
    /// `features.0.conv.weight`
    pub name: String,
    /// A linear layer's weight is `[in, out]`, a convolution's `[out, in, …]`.
    pub shape: Vec<usize>,
    /// Flat, on the device without autodiff.
    pub value: Tensor<1>,
    /// Whether it takes gradients: a running statistic does not.
    pub trainable: bool,
}

#[derive(Default)]
struct Collect(ModulePath, Vec<Parameter>);

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.0.enter(name);
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.0.exit();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // A tied parameter has the name under which it comes first.
        if self.1.iter().all(|other| other.id != param.id) {
            let (shape, trainable) = (param.val().dims().to_vec(), param.val().is_require_grad());
            self.1.push(Parameter { id: param.id, name: self.0.name(), shape, value: flat(param.val()), trainable });
        }
    }
}

/// Every float parameter of a model, in the model's own order.
pub fn parameters<M: Module>(model: &M) -> Vec<Parameter> {
    let mut collect = Collect::default();
    model.visit(&mut collect);
    collect.1
}

/// Flat, and without autodiff.
pub(crate) fn flat<const D: usize>(value: Tensor<D>) -> Tensor<1> {
    let value = if value.is_autodiff() { value.inner() } else { value };
    let n = value.shape().num_elements();
    value.reshape([n])
}

/// Whether a name fits a pattern, in which `*` stands for any text and `?` for one character: `blocks.*.bias`.
pub fn name_matches(pattern: &str, name: &str) -> bool {
    fn go(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.first(), name.first()) {
            (None, None) => true,
            (Some(b'*'), _) => go(&pattern[1..], name) || (!name.is_empty() && go(pattern, &name[1..])),
            (Some(b'?'), Some(_)) => go(&pattern[1..], &name[1..]),
            (Some(a), Some(b)) if a == b => go(&pattern[1..], &name[1..]),
            _ => false,
        }
    }
    go(pattern.as_bytes(), name.as_bytes())
}
