use crate::{
    features::{mask, replace},
    score::{per_example, scores},
};
use burn::tensor::Tensor;

/// What the logit loses behind a window that slides over an image, at each pixel the mean over the windows that cover it.
///
/// A window covers all channels, is `side × side`, and moves by `stride`; the last one ends at or beyond the edge. `baseline` is as `x`, or
/// one example of it; `forward` runs a frozen model and needs no autodiff; `classes` names one class an example.
/// `[B, C, H, W] -> [B, C, H, W]`
///
/// Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014 (<https://arxiv.org/abs/1311.2901>), section 4.2.
///
/// # Panics
/// If the stride is 0 or larger than the side, which would leave pixels out, or the classes are not one an example.
pub fn occlusion(
    x: Tensor<4>,
    baseline: Tensor<4>,
    [side, stride]: [usize; 2],
    classes: &[usize],
    forward: impl Fn(Tensor<4>) -> Tensor<2>,
) -> Tensor<4> {
    assert!(0 < stride && stride <= side, "a stride of {stride} for windows of side {side}");
    let [_, channels, height, width] = x.dims();
    let starts = |length: usize| (0..=length.saturating_sub(side).div_ceil(stride)).map(move |i| i * stride);
    let whole = scores(&forward, x.clone(), classes);
    let mut sum = x.zeros_like();
    let mut covered = mask(&x, vec![0.0; channels * height * width]);
    for top in starts(height) {
        for left in starts(width) {
            let inside = |at: usize| (top..top + side).contains(&(at / width)) && (left..left + side).contains(&(at % width));
            let plane = (0..channels).flat_map(|_| 0..height * width);
            let window = mask(&x, plane.map(|at| f64::from(u8::from(inside(at)))).collect());
            let hidden = scores(&forward, replace(&x, &baseline, window.clone()), classes);
            let lost: Vec<f64> = whole.iter().zip(hidden).map(|(y, hidden)| y - hidden).collect();
            sum = sum + window.clone() * per_example(&lost, &x);
            covered = covered + window;
        }
    }
    sum / covered
}
