//! Heat maps of images, by the name of a method.

use crate::{error::usage, images::Maps};
use anyhow::{Context, Result, anyhow};
use burn::tensor::Tensor;
use fornax_architectures::ImageClassifier;
use fornax_explain::{METHODS, Question, grad_cam, grad_cam_plus_plus, guided_grad_cam};

/// They read an activation, where the others ask for nothing but the logits.
const CAMS: &[&str] = &["grad-cam", "grad-cam-plus-plus", "guided-grad-cam"];

/// Whether there is such a method.
pub(crate) fn check(name: &str) -> Result<()> {
    let known: Vec<_> = CAMS.iter().copied().chain(METHODS.iter().map(|method| method.name)).collect();
    if known.contains(&name) { Ok(()) } else { Err(usage(format!("--explain takes {}, not `{name}`", known.join(", ")))) }
}

/// Maps in `[0, 1]` of images `[B, C, H, W]` on an autodiff device: the size of the attributions, summed over channels.
pub(crate) fn maps<M: ImageClassifier>(name: &str, model: &M, images: Tensor<4>, baseline: Tensor<4>, classes: &[usize]) -> Result<Maps> {
    let model = model.clone().train().freeze();
    if CAMS.contains(&name) {
        let missing = || anyhow!("this architecture has no spatial activation for {name} to read: try integrated-gradients");
        let site = M::SPATIAL.ok_or_else(missing)?;
        let map = match name {
            "grad-cam" => grad_cam(site, classes, |tap| model.forward_with(images, tap)),
            "grad-cam-plus-plus" => grad_cam_plus_plus(site, classes, |tap| model.forward_with(images, tap)),
            _ => return guided_grad_cam(site, images, classes, |x, tap| model.forward_with(x, tap))?.map(sizes).ok_or_else(missing),
        };
        return map.map(each).ok_or_else(missing);
    }
    let method = METHODS.iter().find(|method| method.name == name).with_context(|| format!("there is no method `{name}`"))?;
    Ok(sizes((method.explain)(Question { images, baseline, classes, forward: &|x| model.forward(x) })?))
}

/// The maps one by one, and their sides.
pub(crate) fn each(maps: Tensor<3>) -> Maps {
    let [_, h, w] = maps.dims();
    let numbers: Vec<f32> = maps.into_data().iter::<f32>().collect();
    (numbers.chunks(h * w).map(<[f32]>::to_vec).collect(), [h, w])
}

/// Of each image the size of the attributions, of the largest.
fn sizes(attributions: Tensor<4>) -> Maps {
    let (maps, sides) = each(attributions.abs().sum_dim(1).squeeze_dim(1));
    let scaled = |map: &Vec<f32>| {
        let most = map.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        map.iter().map(|size| size / most).collect()
    };
    (maps.iter().map(scaled).collect(), sides)
}
