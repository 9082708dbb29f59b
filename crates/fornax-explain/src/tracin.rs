use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

/// How much each training example helped or hurt each other one: `Σ_t ηₜ ∇ℓ(wₜ, z) · ∇ℓ(wₜ, z′)`, over checkpoints with their learning rates.
///
/// Positive: a step on `z` made the loss of `z′` smaller. `loss` is that of one example, on an autodiff device, of shape `[1]`. All training and other
/// examples' gradients of one checkpoint are held at once, two for each pair's product. `-> [others][training]`
///
/// Source: Pruthi et al., "Estimating training data influence by tracing gradient descent", 2020 (<https://arxiv.org/abs/2002.08484>), equation 4
/// (TracInCP).
///
/// # Panics
/// If a loss does not depend on the model: it is frozen, or its device has no autodiff.
pub fn tracin<M: Module, E>(checkpoints: &[(M, f64)], training: &[E], others: &[E], loss: impl Fn(&M, &E) -> Tensor<1>) -> Vec<Vec<f64>> {
    let mut influence = vec![vec![0.0; training.len()]; others.len()];
    for (model, lr) in checkpoints {
        let gradients = |examples: &[E]| examples.iter().map(|example| flat(model, loss(model, example))).collect::<Vec<_>>();
        let (from, to) = (gradients(training), gradients(others));
        for (row, to) in influence.iter_mut().zip(&to) {
            for (cell, from) in row.iter_mut().zip(&from) {
                *cell += lr * from.iter().zip(to).map(|(a, b)| a * b).sum::<f64>();
            }
        }
    }
    influence
}

struct Collect<'a> {
    from: &'a Gradients,
    into: Vec<f64>,
}

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        // What a loss does not reach has the gradient 0: every example's are of one length.
        let gradient = if value.is_require_grad() { value.grad(self.from) } else { None };
        match gradient {
            Some(gradient) => self.into.extend(gradient.into_data().iter::<f64>()),
            None => self.into.extend(std::iter::repeat_n(0.0, value.shape().num_elements())),
        }
    }
}

fn flat<M: Module>(model: &M, loss: Tensor<1>) -> Vec<f64> {
    assert!(loss.is_tracked(), "the loss does not depend on the model: is it frozen, or on a device without `.autodiff()`?");
    let gradients = loss.backward();
    let mut collect = Collect { from: &gradients, into: vec![] };
    model.visit(&mut collect);
    collect.into
}
