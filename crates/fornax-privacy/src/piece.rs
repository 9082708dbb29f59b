//! The gradient of one use of one parameter, for each example, without the sum over examples.

use burn::tensor::{IndexingUpdateOp, Int, Tensor, ops::PadMode, s};

/// Shapes: `B` examples, `T` positions, `P` elements of the parameter.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    /// `Σ_t left_t right_tᵀ`, where no example's is made: `[B, T, P₁], [B, T, P₂]`
    Product(Tensor<3>, Tensor<3>),
    /// `Σ_t` of `g_t` at the row `ids_t` of a table of so many: `[B, T], [B, T, D]`
    Table(Tensor<2, Int>, Tensor<3>, usize),
    /// As they are: `[B, P]`
    Rows(Tensor<2>),
}

impl Piece {
    /// A product, made at once where that is cheaper than its norm without it.
    ///
    /// Source: Bu et al., "Scalable and efficient training of large convolutional neural networks with differential privacy", 2022: the norm alone
    /// takes `2 T²` numbers an example, the gradient `P`.
    pub(crate) fn product(left: Tensor<3>, right: Tensor<3>) -> Self {
        let [_, time, p1] = left.dims();
        let [_, _, p2] = right.dims();
        let piece = Self::Product(left, right);
        if 2 * time * time <= p1 * p2 { piece } else { Self::Rows(piece.each()) }
    }

    /// Of `Σ_t x_t`: `[B, T, P]`
    pub(crate) fn sum_over_positions(x: Tensor<3>) -> Self {
        Self::Rows(x.sum_dim(1).squeeze_dim(1))
    }

    /// `[B, P]`
    pub(crate) fn each(&self) -> Tensor<2> {
        match self {
            Self::Product(left, right) => left.clone().swap_dims(1, 2).matmul(right.clone()).flatten(1, 2),
            Self::Table(ids, g, count) => {
                let [batch, _, width] = g.dims();
                let own: Tensor<2, Int> = Tensor::arange(0..batch as i64, &g.device()).unsqueeze_dim(1);
                table(ids.clone() + own * (*count as i64), g, batch * count).reshape([batch, count * width])
            }
            Self::Rows(rows) => rows.clone(),
        }
    }

    /// The squared norm of each example's: `[B]`
    pub(crate) fn squares(&self) -> Tensor<1> {
        let square = |x: Tensor<3>| -> Tensor<1> { x.powi_scalar(2).sum_dims(&[1, 2]).squeeze_dims(&[1, 2]) };
        let among = |x: &Tensor<3>| x.clone().matmul(x.clone().swap_dims(1, 2));
        let sum = |x: Tensor<3>| -> Tensor<1> { x.sum_dims(&[1, 2]).squeeze_dims(&[1, 2]) };
        match self {
            Self::Product(left, right) if left.dims()[1] == 1 => square(left.clone()) * square(right.clone()),
            // ‖Σ_t a_t g_tᵀ‖² = Σ_tu (a_t · a_u) (g_t · g_u)
            Self::Product(left, right) => sum(among(left) * among(right)),
            Self::Table(ids, g, _) => {
                let [batch, time] = ids.dims();
                let same = ids.clone().reshape([batch, time, 1]).equal(ids.clone().reshape([batch, 1, time]));
                sum(among(g).mask_fill(same.bool_not(), 0.0))
            }
            Self::Rows(rows) => rows.clone().powi_scalar(2).sum_dim(1).squeeze_dim(1),
        }
    }

    /// The weighted sum over examples, in one product: `[B] -> [P]`
    pub(crate) fn weighted(&self, weights: &Tensor<1>) -> Tensor<1> {
        let [batch] = weights.dims();
        let spread = |x: &Tensor<3>| x.clone() * weights.clone().reshape([batch, 1, 1]);
        match self {
            Self::Product(left, right) => {
                let (left, right): (Tensor<2>, Tensor<2>) = (left.clone().flatten(0, 1), spread(right).flatten(0, 1));
                left.transpose().matmul(right).flatten(0, 1)
            }
            Self::Table(ids, g, count) => table(ids.clone(), &spread(g), *count).flatten(0, 1),
            Self::Rows(rows) => weights.clone().unsqueeze::<2>().matmul(rows.clone()).squeeze_dim(0),
        }
    }
}

/// `[B, T], [B, T, D] -> [count, D]`
fn table(ids: Tensor<2, Int>, g: &Tensor<3>, count: usize) -> Tensor<2> {
    let [_, _, width] = g.dims();
    let zeros = Tensor::zeros([count, width], (&g.device(), g.dtype()));
    zeros.select_assign(0, ids.flatten(0, 1), g.clone().flatten(0, 1), IndexingUpdateOp::Add)
}

/// Windows beside each other: `[B, C, H, W] -> [B, H'·W', C·K·L]`
pub(crate) fn windows(x: Tensor<4>, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2], out: [usize; 2]) -> Tensor<3> {
    let [batch, channels, ..] = x.dims();
    let [ph, pw] = padding;
    let x = if padding == [0, 0] { x } else { x.pad((pw, pw, ph, ph), PadMode::Constant(0.0)) };
    let mut all = vec![];
    for i in 0..kernel[0] {
        for j in 0..kernel[1] {
            let end = |from: usize, d: usize| from + (out[d] - 1) * stride[d] + 1;
            let window = x.clone().slice(s![.., .., i..end(i, 0);stride[0] as isize, j..end(j, 1);stride[1] as isize]);
            all.push(window.reshape([batch, channels, 1, out[0] * out[1]]));
        }
    }
    let all = Tensor::cat(all, 2);
    all.reshape([batch, channels * kernel[0] * kernel[1], out[0] * out[1]]).swap_dims(1, 2)
}
