use crate::Backprop;
use burn::{module::Module, tensor::Tensor};
use fornax_optimizers::{Gradients, LossScale};

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

/// A scale below this is no longer what makes gradients overflow: the run stops with the error that it deserves.
const LEAST_SCALE: f64 = 1e-6;

/// Back-propagation of the loss times a factor that finds its size by itself, for half precision: see [`LossScale`].
#[derive(Debug, Clone, Copy)]
pub struct Scaled<F> {
    /// The loss `(model, batch) -> [1]`.
    pub loss: F,
    /// The factor, a part of the checkpoint; None for 1, and no step left out.
    pub scale: Option<LossScale>,
}

impl<M: Module, B, F: FnMut(&M, B) -> Tensor<1>> Backprop<M, B> for Scaled<F> {
    fn gradients(&mut self, model: &M, batch: B) -> (f64, Gradients) {
        let Some(LossScale { scale, .. }) = self.scale else { return Plain(&mut self.loss).gradients(model, batch) };
        let loss = (self.loss)(model, batch);
        let value = f64::from(loss.clone().into_scalar::<f32>());
        let mut gradients = Gradients::of(&(loss * scale), model);
        gradients.scale(1.0 / scale);
        (value, gradients)
    }

    fn leaves_out(&mut self, finite: bool) -> bool {
        let Some(scale) = &mut self.scale else { return false };
        scale.update(finite);
        !finite && scale.scale >= LEAST_SCALE
    }

    fn state(&self) -> Vec<f64> {
        self.scale.iter().flat_map(|scale| [scale.scale, scale.good as f64]).collect()
    }

    fn load_state(&mut self, state: &[f64]) -> Result<(), String> {
        match (&mut self.scale, state) {
            (None, []) => Ok(()),
            (Some(own), &[scale, good]) => {
                (own.scale, own.good) = (scale, good as u64);
                Ok(())
            }
            _ => Err("the loss scale".into()),
        }
    }
}
