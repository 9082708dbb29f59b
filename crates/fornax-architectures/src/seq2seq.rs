use crate::{EncoderDecoder, StepDecoder, looks::Looks};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_layers::{
    Dropout, DropoutConfig, Embedding, EmbeddingConfig, Linear, LinearConfig, LuongAttention, LuongAttentionConfig, NoTap, Recurrent,
    RecurrentConfig, RecurrentState, Site, Tap,
};
use serde::{Deserialize, Serialize};

/// Configuration of [`Seq2Seq`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Seq2SeqConfig {
    /// `S`, symbols of sources.
    pub sources: usize,
    /// `K`, symbols of targets, without the one that begins and ends them.
    pub targets: usize,
    /// `E`, the size of a symbol's vector.
    pub embedding: usize,
    /// `H` of the decoder, and of both directions of the encoder together; even.
    pub hidden: usize,
    /// Bidirectional LSTM layers.
    pub encoder_layers: usize,
    /// LSTM layers, at most as many as the encoder has.
    pub decoder_layers: usize,
    /// After the embeddings, between layers and before the head.
    pub dropout: f64,
}

impl Seq2SeqConfig {
    /// Two layers that read, one that writes, vectors a third as wide, no dropout.
    pub fn new(sources: usize, targets: usize, hidden: usize) -> Self {
        Self { sources, targets, embedding: hidden.div_ceil(3), hidden, encoder_layers: 2, decoder_layers: 1, dropout: 0.0 }
    }

    /// Trainable parameters.
    pub fn parameters(&self) -> usize {
        let Self { sources, targets, embedding, hidden, .. } = *self;
        let encoder = |inputs: usize| 4 * hidden * (inputs + hidden / 2 + 2);
        let decoder = |inputs: usize| 4 * hidden * (inputs + hidden + 2);
        let layers =
            encoder(embedding) + (self.encoder_layers - 1) * encoder(hidden) + decoder(embedding) + (self.decoder_layers - 1) * decoder(hidden);
        (sources + targets + 1) * embedding + layers + 3 * hidden * hidden + (hidden + 1) * (targets + 1)
    }

    /// Draws the weights from the step key: embeddings `N(0, 1/E)`, the rest as PyTorch.
    ///
    /// # Panics
    /// If `H` is odd, the decoder has no layer or more than the encoder, or the dropout is not in `[0, 1)`.
    pub fn init(&self, device: &Device) -> Seq2Seq {
        let Self { sources, targets, embedding, hidden, encoder_layers, decoder_layers, dropout } = *self;
        assert!(hidden % 2 == 0, "both directions of the encoder share {hidden} units");
        assert!((1..=encoder_layers).contains(&decoder_layers), "{decoder_layers} layers that write begin where {encoder_layers} that read end");
        let embed = |count| EmbeddingConfig::new(count, embedding).with_deviation(1.0 / (embedding as f64).sqrt()).init(device);
        let lstm = |hidden, layers| RecurrentConfig::lstm(embedding, hidden).with_layers(layers).with_dropout(dropout);
        Seq2Seq {
            source_embedding: embed(sources),
            encoder: lstm(hidden / 2, encoder_layers).with_bidirectional(true).init(device),
            target_embedding: embed(targets + 1),
            decoder: lstm(hidden, decoder_layers).init(device),
            attention: LuongAttentionConfig::new(hidden, hidden).init(device),
            dropout: DropoutConfig::new(dropout).init(),
            head: LinearConfig::new(hidden, targets + 1).init(device),
            config: *self,
        }
    }
}

/// An LSTM that reads a sequence both ways, and one that writes another, looking at all that was read.
///
/// The decoder's layers begin where the encoder's upper ones ended, forward and backward side by side; `h̃_s` is [`LuongAttention`] of what the decoder
/// gives at step `s` over what the encoder gave at all steps, and the head reads `h̃_s`. Symbol `K` begins and ends a target.
///
/// Source: Sutskever, Vinyals and Le, "Sequence to sequence learning with neural networks", 2014; attention: Luong, Pham and Manning, 2015. There `h̃_s` is
/// also fed to the next step. Here it is not, so that all steps of a known target are one pass.
#[derive(Module, Debug)]
pub struct Seq2Seq {
    /// `[S, E]`
    pub source_embedding: Embedding,
    /// Both ways.
    pub encoder: Recurrent,
    /// `[K + 1, E]`
    pub target_embedding: Embedding,
    /// From the left.
    pub decoder: Recurrent,
    /// From the decoder to the encoder.
    pub attention: LuongAttention,
    /// After the embeddings and before the head.
    pub dropout: Dropout,
    /// To the logits.
    pub head: Linear,
    /// How it was built.
    #[module(skip)]
    pub config: Seq2SeqConfig,
}

/// What has been read of sources, and where the decoder stands.
#[derive(Debug, Clone)]
pub struct Reading {
    /// What the encoder gave: `[B, T, H]`
    pub steps: Tensor<3>,
    /// Of the sources.
    pub lengths: Vec<usize>,
    /// Of the decoder.
    pub state: RecurrentState,
}

