use burn::module::{Module, Param};
use burn::tensor::{Bool, Device, Tensor, TensorData};
use fornax_kernels::conv::conv2d_relu;

use crate::{init, steps::zero_padding};

/// Configuration of [`MaxOverTime`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaxOverTimeConfig {
    /// Features in.
    pub inputs: usize,
    /// Filters.
    pub outputs: usize,
    /// Steps that a filter sees at once.
    pub kernel: usize,
}

impl MaxOverTimeConfig {
    /// So many filters over so many steps.
    pub fn new(inputs: usize, outputs: usize, kernel: usize) -> Self {
        Self { inputs, outputs, kernel }
    }

    /// Draws the weights from the step key, as PyTorch: `U(−1/√n, 1/√n)` with `n` = inputs × kernel.
    ///
    /// # Panics
    /// If the kernel is 0.
    pub fn init(&self, device: &Device) -> MaxOverTime {
        let Self { inputs, outputs, kernel } = *self;
        assert!(kernel > 0, "a filter sees at least one step");
        let bound = 1.0 / ((inputs * kernel) as f64).sqrt();
        MaxOverTime { weight: init::uniform([outputs, inputs, kernel], bound, device), bias: init::uniform([outputs], bound, device) }
    }
}

/// Filters over some steps each, and of every one its strongest answer anywhere in a sequence: `z = max_t max(w · (x_t ⊕ … ⊕ x_{t+h−1}) + b, 0)`
///
/// A filter also sees the zeros around a sequence, `h − 1` of them on either side, so that none is too short for it. What a sequence gives does not depend on how far
/// its batch is padded; padding is not read.
///
/// Source: Collobert et al., "Natural language processing (almost) from scratch", 2011, section 3.3; Kim, "Convolutional neural networks for sentence
/// classification", 2014.
#[derive(Module, Debug)]
pub struct MaxOverTime {
    /// `[D', D, h]`, PyTorch's `Conv1d`.
    pub weight: Param<Tensor<3>>,
    /// `[D']`
    pub bias: Param<Tensor<1>>,
}

impl MaxOverTime {
    /// `[B, T, D] -> [B, D']`
    ///
    /// # Panics
    /// If lengths are not one a sequence, or one is above `T`.
    pub fn forward(&self, x: Tensor<3>, lengths: Option<&[usize]>) -> Tensor<2> {
        crate::dissect::uncovered("the largest over steps");
        let [_, _, kernel] = self.weight.dims();
        let x: Tensor<4> = zero_padding(x, lengths).swap_dims(1, 2).unsqueeze_dim(2);
        let answers = conv2d_relu(x, self.weight.val().unsqueeze_dim(2), Some(self.bias.val()), [1, 1], [0, kernel - 1]);
        let [batch, filters, _, places] = answers.dims();
        let answers: Tensor<3> = answers.reshape([batch, filters, places]);
        let Some(lengths) = lengths else { return answers.max_dim(2).squeeze_dim(2) };
        // Behind where a filter sees at least one step; of a sequence of none it sees one zero.
        let behind: Vec<bool> = lengths.iter().flat_map(|length| (0..places).map(move |at| at >= (length + kernel - 1).max(1))).collect();
        let behind: Tensor<3, Bool> = Tensor::from_data(TensorData::new(behind, [batch, 1, places]), &answers.device());
        // No answer is below 0.
        answers.mask_fill(behind.expand([batch, filters, places]), 0.0).max_dim(2).squeeze_dim(2)
    }
}
