use crate::Backprop;
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use fornax_kernels::reduce::sum_of_squares;
use fornax_optimizers::{Gradients, parameters};
use fornax_weights::Tensors;

/// Sharpness-aware minimization: the gradients at the worst point nearby, `g(θ + ε)` with `ε = ρ g / ‖g‖`. Two passes a batch.
///
/// Adaptive (ASAM): `ε = ρ θ² g / ‖θ g‖`, so that the neighbourhood does not depend on the scale of weights; without the small η that the
/// paper adds to |θ|. The loss is that of the first pass, and batch norm's statistics are too: the second works on a copy. Dropout draws
/// another mask in the second pass. With `ρ = 0` there is one pass, the inner one.
///
/// Source: Foret et al., "Sharpness-aware minimization for efficiently improving generalization", 2021; Kwon et al., "ASAM", 2021.
#[derive(Debug, Clone, Copy)]
pub struct Sam<G> {
    /// Both passes.
    pub inner: G,
    /// ρ: 0.05; 0.5 to 2 if adaptive.
    pub rho: f64,
    /// ASAM.
    pub adaptive: bool,
}

impl<M: Module, B: Clone, G: Backprop<M, B>> Backprop<M, B> for Sam<G> {
    fn gradients(&mut self, model: &M, batch: B) -> (f64, Gradients) {
        if self.rho == 0.0 {
            return self.inner.gradients(model, batch);
        }
        let (loss, mut step) = self.inner.gradients(model, batch.clone());
        if self.adaptive {
            // θ g, whose norm counts; the climb multiplies by θ once more.
            let values: std::collections::HashMap<_, _> = parameters(model).into_iter().map(|p| (p.id, p.value)).collect();
            step.map(|id, grad| grad * values[&id].clone());
        }
        let norm = step.iter().map(|(_, g)| sum_of_squares(g.clone())).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return (loss, step);
        }
        step.scale(self.rho / (norm + 1e-12));
        let (_, gradients) = self.inner.gradients(&model.clone().map(&mut Climb(&step, self.adaptive)), batch);
        (loss, gradients)
    }

    fn leaves_out(&mut self, finite: bool) -> bool {
        self.inner.leaves_out(finite)
    }
    fn shows(&self) -> Option<(&'static str, f64)> {
        self.inner.shows()
    }
    fn state(&self) -> Vec<f64> {
        self.inner.state()
    }
    fn load_state(&mut self, state: &[f64]) -> Result<(), String> {
        self.inner.load_state(state)
    }
    fn carried(&self) -> Tensors {
        self.inner.carried()
    }
    fn load_carried(&mut self, carried: Tensors) -> Result<(), String> {
        self.inner.load_carried(carried)
    }
}

struct Climb<'a>(&'a Gradients, bool);

impl ModuleMapper for Climb<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(step) = self.0.get(param.id).cloned() else { return param };
        param.map(|old| {
            let old = old.inner();
            let step = step.reshape(old.dims());
            let step = if self.1 { step * old.clone() } else { step };
            Tensor::from_inner(old + step).require_grad()
        })
    }
}
