//! Heat maps of images, by the name of a method.

use crate::{
    error::usage,
    images::{Maps, heat},
};
use anyhow::{Context, Result};
use burn::tensor::Tensor;
use fornax_architectures::ImageClassifier;
use fornax_explain::{METHODS, Question};

/// It reads an activation, where the others ask for nothing but the logits.
const GRAD_CAM: &str = "grad-cam";

/// Whether there is such a method.
pub(crate) fn check(name: &str) -> Result<()> {
    let known: Vec<_> = std::iter::once(GRAD_CAM).chain(METHODS.iter().map(|method| method.name)).collect();
    if known.contains(&name) { Ok(()) } else { Err(usage(format!("--explain takes {}, not `{name}`", known.join(", ")))) }
}

/// Maps in `[0, 1]` of images `[B, C, H, W]` on an autodiff device: the size of the attributions, summed over channels.
pub(crate) fn maps<M: ImageClassifier>(name: &str, model: &M, images: Tensor<4>, baseline: Tensor<4>, classes: &[usize]) -> Result<Maps> {
    if name == GRAD_CAM {
        return heat(model, images, classes).context("this architecture has no spatial activation for grad-cam to read: try integrated-gradients");
    }
    let method = METHODS.iter().find(|method| method.name == name).with_context(|| format!("there is no method `{name}`"))?;
    let model = model.clone().train().freeze();
    let attributions = (method.explain)(Question { images, baseline, classes, forward: &|x| model.forward(x) });
    let [_, _, h, w] = attributions.dims();
    let sizes: Vec<f32> = attributions.abs().sum_dim(1).into_data().iter::<f32>().collect();
    let scaled = |map: &[f32]| {
        let most = map.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        map.iter().map(|size| size / most).collect()
    };
    Ok((sizes.chunks(h * w).map(scaled).collect(), [h, w]))
}
