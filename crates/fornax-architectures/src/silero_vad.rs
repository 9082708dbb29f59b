use burn::module::Module;
use burn::nn::Initializer;
use burn::tensor::{
    Device, Tensor, TensorData,
    activation::{relu, sigmoid},
};
use fornax_layers::{
    Linear, LinearConfig, NoTap, Recurrent, RecurrentConfig, RecurrentState, Site, Tap, TemporalConv, TemporalConvConfig,
    burn_layers::{Conv1d, Conv1dConfig},
    init,
};
use fornax_weights::{Tensors, WeightError, load_state};
use serde::{Deserialize, Serialize};
use std::f64::consts::{PI, TAU};

/// Configuration of [`SileroVad`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SileroVadConfig {
    /// Samples a second.
    pub rate: u32,
    /// Channels of the encoder's convolutions; the last is also the decoder's size `H`.
    pub channels: [usize; 4],
}

impl SileroVadConfig {
    /// Version 6 for 16,000 samples a second: Silero Team, "Silero VAD", 2025 (<https://github.com/snakers4/silero-vad>). Version 5 is the same network.
    pub fn v6_16k() -> Self {
        Self { rate: 16_000, channels: [128, 64, 64, 128] }
    }
    /// Version 6 for 8,000 samples a second.
    pub fn v6_8k() -> Self {
        Self { rate: 8000, ..Self::v6_16k() }
    }

    /// `N`, samples of a transform, 16 ms: 256 at 16,000 a second.
    pub fn window(&self) -> usize {
        self.rate as usize * 2 / 125
    }
    /// `2 N`, samples that one probability is for, 32 ms.
    pub fn chunk(&self) -> usize {
        2 * self.window()
    }
    /// `N / 4`, samples before a chunk that are seen with it, 4 ms.
    pub fn context(&self) -> usize {
        self.window() / 4
    }

    /// Trainable parameters; the transform has none.
    pub fn parameters(&self) -> usize {
        let [a, b, c, hidden] = self.channels;
        let convolution = |inputs: usize, outputs: usize| (3 * inputs + 1) * outputs;
        let encoder = convolution(self.window() / 2 + 1, a) + convolution(a, b) + convolution(b, c) + convolution(c, hidden);
        encoder + 4 * hidden * (2 * hidden + 2) + hidden + 1
    }

    /// Draws the weights from the step key, all but the transform's.
    ///
    /// # Panics
    /// If the rate is no multiple of 250.
    pub fn init(&self, device: &Device) -> SileroVad {
        assert!(self.rate > 0 && self.rate.is_multiple_of(250), "a rate that is a multiple of 250, not {}", self.rate);
        let (window, [a, b, c, hidden]) = (self.window(), self.channels);
        let mut stft =
            Conv1dConfig::new(1, window + 2, window).with_stride(window / 2).with_bias(false).with_initializer(Initializer::Zeros).init(device);
        stft.weight = init::by_index([window + 2, 1, window], |i| fourier(i, window), device).set_require_grad(false);
        let convolution = |inputs, outputs, stride| TemporalConvConfig::new(inputs, outputs, 3).with_stride(stride).init(device);
        SileroVad {
            stft,
            encoder: vec![convolution(window / 2 + 1, a, 1), convolution(a, b, 2), convolution(b, c, 2), convolution(c, hidden, 1)],
            decoder: RecurrentConfig::lstm(hidden, hidden).init(device),
            head: LinearConfig::new(hidden, 1).init(device),
            config: *self,
        }
    }
}

/// Element `i` of the basis `[N + 2, N]`: `cos(2π k n / N) sin²(π n / N)` for `k = 0 … N/2`, then the same with `−sin`.
fn fourier(i: usize, size: usize) -> f64 {
    let (row, n, half) = (i / size, i % size, size / 2 + 1);
    let angle = TAU * (row % half * n % size) as f64 / size as f64;
    (if row < half { angle.cos() } else { -angle.sin() }) * (PI * n as f64 / size as f64).sin().powi(2)
}

/// What a stream carries from a chunk to the next.
#[derive(Debug, Clone)]
pub struct VadState {
    /// The last samples: `[B, N/4]`
    pub context: Tensor<2>,
    /// Of the decoder: `h` and `c`, `[1, B, H]` each.
    pub memory: RecurrentState,
}

