use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use fornax_kernels::conv::conv2d_relu;

use crate::{Activation, init, per_example, steps::zero_padding};

/// Configuration of [`TemporalConv`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TemporalConvConfig {
    /// Features in.
    pub inputs: usize,
    /// Features out.
    pub outputs: usize,
    /// Steps that one output sees; odd.
    pub kernel: usize,
    /// Steps from one output to the next: 1.
    pub stride: usize,
}

impl TemporalConvConfig {
    /// As many steps out as in.
    pub fn new(inputs: usize, outputs: usize, kernel: usize) -> Self {
        Self { inputs, outputs, kernel, stride: 1 }
    }
    /// With fewer steps.
    pub fn with_stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Draws the weights from the step key, as PyTorch: `U(−1/√n, 1/√n)` with `n` = inputs × kernel.
    ///
    /// # Panics
    /// If the kernel is even, or the stride 0.
    pub fn init(&self, device: &Device) -> TemporalConv {
        let Self { inputs, outputs, kernel, stride } = *self;
        assert!(kernel % 2 == 1 && stride > 0, "a kernel of an odd number of steps, not {kernel}, and a stride of at least one, not {stride}");
        let bound = 1.0 / ((inputs * kernel) as f64).sqrt();
        TemporalConv { weight: init::uniform([outputs, inputs, kernel], bound, device), bias: init::uniform([outputs], bound, device), stride }
    }
}

/// A convolution over time, and ReLU: `y = max(w ∗ x + b, 0)`, with zeros around each sequence.
///
/// What a sequence gives does not depend on how far its batch is padded: padding is taken as zeros, and is zero in the output.
#[derive(Module, Debug)]
pub struct TemporalConv {
    /// `[D', D, K]`, PyTorch's `Conv1d`.
    pub weight: Param<Tensor<3>>,
    /// `[D']`
    pub bias: Param<Tensor<1>>,
    stride: usize,
}

impl TemporalConv {
    /// Steps out, of so many in: `⌈T / stride⌉`
    pub fn steps(&self, steps: usize) -> usize {
        steps.div_ceil(self.stride)
    }

    /// With the lengths of the output: `[B, T, D] -> [B, ⌈T / stride⌉, D']`
    pub fn forward(&self, x: Tensor<3>, lengths: Option<&[usize]>) -> (Tensor<3>, Option<Vec<usize>>) {
        crate::dissect::uncovered("a convolution over steps");
        let [_, _, kernel] = self.weight.dims();
        let x: Tensor<4> = zero_padding(x, lengths).swap_dims(1, 2).unsqueeze_dim(2);
        let (stride, padding) = ([1, self.stride], [0, kernel / 2]);
        let y = if per_example::recording() {
            let [outputs, inputs, _] = self.weight.dims();
            let y = per_example::conv_recorded(x, &self.weight, [outputs, inputs, 1, kernel], Some(&self.bias), stride, padding);
            Activation::Relu.forward(y)
        } else {
            conv2d_relu(x, self.weight.val().unsqueeze_dim(2), Some(self.bias.val()), stride, padding)
        };
        let y: Tensor<3> = y.squeeze_dim::<3>(2).swap_dims(1, 2);
        let lengths: Option<Vec<usize>> = lengths.map(|lengths| lengths.iter().map(|length| self.steps(*length)).collect());
        (zero_padding(y, lengths.as_deref()), lengths)
    }
}
