//! Rows of a table by number.
//!
//! In f32 in memory the gradient adds to each row of the table in one task, in the order of the numbers, so that its bits do not depend on
//! the threads; everywhere else Burn's own is used.

use burn::tensor::{Int, Tensor, module};

#[cfg(any(feature = "flex", feature = "ndarray"))]
mod fused;

/// `y[b, t] = table[ids[b, t]]`: `[V, D], [B, T] -> [B, T, D]`
///
/// # Panics
/// If a number has no row.
pub fn embedding(table: Tensor<2>, ids: Tensor<2, Int>) -> Tensor<3> {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if crate::op::takes([crate::op::kind(&table)]) {
        return fused::embedding(table, ids);
    }
    module::embedding(table, ids)
}
