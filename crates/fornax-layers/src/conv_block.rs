use burn::module::Module;
use burn::nn::{
    PaddingConfig2d,
    conv::{Conv2d, Conv2dConfig},
};
use burn::tensor::{Device, Tensor};
use fornax_kernels::conv::{conv2d, conv2d_normalized, conv2d_relu};

use crate::{Activation, BatchNorm, BatchNormConfig, dissect, init, per_example};

/// Configuration of [`ConvBlock`].
#[derive(Debug, Clone, PartialEq)]
pub struct ConvBlockConfig {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Side of the square kernel.
    pub kernel: usize,
    /// Step of the kernel: 1.
    pub stride: usize,
    /// Zeros around the image: 0 ("valid").
    pub padding: usize,
    /// Batch norm between convolution and activation, in place of the bias: off.
    pub batch_norm: bool,
    /// ReLU.
    pub activation: Activation,
}

impl ConvBlockConfig {
    /// Stride 1, no padding, no batch norm, ReLU.
    pub fn new(inputs: usize, outputs: usize, kernel: usize) -> Self {
        Self { inputs, outputs, kernel, stride: 1, padding: 0, batch_norm: false, activation: Activation::Relu }
    }
    /// With another stride.
    pub fn with_stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }
    /// With zeros around the image.
    pub fn with_padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }
    /// With batch norm.
    pub fn with_batch_norm(self, batch_norm: bool) -> Self {
        Self { batch_norm, ..self }
    }
    /// With another activation.
    pub fn with_activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// Draws the weights from the step key.
    pub fn init(&self, device: &Device) -> ConvBlock {
        let Self { padding: p, stride, kernel, .. } = *self;
        let config = Conv2dConfig::new([self.inputs, self.outputs], [kernel, kernel])
            .with_stride([stride, stride])
            .with_padding(if p == 0 { PaddingConfig2d::Valid } else { PaddingConfig2d::Explicit(p, p, p, p) })
            .with_bias(!self.batch_norm);
        ConvBlock {
            conv: init::conv2d(&config, device),
            norm: self.batch_norm.then(|| BatchNormConfig::new(self.outputs).init(device)),
            activation: self.activation,
        }
    }
}

/// Convolution, bias or batch norm, activation.
///
/// `y = a(norm(W ∗ x + b))`
#[derive(Module, Debug)]
pub struct ConvBlock {
    /// The convolution.
    pub conv: Conv2d,
    /// Batch norm, if any.
    pub norm: Option<BatchNorm>,
    /// The activation.
    #[module(skip)]
    pub activation: Activation,
}

