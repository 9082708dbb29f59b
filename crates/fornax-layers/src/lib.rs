//! Layers, losses and the [`Tap`] seam for Burn.
//!
//! Shapes: `B` batch, `C` channels, `H`, `W` height and width, `D` features, `K` classes, `T` time, `V` vocabulary.
//!
//! What is here differs from Burn's own for a reason: [`BatchNorm`] updates its statistics as PyTorch does and survives
//! `clone()`, [`Dropout`] draws from a key so that a resumed run continues exactly, and every block draws its first weights from
//! the same keys, so that one seed gives the same network on every backend. What Burn does well is re-exported: [`burn_layers`].
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use burn::tensor::{Device, Tensor};
//! use fornax_layers::{Activation, ConvBlockConfig};
//! let device = Device::flex();
//! let block = ConvBlockConfig::new(1, 32, 3).init(&device);
//! assert_eq!(block.forward(Tensor::zeros([8, 1, 28, 28], &device)).dims(), [8, 32, 26, 26]);
//! # }
//! ```
#![recursion_limit = "256"]

/// The Burn that this crate is built on, for those who depend on this crate alone.
pub use burn;

mod attention;
mod batch_norm;
mod conv_block;
mod crf;
mod ctc;
mod ctc_decode;
mod decoder_block;
mod dense_block;
pub mod dissect;
mod dropout;
mod embedding;
mod feed_forward;
pub mod init;
mod key_value_cache;
mod known_gradient;
mod linear;
pub mod loss;
mod lstm_cells;
mod max_over_time;
mod min_rnn;
mod mixture;
mod norm;
pub mod per_example;
pub mod positions;
mod recurrent;
mod relative_attention;
mod rotary_attention;
mod selective_state;
mod sequence_attention;
mod spectral_conv;
pub mod steps;
mod tap;
mod temporal_conv;
mod transformer;
mod unrolled;

pub use attention::{MultiHeadAttention, MultiHeadAttentionConfig};
pub use batch_norm::{BatchNorm, BatchNormConfig, Running};
pub use conv_block::{ConvBlock, ConvBlockConfig, max_pool, max_pool_overlapping};
pub use crf::{Crf, CrfConfig};
pub use ctc::{CtcLoss, CtcReduction};
pub use ctc_decode::{Emission, Hypothesis, ctc_beam, ctc_greedy};
pub use decoder_block::{CrossAttention, DecoderBlock, Memory};
pub use dense_block::{DenseBlock, DenseBlockConfig};
pub use dropout::{Dropout, DropoutConfig, LockedDropout};
pub use embedding::{Embedding, EmbeddingConfig};
pub use feed_forward::{FeedForward, FeedForwardKind};
pub use fornax_kernels::activation::Activation;
pub use key_value_cache::KeyValueCache;
pub use linear::{Linear, LinearConfig, head};
pub use lstm_cells::{LayerNormLstm, LayerNormLstmConfig, LstmState, PeepholeLstm, PeepholeLstmConfig, StepCell, Zoneout};
pub use max_over_time::{MaxOverTime, MaxOverTimeConfig};
pub use min_rnn::{MinCell, MinRnn, MinRnnConfig, linear_scan};
pub use mixture::{Mixed, MixtureOfExperts, MixtureOfExpertsConfig};
pub use norm::{LayerNorm, LayerNormConfig, RmsNorm, RmsNormConfig};
pub use recurrent::{Cell, Direction, Recurrent, RecurrentConfig, RecurrentState};
pub use relative_attention::{RelativeAttention, RelativeAttentionConfig, bucket};
pub use rotary_attention::{RotaryAttention, RotaryAttentionConfig};
pub use selective_state::{SelectiveMemory, SelectiveState, SelectiveStateConfig};
pub use sequence_attention::{AdditiveAttention, AdditiveAttentionConfig, AttentionPool, AttentionPoolConfig, LuongAttention, LuongAttentionConfig};
pub use spectral_conv::{SpectralConv, SpectralConvConfig};
pub use tap::{CROSS_PROBABILITIES, NoTap, PROBABILITIES, Site, Tap};
pub use temporal_conv::{TemporalConv, TemporalConvConfig};
pub use transformer::{TransformerBlock, TransformerBlockConfig};
pub use unrolled::Unrolled;

/// Burn's layers that need no second version.
pub mod burn_layers {
    pub use burn::nn::conv::{Conv1d, Conv1dConfig, Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
    pub use burn::nn::pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig, AvgPool2d, AvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
    pub use burn::nn::{GroupNorm, GroupNormConfig};
}
