use crate::{EncoderDecoder, StepDecoder, looks::Looks};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_layers::{
    Activation, DecoderBlock, Dropout, DropoutConfig, Embedding, EmbeddingConfig, KeyValueCache, LayerNorm, LayerNormConfig, Linear, LinearConfig,
    Memory, MultiHeadAttentionConfig, NoTap, Site, Tap, TransformerBlock, TransformerBlockConfig, positions,
};
use serde::{Deserialize, Serialize};

/// Configuration of [`Transformer`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TransformerConfig {
    /// `S`, symbols of sources.
    pub sources: usize,
    /// `K`, symbols of targets, without the one that begins and ends them.
    pub targets: usize,
    /// `D`
    pub width: usize,
    /// Heads of a block.
    pub heads: usize,
    /// Width of the hidden layers.
    pub hidden: usize,
    /// Blocks that read.
    pub encoder_layers: usize,
    /// Blocks that write.
    pub decoder_layers: usize,
    /// After the embeddings and in every block.
    pub dropout: f64,
    /// A norm before each branch and one behind the last block, not one behind each sum.
    pub norm_first: bool,
    /// The head is the embedding of targets.
    pub tied: bool,
    /// Sources and targets have one embedding: `S = K + 1`.
    pub shared: bool,
}

impl TransformerConfig {
    /// Three blocks that read and three that write, 256 wide, pre-norm: the size that small data sets allow.
    pub fn small(sources: usize, targets: usize) -> Self {
        let (width, heads, hidden) = (256, 4, 1024);
        Self {
            sources,
            targets,
            width,
            heads,
            hidden,
            encoder_layers: 3,
            decoder_layers: 3,
            dropout: 0.1,
            norm_first: true,
            tied: true,
            shared: false,
        }
    }
    /// The paper's base model: Vaswani et al., "Attention is all you need", 2017, table 3, first row; one vocabulary of `K + 1` symbols.
    pub fn base(targets: usize) -> Self {
        let (width, heads, hidden, layers) = (512, 8, 2048, 6);
        Self {
            width,
            heads,
            hidden,
            encoder_layers: layers,
            decoder_layers: layers,
            norm_first: false,
            shared: true,
            ..Self::small(targets + 1, targets)
        }
    }
    /// The paper's big model: the same table, last row.
    pub fn big(targets: usize) -> Self {
        Self { width: 1024, heads: 16, hidden: 4096, dropout: 0.3, ..Self::base(targets) }
    }

    /// Trainable parameters.
    pub fn parameters(&self) -> usize {
        let (d, h) = (self.width, self.hidden);
        let (attention, dense, norm) = (4 * d * d + 4 * d, 2 * d * h + h + d, 2 * d);
        let blocks = self.encoder_layers * (attention + dense + 2 * norm) + self.decoder_layers * (2 * attention + dense + 3 * norm);
        let tables = (self.targets + 1) * d + if self.shared { 0 } else { self.sources * d };
        tables + blocks + if self.norm_first { 2 * norm } else { 0 } + if self.tied { 0 } else { (d + 1) * (self.targets + 1) }
    }

    /// Draws the weights from the step key: embeddings `N(0, 1/D)`, the rest as PyTorch's linear layers.
    ///
    /// # Panics
    /// If the heads do not divide the width, or one embedding is to serve alphabets of different sizes.
    pub fn init(&self, device: &Device) -> Transformer {
        let Self { sources, targets, width, .. } = *self;
        assert!(!self.shared || sources == targets + 1, "one embedding for {sources} symbols of sources and {} of targets", targets + 1);
        let embed = |count| EmbeddingConfig::new(count, width).with_deviation(1.0 / (width as f64).sqrt()).init(device);
        let block = TransformerBlockConfig::new(MultiHeadAttentionConfig::new(width, self.heads))
            .with_hidden(self.hidden)
            .with_activation(Activation::Relu)
            .with_dropout(self.dropout)
            .with_norm_first(self.norm_first);
        let norm = || self.norm_first.then(|| LayerNormConfig::new(width).init(device));
        Transformer {
            source_embedding: (!self.shared).then(|| embed(sources)),
            target_embedding: embed(targets + 1),
            encoder: (0..self.encoder_layers).map(|_| block.init(device)).collect(),
            encoder_norm: norm(),
            decoder: (0..self.decoder_layers).map(|_| DecoderBlock::init(&block, device)).collect(),
            decoder_norm: norm(),
            dropout: DropoutConfig::new(self.dropout).init(),
            head: (!self.tied).then(|| LinearConfig::new(width, targets + 1).init(device)),
            config: *self,
        }
    }
}

/// Blocks of attention that read a sequence, and others that write another, looking at all that was read.
///
/// Embeddings are multiplied by `√D`, and [`positions::sinusoidal`] is added. Symbol `K` begins and ends a target.
///
/// Source: Vaswani et al., "Attention is all you need", 2017.
#[derive(Module, Debug)]
pub struct Transformer {
    /// `[S, D]`; without one that of targets serves.
    pub source_embedding: Option<Embedding>,
    /// `[K + 1, D]`
    pub target_embedding: Embedding,
    /// Blocks that read, in order.
    pub encoder: Vec<TransformerBlock>,
    /// Behind them, in a pre-norm model.
    pub encoder_norm: Option<LayerNorm>,
    /// Blocks that write, in order.
    pub decoder: Vec<DecoderBlock>,
    /// Behind them, in a pre-norm model.
    pub decoder_norm: Option<LayerNorm>,
    /// After the embeddings.
    pub dropout: Dropout,
    /// To the logits; without one the embedding of targets is the head.
    pub head: Option<Linear>,
    /// How it was built.
    #[module(skip)]
    pub config: TransformerConfig,
}

