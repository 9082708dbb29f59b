use crate::{
    LayerTap,
    gauss_legendre::gauss_legendre,
    layer::{differentiate, read},
};
use burn::tensor::Tensor;
use fornax_layers::Site;

/// How strongly each input moves one unit: `∂hⱼ/∂x`, with `j` counted in the flattened activation at `site`.
///
/// In block `block`, where a model has the site in several; `forward` runs a frozen model on an autodiff device, with the tap that it is given.
/// None if the model shows nothing there. `[B, …] -> [B, …]`, without autodiff.
///
/// Source: Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks", 2014 (<https://arxiv.org/abs/1312.6034>), of a hidden unit.
///
/// # Panics
/// If `x` is on a device without autodiff, or the activation has no unit `unit`.
pub fn neuron_gradient<const D: usize>(
    (site, block): (Site, Option<usize>),
    unit: usize,
    x: Tensor<D>,
    forward: impl Fn(Tensor<D>, &mut LayerTap) -> Tensor<2>,
) -> Option<Tensor<D>> {
    let examples = x.dims()[0];
    differentiate((site, block), unit, &vec![1.0; examples], x, forward)
}

/// What of the logit's change along the line from a baseline each input sends through one unit: `(x − x′) ⊙ ∫ ∂yᶜ/∂hⱼ ∂hⱼ/∂x da`.
///
/// Over all units of a layer that everything passes, they add up to integrated gradients. The integral takes `steps` points of Gauss and
/// Legendre. `baseline` is as `x`, or one example of it; otherwise as [`neuron_gradient`].
///
/// Source: Dhamdhere, Sundararajan and Yan, "How important is a neuron?", 2018 (<https://arxiv.org/abs/1805.12233>), equation 3.
///
/// # Panics
/// As [`neuron_gradient`], if `steps` is 0, or the classes are not one an example.
pub fn neuron_conductance<const D: usize>(
    (site, block): (Site, Option<usize>),
    unit: usize,
    x: Tensor<D>,
    baseline: Tensor<D>,
    classes: &[usize],
    steps: usize,
    forward: impl Fn(Tensor<D>, &mut LayerTap) -> Tensor<2>,
) -> Option<Tensor<D>> {
    assert!(steps > 0, "conductance needs at least one step");
    let path = x.clone() - baseline.clone();
    let mut sum = x.inner().zeros_like();
    for (at, weight) in gauss_legendre(steps) {
        let point = baseline.clone() + path.clone() * at;
        let (_, gradient) = read((site, block), point.clone(), classes, &forward)?;
        let units = gradient.dims()[1];
        assert!(unit < units, "unit {unit} of {units}");
        let through: Vec<f64> = gradient.narrow(1, unit, 1).into_data().iter::<f64>().map(|g| g * weight).collect();
        sum = sum + differentiate((site, block), unit, &through, point, &forward)?;
    }
    Some(sum * path.inner())
}
