use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData, activation::softmax};

use crate::{FeedForward, FeedForwardKind, Linear, LinearConfig, steps::floats};

/// Configuration of [`MixtureOfExperts`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MixtureOfExpertsConfig {
    /// `D`
    pub width: usize,
    /// Width of an expert's hidden layer.
    pub hidden: usize,
    /// `E` experts.
    pub experts: usize,
    /// How many of them a token is sent to.
    pub top: usize,
    /// What an expert is.
    pub kind: FeedForwardKind,
}

impl MixtureOfExpertsConfig {
    /// Mixtral's: two SwiGLU experts a token.
    pub fn new(width: usize, hidden: usize, experts: usize) -> Self {
        Self { width, hidden, experts, top: 2, kind: FeedForwardKind::SwiGlu }
    }
    /// With so many experts a token.
    pub fn with_top(self, top: usize) -> Self {
        Self { top, ..self }
    }

    /// Draws the weights from the step key.
    ///
    /// # Panics
    /// If a token is sent to no expert, or to more than there are.
    pub fn init(&self, device: &Device) -> MixtureOfExperts {
        let Self { width, hidden, experts, top, kind } = *self;
        assert!((1..=experts).contains(&top), "{top} of {experts} experts a token");
        MixtureOfExperts {
            router: LinearConfig::new(width, experts).with_bias(false).init(device),
            experts: (0..experts).map(|_| FeedForward::init(kind, width, hidden, device)).collect(),
            top,
        }
    }
}

/// Dense layers of which every token goes through a few only, those that a router finds best for it, weighted by how good it finds them:
///
/// ```text
/// p = softmax(x R),    y = Σ_{e in top k of p}  p_e / (Σ_{top k} p) · expert_e(x)
/// ```
///
/// An expert computes its own tokens alone. Gradients go through the weights, and not through the choice.
///
/// Source: Shazeer et al., "Outrageously large neural networks", 2017; weights as in Jiang et al., "Mixtral of experts", 2024.
#[derive(Module, Debug)]
pub struct MixtureOfExperts {
    /// `[D, E]`
    pub router: Linear,
    /// `E` of them.
    pub experts: Vec<FeedForward>,
    /// Experts a token.
    pub top: usize,
}

/// What a [`MixtureOfExperts`] gives.
#[derive(Debug, Clone)]
pub struct Mixed {
    /// `[B, T, D]`
    pub output: Tensor<3>,
    /// How unevenly the experts are used, to be added to the loss with a small factor: `E Σ_e f_e P_e`, with the share of tokens `f` that an expert got, summed over
    /// first choices, second ones and so on, and the mean probability `P`: `[1]`
    ///
    /// It is `k`, the experts a token, where all are used alike. Source: Fedus, Zoph and Shazeer, "Switch Transformers", 2022, equation 4.
    pub balance: Tensor<1>,
}

impl MixtureOfExperts {
    /// `[B, T, D] -> [B, T, D]`
    pub fn forward(&self, x: Tensor<3>) -> Mixed {
        crate::dissect::uncovered("a mixture of experts");
        let ([batch, time, width], experts) = (x.dims(), self.experts.len());
        let (tokens, device) = (batch * time, x.device());
        let x: Tensor<2> = x.reshape([tokens, width]);
        let probabilities = softmax(self.router.forward(x.clone()), 1);
        let values: Vec<f64> = probabilities.to_data().iter::<f64>().collect();
        let chosen: Vec<Vec<usize>> = values.chunks(experts).map(|row| best(row, self.top)).collect();
        let on = |token: usize, expert: usize| f64::from(u8::from(chosen[token].contains(&expert)));
        let mask = (0..tokens * experts).map(|i| on(i / experts, i % experts)).collect();
        let mask: Tensor<2> = floats(mask, [tokens, experts], &device, probabilities.dtype());
        let kept = probabilities.clone() * mask.clone();
        let weights = kept.clone() / kept.sum_dim(1);
        let mut y = x.zeros_like();
        for (number, expert) in self.experts.iter().enumerate() {
            let rows: Vec<i64> = (0..tokens).filter(|&token| chosen[token].contains(&number)).map(|token| token as i64).collect();
            if rows.is_empty() {
                continue;
            }
            let count = rows.len();
            let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), &device);
            let mine = expert.forward(x.clone().select(0, rows.clone()).unsqueeze_dim::<3>(0)).squeeze_dim::<2>(0);
            let share = weights.clone().select(0, rows.clone()).narrow(1, number, 1);
            y = y.select_assign(0, rows, mine * share, burn::tensor::IndexingUpdateOp::Add);
        }
        let balance = (mask.mean_dim(0) * probabilities.mean_dim(0)).sum() * experts as f64;
        Mixed { output: y.reshape([batch, time, width]), balance }
    }
}

/// The numbers of the largest values, the first of equals.
fn best(row: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    order.truncate(count);
    order
}
