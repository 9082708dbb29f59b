//! Sequences of different lengths in one tensor: what is padding, and what is not.
//!
//! Padding may hold anything, NaN too: it is replaced, never multiplied, and gets a gradient of exactly zero.

use burn::tensor::{Bool, DType, Device, Tensor, TensorData, activation::softmax};

/// True behind the end of each sequence: `[B, T]`
///
/// # Panics
/// If a length is above `time`.
pub fn padding(lengths: &[usize], time: usize, device: &Device) -> Tensor<2, Bool> {
    assert!(lengths.iter().all(|length| *length <= time), "lengths {lengths:?} of sequences of {time} steps");
    let behind: Vec<bool> = lengths.iter().flat_map(|length| (0..time).map(move |t| t >= *length)).collect();
    Tensor::from_data(TensorData::new(behind, [lengths.len(), time]), device)
}

/// Zeros behind the end of each sequence: `[B, T, D] -> [B, T, D]`
///
/// # Panics
/// If lengths are not one a sequence, or one is above `T`.
pub fn zero_padding(x: Tensor<3>, lengths: Option<&[usize]>) -> Tensor<3> {
    let Some(lengths) = lengths else { return x };
    let [batch, time, width] = x.dims();
    assert_eq!(lengths.len(), batch, "one length a sequence");
    let behind = padding(lengths, time, &x.device()).reshape([batch, time, 1]).expand([batch, time, width]);
    x.mask_fill(behind, 0.0)
}

/// Softmax over the steps that each sequence has, 0 behind them; a sequence of no steps has zeros alone: `[B, S, T] -> [B, S, T]`
///
/// # Panics
/// As [`zero_padding`].
pub fn softmax_over_steps(scores: Tensor<3>, lengths: Option<&[usize]>) -> Tensor<3> {
    let Some(lengths) = lengths else { return softmax(scores, 2) };
    let [batch, queries, time] = scores.dims();
    assert_eq!(lengths.len(), batch, "one length a sequence");
    let behind = padding(lengths, time, &scores.device()).reshape([batch, 1, time]).expand([batch, queries, time]);
    // Not −∞, of which a sequence of no steps would make NaN.
    softmax(scores.mask_fill(behind.clone(), -1e30), 2).mask_fill(behind, 0.0)
}

/// The mean over the steps that each sequence has, 0 of one that has none: `[B, T, D] -> [B, D]`
///
/// # Panics
/// As [`zero_padding`].
pub fn mean_over_steps(x: Tensor<3>, lengths: Option<&[usize]>) -> Tensor<2> {
    let [_, time, _] = x.dims();
    let device = x.device();
    let sum: Tensor<2> = zero_padding(x, lengths).sum_dim(1).squeeze_dim(1);
    match lengths {
        None => sum / time.max(1) as f64,
        Some(lengths) => {
            let shares = lengths.iter().map(|length| 1.0 / (*length).max(1) as f64).collect();
            let shares = floats(shares, [lengths.len(), 1], &device, sum.dtype());
            sum * shares
        }
    }
}

/// Numbers as a tensor of a type.
pub(crate) fn floats<const D: usize>(values: Vec<f64>, shape: [usize; D], device: &Device, dtype: DType) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape).convert_dtype(dtype), (device, dtype))
}