impl ConvBlock {
    /// `[B, C, H, W] -> [B, C', H', W']`, `H' = (H + 2 padding − kernel) / stride + 1`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        if let Some(y) = self.convolve_piece(&x) {
            return dissect::activate(self.activation, y);
        }
        let relu = self.activation == Activation::Relu;
        if let Some(y) = self.infer(&x, None, relu) {
            return if relu { y } else { self.activation.forward(y) };
        }
        match &self.norm {
            Some(norm) if relu => norm.forward_relu(self.convolve(x, false)),
            Some(norm) => self.activation.forward(norm.forward(self.convolve(x, false))),
            None if relu => self.convolve(x, true),
            None => self.activation.forward(self.convolve(x, false)),
        }
    }

    /// `a(norm(W ∗ x + b) + residual)`: `[B, C, H, W], [B, C', H', W'] -> [B, C', H', W']`
    pub fn forward_residual(&self, x: Tensor<4>, residual: Tensor<4>) -> Tensor<4> {
        if let Some(y) = self.convolve_piece(&x) {
            return dissect::activate(self.activation, y + residual);
        }
        let relu = self.activation == Activation::Relu;
        if let Some(y) = self.infer(&x, Some(&residual), relu) {
            return if relu { y } else { self.activation.forward(y) };
        }
        match &self.norm {
            Some(norm) if relu => norm.forward_residual_relu(self.convolve(x, false), residual),
            Some(norm) => self.activation.forward(norm.forward(self.convolve(x, false)) + residual),
            None => self.activation.forward(self.convolve(x, false) + residual),
        }
    }

    /// `norm(W ∗ x) + residual` in one operation, and its positive part with `relu`; nothing without batch norm, and in training.
    fn infer(&self, x: &Tensor<4>, residual: Option<&Tensor<4>>, relu: bool) -> Option<Tensor<4>> {
        let padding = self.padding().filter(|_| self.conv.bias.is_none())?;
        let norm = self.norm.as_ref().filter(|norm| !norm.training_on(&x.device()))?;
        Some(conv2d_normalized(x.clone(), self.conv.weight.val(), norm.fixed(), residual.cloned(), relu, self.conv.stride, [padding; 2]))
    }

    /// Where a pass is dissected: the convolution with fixed batch norm folded into it, `W ← W γ/√(σ² + ε)`, `b ← β + (b − μ) γ/√(σ² + ε)`.
    fn convolve_piece(&self, x: &Tensor<4>) -> Option<Tensor<4>> {
        if !dissect::dissecting() {
            return None;
        }
        let Some(padding) = self.padding() else {
            dissect::uncovered("a convolution with groups or dilation");
            return None;
        };
        let (mut weight, mut bias) = (self.conv.weight.val(), self.conv.bias.as_ref().map(|bias| bias.val()));
        if let Some(norm) = &self.norm {
            if norm.training_on(&x.device()) {
                dissect::uncovered("batch norm that is not frozen");
                return None;
            }
            let fixed = norm.fixed();
            let scale = fixed.weight / (fixed.var + fixed.epsilon).sqrt();
            let before = bias.unwrap_or_else(|| fixed.mean.zeros_like());
            bias = Some(fixed.bias + (before - fixed.mean) * scale.clone());
            weight = weight * scale.reshape([-1, 1, 1, 1]);
        }
        Some(dissect::conv_piece(x.clone(), weight, bias, self.conv.stride, [padding; 2]))
    }

    /// The padding, of a convolution as `init` builds it: one a user puts here by hand is Burn's own affair.
    fn padding(&self) -> Option<usize> {
        let Conv2d { dilation, groups, padding, .. } = &self.conv;
        match *padding {
            _ if *groups != 1 || *dilation != [1, 1] => None,
            PaddingConfig2d::Valid => Some(0),
            PaddingConfig2d::Explicit(top, left, bottom, right) if [left, bottom, right] == [top; 3] => Some(top),
            _ => None,
        }
    }

    /// The convolution, with ReLU in the same pass if asked for.
    fn convolve(&self, x: Tensor<4>, relu: bool) -> Tensor<4> {
        let Some(padding) = self.padding() else {
            let y = self.conv.forward(x);
            return if relu { Activation::Relu.forward(y) } else { y };
        };
        if per_example::recording() {
            let (weight, bias) = (&self.conv.weight, self.conv.bias.as_ref());
            let y = per_example::conv_recorded(x, weight, weight.dims(), bias, self.conv.stride, [padding; 2]);
            return if relu { Activation::Relu.forward(y) } else { y };
        }
        let op = if relu { conv2d_relu } else { conv2d };
        op(x, self.conv.weight.val(), self.conv.bias.as_ref().map(|bias| bias.val()), self.conv.stride, [padding; 2])
    }
}

/// Maximum over squares of side `size`, without overlap; what is left at the edge is dropped: `[B, C, H, W] -> [B, C, H/size, W/size]`
pub fn max_pool(x: Tensor<4>, size: usize) -> Tensor<4> {
    max_pool_overlapping(x, size, size, 0)
}

/// Maximum over squares of side `size` at every `stride`, with padding that is never the maximum: `[B, C, H, W] -> [B, C, H', W']`
pub fn max_pool_overlapping(x: Tensor<4>, size: usize, stride: usize, padding: usize) -> Tensor<4> {
    let op = if dissect::dissecting() { dissect::pool_piece } else { dissect::pool };
    op(x, size, stride, padding)
}
