use burn::tensor::{Device, Tensor, TensorData};
use fornax_kernels::random::Key;

/// What is kept of attributions under noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Smooth {
    /// The mean: SmoothGrad.
    Mean,
    /// The mean of the squares: SmoothGrad-Squared.
    Squared,
    /// The variance, biased: VarGrad.
    Variance,
}

/// Attributions of noisy copies of an input, put together: `E[a]`, `E[a²]` or `E[a²] − E[a]²`, with `a = attribute(x + noise)`.
///
/// One copy for each tensor of `noise`, `[B, …]`, on the device of `x`; see [`normal_noise`].
///
/// Source: Smilkov et al., "SmoothGrad", 2017 (<https://arxiv.org/abs/1706.03825>); squared: Hooker et al., 2019
/// (<https://arxiv.org/abs/1806.10758>); VarGrad: Adebayo et al., 2018 (<https://arxiv.org/abs/1810.03307>).
///
/// # Panics
/// If there is no noise.
pub fn noise_tunnel<const D: usize>(
    x: Tensor<D>,
    noise: impl IntoIterator<Item = Tensor<D>>,
    smooth: Smooth,
    attribute: impl Fn(Tensor<D>) -> Tensor<D>,
) -> Tensor<D> {
    let all: Vec<_> = noise.into_iter().map(|noise| attribute(x.clone() + noise)).collect();
    let mean = |values: Vec<Tensor<D>>| {
        let n = values.len() as f64;
        values.into_iter().reduce(|sum, value| sum + value).map(|sum| sum / n).expect("at least one tensor of noise")
    };
    let squares = |centre: &Tensor<D>| all.iter().map(|a| (a.clone() - centre.clone()).square()).collect::<Vec<_>>();
    match smooth {
        Smooth::Mean => mean(all),
        Smooth::Squared => mean(all.iter().map(|a| a.clone().square()).collect()),
        // From the centre, where E[a²] − E[a]² cancels.
        Smooth::Variance => mean(squares(&mean(all.clone()))),
    }
}

/// `samples` tensors of normal noise: element `i` of sample `s` is a function of the key, `s` and `i` alone.
pub fn normal_noise<const D: usize>(
    key: Key,
    samples: usize,
    deviation: f64,
    shape: [usize; D],
    device: &Device,
) -> impl Iterator<Item = Tensor<D>> + use<D> {
    let device = device.clone();
    (0..samples as u64).map(move |sample| {
        let key = key.fold(sample);
        let values = (0..shape.iter().product::<usize>() as u64).map(|i| (deviation * key.normal(i)) as f32).collect();
        Tensor::from_data(TensorData::new::<f32, _>(values, shape), &device)
    })
}
