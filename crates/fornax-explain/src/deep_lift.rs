use crate::{
    Integrated, NotCovered,
    pieces::{gradient, trace},
};
use burn::tensor::Tensor;
use fornax_layers::dissect::{Piece, What};

/// What the difference of each input to a baseline adds to that of the logit: `(x − x′) ⊙ m`, with multipliers that lead back as gradients do.
///
/// An activation has the multiplier `m_z = m_y Δy / Δz` (the rescale rule), or its gradient where `|Δz| < 1e-7`; max-pooling gives what it adds
/// to the input that was its maximum; everything linear keeps its gradient. So the attributions add up to `yᶜ(x) − yᶜ(x′)`, but for
/// rounding, which `gap` tells. `baseline` is as `x`, or one example of it; `forward` runs a frozen model on an autodiff device; `classes`
/// names one class an example.
///
/// Source: Shrikumar, Greenside and Kundaje, "Learning important features through propagating activation differences", 2017
/// (<https://arxiv.org/abs/1704.02685>), section 3.5.2; as gradients: Ancona et al., 2018 (<https://arxiv.org/abs/1711.06104>); max-pooling as in
/// Captum.
///
/// # Errors
/// If the model has layers that are no dense layer, convolution, activation or max-pooling.
///
/// # Panics
/// If `x` is on a device without autodiff, the classes are not one an example, or the model wants a [`junction`](fornax_layers::dissect::junction).
pub fn deep_lift<const D: usize>(
    x: Tensor<D>,
    baseline: Tensor<D>,
    classes: &[usize],
    forward: impl Fn(Tensor<D>) -> Tensor<2>,
) -> Result<Integrated<D>, NotCovered> {
    let baseline = baseline.expand(x.dims());
    let (here, there) = (trace(x.clone(), classes, &forward)?, trace(baseline.clone(), classes, &forward)?);
    let multipliers = here.back(|n, piece, m| match piece.what {
        What::Activation(_) => rescale(piece, &there.pieces[n], m),
        What::MaxPool { .. } => pooled(piece, &there.pieces[n], m),
        _ => gradient(&piece.what, &piece.x, m),
    });
    let attributions = multipliers * (x.clone() - baseline).inner();
    let sums: Tensor<2> = attributions.clone().reshape([x.dims()[0] as i32, -1]).sum_dim(1);
    let ends = here.scores().into_iter().zip(there.scores());
    let gap = sums.into_data().iter::<f64>().zip(ends).map(|(sum, (y, y0))| sum - (y - y0)).collect();
    Ok(Integrated { attributions, gap })
}

/// `x − x′` and `y − y′` of a piece.
fn differences(here: &Piece, there: &Piece) -> [Tensor<4>; 2] {
    let difference = |a: &Tensor<4>, b: &Tensor<4>| a.clone().inner() - b.clone().inner();
    [difference(&here.x, &there.x), difference(&here.y, &there.y)]
}

/// `above / below`, or `instead` where `|below|` is as good as 0.
fn divide(above: Tensor<4>, below: Tensor<4>, instead: Tensor<4>) -> Tensor<4> {
    let small = below.clone().abs().lower_elem(1e-7);
    (above / below.mask_fill(small.clone(), 1.0)).mask_where(small, instead)
}

fn rescale(here: &Piece, there: &Piece, m: Tensor<4>) -> Tensor<4> {
    let [dx, dy] = differences(here, there);
    divide(m.clone() * dy, dx, gradient(&here.what, &here.x, m))
}

/// From `y′` up to the larger of both maxima the difference belongs to the input that is the maximum here, from there to `y` to that there.
fn pooled(here: &Piece, there: &Piece, m: Tensor<4>) -> Tensor<4> {
    let [dx, _] = differences(here, there);
    let (y, y0) = (here.y.clone().inner(), there.y.clone().inner());
    let most = y.clone().max_pair(y0.clone());
    let given = gradient(&here.what, &here.x, m.clone() * (most.clone() - y0)) + gradient(&here.what, &there.x, m.clone() * (y - most));
    divide(given, dx, gradient(&here.what, &here.x, m))
}
