use crate::{SequenceEncoder, SequenceEncoderConfig};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use fornax_layers::{Dropout, DropoutConfig, Linear, LinearConfig, NoTap, Tap};
use serde::{Deserialize, Serialize};

/// Configuration of [`FrameLabeler`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameLabelerConfig {
    /// The body.
    pub encoder: SequenceEncoderConfig,
    /// Before the head.
    pub dropout: f64,
    /// Classes of a step; for CTC, with the blank.
    pub classes: usize,
}

impl FrameLabelerConfig {
    /// One bidirectional LSTM layer, no dropout.
    pub fn new(inputs: usize, hidden: usize, classes: usize) -> Self {
        Self { encoder: SequenceEncoderConfig::new(inputs, hidden), dropout: 0.0, classes }
    }

    /// 26 features to 61 phonemes over one bidirectional layer of 93 cells: Graves and Schmidhuber, "Framewise phoneme classification with bidirectional LSTM
    /// and other neural network architectures", 2005. Their cells have peepholes; these have not.
    pub fn graves_2005() -> Self {
        Self::new(26, 93, 61)
    }

    /// Trainable parameters.
    pub fn parameters(&self) -> usize {
        self.encoder.parameters() + (self.encoder.outputs() + 1) * self.classes
    }

    /// Draws the weights from the step key.
    ///
    /// # Panics
    /// As [`SequenceEncoderConfig::init`].
    pub fn init(&self, device: &Device) -> FrameLabeler {
        FrameLabeler {
            encoder: self.encoder.init(device),
            dropout: DropoutConfig::new(self.dropout).init(),
            head: LinearConfig::new(self.encoder.outputs(), self.classes).init(device),
        }
    }
}

/// A class for every step: recurrent layers and a head. Trained frame by frame, or by CTC.
#[derive(Module, Debug)]
pub struct FrameLabeler {
    /// The body.
    pub encoder: SequenceEncoder,
    /// Before the head.
    pub dropout: Dropout,
    /// To the logits.
    pub head: Linear,
}

impl FrameLabeler {
    /// Logits and their lengths, with every named activation shown to `tap`: `[B, T, I] -> [B, T', K]`
    ///
    /// `T'` is `T` unless a convolution in front strides. With `lengths`, padding is not read; its logits are the head's bias.
    ///
    /// # Panics
    /// If lengths are not one a sequence, or one is above `T`.
    pub fn forward_with<S: Tap>(&self, x: Tensor<3>, lengths: Option<&[usize]>, tap: &mut S) -> (Tensor<3>, Option<Vec<usize>>) {
        let encoded = self.encoder.forward_with(x, lengths, tap);
        (self.head.forward(self.dropout.forward(encoded.steps)), encoded.lengths)
    }

    /// Logits and their lengths: `[B, T, I] -> [B, T', K]`
    ///
    /// # Panics
    /// As [`FrameLabeler::forward_with`].
    pub fn forward(&self, x: Tensor<3>, lengths: Option<&[usize]>) -> (Tensor<3>, Option<Vec<usize>>) {
        self.forward_with(x, lengths, &mut NoTap)
    }
}
