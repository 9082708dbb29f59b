use burn::module::{Flag, Module, Param};
use burn::tensor::Tensor;
use fornax_kernels::random::next_draw;

/// Configuration of [`Dropout`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DropoutConfig {
    /// The probability that an element becomes 0, in `[0, 1)`.
    pub probability: f64,
}

impl DropoutConfig {
    /// # Panics
    /// If `probability` is not in `[0, 1)`.
    pub fn new(probability: f64) -> Self {
        assert!((0.0..1.0).contains(&probability), "dropout probability must be in [0, 1), not {probability}");
        Self { probability }
    }

    /// A layer in training mode.
    pub fn init(&self) -> Dropout {
        Dropout { probability: self.probability, training: Param::from_bool(true) }
    }

    /// [`LockedDropout`] in training mode.
    pub fn init_locked(&self) -> LockedDropout {
        LockedDropout { inner: self.init() }
    }
}

/// Zeroes random elements in training and scales the rest, so that the expectation stays.
///
/// `y = x ⊙ m / (1 − p)`, with `m` Bernoulli(1 − p). The mask is a function of the key of the step and of how many draws came before
/// it, so that a resumed run sees the same masks. Active on an autodiff device unless the module is frozen.
///
/// Source: Srivastava et al., "Dropout", 2014.
#[derive(Module, Debug)]
pub struct Dropout {
    /// The probability that an element becomes 0.
    pub probability: f64,
    /// Cleared by `freeze`.
    pub training: Param<Flag>,
}

impl Dropout {
    /// `[...] -> [...]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self.mask(x.dims(), &x) {
            Some(mask) => x * mask,
            None => x,
        }
    }

    /// The mask of a shape, for something of `x`'s type and device; none where nothing is dropped.
    pub(crate) fn mask<const D: usize, const E: usize>(&self, shape: [usize; D], x: &Tensor<E>) -> Option<Tensor<D>> {
        let device = x.device();
        if !self.training.is_enabled() || !device.is_autodiff() || self.probability == 0.0 {
            return None;
        }
        let keep = 1.0 - self.probability;
        let mask = next_draw().mask(shape, keep, (1.0 / keep) as f32, &device);
        Some(mask.cast(burn::tensor::FloatDType::from(x.dtype())))
    }
}

/// [`Dropout`] with the same mask at every step of a sequence ("variational", "locked").
///
/// `y_t = x_t ⊙ m / (1 − p)`, with one `m: [D]` a sequence.
///
/// Source: Gal and Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks", 2016.
#[derive(Module, Debug)]
pub struct LockedDropout {
    /// Draws the masks.
    pub inner: Dropout,
}

impl LockedDropout {
    /// `[B, T, D] -> [B, T, D]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, _, width] = x.dims();
        match self.inner.mask([batch, 1, width], &x) {
            Some(mask) => x * mask,
            None => x,
        }
    }
}