/// How likely each 32 ms of a recording hold speech: the size of a short-time Fourier transform, four convolutions, an LSTM cell, one logit.
///
/// ```text
/// x_t = (the last N/4 samples of chunk t−1, the 2N samples of chunk t, N/4 samples mirrored at the end)
/// s_t = |STFT(x_t)|, 4 frames of a Hann window of N samples, N/2 apart
/// e_t = four convolutions over the frames with ReLU, strides 1 2 2 1: one frame is left
/// h_t, c_t = LSTM(e_t, h_{t−1}, c_{t−1})        p_t = σ(w · max(h_t, 0) + b)
/// ```
///
/// ```no_run
/// # use burn::tensor::{Device, Tensor};
/// # fn listen(device: &Device, chunks: impl Iterator<Item = Tensor<2>>) -> Result<(), fornax_weights::WeightError> {
/// use fornax_architectures::SileroVad;
/// let model = SileroVad::load(&fornax_weights::read_tensors("silero_vad.onnx".as_ref())?, 16_000, device)?;
/// let mut state = None;
/// for chunk in chunks {
///     let (probability, after) = model.forward(chunk, state.as_ref()); // [1, 512] -> [1, 1]
///     println!("{}", probability.into_scalar::<f32>());
///     state = Some(after);
/// }
/// # Ok(()) }
/// ```
///
/// Shapes: `B` streams, `S` samples, `T = S / 2N` chunks, `N` the window, `H` the decoder's size.
///
/// Source: Silero Team, "Silero VAD", 2025 (<https://github.com/snakers4/silero-vad>, MIT), its published graph. Here 1e-24 is added to the power, so that
/// the gradient of silence is a number.
#[derive(Module, Debug)]
pub struct SileroVad {
    /// The transform, a convolution with a fixed basis: `[N + 2, 1, N]`
    pub stft: Conv1d,
    /// Each over three frames.
    pub encoder: Vec<TemporalConv>,
    /// An LSTM.
    pub decoder: Recurrent,
    /// To the logit.
    pub head: Linear,
    /// How it was built.
    #[module(skip)]
    pub config: SileroVadConfig,
}

impl SileroVad {
    /// The size of the transform of each chunk: `[B T, 4, N/2 + 1]`
    pub const SPECTRUM: Site = Site("spectrum");
    /// The output of each convolution, scoped by its index: `[B T, 4, C]`, `[B T, 2, C]`, then `[B T, 1, C]` twice.
    pub const ENCODED: Site = Site("encoded");
    /// The output of the decoder: `[B, T, H]`
    pub const MEMORY: Site = Site("memory");

    /// Probabilities, with every named activation shown to `tap`: `[B, S] -> [B, T]`
    ///
    /// # Panics
    /// As [`SileroVad::forward`].
    pub fn forward_with<S: Tap>(&self, samples: Tensor<2>, state: Option<&VadState>, tap: &mut S) -> (Tensor<2>, VadState) {
        let [batch, length] = samples.dims();
        let (window, chunk, kept) = (self.config.window(), self.config.chunk(), self.config.context());
        assert!(length > 0 && length.is_multiple_of(chunk), "chunks of {chunk} samples, not {length} samples");
        let count = length / chunk;
        let start = || Tensor::zeros([batch, kept], (&samples.device(), samples.dtype()));
        let before = state.map_or_else(start, |state| state.context.clone());
        let chunks: Tensor<3> = samples.clone().reshape([batch, count, chunk]);
        let contexts = Tensor::cat(vec![before.unsqueeze_dim(1), chunks.clone().narrow(2, chunk - kept, kept)], 1);
        let context = contexts.clone().narrow(1, count, 1).squeeze_dim(1);

        let x = Tensor::cat(vec![contexts.narrow(1, 0, count), chunks], 2).reshape([batch * count, kept + chunk]);
        let mirrored = x.clone().narrow(1, chunk - 1, kept).flip([1]);
        let x = self.stft.forward(Tensor::cat(vec![x, mirrored], 1).unsqueeze_dim(1));
        let bins = window / 2 + 1;
        let power = x.clone().narrow(1, 0, bins).square() + x.narrow(1, bins, bins).square();
        let mut x = tap.tap(Self::SPECTRUM, (power + 1e-24).sqrt().swap_dims(1, 2));
        for (index, convolution) in self.encoder.iter().enumerate() {
            tap.scope("encoder", index);
            x = tap.tap(Self::ENCODED, convolution.forward(x, None).0);
        }
        let hidden = self.decoder.config.hidden;
        let (x, memory) = self.decoder.forward_from(x.reshape([batch, count, hidden]), state.map(|state| &state.memory), None);
        let logits = self.head.forward(relu(tap.tap(Self::MEMORY, x)));
        (sigmoid(logits).squeeze_dim(2), VadState { context, memory })
    }

    /// The probability of speech in each chunk, and the state after the last one: `[B, S] -> [B, T]`
    ///
    /// A stream goes through in pieces of whole chunks, each from the state of the one before; without a state it begins.
    ///
    /// # Panics
    /// If `S` is 0 or no multiple of `2 N`, or the state is of another batch or network.
    pub fn forward(&self, samples: Tensor<2>, state: Option<&VadState>) -> (Tensor<2>, VadState) {
        self.forward_with(samples, state, &mut NoTap)
    }

