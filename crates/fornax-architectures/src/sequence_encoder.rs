use burn::module::Module;
use burn::tensor::{Device, Tensor};
use fornax_layers::{
    Cell, Recurrent, RecurrentConfig, RecurrentState, Site, SpectralConv, SpectralConvConfig, Tap, TemporalConv, TemporalConvConfig,
};
use serde::{Deserialize, Serialize};

/// A convolution of [`SequenceEncoder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontConv {
    /// Features out.
    pub channels: usize,
    /// Steps that one output sees; odd.
    pub kernel: usize,
    /// Steps from one output to the next.
    pub stride: usize,
}

/// A convolution of [`SequenceEncoder`] over the bands of a spectrogram and its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpectralFront {
    /// Channels out.
    pub channels: usize,
    /// Bands and steps that one output sees; odd.
    pub kernel: [usize; 2],
    /// Bands and steps from one output to the next.
    pub stride: [usize; 2],
}

/// Configuration of [`SequenceEncoder`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SequenceEncoderConfig {
    /// `I`, features of a step.
    pub inputs: usize,
    /// Convolutions over bands and time before all others, in order; the features of a step are then the channels of all bands.
    #[serde(default)]
    pub spectral: Vec<SpectralFront>,
    /// Convolutions over time before the recurrent layers, in order.
    pub front: Vec<FrontConv>,
    /// `lstm`, `gru`, `tanh` or `relu`.
    #[serde(with = "cell_name")]
    pub cell: Cell,
    /// `H`
    pub hidden: usize,
    /// `L`
    pub layers: usize,
    /// Also from the end to the beginning.
    pub bidirectional: bool,
    /// Between recurrent layers.
    pub dropout: f64,
}

impl SequenceEncoderConfig {
    /// One bidirectional LSTM layer and no convolution.
    pub fn new(inputs: usize, hidden: usize) -> Self {
        Self { inputs, spectral: vec![], front: vec![], cell: Cell::Lstm, hidden, layers: 1, bidirectional: true, dropout: 0.0 }
    }

    /// `D`, features of a step that comes out.
    pub fn outputs(&self) -> usize {
        self.hidden * (1 + usize::from(self.bidirectional))
    }

    /// Steps of the input from a step that comes out to the next.
    pub fn stride(&self) -> usize {
        self.spectral.iter().map(|conv| conv.stride[1]).chain(self.front.iter().map(|conv| conv.stride)).product()
    }

    /// Features of a step behind the convolutions over bands.
    fn heard(&self) -> usize {
        let bands = self.spectral.iter().fold(self.inputs, |bands, conv| bands.div_ceil(conv.stride[0]));
        bands * self.spectral.last().map_or(1, |conv| conv.channels)
    }

    /// Trainable parameters.
    pub fn parameters(&self) -> usize {
        let (mut channels, mut sum) = (1, 0);
        for conv in &self.spectral {
            sum += conv.channels * (channels * conv.kernel[0] * conv.kernel[1] + 1);
            channels = conv.channels;
        }
        let mut inputs = self.heard();
        for conv in &self.front {
            sum += conv.channels * (inputs * conv.kernel + 1);
            inputs = conv.channels;
        }
        for _ in 0..self.layers {
            sum += self.outputs() * self.cell.gates() * (inputs + self.hidden + 2);
            inputs = self.outputs();
        }
        sum
    }

    /// Draws the weights from the step key.
    ///
    /// # Panics
    /// If a side of a kernel is even, a stride 0, or the dropout not in `[0, 1)`.
    pub fn init(&self, device: &Device) -> SequenceEncoder {
        let channels = std::iter::once(1).chain(self.spectral.iter().map(|conv| conv.channels));
        let spectral = |(inputs, conv): (usize, &SpectralFront)| {
            SpectralConvConfig::new(inputs, conv.channels, conv.kernel).with_stride(conv.stride).init(device)
        };
        let spectral = channels.zip(&self.spectral).map(spectral).collect();
        let inputs = std::iter::once(self.heard()).chain(self.front.iter().map(|conv| conv.channels));
        let conv =
            |(inputs, conv): (usize, &FrontConv)| TemporalConvConfig::new(inputs, conv.channels, conv.kernel).with_stride(conv.stride).init(device);
        let last = self.front.last().map_or(self.heard(), |conv| conv.channels);
        let recurrent = RecurrentConfig::new(self.cell, last, self.hidden).with_layers(self.layers).with_bidirectional(self.bidirectional);
        SequenceEncoder { spectral, front: inputs.zip(&self.front).map(conv).collect(), recurrent: recurrent.with_dropout(self.dropout).init(device) }
    }
}

