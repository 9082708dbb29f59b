//! Attribution of images by name.

use crate::{
    Features, Smooth, feature_ablation, input_x_gradient, integrated_gradients, noise_tunnel, normal_noise, occlusion, random_orders, saliency,
    shapley_sampling,
};
use burn::tensor::Tensor;
use fornax_kernels::random::Key;

/// Images, what is asked of them, and who answers.
#[allow(missing_debug_implementations)]
pub struct Question<'a> {
    /// `[B, C, H, W]`, on an autodiff device.
    pub images: Tensor<4>,
    /// What stands for nothing: `[1, C, H, W]`
    pub baseline: Tensor<4>,
    /// One an image.
    pub classes: &'a [usize],
    /// A frozen model.
    pub forward: &'a dyn Fn(Tensor<4>) -> Tensor<2>,
}

/// A method with numbers that suit small images.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// For the command line.
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
    /// `-> [B, C, H, W]`
    pub explain: fn(Question<'_>) -> Tensor<4>,
}

/// All that work on any model of images.
pub const METHODS: &[Method] = &[
    Method { name: "saliency", about: "size of the gradient", explain: |q| saliency(q.images, q.classes, q.forward) },
    Method { name: "input-x-gradient", about: "pixel times gradient", explain: |q| input_x_gradient(q.images, q.classes, q.forward) },
    Method {
        name: "integrated-gradients",
        about: "gradients on the line from black, 50 points",
        explain: |q| integrated_gradients(q.images, q.baseline, q.classes, 50, q.forward).attributions,
    },
    Method { name: "smooth-grad", about: "gradients under noise, squared, 25 samples", explain: smooth_grad },
    Method {
        name: "occlusion",
        about: "what a window of 5×5 hides",
        explain: |q| occlusion(q.images, q.baseline, [5, 2], q.classes, q.forward).inner(),
    },
    Method { name: "feature-ablation", about: "what squares of 4×4 are worth alone", explain: ablation },
    Method { name: "shapley-sampling", about: "what squares of 4×4 are worth together, 10 orders", explain: shapley },
];

fn smooth_grad(q: Question<'_>) -> Tensor<4> {
    let noise = normal_noise(Key::new(0), 25, 0.15, q.images.dims(), &q.images.device());
    noise_tunnel(q.images, noise, Smooth::Squared, |x| saliency(x, q.classes, q.forward))
}

fn squares(images: &Tensor<4>) -> Features {
    let [_, c, h, w] = images.dims();
    Features::patches([c, h, w], 4)
}

fn ablation(q: Question<'_>) -> Tensor<4> {
    let features = squares(&q.images);
    feature_ablation(q.images, q.baseline, &features, q.classes, q.forward).inner()
}

fn shapley(q: Question<'_>) -> Tensor<4> {
    let features = squares(&q.images);
    let orders = random_orders(Key::new(0), features.count(), 10);
    shapley_sampling(q.images, q.baseline, &features, &orders, q.classes, q.forward).inner()
}
