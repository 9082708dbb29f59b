use crate::{LayerTap, LinearProbe, layer::read};
use burn::tensor::Tensor;
use fornax_layers::Site;

/// The direction of a concept in activations: the normal, of length 1, of the plane that parts them from others', towards the concept.
///
/// The plane is that of a [`LinearProbe`] with penalty `penalty`. `[B, N]` and `[B', N]`, as [`layer_activation`](crate::layer_activation) gives
/// them; `-> [N]`
///
/// Source: Kim et al., "Interpretability beyond feature attribution: quantitative testing with concept activation vectors", 2018
/// (<https://arxiv.org/abs/1711.11279>), section 3.2.
///
/// # Panics
/// If there is no example, or both are not of one width.
pub fn concept_direction(concept: &Tensor<2>, others: &Tensor<2>, penalty: f64) -> Vec<f64> {
    let classes: Vec<usize> = [(1, concept), (0, others)].iter().flat_map(|(class, x)| vec![*class; x.dims()[0]]).collect();
    let probe = LinearProbe::fit(&Tensor::cat(vec![concept.clone(), others.clone()], 0), &classes, 2, penalty);
    let normal: Vec<f64> = probe.weights[1].iter().zip(&probe.weights[0]).map(|(a, b)| a - b).collect();
    let size = normal.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    normal.into_iter().map(|v| v / size).collect()
}

/// How the logit of each example's class changes as its activation moves towards a concept: `∂yᶜ/∂h · v`.
///
/// At `site`, in block `block` where a model has the site in several; `direction: [N]`, of the flattened activation. `forward` runs a frozen model on
/// an autodiff device, with the tap that it is given; `classes` names one class an example. None if the model shows nothing there.
///
/// Source: Kim et al., 2018, equation 1.
///
/// # Panics
/// If `x` is on a device without autodiff, the classes are not one an example, or the direction is not of the activation's width.
pub fn concept_sensitivity<const D: usize>(
    (site, block): (Site, Option<usize>),
    direction: &[f64],
    x: Tensor<D>,
    classes: &[usize],
    forward: impl Fn(Tensor<D>, &mut LayerTap) -> Tensor<2>,
) -> Option<Vec<f64>> {
    let (_, gradient) = read((site, block), x, classes, forward)?;
    let [_, width] = gradient.dims();
    assert_eq!(direction.len(), width, "a direction in an activation of {width} numbers");
    let numbers: Vec<f64> = gradient.into_data().iter::<f64>().collect();
    Some(numbers.chunks(width).map(|row| row.iter().zip(direction).map(|(g, v)| g * v).sum()).collect())
}

/// The share of examples of a class for which the concept speaks: of [`concept_sensitivity`], those above 0. Of nothing, 0.
///
/// One that random examples in place of the concept's would give as often is no finding: compare with several such.
///
/// Source: Kim et al., 2018, equation 2.
pub fn tcav_score(sensitivities: &[f64]) -> f64 {
    sensitivities.iter().filter(|&&s| s > 0.0).count() as f64 / sensitivities.len().max(1) as f64
}
