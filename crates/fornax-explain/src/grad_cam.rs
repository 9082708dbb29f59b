use crate::score::score;
use burn::tensor::{Tensor, activation::relu};
use fornax_layers::{Site, Tap};

/// A tap that adds a leaf of zeros at one site, so that the site's gradient can be read. For [`grad_cam`].
#[derive(Debug)]
pub struct CamTap {
    /// None for one that only lets pass.
    site: Option<Site>,
    seen: Option<(Tensor<4>, Tensor<4>)>,
}

impl Tap for CamTap {
    fn tap<const D: usize>(&mut self, site: Site, x: Tensor<D>) -> Tensor<D> {
        if Some(site) != self.site || D != 4 {
            return x;
        }
        let dims = x.dims();
        let shape: [usize; 4] = std::array::from_fn(|d| dims[d]);
        let x: Tensor<4> = x.reshape(shape);
        let leaf = x.zeros_like().detach().require_grad();
        self.seen = Some((x.clone().inner(), leaf.clone()));
        (x + leaf).reshape(dims)
    }
}

impl CamTap {
    pub(crate) fn new(site: Option<Site>) -> Self {
        Self { site, seen: None }
    }
}

/// Where a convolutional network looked: a heat map for each image, in `[0, 1]`, as large as the activation at `site`.
///
/// `L = max(Σₖ αₖ Aₖ, 0)`, with `αₖ` the mean over space of `∂yᶜ/∂Aₖ`; each map is then divided by its maximum.
///
/// `forward` runs the model, frozen and on an autodiff device, with the tap that it is given and returns logits `[B, K]`; `classes` names
/// one class an image. None if the model shows no `[B, C, H, W]` at `site`. `-> [B, H, W]`
///
/// Source: Selvaraju et al., "Grad-CAM", 2017 (<https://arxiv.org/abs/1610.02391>), equations 1 and 2.
///
/// # Panics
/// If `forward` runs on a device without autodiff.
pub fn grad_cam(site: Site, classes: &[usize], forward: impl FnOnce(&mut CamTap) -> Tensor<2>) -> Option<Tensor<3>> {
    let (activation, gradient) = read(site, classes, forward)?;
    Some(heat(cam(activation, gradient)))
}

/// Activation and gradient of the classes' logits at a site, without autodiff.
pub(crate) fn read(site: Site, classes: &[usize], forward: impl FnOnce(&mut CamTap) -> Tensor<2>) -> Option<(Tensor<4>, Tensor<4>)> {
    let mut tap = CamTap::new(Some(site));
    let logits = forward(&mut tap);
    let (activation, leaf) = tap.seen?;
    // Images do not mix in a frozen network, so the gradient of the sum holds each image's own.
    let gradient = leaf.grad(&score(logits, classes).sum().backward())?;
    Some((activation, gradient))
}

/// `max(Σₖ αₖ Aₖ, 0)`, with the mean gradients: `[B, C, H, W], [B, C, H, W] -> [B, 1, H, W]`
pub(crate) fn cam(activation: Tensor<4>, gradient: Tensor<4>) -> Tensor<4> {
    relu((activation * gradient.mean_dims(&[2, 3])).sum_dim(1))
}

/// Each map divided by its maximum: `[B, 1, H, W] -> [B, H, W]`
pub(crate) fn heat(map: Tensor<4>) -> Tensor<3> {
    let [b, _, h, w] = map.dims();
    let most = map.clone().reshape([b, h * w]).max_dim(1).reshape([b, 1, 1, 1]).clamp_min(1e-12);
    (map / most).reshape([b, h, w])
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::module::Module;
    use burn::tensor::Device;
    use fornax_architectures::{ConvNetConfig, ImageClassifier, Mlp, MlpConfig};
    use fornax_kernels::random::{Key, set_step_key};

    const SITE: Site = Site("conv");

    #[test]
    fn equals_the_equation_on_a_network_that_can_be_done_by_hand() {
        // Two 2×2 channels, logits = weighted sums of them: the gradient is the weights.
        let device = Device::flex().autodiff();
        let x = Tensor::<4>::from_floats([[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 0.0], [0.0, 1.0]]]], &device);
        let w = Tensor::<4>::from_floats([[[[1.0, 1.0], [1.0, 1.0]], [[-1.0, -1.0], [0.0, 0.0]]]], &device);
        let map = grad_cam(SITE, &[1], |tap| {
            let h = tap.tap(SITE, x);
            let one: Tensor<2> = (h * w).sum().reshape([1, 1]);
            Tensor::cat(vec![one.clone() * 0.0, one], 1)
        });
        // α = (1, −1/2): max(A₁ − A₂/2, 0) = ((0, 2), (3, 3.5)), then / 3.5.
        let got = map.unwrap().into_data().try_to_vec::<f32>().unwrap();
        for (got, want) in got.iter().zip([0.0, 2.0 / 3.5, 3.0 / 3.5, 1.0]) {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
    }

    #[test]
    fn each_image_has_its_own_map_whatever_else_is_in_the_batch() {
        let device = Device::flex().autodiff();
        set_step_key(Key::new(3));
        let model = ConvNetConfig::tutorial().init(&device).freeze();
        let x = Key::new(1).mask([3, 1, 28, 28], 0.3, 1.0, &device);
        let cam = |x: Tensor<4>, classes: &[usize]| grad_cam(fornax_architectures::ConvNet::LAST, classes, |tap| model.forward_with(x, tap)).unwrap();
        let all = cam(x.clone(), &[1, 2, 3]);
        assert_eq!(all.dims(), [3, 24, 24]);
        let one = cam(x.slice([1..2]), &[2]);
        let difference = (all.slice([1..2]) - one).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-4, "{difference}");
    }

    #[test]
    fn a_model_without_the_site_has_no_map() {
        let device = Device::flex().autodiff();
        set_step_key(Key::new(3));
        let model: Mlp = MlpConfig::mnist().init(&device).freeze();
        assert!(grad_cam(SITE, &[0], |tap| model.forward_with(Tensor::zeros([1, 1, 28, 28], &device), tap)).is_none());
    }
}
