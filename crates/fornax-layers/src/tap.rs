//! Names for activations, so that tools can read or replace them.

use burn::tensor::Tensor;

/// The name of an activation. A model has its sites as constants, so that a typo does not compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Site(pub &'static str);

/// Sees every named activation of a forward pass and may replace it.
///
/// A model calls it once a site; `forward(x)` is `forward_with(x, &mut NoTap)`. Not object-safe, and needn't be.
pub trait Tap {
    /// Whether anything is read: with `false` a layer may take its fused path.
    const ACTIVE: bool = true;
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
