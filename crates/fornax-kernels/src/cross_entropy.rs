//! Softmax and cross-entropy in one.
//!
//! In f32 in memory the gradient is made with the loss, in the one buffer that is kept; everywhere else the loss is composed of Burn's
//! operations.

use burn::tensor::{Int, Tensor, activation::log_softmax};

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod fused;

/// The mean of `−[(1 − s) log p(yᵢ) + (s/K) Σₖ log p(k)]` over the rows whose target is not `ignore`; NaN if there is none. As PyTorch's
/// `cross_entropy` with label smoothing `s` and `ignore_index`: `[B, K], [B] -> [1]`
///
/// # Panics
/// If the sizes do not agree, or a target is neither a class nor `ignore`.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>, smoothing: f64, ignore: Option<i64>) -> Tensor<1> {
    let [batch, classes] = logits.dims();
    assert_eq!(targets.dims(), [batch], "cross-entropy needs one target a row");
    let ids: Vec<i64> = targets.to_data().iter::<i64>().collect();
    let wrong = ids.iter().find(|&&id| Some(id) != ignore && !(0..classes as i64).contains(&id));
    assert!(wrong.is_none(), "target {wrong:?} is none of {classes} classes");
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if crate::op::takes([crate::op::kind(&logits)]) {
        return fused::cross_entropy(logits, ids, smoothing, ignore);
    }
    composed(logits, targets, smoothing, ignore)
}

/// [`cross_entropy`] of Burn's operations: what the fused one is compared with.
pub fn composed(logits: Tensor<2>, targets: Tensor<1, Int>, smoothing: f64, ignore: Option<i64>) -> Tensor<1> {
    let Some(ignore) = ignore else { return composed_per_example(logits, targets, smoothing).mean() };
    let ignored = targets.clone().equal_elem(ignore);
    let counted = targets.clone().zeros_like().add_scalar(1).mask_fill(ignored.clone(), 0).sum();
    let losses = composed_per_example(logits, targets.mask_fill(ignored.clone(), 0), smoothing).mask_fill(ignored, 0.0);
    let dtype = losses.dtype();
    losses.sum() / counted.float().cast(burn::tensor::FloatDType::from(dtype))
}

/// The loss of every row: `[B, K], [B] -> [B]`
pub fn composed_per_example(logits: Tensor<2>, targets: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    let [batch, _] = logits.dims();
    let log_p = log_softmax(logits, 1);
    let right: Tensor<1> = log_p.clone().gather(1, targets.reshape([batch, 1])).reshape([batch]);
    if smoothing == 0.0 {
        return -right;
    }
    let all: Tensor<1> = log_p.mean_dim(1).reshape([batch]);
    -(right * (1.0 - smoothing) + all * smoothing)
}