    /// The rates that these weights have a network for, lowest first.
    pub fn rates_in(tensors: &Tensors) -> Vec<u32> {
        let mut rates: Vec<u32> = networks(tensors).map(|network| network.rate).collect();
        rates.sort_unstable();
        rates.dedup();
        rates
    }

    /// The network of published weights for one rate, or of weights saved by Fornax.
    ///
    /// `tensors` are those of the published ONNX or safetensors files ([`fornax_weights::read_tensors`]); what stands before the names does not matter, nor does
    /// what else is there. Not those of `silero_vad_16k_sequence.onnx`, whose gates are in ONNX's order and without a name.
    ///
    /// # Errors
    /// If there is no network for the rate, or a tensor is missing or of another shape.
    pub fn load(tensors: &Tensors, rate: u32, device: &Device) -> Result<Self, WeightError> {
        let config = SileroVadConfig { rate, ..SileroVadConfig::v6_16k() };
        let Some(Network { prefix, names, .. }) = networks(tensors).find(|network| network.rate == rate) else {
            return Err(WeightError::Missing { count: NAMES.len(), first: format!("{} for {rate} samples a second", NAMES[0][2]) });
        };
        let (mut found, mut missing) = (Tensors::new(), vec![]);
        for row in NAMES {
            let name = format!("{prefix}{}", row[names]);
            match tensors.get(&name) {
                Some(data) => {
                    found.insert(row[0].into(), dense(data));
                }
                None => missing.push(name),
            }
        }
        match missing.first() {
            Some(first) => Err(WeightError::Missing { count: missing.len(), first: first.clone() }),
            None => load_state(config.init(device), &found, ""),
        }
    }
}

/// `[1, H, 1]`, a convolution of one step to one channel, as a dense weight `[H, 1]`; others as they are.
fn dense(data: &TensorData) -> TensorData {
    match data.shape().to_vec()[..] {
        [1, hidden, 1] => TensorData::from_bytes_vec(data.as_bytes().to_vec(), [hidden, 1], data.dtype()),
        _ => data.clone(),
    }
}

/// The names of a tensor: here, in the published safetensors file, in ONNX and TorchScript.
const NAMES: [[&str; 3]; 15] = [
    ["stft.weight", "stft_conv.weight", "stft.forward_basis_buffer"],
    ["encoder.0.weight", "conv1.weight", "encoder.0.reparam_conv.weight"],
    ["encoder.0.bias", "conv1.bias", "encoder.0.reparam_conv.bias"],
    ["encoder.1.weight", "conv2.weight", "encoder.1.reparam_conv.weight"],
    ["encoder.1.bias", "conv2.bias", "encoder.1.reparam_conv.bias"],
    ["encoder.2.weight", "conv3.weight", "encoder.2.reparam_conv.weight"],
    ["encoder.2.bias", "conv3.bias", "encoder.2.reparam_conv.bias"],
    ["encoder.3.weight", "conv4.weight", "encoder.3.reparam_conv.weight"],
    ["encoder.3.bias", "conv4.bias", "encoder.3.reparam_conv.bias"],
    ["decoder.directions.0.weight_ih", "lstm_cell.weight_ih", "decoder.rnn.weight_ih"],
    ["decoder.directions.0.weight_hh", "lstm_cell.weight_hh", "decoder.rnn.weight_hh"],
    ["decoder.directions.0.bias_ih", "lstm_cell.bias_ih", "decoder.rnn.bias_ih"],
    ["decoder.directions.0.bias_hh", "lstm_cell.bias_hh", "decoder.rnn.bias_hh"],
    ["head.weight", "final_conv.weight", "decoder.decoder.2.weight"],
    ["head.bias", "final_conv.bias", "decoder.decoder.2.bias"],
];

/// Where a network is among named tensors.
struct Network<'a> {
    rate: u32,
    prefix: &'a str,
    /// The column of [`NAMES`].
    names: usize,
}

/// Every network, told by the name and the shape of its transform's basis.
fn networks(tensors: &Tensors) -> impl Iterator<Item = Network<'_>> {
    tensors.iter().flat_map(|(name, data)| {
        let rate = match data.shape().to_vec()[..] {
            [rows, 1, window] if rows == window + 2 && window % 4 == 0 => u32::try_from(window / 2 * 125).ok(),
            _ => None,
        };
        (0..3).filter_map(move |names| Some(Network { rate: rate?, prefix: name.strip_suffix(NAMES[0][names])?, names }))
    })
}
