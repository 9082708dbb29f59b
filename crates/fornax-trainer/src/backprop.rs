use crate::Backprop;
use burn::{module::Module, tensor::Tensor};
use fornax_optimizers::Gradients;

/// Plain back-propagation of a loss `(model, batch) -> [1]`.
#[derive(Debug, Clone, Copy)]
pub struct Plain<F>(
    /// The loss.
    pub F,
);

impl<M: Module, B, F: FnMut(&M, B) -> Tensor<1>> Backprop<M, B> for Plain<F> {
    fn gradients(&mut self, model: &M, batch: B) -> (f64, Gradients) {
        let loss = (self.0)(model, batch);
        let value = f64::from(loss.clone().into_scalar::<f32>());
        (value, Gradients::of(&loss, model))
    }
}
