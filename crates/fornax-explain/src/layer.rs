use crate::{
    gauss_legendre::gauss_legendre,
    score::{per_example, score},
};
use burn::tensor::Tensor;
use fornax_layers::{Site, Tap};

/// A tap that reads one site and adds a leaf of zeros to it, so that the site's gradient can be read.
#[derive(Debug)]
pub struct LayerTap {
    site: Site,
    block: Option<usize>,
    inside: usize,
    seen: Option<(Tensor<2>, Tensor<2>)>,
}

impl LayerTap {
    fn new(site: Site, block: Option<usize>) -> Self {
        Self { site, block, inside: 0, seen: None }
    }
}

impl Tap for LayerTap {
    fn scope(&mut self, _name: &'static str, index: usize) {
        self.inside = index;
    }
    fn tap<const D: usize>(&mut self, site: Site, x: Tensor<D>) -> Tensor<D> {
        if site != self.site || self.block.is_some_and(|block| block != self.inside) || self.seen.is_some() {
            return x;
        }
        let dims = x.dims();
        let flat: Tensor<2> = x.reshape([dims[0] as i32, -1]);
        let leaf = flat.zeros_like().detach().require_grad();
        self.seen = Some((flat.clone(), leaf.clone()));
        (flat + leaf).reshape(dims)
    }
}

/// Activation and gradient `∂yᶜ/∂h` at a site, `[B, N]` each, without autodiff.
pub(crate) fn read<const D: usize>(
    (site, block): (Site, Option<usize>),
    x: Tensor<D>,
    classes: &[usize],
    forward: impl Fn(Tensor<D>, &mut LayerTap) -> Tensor<2>,
) -> Option<(Tensor<2>, Tensor<2>)> {
    let mut tap = LayerTap::new(site, block);
    let logits = forward(x, &mut tap);
    let (activation, leaf) = tap.seen?;
    let activation = activation.inner();
    let gradient = leaf.grad(&score(logits, classes).sum().backward()).unwrap_or_else(|| activation.zeros_like());
    Some((activation, gradient))
}

/// `Σ_b factor_b ∂h_{b,unit}/∂x`, which in a frozen network holds each example's own: `[B, …]`, without autodiff.
pub(crate) fn differentiate<const D: usize>(
    (site, block): (Site, Option<usize>),
    unit: usize,
    factors: &[f64],
    x: Tensor<D>,
    forward: impl Fn(Tensor<D>, &mut LayerTap) -> Tensor<2>,
) -> Option<Tensor<D>> {
    let mut tap = LayerTap::new(site, block);
    let x = x.detach().require_grad();
    forward(x.clone(), &mut tap);
    let (activation, _) = tap.seen?;
    let units = activation.dims()[1];
    assert!(unit < units, "unit {unit} of {units}");
    let chosen = activation.narrow(1, unit, 1);
    let chosen = (chosen.clone() * per_example(factors, &chosen)).sum();
    let none = x.clone().inner().zeros_like();
    Some(if chosen.is_tracked() { x.grad(&chosen.backward()).unwrap_or(none) } else { none })
}

/// The activation at a site, in block `block` where a model has the site in several: `[B, N]`, flattened.
///
/// None if the model shows nothing there.
///
/// # Panics
/// If `x` is on a device without autodiff.
pub fn layer_activation<const D: usize>(
    site: Site,
    block: Option<usize>,
    x: Tensor<D>,
    forward: impl Fn(Tensor<D>, &mut LayerTap) -> Tensor<2>,
) -> Option<Tensor<2>> {
    let mut tap = LayerTap::new(site, block);
    forward(x, &mut tap);
    tap.seen.map(|(activation, _)| activation.inner())
}

/// How much of the logit's change along the line from a baseline flows through each hidden unit: `∫ ∂yᶜ/∂h · ∂h/∂a da`, `[B, N]`, flattened.
///
/// `Σᵢ ∂yᶜ/∂h(aᵢ) ⊙ (h(aᵢ₊₁) − h(aᵢ))` over `steps` differences between the `steps + 1` points of Gauss and Legendre, as Captum's. None if the
/// model shows nothing at `site` (in block `block`, where a model has the site in several).
///
/// Source: Dhamdhere, Sundararajan and Yan, "How important is a neuron?", 2018 (<https://arxiv.org/abs/1805.12233>); the sum is equation 4 of
/// Shrikumar, Su and Kundaje, 2018 (<https://arxiv.org/abs/1807.09946>).
///
/// # Panics
/// If `x` is on a device without autodiff, `steps` is 0, or the classes are not one an example.
pub fn layer_conductance<const D: usize>(
    (site, block): (Site, Option<usize>),
    x: Tensor<D>,
    baseline: Tensor<D>,
    classes: &[usize],
    steps: usize,
    forward: impl Fn(Tensor<D>, &mut LayerTap) -> Tensor<2>,
) -> Option<Tensor<2>> {
    assert!(steps > 0, "conductance needs at least one step");
    let path = x - baseline.clone();
    let points = gauss_legendre(steps + 1).into_iter();
    let read: Option<Vec<_>> = points.map(|(at, _)| read((site, block), baseline.clone() + path.clone() * at, classes, &forward)).collect();
    read?.windows(2).map(|pair| pair[0].1.clone() * (pair[1].0.clone() - pair[0].0.clone())).reduce(|sum, part| sum + part)
}
