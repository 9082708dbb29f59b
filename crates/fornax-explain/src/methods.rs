//! Attribution of images by name.

use crate::{
    Distance, Features, Locality, NotCovered, Smooth, deconvolution, deep_lift, epsilon_plus, feature_ablation, gradient_shap, guided_backprop,
    input_x_gradient, integrated_gradients, kernel_shap, lime, lrp, noise_tunnel, normal_noise, occlusion, random_coalitions, random_orders,
    random_points, random_samples, saliency, shapley_sampling,
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

/// What a method says: `[B, C, H, W]`, or that it does not suit the model.
pub type Answer = Result<Tensor<4>, NotCovered>;

/// A method with numbers that suit small images.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// For the command line.
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
    /// The attributions.
    pub explain: fn(Question<'_>) -> Answer,
}

/// All that ask a model of images for nothing but its logits.
pub const METHODS: &[Method] = &[
    Method { name: "saliency", about: "size of the gradient", explain: |q| Ok(saliency(q.images, q.classes, q.forward)) },
    Method { name: "input-x-gradient", about: "pixel times gradient", explain: |q| Ok(input_x_gradient(q.images, q.classes, q.forward)) },
    Method {
        name: "integrated-gradients",
        about: "gradients on the line from black, 50 points",
        explain: |q| Ok(integrated_gradients(q.images, q.baseline, q.classes, 50, q.forward).attributions),
    },
    Method { name: "smooth-grad", about: "gradients under noise, squared, 25 samples", explain: smooth_grad },
    Method { name: "gradient-shap", about: "gradients at random points between noise and black, 50 samples", explain: shap_of_gradients },
    Method {
        name: "guided-backprop",
        about: "gradients that every ReLU keeps positive",
        explain: |q| guided_backprop(q.images, q.classes, q.forward),
    },
    Method {
        name: "deconvolution",
        about: "gradients that every ReLU keeps positive, also where it was 0",
        explain: |q| deconvolution(q.images, q.classes, q.forward),
    },
    Method {
        name: "deep-lift",
        about: "differences to black, led back",
        explain: |q| deep_lift(q.images, q.baseline, q.classes, q.forward).map(|lifted| lifted.attributions),
    },
    Method {
        name: "lrp",
        about: "the logit handed back: z⁺ in convolutions, ε in dense layers",
        explain: |q| lrp(q.images, q.classes, epsilon_plus, q.forward),
    },
    Method {
        name: "occlusion",
        about: "what a window of 5×5 hides",
        explain: |q| Ok(occlusion(q.images, q.baseline, [5, 2], q.classes, q.forward).inner()),
    },
    Method { name: "feature-ablation", about: "what squares of 4×4 are worth alone", explain: ablation },
    Method { name: "shapley-sampling", about: "what squares of 4×4 are worth together, 10 orders", explain: shapley },
    Method { name: "kernel-shap", about: "the same by regression, 10 coalitions a square", explain: shap_by_regression },
    Method { name: "lime", about: "a linear model of squares of 4×4, 10 samples a square", explain: local_model },
];

fn smooth_grad(q: Question<'_>) -> Answer {
    let noise = normal_noise(Key::new(0), 25, 0.15, q.images.dims(), &q.images.device());
    Ok(noise_tunnel(q.images, noise, Smooth::Squared, |x| saliency(x, q.classes, q.forward)))
}

fn shap_of_gradients(q: Question<'_>) -> Answer {
    let points = random_points(Key::new(0), 50, 0.09, &q.images, &q.baseline);
    Ok(gradient_shap(q.images, points, q.classes, q.forward))
}

fn squares(images: &Tensor<4>) -> Features {
    let [_, c, h, w] = images.dims();
    Features::patches([c, h, w], 4)
}

fn ablation(q: Question<'_>) -> Answer {
    let features = squares(&q.images);
    Ok(feature_ablation(q.images, q.baseline, &features, q.classes, q.forward).inner())
}

fn shapley(q: Question<'_>) -> Answer {
    let features = squares(&q.images);
    let orders = random_orders(Key::new(0), features.count(), 10);
    Ok(shapley_sampling(q.images, q.baseline, &features, &orders, q.classes, q.forward).inner())
}

fn shap_by_regression(q: Question<'_>) -> Answer {
    let features = squares(&q.images);
    let coalitions = random_coalitions(Key::new(0), features.count(), 5 * features.count());
    Ok(kernel_shap(q.images, q.baseline, &features, &coalitions, q.classes, q.forward).inner())
}

fn local_model(q: Question<'_>) -> Answer {
    let features = squares(&q.images);
    let samples = random_samples(Key::new(0), features.count(), 10 * features.count());
    let locality = Locality { distance: Distance::Cosine, width: 0.25, ridge: 1.0 };
    Ok(lime(q.images, q.baseline, &features, &samples, locality, q.classes, q.forward).inner())
}
