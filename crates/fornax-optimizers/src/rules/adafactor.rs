use super::{decayed, norm, square};
use crate::{Hyper, Range, Rule, RuleEntry, State};
use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

/// Adafactor, as PyTorch's: second moments of a matrix as the product of a column and a row, so that state is small beside the weights.
///
/// `ρₜ = min(η, 1/√t)`; `α = max(ε₂, RMS(θₜ₋₁)) ρₜ`; `β̂ₜ = 1 − t^γ`; of each matrix (the last two axes; leading ones are many matrices)
/// `rₜ = β̂ₜ rₜ₋₁ + (1 − β̂ₜ) mean_row(gₜ²)` and likewise `cₜ` by columns, `vₜ = rₜ cₜ / max(mean(rₜ), ε₁)`; a vector has `vₜ` itself;
/// `uₜ = gₜ / √max(vₜ, ε₁²)`; `θₜ = (1 − η λ) θₜ₋₁ − α uₜ / max(1, RMS(uₜ) / d)`.
///
/// Source: Shazeer and Stern, "Adafactor: adaptive learning rates with sublinear memory cost", 2018; the details are PyTorch's, where ε₁
/// bounds from below in place of being added, and η bounds the relative step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adafactor {
    /// γ: −0.8.
    pub beta2_decay: f64,
    /// ε₁: 0 for the spacing of the parameter's type at 1 (1.2e-7 for f32), as in PyTorch.
    pub epsilon1: f64,
    /// ε₂: 1e-3.
    pub epsilon2: f64,
    /// d, to which the RMS of an update is clipped: 1.
    pub d: f64,
    /// λ: 0.
    pub weight_decay: f64,
}

impl Default for Adafactor {
    fn default() -> Self {
        Self { beta2_decay: -0.8, epsilon1: 0.0, epsilon2: 1e-3, d: 1.0, weight_decay: 0.0 }
    }
}

pub(crate) const ENTRY: RuleEntry = RuleEntry::new::<Adafactor>(
    "adafactor",
    1e-2,
    &[("beta2_decay", Range::NotPositive), ("epsilon1", Range::NotNegative), ("epsilon2", Range::NotNegative), ("d", Range::FromOne)],
);

/// How many matrices of how many rows and columns a parameter is.
fn matrices(shape: &[usize]) -> Option<[usize; 3]> {
    let &[.., rows, columns] = shape else { return None };
    Some([shape[..shape.len() - 2].iter().product(), rows, columns])
}

/// `aₜ = aₜ₋₁ + w (xₜ − aₜ₋₁)` from 0, kept flat.
fn blend(state: &mut State, slot: &'static str, x: Tensor<1>, weight: f64) -> Tensor<1> {
    let new = match state.take(slot) {
        None => x * weight,
        Some(old) => old.clone() + (x - old) * weight,
    };
    state.put(slot, new.clone());
    new
}

impl Adafactor {
    fn second_moment(&self, shape: &[usize], grad: &Tensor<1>, weight: f64, floor: f64, state: &mut State) -> Tensor<1> {
        let squares = square(grad);
        let Some([many, rows, columns]) = matrices(shape) else { return blend(state, "variance", squares, weight) };
        let squares: Tensor<3> = squares.reshape([many, rows, columns]);
        let row = blend(state, "row_var", squares.clone().mean_dim(2).reshape([many * rows]), weight);
        let column = blend(state, "col_var", squares.mean_dim(1).reshape([many * columns]), weight);
        let row: Tensor<3> = row.reshape([many, rows, 1]);
        let mean = row.clone().mean_dim(1).clamp_min(floor);
        (row * column.reshape([many, 1, columns]) / mean).reshape([many * rows * columns])
    }
}

impl Rule for Adafactor {
    fn slots(&self) -> &'static [&'static str] {
        &["row_var", "col_var", "variance"]
    }
    fn slot_len(&self, slot: &str, _name: &str, shape: &[usize]) -> Option<usize> {
        match (matrices(shape), slot) {
            (Some([many, rows, _]), "row_var") => Some(many * rows),
            (Some([many, _, columns]), "col_var") => Some(many * columns),
            (None, "variance") => Some(shape.iter().product()),
            _ => None,
        }
    }
    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1> {
        let t = state.step as f64;
        let floor = match (self.epsilon1, param.dtype()) {
            (0.0, DType::F64) => f64::EPSILON,
            (0.0, DType::F16) => 9.765625e-4,
            (0.0, DType::BF16) => 7.8125e-3,
            (0.0, _) => f64::from(f32::EPSILON),
            (epsilon, _) => epsilon,
        };
        let rms = |x: &Tensor<1>| norm(x) / (x.dims()[0] as f64).sqrt();
        let step = self.epsilon2.max(rms(&param)) * hyper.lr.min(1.0 / t.sqrt());
        let second = self.second_moment(hyper.shape, &grad, t.powf(self.beta2_decay), floor, state);
        let update = grad / second.clamp_min(floor * floor).sqrt();
        let clip = (rms(&update) / self.d).max(1.0);
        decayed(&hyper, param) - update * (step / clip)
    }
}
