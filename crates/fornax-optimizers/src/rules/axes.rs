//! Preconditioners by axis: a flat tensor seen as a matrix, one axis after another.

use burn::tensor::{Tensor, TensorData};

/// One square matrix for each axis that has one, all in one flat tensor: row-major, one after another.
#[derive(Debug)]
pub(super) struct AxisMatrices {
    /// The axes that have a matrix: their sizes; None for the others.
    sizes: Vec<Option<usize>>,
}

/// Reads a tensor as f64.
fn host(x: &Tensor<1>) -> Vec<f64> {
    x.to_data().convert::<f64>().iter::<f64>().collect()
}

impl AxisMatrices {
    /// For axes of at most `largest`.
    pub(super) fn new(shape: &[usize], largest: u64) -> Self {
        Self { sizes: shape.iter().map(|&n| (n as u64 <= largest).then_some(n)).collect() }
    }

    /// Elements of all.
    pub(super) fn len(&self) -> usize {
        self.sizes.iter().flatten().map(|n| n * n).sum()
    }

    /// `G Gᵀ` of each axis, G being the tensor with that axis as rows and all others as columns.
    pub(super) fn products(&self, shape: &[usize], grad: &Tensor<1>) -> Tensor<1> {
        let mut parts = vec![];
        let mut x = grad.clone();
        for (&n, size) in shape.iter().zip(&self.sizes) {
            let rows: Tensor<2> = x.reshape([n, grad.dims()[0] / n.max(1)]);
            if size.is_some() {
                parts.push(rows.clone().matmul(rows.clone().transpose()).reshape([n * n]));
            }
            x = rows.transpose().reshape([grad.dims()[0]]);
        }
        Tensor::cat(parts, 0)
    }

    /// The tensor times each axis' matrix: `Mᵀ` from the left on the axis as rows, or `M` itself if `transposed`.
    pub(super) fn apply(&self, shape: &[usize], x: Tensor<1>, matrices: &Tensor<1>, transposed: bool) -> Tensor<1> {
        let total = x.dims()[0];
        let mut at = 0;
        shape.iter().zip(&self.sizes).fold(x, |x, (&n, size)| {
            // The axis goes to the end; after all of them the order is the first.
            let mut columns: Tensor<2> = x.reshape([n, total / n.max(1)]).transpose();
            if size.is_some() {
                let matrix: Tensor<2> = matrices.clone().narrow(0, at, n * n).reshape([n, n]);
                at += n * n;
                columns = columns.matmul(if transposed { matrix.transpose() } else { matrix });
            }
            columns.reshape([total])
        })
    }

    /// Each matrix by a function on the host: `(matrices, size) -> matrix`, the same axis of every tensor in `from`.
    pub(super) fn map(&self, from: &[&Tensor<1>], mut f: impl FnMut(usize, &[&[f64]], usize) -> Vec<f64>) -> Tensor<1> {
        let all: Vec<Vec<f64>> = from.iter().map(|x| host(x)).collect();
        let mut result = Vec::with_capacity(self.len());
        for (axis, n) in self.sizes.iter().enumerate().filter_map(|(axis, size)| Some((axis, (*size)?))) {
            let parts: Vec<&[f64]> = all.iter().map(|x| &x[result.len()..result.len() + n * n]).collect();
            let new = f(axis, &parts, n);
            result.extend(new);
        }
        like(from[0], result)
    }
}

/// Numbers as a flat tensor of the type and device of another.
fn like(x: &Tensor<1>, values: Vec<f64>) -> Tensor<1> {
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]).convert_dtype(x.dtype()), (&x.device(), x.dtype()))
}
