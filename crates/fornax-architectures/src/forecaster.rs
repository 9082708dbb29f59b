use crate::sequence_encoder::cell_name;
use burn::module::Module;
use burn::tensor::{
    Device, Tensor,
    activation::{relu, softplus},
};
use fornax_layers::{Cell, Dropout, DropoutConfig, Linear, LinearConfig, NoTap, Recurrent, RecurrentConfig, Site, Tap};
use serde::{Deserialize, Serialize};

/// Configuration of [`Forecaster`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForecasterConfig {
    /// `I`, features of a step of the past.
    pub inputs: usize,
    /// `F`, features of a step of the future: what is known of it, as the time of day.
    pub known: usize,
    /// `P`, steps of the past that are read.
    pub context: usize,
    /// `T`, steps that are forecast at once.
    pub horizon: usize,
    /// The levels of the `Q` quantiles, each in (0, 1), ascending.
    pub quantiles: Vec<f64>,
    /// `lstm`, `gru`, `tanh` or `relu`.
    #[serde(with = "cell_name")]
    pub cell: Cell,
    /// `H`
    pub hidden: usize,
    /// Recurrent layers.
    pub layers: usize,
    /// `C`, what the encoder tells each step of the future.
    pub width: usize,
    /// Between recurrent layers and behind the last.
    pub dropout: f64,
}

impl ForecasterConfig {
    /// One LSTM layer, the median and a 90 % band, no dropout.
    pub fn new(inputs: usize, known: usize, [context, horizon]: [usize; 2], hidden: usize) -> Self {
        Self { inputs, known, context, horizon, quantiles: vec![0.05, 0.5, 0.95], cell: Cell::Lstm, hidden, layers: 1, width: 16, dropout: 0.0 }
    }

    /// Trainable parameters.
    pub fn parameters(&self) -> usize {
        let layer = |inputs: usize| self.cell.gates() * self.hidden * (inputs + self.hidden + 2);
        let encoder = layer(self.inputs) + self.layers.saturating_sub(1) * layer(self.hidden);
        let (width, quantiles) = (self.width, self.quantiles.len());
        encoder + (self.hidden + 1) * self.horizon * width + (width + self.known + 1) * width + (width + 1) * quantiles
    }

    /// Draws the weights from the step key.
    ///
    /// # Panics
    /// If there is no layer, or the dropout is not in `[0, 1)`.
    pub fn init(&self, device: &Device) -> Forecaster {
        let Self { horizon, width, .. } = *self;
        Forecaster {
            encoder: RecurrentConfig::new(self.cell, self.inputs, self.hidden).with_layers(self.layers).with_dropout(self.dropout).init(device),
            dropout: DropoutConfig::new(self.dropout).init(),
            context: LinearConfig::new(self.hidden, horizon * width).init(device),
            local: LinearConfig::new(width + self.known, width).init(device),
            head: LinearConfig::new(width, self.quantiles.len()).init(device),
        }
    }
}

/// Quantiles of all steps of the near future at once: a recurrent encoder reads the past, each step of the future gets a part of what it says, and the
/// same small network makes quantiles of that and of what is known of the step.
///
/// Its quantiles do not cross: each is the one below plus a softplus.
///
/// Source: Wen et al., "A multi-horizon quantile recurrent forecaster", 2017 (MQ-RNN).
#[derive(Module, Debug)]
pub struct Forecaster {
    /// Reads the past.
    pub encoder: Recurrent,
    /// Behind it.
    pub dropout: Dropout,
    /// From its last state to a part for each step: `[H] -> [T C]`
    pub context: Linear,
    /// From a step's part and features: `[C + F] -> [C]`
    pub local: Linear,
    /// To the lowest quantile and the distances of the others: `[C] -> [Q]`
    pub head: Linear,
}

impl Forecaster {
    /// The encoder's output: `[B, P, H]`
    pub const ENCODED: Site = Site("encoded");
    /// What each step of the future is told: `[B, T, C]`
    pub const CONTEXT: Site = Site("context");

    /// Quantiles, with every named activation shown to `tap`: `[B, P, I], [B, T, F] -> [B, T, Q]`
    ///
    /// # Panics
    /// If the future has not the steps and features that the model was made for.
    pub fn forward_with<S: Tap>(&self, past: Tensor<3>, future: Tensor<3>, tap: &mut S) -> Tensor<3> {
        let [batch, steps, _] = past.dims();
        let [_, horizon, _] = future.dims();
        let read = tap.tap(Self::ENCODED, self.encoder.forward(past)).narrow(1, steps - 1, 1).squeeze_dim::<2>(1);
        let context = relu(self.context.forward(self.dropout.forward(read)));
        let width = context.dims()[1] / horizon;
        let context = tap.tap(Self::CONTEXT, context.reshape([batch, horizon, width]));
        let raw = self.head.forward(relu(self.local.forward(Tensor::cat(vec![context, future], 2))));
        let quantiles = raw.dims()[2];
        let mut all = vec![raw.clone().narrow(2, 0, 1)];
        for i in 1..quantiles {
            all.push(all[i - 1].clone() + softplus(raw.clone().narrow(2, i, 1), 1.0));
        }
        Tensor::cat(all, 2)
    }

    /// Quantiles: `[B, P, I], [B, T, F] -> [B, T, Q]`
    ///
    /// # Panics
    /// As [`Forecaster::forward_with`].
    pub fn forward(&self, past: Tensor<3>, future: Tensor<3>) -> Tensor<3> {
        self.forward_with(past, future, &mut NoTap)
    }
}
