//! Max-pooling over squares without overlap.
//!
//! On Flex in f32 both directions are written by hand; everywhere else Burn's own is used.

use burn::tensor::{Tensor, module, ops::MaxPoolOptions};

#[cfg(feature = "flex")]
mod fused;

/// Maximum over squares of side `size`; what is left at the edge is dropped: `[B, C, H, W] -> [B, C, H/size, W/size]`
///
/// A NaN stays one. The gradient goes to the first of equal values.
pub fn max_pool2d(x: Tensor<4>, size: usize) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if fused::takes(&x, size) {
        return fused::max_pool2d(x, size);
    }
    module::max_pool2d(x, MaxPoolOptions::new([size, size]))
}
