use crate::{
    CamTap,
    grad_cam::{heat, read},
};
use burn::tensor::{Tensor, activation::relu};
use fornax_layers::Site;

/// Where a convolutional network looked, with every place of several objects: a heat map for each image, in `[0, 1]`.
///
/// `L = max(Σₖ wₖ Aₖ, 0)`, `wₖ = Σᵢⱼ αᵢⱼ max(g, 0)`, `αᵢⱼ = g² / (2 g² + Σ_ab A_ab g³)` with `g = ∂yᶜ/∂Aₖ` at `ij`; each map is then divided by
/// its maximum, so that the factor `exp(yᶜ)`, which the paper's score has in all of `w`, does not count. Where `g` is 0, so is `α`.
///
/// As [`grad_cam`](crate::grad_cam()). `-> [B, H, W]`
///
/// Source: Chattopadhay et al., "Grad-CAM++", 2018 (<https://arxiv.org/abs/1710.11063>), equations 5, 10 and 19.
///
/// # Panics
/// If `forward` runs on a device without autodiff.
pub fn grad_cam_plus_plus(site: Site, classes: &[usize], forward: impl FnOnce(&mut CamTap) -> Tensor<2>) -> Option<Tensor<3>> {
    let (activation, gradient) = read(site, classes, forward)?;
    let square = gradient.clone().square();
    let below = square.clone() * 2.0 + activation.clone().sum_dims(&[2, 3]) * square.clone() * gradient.clone();
    let none = below.clone().equal_elem(0.0);
    let alpha = (square / below.mask_fill(none.clone(), 1.0)).mask_fill(none, 0.0);
    let weights = (alpha * relu(gradient)).sum_dims(&[2, 3]); // [B, C, 1, 1]
    Some(heat(relu((activation * weights).sum_dim(1))))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use fornax_layers::Tap;

    #[test]
    fn equals_the_equation_on_a_network_that_can_be_done_by_hand() {
        const SITE: Site = Site("conv");
        // The gradient is the weights: g = (1, 2; 0, 0) in the first channel, −1 once in the second.
        let device = Device::flex().autodiff();
        let x = Tensor::<4>::from_floats([[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 0.0], [0.0, 1.0]]]], &device);
        let w = Tensor::<4>::from_floats([[[[1.0, 2.0], [0.0, 0.0]], [[-1.0, 0.0], [0.0, 0.0]]]], &device);
        let map = grad_cam_plus_plus(SITE, &[1], |tap| {
            let h = tap.tap(SITE, x);
            let one: Tensor<2> = (h * w).sum().reshape([1, 1]);
            Tensor::cat(vec![one.clone() * 0.0, one], 1)
        });
        // w₁ = 1 / (2 + 10) + 2 · 4 / (8 + 80) and w₂ = 0, so that the map is A₁ / 4 whatever w₁ is.
        let got = map.unwrap().into_data().try_to_vec::<f32>().unwrap();
        for (got, want) in got.iter().zip([0.25, 0.5, 0.75, 1.0]) {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
    }
}
