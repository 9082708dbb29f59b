use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};
use fornax_kernels::{embedding::embedding, linear::linear_transposed};

use crate::{init, per_example};

/// Configuration of [`Embedding`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmbeddingConfig {
    /// `V`
    pub count: usize,
    /// `D`
    pub width: usize,
    /// Of the first weights: 1, as in PyTorch.
    pub deviation: f64,
}

impl EmbeddingConfig {
    /// PyTorch's `N(0, 1)`.
    pub fn new(count: usize, width: usize) -> Self {
        Self { count, width, deviation: 1.0 }
    }
    /// With another deviation.
    pub fn with_deviation(self, deviation: f64) -> Self {
        Self { deviation, ..self }
    }

    /// Draws the weights from the step key.
    pub fn init(&self, device: &Device) -> Embedding {
        Embedding { weight: init::normal([self.count, self.width], self.deviation, device) }
    }
}

/// A vector for each of a number of tokens.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[V, D]`
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    /// `[B, T] -> [B, T, D]`
    ///
    /// # Panics
    /// If a number is not below `V`.
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        if per_example::recording() {
            return per_example::embedding_recorded(&self.weight, ids);
        }
        embedding(self.weight.val(), ids)
    }

    /// The vectors from `first` on, for positions; one for all examples, or one each where a pass is recorded: `-> [1 or B, T, D]`
    pub fn positions(&self, batch: usize, first: usize, time: usize) -> Tensor<3> {
        let [_, width] = self.weight.dims();
        if per_example::recording() {
            let ids: Tensor<2, Int> = Tensor::arange(first as i64..(first + time) as i64, &self.weight.device()).unsqueeze();
            return self.forward(ids.expand([batch, time]));
        }
        self.weight.val().narrow(0, first, time).reshape([1, time, width])
    }

    /// Scores of every token by its vector, for a model whose head is its embedding: `[..., D] -> [..., V]`
    ///
    /// Source: Press and Wolf, "Using the output embedding to improve language models", 2017.
    pub fn scores<const R: usize>(&self, x: Tensor<R>) -> Tensor<R> {
        if per_example::recording() {
            return per_example::linear_transposed_recorded(x, &self.weight);
        }
        linear_transposed(x, self.weight.val())
    }
}
