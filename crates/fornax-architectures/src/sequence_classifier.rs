use crate::{SequenceEncoder, SequenceEncoderConfig, sequence_encoder::Encoded};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use fornax_layers::{AttentionPool, AttentionPoolConfig, Dropout, DropoutConfig, Linear, LinearConfig, NoTap, Site, Tap, steps::mean_over_steps};
use serde::{Deserialize, Serialize};

/// How a sequence becomes one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// `h` of the last layer at the end of each direction.
    Last,
    /// The mean over all steps.
    Mean,
    /// The mean weighted by learned scores: [`AttentionPool`].
    Attention,
}

/// Configuration of [`SequenceClassifier`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SequenceClassifierConfig {
    /// The body.
    pub encoder: SequenceEncoderConfig,
    /// Over the steps.
    pub pooling: Pooling,
    /// Before the head.
    pub dropout: f64,
    /// Classes.
    pub classes: usize,
}

impl SequenceClassifierConfig {
    /// One bidirectional LSTM layer, the mean over its steps, no dropout.
    pub fn new(inputs: usize, hidden: usize, classes: usize) -> Self {
        Self { encoder: SequenceEncoderConfig::new(inputs, hidden), pooling: Pooling::Mean, dropout: 0.0, classes }
    }

    /// Trainable parameters.
    pub fn parameters(&self) -> usize {
        let width = self.encoder.outputs();
        let pool = if self.pooling == Pooling::Attention { width * (width + 1) + width } else { 0 };
        self.encoder.parameters() + pool + (width + 1) * self.classes
    }

    /// Draws the weights from the step key.
    ///
    /// # Panics
    /// As [`SequenceEncoderConfig::init`].
    pub fn init(&self, device: &Device) -> SequenceClassifier {
        let width = self.encoder.outputs();
        SequenceClassifier {
            encoder: self.encoder.init(device),
            attention: (self.pooling == Pooling::Attention).then(|| AttentionPoolConfig::new(width, width).init(device)),
            dropout: DropoutConfig::new(self.dropout).init(),
            head: LinearConfig::new(width, self.classes).init(device),
            pooling: self.pooling,
        }
    }
}

/// One class for a whole sequence: recurrent layers, pooling over time, a head.
#[derive(Module, Debug)]
pub struct SequenceClassifier {
    /// The body.
    pub encoder: SequenceEncoder,
    /// Of [`Pooling::Attention`].
    pub attention: Option<AttentionPool>,
    /// Before the head.
    pub dropout: Dropout,
    /// To the logits.
    pub head: Linear,
    #[module(skip)]
    pooling: Pooling,
}

impl SequenceClassifier {
    /// The sequence as one vector: `[B, D]`
    pub const POOLED: Site = Site("pooled");

    /// Logits, with every named activation shown to `tap`: `[B, T, I] -> [B, K]`
    ///
    /// With `lengths`, padding is not read. A sequence of no steps is pooled to zeros.
    ///
    /// # Panics
    /// If lengths are not one a sequence, or one is above `T`.
    pub fn forward_with<S: Tap>(&self, x: Tensor<3>, lengths: Option<&[usize]>, tap: &mut S) -> Tensor<2> {
        let encoded = self.encoder.forward_with(x, lengths, tap);
        let pooled = tap.tap(Self::POOLED, self.pool(encoded));
        self.head.forward(self.dropout.forward(pooled))
    }

    /// Logits: `[B, T, I] -> [B, K]`
    ///
    /// # Panics
    /// As [`SequenceClassifier::forward_with`].
    pub fn forward(&self, x: Tensor<3>, lengths: Option<&[usize]>) -> Tensor<2> {
        self.forward_with(x, lengths, &mut NoTap)
    }

    fn pool(&self, Encoded { steps, lengths, state }: Encoded) -> Tensor<2> {
        match (&self.attention, self.pooling) {
            (Some(attention), _) => attention.forward(steps, lengths.as_deref()),
            (None, Pooling::Last) => {
                let ([_, batch, width], directions) = (state.h.dims(), self.encoder.recurrent.config.directions());
                let all = state.h.dims()[0];
                // `[D, B, P] -> [B, D P]`
                state.h.narrow(0, all - directions, directions).swap_dims(0, 1).reshape([batch, directions * width])
            }
            (None, _) => mean_over_steps(steps, lengths.as_deref()),
        }
    }
}
