use crate::{
    CamTap, NotCovered,
    grad_cam::{cam, read},
    pieces::{gradient, trace},
};
use burn::tensor::{Int, Tensor, activation::relu};
use fornax_layers::{Activation, Site, dissect::What};

/// Gradients of which each ReLU lets pass what is positive on both ways: `g ← max(g, 0) ⊙ 1[z > 0]`.
///
/// Everything but ReLU keeps its gradient. `forward` runs a frozen model on an autodiff device; `classes` names one class an example.
/// `[B, …] -> [B, …]`, without autodiff.
///
/// Source: Springenberg et al., "Striving for simplicity", 2015 (<https://arxiv.org/abs/1412.6806>), section 3.4.
///
/// # Errors
/// If the model has layers that are no dense layer, convolution, activation or max-pooling.
///
/// # Panics
/// If `x` is on a device without autodiff, the classes are not one an example, or the model wants a [`junction`](fornax_layers::dissect::junction).
pub fn guided_backprop<const D: usize>(
    x: Tensor<D>,
    classes: &[usize],
    forward: impl FnOnce(Tensor<D>) -> Tensor<2>,
) -> Result<Tensor<D>, NotCovered> {
    Ok(trace(x, classes, forward)?.back(|_, piece, g| match piece.what {
        What::Activation(Activation::Relu) => relu(gradient(&piece.what, &piece.x, g)),
        _ => gradient(&piece.what, &piece.x, g),
    }))
}

/// Gradients of which each ReLU lets pass what is positive on the way back, whatever it did on the way forth: `g ← max(g, 0)`.
///
/// Otherwise as [`guided_backprop`].
///
/// Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014 (<https://arxiv.org/abs/1311.2901>), as a gradient by
/// Simonyan et al., 2014 (<https://arxiv.org/abs/1312.6034>), section 4.
///
/// # Errors
/// As [`guided_backprop`].
///
/// # Panics
/// As [`guided_backprop`].
pub fn deconvolution<const D: usize>(x: Tensor<D>, classes: &[usize], forward: impl FnOnce(Tensor<D>) -> Tensor<2>) -> Result<Tensor<D>, NotCovered> {
    Ok(trace(x, classes, forward)?.back(|_, piece, g| match piece.what {
        What::Activation(Activation::Relu) => relu(g),
        _ => gradient(&piece.what, &piece.x, g),
    }))
}

/// [`guided_backprop`] where [`grad_cam`](crate::grad_cam()) says that the network looked: their product, the map stretched to the image and not
/// divided by its maximum.
///
/// `forward` runs a frozen model with the tap that it is given, on an autodiff device; None if the model shows no `[B, C, H, W]` at `site`.
/// `[B, C, H, W] -> [B, C, H, W]`
///
/// Source: Selvaraju et al., "Grad-CAM", 2017 (<https://arxiv.org/abs/1610.02391>), section 3.2; the nearest place of the map, as in Captum, where
/// the paper interpolates.
///
/// # Errors
/// As [`guided_backprop`].
///
/// # Panics
/// As [`guided_backprop`].
pub fn guided_grad_cam(
    site: Site,
    x: Tensor<4>,
    classes: &[usize],
    forward: impl Fn(Tensor<4>, &mut CamTap) -> Tensor<2>,
) -> Result<Option<Tensor<4>>, NotCovered> {
    let [_, _, height, width] = x.dims();
    let Some((activation, at)) = read(site, classes, |tap| forward(x.clone(), tap)) else { return Ok(None) };
    let map = nearest(nearest(cam(activation, at), 2, height), 3, width);
    let guided = guided_backprop(x, classes, |x| forward(x, &mut CamTap::new(None)))?;
    Ok(Some(guided * map))
}

/// A dimension stretched to another length by repeating what is nearest.
fn nearest(map: Tensor<4>, dim: usize, length: usize) -> Tensor<4> {
    let from = map.dims()[dim];
    let places: Vec<i64> = (0..length).map(|i| (i * from / length) as i64).collect();
    let places: Tensor<1, Int> = Tensor::from_data(places.as_slice(), &map.device());
    map.select(dim, places)
}
