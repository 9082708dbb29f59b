use burn::tensor::{Tensor, TensorData};

/// Which elements of an example are one feature: a pixel, a patch, a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    of: Vec<usize>,
    count: usize,
}

impl Features {
    /// The feature of each element of an example, in row-major order; features are numbered from 0.
    pub fn new(of: Vec<usize>) -> Self {
        let count = of.iter().max().map_or(0, |&most| most + 1);
        Self { of, count }
    }
    /// Every element for itself.
    pub fn each(elements: usize) -> Self {
        Self::new((0..elements).collect())
    }
    /// Squares of a side, through all channels of an image `[C, H, W]`.
    ///
    /// # Panics
    /// If the side is 0.
    pub fn patches([channels, height, width]: [usize; 3], side: usize) -> Self {
        assert!(side > 0, "patches need a side of at least 1");
        let across = width.div_ceil(side);
        let plane = move |at: usize| (at / width / side) * across + at % width / side;
        Self::new((0..channels).flat_map(|_| (0..height * width).map(plane)).collect())
    }
    /// How many.
    pub fn count(&self) -> usize {
        self.count
    }
    /// The sum over the elements of each: `[…] -> [F]`
    pub(crate) fn totals(&self, values: &[f64]) -> Vec<f64> {
        assert_eq!(values.len(), self.of.len(), "elements of an example");
        let mut totals = vec![0.0; self.count];
        self.of.iter().zip(values).for_each(|(&feature, value)| totals[feature] += value);
        totals
    }
    /// 1 at the elements of features that are in: `[1, …]`
    pub(crate) fn mask<const D: usize>(&self, like: &Tensor<D>, is_in: impl Fn(usize) -> bool) -> Tensor<D> {
        mask(like, self.of.iter().map(|&feature| f64::from(u8::from(is_in(feature)))).collect())
    }
    /// Each feature's value at each of its elements: `[B][F] -> [B, …]`
    pub(crate) fn spread<const D: usize>(&self, values: &[Vec<f64>], like: &Tensor<D>) -> Tensor<D> {
        let all = values.iter().flat_map(|values| self.of.iter().map(move |&feature| values[feature])).collect();
        Tensor::from_data(TensorData::new::<f64, _>(all, like.dims()).convert_dtype(like.dtype()), (&like.device(), like.dtype()))
    }
}

/// Numbers for the elements of one example: `[1, …]`
pub(crate) fn mask<const D: usize>(like: &Tensor<D>, values: Vec<f64>) -> Tensor<D> {
    let mut shape = like.dims();
    shape[0] = 1;
    assert_eq!(values.len(), shape.iter().product::<usize>(), "features of an example of {shape:?}");
    Tensor::from_data(TensorData::new(values, shape).convert_dtype(like.dtype()), (&like.device(), like.dtype()))
}

/// `x` where the mask is 0, the baseline where it is 1.
pub(crate) fn replace<const D: usize>(x: &Tensor<D>, baseline: &Tensor<D>, mask: Tensor<D>) -> Tensor<D> {
    x.clone() + (baseline.clone() - x.clone()) * mask
}
