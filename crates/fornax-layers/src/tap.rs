//! Names for activations, so that tools can read or replace them.

use burn::tensor::Tensor;

/// The name of an activation. A model has its sites as constants, so that a typo does not compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Site(pub &'static str);

/// What attention multiplies the values with, in a model whose blocks show it: `[B, H, T, S]`. Shown to taps with [`Tap::ATTENTION`] alone.
pub const PROBABILITIES: Site = Site("probabilities");
/// The same of attention from one sequence to another.
pub const CROSS_PROBABILITIES: Site = Site("cross.probabilities");

/// Sees every named activation of a forward pass and may replace it.
///
/// A model calls it once a site; `forward(x)` is `forward_with(x, &mut NoTap)`. Not object-safe, and needn't be.
pub trait Tap {
    /// Whether anything is read: with `false` a layer may take its fused path.
    const ACTIVE: bool = true;
    /// Whether the probabilities of attention are read, at [`PROBABILITIES`]: only then are they made, where attention otherwise never stores them.
    const ATTENTION: bool = false;
    /// Block `index` of the list `name` begins; the sites that follow belong to it.
    fn scope(&mut self, _name: &'static str, _index: usize) {}
    /// An activation; what is returned goes on.
    fn tap<const D: usize>(&mut self, _site: Site, x: Tensor<D>) -> Tensor<D> {
        x
    }
}

/// Sees nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTap;

impl Tap for NoTap {
    const ACTIVE: bool = false;
}