/// Convolutions over time, if any, and recurrent layers: the body of [`SequenceClassifier`](crate::SequenceClassifier) and
/// [`FrameLabeler`](crate::FrameLabeler).
///
/// Source: Graves and Schmidhuber, "Framewise phoneme classification with bidirectional LSTM", 2005; the convolutions: Amodei et al., "Deep speech 2", 2015.
#[derive(Module, Debug)]
pub struct SequenceEncoder {
    /// Convolutions over bands and time, in order.
    pub spectral: Vec<SpectralConv>,
    /// Convolutions, in order.
    pub front: Vec<TemporalConv>,
    /// Recurrent layers.
    pub recurrent: Recurrent,
}

/// What [`SequenceEncoder`] makes of a batch.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// `[B, T', D]`, zeros behind each sequence.
    pub steps: Tensor<3>,
    /// Of what is in `steps`, if the input had lengths.
    pub lengths: Option<Vec<usize>>,
    /// Where each layer stands after a sequence's end.
    pub state: RecurrentState,
}

impl SequenceEncoder {
    /// The output of each convolution over bands and time, scoped by its index: `[B, C, F, T']`
    pub const SPECTRAL: Site = Site("spectral");
    /// The output of each convolution over time, scoped by its index: `[B, T', C]`
    pub const FRONT: Site = Site("front");
    /// What the recurrent layers give: `[B, T', D]`
    pub const ENCODED: Site = Site("encoded");

    /// `T'` of a sequence of `T` steps.
    pub fn steps(&self, steps: usize) -> usize {
        let steps = self.spectral.iter().fold(steps, |steps, conv| conv.steps(steps));
        self.front.iter().fold(steps, |steps, conv| conv.steps(steps))
    }

    /// `[B, T, I] -> [B, T', D]`
    ///
    /// # Panics
    /// If lengths are not one a sequence, or one is above `T`.
    pub fn forward_with<S: Tap>(&self, x: Tensor<3>, lengths: Option<&[usize]>, tap: &mut S) -> Encoded {
        let (mut x, mut lengths) = (x, lengths.map(<[usize]>::to_vec));
        if !self.spectral.is_empty() {
            let mut bands: Tensor<4> = x.swap_dims(1, 2).unsqueeze_dim(1);
            for (index, conv) in self.spectral.iter().enumerate() {
                tap.scope("spectral", index);
                let (y, shorter) = conv.forward(bands, lengths.as_deref());
                (bands, lengths) = (tap.tap(Self::SPECTRAL, y), shorter);
            }
            let [batch, channels, height, time] = bands.dims();
            x = bands.reshape([batch, channels * height, time]).swap_dims(1, 2);
        }
        for (index, conv) in self.front.iter().enumerate() {
            tap.scope("front", index);
            let (y, shorter) = conv.forward(x, lengths.as_deref());
            (x, lengths) = (tap.tap(Self::FRONT, y), shorter);
        }
        let (steps, state) = self.recurrent.forward_from(x, None, lengths.as_deref());
        Encoded { steps: tap.tap(Self::ENCODED, steps), lengths, state }
    }
}

/// [`Cell`] by name in a config.
pub(crate) mod cell_name {
    use fornax_layers::Cell;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const NAMES: [(&str, Cell); 4] = [("lstm", Cell::Lstm), ("gru", Cell::Gru), ("tanh", Cell::Tanh), ("relu", Cell::Relu)];

    pub(crate) fn serialize<S: Serializer>(cell: &Cell, serializer: S) -> Result<S::Ok, S::Error> {
        let name = NAMES.into_iter().find(|(_, known)| known == cell).map_or("", |(name, _)| name);
        serializer.serialize_str(name)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cell, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, cell)| cell);
        found.ok_or_else(|| D::Error::custom(format!("no cell is called `{name}`: use lstm, gru, tanh or relu")))
    }
}