impl Seq2Seq {
    /// What the encoder gives: `[B, T, H]`
    pub const ENCODED: Site = Site("encoded");
    /// What the decoder gives, before it looks at the encoder: `[B, U, H]`
    pub const DECODED: Site = Site("decoded");
    /// How much each step of the decoder looks at each of the encoder: `[B, U, T]`
    pub const WEIGHTS: Site = Site("weights");

    /// Reads sources; padding may be any symbol: `[B, T]`
    ///
    /// # Panics
    /// If a symbol is not below `S`, lengths are not one a source, or one is above `T`.
    pub fn read<A: Tap>(&self, sources: Tensor<2, Int>, lengths: &[usize], tap: &mut A) -> Reading {
        let x = self.dropout.forward(self.source_embedding.forward(sources));
        let (steps, last) = self.encoder.forward_from(x, None, Some(lengths));
        let state = RecurrentState { h: self.bridge(last.h), c: last.c.map(|c| self.bridge(c)) };
        Reading { steps: tap.tap(Self::ENCODED, steps), lengths: lengths.to_vec(), state }
    }

    /// The upper layers, both directions side by side: `[2 L, B, H/2] -> [L', B, H]`
    fn bridge(&self, x: Tensor<3>) -> Tensor<3> {
        let ([all, batch, half], layers) = (x.dims(), self.config.decoder_layers);
        let upper = x.narrow(0, all - 2 * layers, 2 * layers).reshape([layers, 2, batch, half]);
        upper.swap_dims(1, 2).reshape([layers, batch, 2 * half])
    }

    /// The logits after each of some symbols, and where the decoder then stands: `[B, U] -> [B, U, K + 1]`
    ///
    /// With `lengths`, what stands behind a target's end is not read.
    ///
    /// # Panics
    /// If a symbol is above `K`, or sizes do not agree.
    pub fn write<A: Tap>(&self, symbols: Tensor<2, Int>, lengths: Option<&[usize]>, reading: Reading, tap: &mut A) -> (Tensor<3>, Reading) {
        let x = self.dropout.forward(self.target_embedding.forward(symbols));
        let (y, state) = self.decoder.forward_from(x, Some(&reading.state), lengths);
        let (y, weights) = self.attention.forward(tap.tap(Self::DECODED, y), reading.steps.clone(), Some(&reading.lengths));
        tap.tap(Self::WEIGHTS, weights);
        (self.head.forward(self.dropout.forward(y)), Reading { state, ..reading })
    }

    /// The logits of known targets, each step of which sees the right symbols before it. `targets` begin with symbol `K`; with every named activation shown to
    /// `tap`: `[B, T], [B, U] -> [B, U, K + 1]`
    ///
    /// # Panics
    /// As [`Seq2Seq::read`] and [`Seq2Seq::write`].
    pub fn forward_with<A: Tap>(
        &self,
        (sources, source_lengths): (Tensor<2, Int>, &[usize]),
        (targets, target_lengths): (Tensor<2, Int>, &[usize]),
        tap: &mut A,
    ) -> Tensor<3> {
        let reading = self.read(sources, source_lengths, tap);
        self.write(targets, Some(target_lengths), reading, tap).0
    }
}

impl EncoderDecoder for Seq2Seq {
    fn start(&self, sources: Tensor<2, Int>, lengths: &[usize]) -> Reading {
        self.read(sources, lengths, &mut NoTap)
    }

    fn forward(&self, sources: (Tensor<2, Int>, &[usize]), targets: (Tensor<2, Int>, &[usize])) -> Tensor<3> {
        self.forward_with(sources, targets, &mut NoTap)
    }

    fn looks(&self, sources: (Tensor<2, Int>, &[usize]), targets: (Tensor<2, Int>, &[usize])) -> Option<Tensor<3>> {
        let mut looks = Looks::default();
        self.forward_with(sources, targets, &mut looks);
        looks.0
    }
}

impl StepDecoder for Seq2Seq {
    type State = Reading;

    fn begin(&self) -> usize {
        self.config.targets
    }

    fn end(&self) -> usize {
        self.config.targets
    }

    fn step(&self, last: Tensor<1, Int>, state: Reading) -> (Tensor<2>, Reading) {
        let (logits, after) = self.write(last.unsqueeze_dim(1), None, state, &mut NoTap);
        (logits.squeeze_dim(1), after)
    }

    fn select(&self, state: Reading, rows: &[usize]) -> Reading {
        let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [rows.len()]), &state.steps.device());
        let of = |x: Tensor<3>| x.select(1, indices.clone());
        Reading {
            steps: state.steps.select(0, indices.clone()),
            lengths: rows.iter().map(|&row| state.lengths[row]).collect(),
            state: RecurrentState { h: of(state.state.h), c: state.state.c.map(of) },
        }
    }
}
