use super::{adam, decayed, lion};
use crate::{AdamW, Hyper, Rule, RuleEntry, State, rules::Lion};
use burn::tensor::Tensor;
use fornax_kernels::reduce::sum;
use serde::{Deserialize, Serialize};

/// AdamW that moves only the weights whose update agrees in sign with the present gradient.
///
/// Of AdamW's update `uₜ`: `φₜ = [uₜ gₜ > 0]`; `θₜ = (1 − η λ) θₜ₋₁ − η uₜ φₜ · n / (‖φₜ‖₁ + 1)`, for n weights.
///
/// Source: Liang et al., "Cautious optimizers: improving training with one line of code", 2024, algorithm 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CautiousAdamW(
    /// AdamW's numbers.
    pub AdamW,
);

/// [`Lion`] with the mask of [`CautiousAdamW`].
///
/// Source: as there.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CautiousLion(
    /// Lion's numbers.
    pub Lion,
);

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<CautiousAdamW>("cautious-adamw", 1e-3, adam::RANGES);
pub(crate) const ENTRY_LION: RuleEntry = RuleEntry::new::<CautiousLion>("cautious-lion", 1e-4, lion::RANGES);

fn masked(update: Tensor<1>, grad: Tensor<1>) -> Tensor<1> {
    let disagrees = (update.clone().sign() * grad.sign()).lower_equal_elem(0.0);
    let n = update.dims()[0] as f64;
    let agree = n - sum(disagrees.clone().float());
    update.mask_fill(disagrees, 0.0) * (n / (agree + 1.0))
}

impl Rule for CautiousAdamW {
    fn slots(&self) -> &'static [&'static str] {
        adam::SLOTS
    }
    fn weight_decay(&self) -> f64 {
        self.0.weight_decay()
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let AdamW(adam) = &self.0;
        decayed(&hyper, param) - masked(adam.step(hyper.lr, grad.clone(), state), grad)
    }
}

impl Rule for CautiousLion {
    fn slots(&self) -> &'static [&'static str] {
        self.0.slots()
    }
    fn weight_decay(&self) -> f64 {
        self.0.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        decayed(&hyper, param) - masked(self.0.direction(grad.clone(), state), grad) * hyper.lr
    }
}