/// What has been read of sources, and what has been written.
#[derive(Debug, Clone)]
pub struct Read {
    /// Keys and values of what was read, of each block that writes.
    pub memories: Vec<Memory>,
    /// Hides the sources' padding: `[B, 1, 1, S]`
    pub bias: Tensor<4>,
    /// Keys and values of what was written, of each block that writes.
    pub caches: Vec<KeyValueCache>,
}

impl Transformer {
    /// The output of each block that reads, scoped by its index: `[B, S, D]`
    pub const ENCODED: Site = Site("encoder");
    /// The output of each block that writes, scoped by its index: `[B, T, D]`
    pub const DECODED: Site = Site("decoder");

    fn embed(&self, table: &Embedding, symbols: Tensor<2, Int>, first: usize) -> Tensor<3> {
        let [_, time] = symbols.dims();
        let width = self.config.width;
        let embedded = table.forward(symbols) * (width as f64).sqrt();
        let positions = positions::sinusoidal(first, time, width, &embedded.device(), embedded.dtype());
        self.dropout.forward(embedded + positions.unsqueeze())
    }

    /// What the blocks that read give, and what hides padding: `[B, S] -> [B, S, D], [B, 1, 1, S]`
    ///
    /// # Panics
    /// If a symbol is not below `S`, lengths are not one a source, or one is above `S`.
    pub fn encode<A: Tap>(&self, sources: Tensor<2, Int>, lengths: &[usize], tap: &mut A) -> (Tensor<3>, Tensor<4>) {
        let [batch, time] = sources.dims();
        assert_eq!(lengths.len(), batch, "one length a source");
        let bias = positions::hide_padding(lengths, time, &sources.device());
        let mut x = self.embed(self.source_embedding.as_ref().unwrap_or(&self.target_embedding), sources, 0);
        for (index, block) in self.encoder.iter().enumerate() {
            tap.scope("encoder", index);
            let y = block.forward_tapped(x, Some(bias.clone()), tap);
            x = tap.tap(Self::ENCODED, y);
        }
        (self.encoder_norm.iter().fold(x, |x, norm| norm.forward(x)), bias)
    }

    fn score(&self, x: Tensor<3>) -> Tensor<3> {
        let x = self.decoder_norm.iter().fold(x, |x, norm| norm.forward(x));
        match &self.head {
            Some(head) => head.forward(x),
            None => self.target_embedding.scores(x),
        }
    }

    /// The logits of known targets, each step of which sees the right symbols before it. `targets` begin with symbol `K`; with every named activation shown to
    /// `tap`: `[B, S], [B, T] -> [B, T, K + 1]`
    ///
    /// # Panics
    /// As [`Transformer::encode`], and if a symbol is above `K`.
    pub fn forward_with<A: Tap>(&self, sources: (Tensor<2, Int>, &[usize]), targets: Tensor<2, Int>, tap: &mut A) -> Tensor<3> {
        let (read, bias) = self.encode(sources.0, sources.1, tap);
        let mut x = self.embed(&self.target_embedding, targets, 0);
        for (index, block) in self.decoder.iter().enumerate() {
            tap.scope("decoder", index);
            let y = block.forward_tapped(x, &block.cross.remember(read.clone()), Some(bias.clone()), tap);
            x = tap.tap(Self::DECODED, y);
        }
        self.score(x)
    }
}

impl EncoderDecoder for Transformer {
    fn start(&self, sources: Tensor<2, Int>, lengths: &[usize]) -> Read {
        let (read, bias) = self.encode(sources, lengths, &mut NoTap);
        let memories = self.decoder.iter().map(|block| block.cross.remember(read.clone())).collect();
        Read { memories, bias, caches: self.decoder.iter().map(|_| KeyValueCache::new()).collect() }
    }

    /// What stands behind a target's end is not seen before it, so that lengths of targets do not count.
    fn forward(&self, sources: (Tensor<2, Int>, &[usize]), targets: (Tensor<2, Int>, &[usize])) -> Tensor<3> {
        self.forward_with(sources, targets.0, &mut NoTap)
    }

    fn looks(&self, sources: (Tensor<2, Int>, &[usize]), targets: (Tensor<2, Int>, &[usize])) -> Option<Tensor<3>> {
        let mut looks = Looks::default();
        self.forward_with(sources, targets.0, &mut looks);
        looks.0
    }
}

impl StepDecoder for Transformer {
    type State = Read;

    fn begin(&self) -> usize {
        self.config.targets
    }

    fn end(&self) -> usize {
        self.config.targets
    }

    fn step(&self, last: Tensor<1, Int>, mut state: Read) -> (Tensor<2>, Read) {
        let first = state.caches.first().map_or(0, KeyValueCache::len);
        let mut x = self.embed(&self.target_embedding, last.unsqueeze_dim(1), first);
        for ((block, memory), cache) in self.decoder.iter().zip(&state.memories).zip(&mut state.caches) {
            x = block.forward_cached(x, memory, Some(state.bias.clone()), cache);
        }
        (self.score(x).squeeze_dim(1), state)
    }

    fn select(&self, state: Read, rows: &[usize]) -> Read {
        let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [rows.len()]), &state.bias.device());
        let of = |x: Tensor<4>| x.select(0, indices.clone());
        Read {
            memories: state.memories.into_iter().map(|Memory { k, v }| Memory { k: of(k), v: of(v) }).collect(),
            bias: of(state.bias),
            caches: state.caches.into_iter().map(|cache| cache.select(&indices)).collect(),
        }
    }
}
