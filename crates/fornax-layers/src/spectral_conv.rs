use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use fornax_kernels::conv::conv2d_relu;

use crate::{init, steps::padding};

/// Configuration of [`SpectralConv`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpectralConvConfig {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Bands and steps that one output sees; odd.
    pub kernel: [usize; 2],
    /// Bands and steps from one output to the next: 1 and 1.
    pub stride: [usize; 2],
}

impl SpectralConvConfig {
    /// As many bands and steps out as in.
    pub fn new(inputs: usize, outputs: usize, kernel: [usize; 2]) -> Self {
        Self { inputs, outputs, kernel, stride: [1, 1] }
    }
    /// With fewer bands or steps.
    pub fn with_stride(self, stride: [usize; 2]) -> Self {
        Self { stride, ..self }
    }

    /// Draws the weights from the step key, as PyTorch: `U(−1/√n, 1/√n)` with `n` = inputs × kernel.
    ///
    /// # Panics
    /// If a side of the kernel is even, or a stride 0.
    pub fn init(&self, device: &Device) -> SpectralConv {
        let Self { inputs, outputs, kernel: [bands, steps], stride } = *self;
        let odd = bands % 2 == 1 && steps % 2 == 1;
        assert!(odd && !stride.contains(&0), "a kernel of odd sides, not {bands} by {steps}, and strides of at least one, not {stride:?}");
        let bound = 1.0 / ((inputs * bands * steps) as f64).sqrt();
        SpectralConv { weight: init::uniform([outputs, inputs, bands, steps], bound, device), bias: init::uniform([outputs], bound, device), stride }
    }
}

/// A convolution over the bands and steps of a spectrogram, and ReLU: `y = max(w ∗ x + b, 0)`, with zeros around each.
///
/// The same pattern is found wherever it stands on the frequency axis, as the resonances of a longer vocal tract stand lower. What a sequence gives does not
/// depend on how far its batch is padded: padding is taken as zeros, and is zero in the output.
///
/// Source: Abdel-Hamid et al., "Convolutional neural networks for speech recognition", 2014.
#[derive(Module, Debug)]
pub struct SpectralConv {
    /// `[C', C, K, L]`, PyTorch's `Conv2d` over bands and steps.
    pub weight: Param<Tensor<4>>,
    /// `[C']`
    pub bias: Param<Tensor<1>>,
    stride: [usize; 2],
}

impl SpectralConv {
    /// Steps out, of so many in: `⌈T / stride⌉`
    pub fn steps(&self, steps: usize) -> usize {
        steps.div_ceil(self.stride[1])
    }

    /// With the lengths of the output: `[B, C, F, T] -> [B, C', ⌈F / stride⌉, ⌈T / stride⌉]`
    pub fn forward(&self, x: Tensor<4>, lengths: Option<&[usize]>) -> (Tensor<4>, Option<Vec<usize>>) {
        crate::dissect::uncovered("a convolution over bands");
        let [_, _, bands, steps] = self.weight.dims();
        let y = conv2d_relu(zero_behind(x, lengths), self.weight.val(), Some(self.bias.val()), self.stride, [bands / 2, steps / 2]);
        let lengths: Option<Vec<usize>> = lengths.map(|lengths| lengths.iter().map(|length| self.steps(*length)).collect());
        (zero_behind(y, lengths.as_deref()), lengths)
    }
}

/// Zeros behind the end of each sequence: `[B, C, F, T] -> [B, C, F, T]`
fn zero_behind(x: Tensor<4>, lengths: Option<&[usize]>) -> Tensor<4> {
    let Some(lengths) = lengths else { return x };
    let [batch, channels, bands, time] = x.dims();
    assert_eq!(lengths.len(), batch, "one length a sequence");
    let behind = padding(lengths, time, &x.device()).reshape([batch, 1, 1, time]).expand([batch, channels, bands, time]);
    x.mask_fill(behind, 0.0)
}
