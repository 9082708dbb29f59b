use burn::module::{Content, Flag, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor, activation::relu};
use fornax_kernels::batch_norm::{batch_norm_training, batch_norm_training_relu, batch_norm_training_residual_relu};
use fornax_kernels::conv::Normalization;
use std::sync::{Mutex, PoisonError};

use crate::init;

/// Configuration of [`BatchNorm`], with PyTorch's defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormConfig {
    /// `C`
    pub channels: usize,
    /// Added to the variance: 1e-5.
    pub epsilon: f64,
    /// The share of a new batch in the running statistics: 0.1.
    pub momentum: f64,
}

impl BatchNormConfig {
    /// PyTorch's defaults.
    pub fn new(channels: usize) -> Self {
        Self { channels, epsilon: 1e-5, momentum: 0.1 }
    }

    /// γ = 1, β = 0, running mean 0 and variance 1.
    pub fn init(&self, device: &Device) -> BatchNorm {
        BatchNorm {
            weight: init::constant([self.channels], 1.0, device),
            bias: init::constant([self.channels], 0.0, device),
            running_mean: Running::new(Tensor::zeros([self.channels], device)),
            running_var: Running::new(Tensor::ones([self.channels], device)),
            training: Param::from_bool(true),
            epsilon: self.epsilon,
            momentum: self.momentum,
        }
    }
}

/// Normalizes every channel over the batch and space.
///
/// `y = γ (x − μ) / √(σ² + ε) + β`; in training μ and σ² are the batch's (biased), otherwise the running ones, which move by
/// `r ← (1 − m) r + m s` with the **unbiased** variance, as PyTorch's do. Training means: on an autodiff device, and not frozen.
///
/// A clone has statistics of its own (Burn's shares them), and they are up to date when `forward` returns.
///
/// Source: Ioffe and Szegedy, "Batch normalization", 2015.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// `γ: [C]`
    pub weight: Param<Tensor<1>>,
    /// `β: [C]`
    pub bias: Param<Tensor<1>>,
    /// `[C]`
    pub running_mean: Running,
    /// `[C]`
    pub running_var: Running,
    /// Cleared by `freeze`.
    pub training: Param<Flag>,
    /// Added to the variance.
    pub epsilon: f64,
    /// The share of a new batch in the running statistics.
    pub momentum: f64,
}

impl BatchNorm {
    /// `[B, C, ...] -> [B, C, ...]`
    ///
    /// # Panics
    /// In training, if there is only one value a channel: its variance is not defined.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        if self.is_training(&x) { self.train_with(x, batch_norm_training) } else { self.fixed().forward(x) }
    }

    /// `max(forward(x), 0)`, in training in the same passes over the memory: `[B, C, ...] -> [B, C, ...]`
    ///
    /// # Panics
    /// As [`BatchNorm::forward`].
    pub fn forward_relu<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        if self.is_training(&x) { self.train_with(x, batch_norm_training_relu) } else { relu(self.fixed().forward(x)) }
    }

    /// `max(forward(x) + residual, 0)`, in training in the same passes over the memory: `[B, C, ...], [B, C, ...] -> [B, C, ...]`
    ///
    /// # Panics
    /// As [`BatchNorm::forward`], and if the shapes differ.
    pub fn forward_residual_relu<const D: usize>(&self, x: Tensor<D>, residual: Tensor<D>) -> Tensor<D> {
        if self.is_training(&x) {
            self.train_with(x, |x, weight, bias, epsilon| batch_norm_training_residual_relu(x, weight, bias, epsilon, residual))
        } else {
            relu(self.fixed().forward(x) + residual)
        }
    }

    /// Whether the batch's own statistics are used, and the running ones move. Looks at the shape of `x`.
    fn is_training<const D: usize>(&self, x: &Tensor<D>) -> bool {
        let [channels] = self.weight.dims();
        assert_eq!(x.dims()[1], channels, "batch norm over {channels} channels got an input of shape {:?}", x.dims());
        self.training_on(&x.device())
    }

    /// As [`BatchNorm::is_training`], of any input there.
    pub(crate) fn training_on(&self, device: &Device) -> bool {
        self.training.is_enabled() && device.is_autodiff()
    }

    /// What it does outside of training.
    pub(crate) fn fixed(&self) -> Normalization {
        let (mean, var) = (self.running_mean.value(), self.running_var.value());
        Normalization { weight: self.weight.val(), bias: self.bias.val(), mean, var, epsilon: self.epsilon }
    }

    /// `training` gives result, mean and biased variance.
    fn train_with<const D: usize>(
        &self,
        x: Tensor<D>,
        training: impl FnOnce(Tensor<D>, Tensor<1>, Tensor<1>, f64) -> (Tensor<D>, Tensor<1>, Tensor<1>),
    ) -> Tensor<D> {
        let count = x.shape().num_elements() / self.weight.dims()[0];
        assert!(count > 1, "batch norm in training needs more than one value a channel, got shape {:?}", x.dims());
        let (y, mean, var) = training(x, self.weight.val(), self.bias.val(), self.epsilon);
        self.running_mean.blend(mean, self.momentum);
        self.running_var.blend(var * (count as f64 / (count - 1) as f64), self.momentum);
        y
    }
}

/// A statistic that `forward(&self)` may move: saved and loaded with the module, never trained, and never shared by a clone.
#[derive(Debug)]
pub struct Running(Mutex<Param<Tensor<1>>>);

impl Running {
    /// Starts at `value`.
    pub fn new(value: Tensor<1>) -> Self {
        Self::of(Param::initialized(ParamId::new(), value))
    }

    fn of(param: Param<Tensor<1>>) -> Self {
        // Whatever a mapper did (`unfreeze` asks for gradients): a statistic has none.
        Self(Mutex::new(param.set_require_grad(false)))
    }

    fn param(&self) -> Param<Tensor<1>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The present value.
    pub fn value(&self) -> Tensor<1> {
        self.param().val()
    }

    /// `r ← (1 − share) r + share · sample`, without gradients.
    pub fn blend(&self, sample: Tensor<1>, share: f64) {
        let mut param = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *param = param.clone().map(|old| {
            let new = old.inner() * (1.0 - share) + sample.inner() * share;
            Tensor::from_inner(new)
        });
    }
}

impl Clone for Running {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.param()))
    }
}

impl Module for Running {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        visitor.visit_float(&self.param());
    }
    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        Self::of(mapper.map_float(self.param()))
    }
    fn to_device(self, device: &Device) -> Self {
        Self::of(self.param().to_device(device))
    }
    fn fork(self, device: &Device) -> Self {
        Self::of(self.param().fork(device))
    }
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.param().collect_devices(devices)
    }
    fn valid(&self) -> Self {
        Self::of(self.param().valid())
    }
    fn train(self) -> Self {
        Self::of(self.param().train())
    }
    fn materialize(self) -> Self {
        self
    }
}

impl ModuleDisplayDefault for Running {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&"Running").optional()
    }
}

impl ModuleDisplay for Running {}
