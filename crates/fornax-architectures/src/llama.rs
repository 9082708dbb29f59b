use crate::LanguageModel;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use fornax_layers::{
    Embedding, EmbeddingConfig, FeedForward, FeedForwardKind, KeyValueCache, Linear, LinearConfig, RmsNorm, RmsNormConfig, RotaryAttention,
    RotaryAttentionConfig, Site, Tap,
    positions::{Pairing, Rotary},
};
use serde::{Deserialize, Serialize};

/// Of the first embedding.
const DEVIATION: f64 = 0.02;

/// Configuration of [`Llama`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LlamaConfig {
    /// `V`
    pub vocabulary: usize,
    /// Positions, at most: what it is trained on.
    pub context: usize,
    /// `D`
    pub width: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values.
    pub groups: usize,
    /// Blocks.
    pub layers: usize,
    /// Width of the hidden layers.
    pub hidden: usize,
    /// What the hidden layers do.
    pub feed_forward: FeedForwardKind,
    /// Of the rotary positions.
    pub base: f64,
    /// Of the norms.
    pub epsilon: f64,
    /// Norms of queries and keys.
    pub query_key_norm: bool,
    /// Keys that a query sees; 0 for all.
    pub window: usize,
    /// The head is the embedding.
    pub tied: bool,
    /// What leads back to the sum begins at 0, so that every block begins as an identity.
    pub zero_init: bool,
}

impl LlamaConfig {
    /// SwiGLU of 8/3 the width, as many keys as queries, a head of its own.
    pub fn new(vocabulary: usize, context: usize, [width, heads, layers]: [usize; 3]) -> Self {
        Self {
            vocabulary,
            context,
            width,
            heads,
            groups: heads,
            layers,
            hidden: (8 * width / 3).next_multiple_of(16),
            feed_forward: FeedForwardKind::SwiGlu,
            base: 10_000.0,
            epsilon: 1e-5,
            query_key_norm: false,
            window: 0,
            tied: false,
            zero_init: false,
        }
    }

    /// Touvron et al., "Llama 2", 2023, 7 billion parameters.
    pub fn llama2_7b() -> Self {
        Self { hidden: 11_008, ..Self::new(32_000, 4096, [4096, 32, 32]) }
    }
    /// The same, 13 billion.
    pub fn llama2_13b() -> Self {
        Self { hidden: 13_824, ..Self::new(32_000, 4096, [5120, 40, 40]) }
    }
    /// The same, 70 billion.
    pub fn llama2_70b() -> Self {
        Self { hidden: 28_672, groups: 8, ..Self::new(32_000, 4096, [8192, 64, 80]) }
    }
    /// Dubey et al., "The Llama 3 herd of models", 2024, 8 billion parameters.
    pub fn llama3_8b() -> Self {
        Self { hidden: 14_336, groups: 8, base: 500_000.0, ..Self::new(128_256, 8192, [4096, 32, 32]) }
    }
    /// Zhang et al., "TinyLlama", 2024.
    pub fn tinyllama() -> Self {
        Self { hidden: 5632, groups: 4, ..Self::new(32_000, 2048, [2048, 32, 22]) }
    }

    /// Trainable parameters.
    pub fn parameters(&self) -> usize {
        let (d, kv) = (self.width, self.width / self.heads * self.groups);
        let norms = 2 * d + if self.query_key_norm { 2 * d / self.heads } else { 0 };
        let dense = if self.feed_forward.gated() { 3 } else { 2 };
        let block = 2 * d * d + 2 * d * kv + dense * d * self.hidden + norms;
        self.layers * block + d + self.vocabulary * d * if self.tied { 1 } else { 2 }
    }

    /// Draws the weights from the step key: the embedding and the head `N(0, 0.02²)`, the rest as PyTorch's linear layers.
    ///
    /// # Panics
    /// If the heads do not divide the width, the groups the heads, or a head is of odd width.
    pub fn init(&self, device: &Device) -> Llama {
        let norm = || RmsNormConfig::new(self.width).with_epsilon(self.epsilon).init(device);
        let attention = RotaryAttentionConfig {
            width: self.width,
            heads: self.heads,
            groups: self.groups,
            rotary: Rotary { base: self.base, pairing: Pairing::Halves },
            norm: self.query_key_norm.then_some(self.epsilon),
            window: (self.window > 0).then_some(self.window),
        };
        let block = |_| {
            let mut block = LlamaBlock {
                norm1: norm(),
                attention: attention.init(device),
                norm2: norm(),
                feed_forward: FeedForward::init(self.feed_forward, self.width, self.hidden, device),
            };
            if self.zero_init {
                let zero = |inputs| LinearConfig::new(inputs, self.width).with_bias(false).init_normal(0.0, device);
                (block.attention.proj, block.feed_forward.down) = (zero(self.width), zero(self.hidden));
            }
            block
        };
        Llama {
            token: EmbeddingConfig::new(self.vocabulary, self.width).with_deviation(DEVIATION).init(device),
            blocks: (0..self.layers).map(block).collect(),
            norm: norm(),
            head: (!self.tied).then(|| LinearConfig::new(self.width, self.vocabulary).with_bias(false).init_normal(DEVIATION, device)),
            context: self.context,
        }
    }
}

/// Attention with rotary positions and a gated hidden layer, each behind a norm and beside an identity.
#[derive(Module, Debug)]
pub struct LlamaBlock {
    /// Before attention.
    pub norm1: RmsNorm,
    /// Attention.
    pub attention: RotaryAttention,
    /// Before the hidden layer.
    pub norm2: RmsNorm,
    /// The hidden layer.
    pub feed_forward: FeedForward,
}

impl LlamaBlock {
    /// `[B, T, D] -> [B, T, D]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.forward_by(x, |x| self.attention.forward(x))
    }

    fn forward_by(&self, x: Tensor<3>, attend: impl FnOnce(Tensor<3>) -> Tensor<3>) -> Tensor<3> {
        let x = x.clone() + attend(self.norm1.forward(x));
        x.clone() + self.feed_forward.forward(self.norm2.forward(x))
    }
}

/// A language model with rotary positions, RMS norms and gated hidden layers, without biases.
///
/// Source: Touvron et al., "LLaMA", 2023; with norms of queries and keys as in Qwen3.
#[derive(Module, Debug)]
pub struct Llama {
    /// `[V, D]`
    pub token: Embedding,
    /// Blocks, in order.
    pub blocks: Vec<LlamaBlock>,
    /// Before the head.
    pub norm: RmsNorm,
    /// To the logits; without one the token embedding is the head.
    pub head: Option<Linear>,
    context: usize,
}

impl Llama {
    /// The tokens' vectors: `[B, T, D]`
    pub const EMBEDDED: Site = Site("embedded");
    /// The output of each block, scoped by its index: `[B, T, D]`
    pub const BLOCK: Site = Site("block");
    /// What the head reads: `[B, T, D]`
    pub const FINAL: Site = Site("final");

    fn score(&self, x: Tensor<3>) -> Tensor<3> {
        match &self.head {
            Some(head) => head.forward(x),
            None => self.token.scores(x),
        }
    }
}

impl LanguageModel for Llama {
    /// Of each block.
    type Memory = Vec<KeyValueCache>;

    fn context(&self) -> usize {
        self.context
    }

    fn forward_with<S: Tap>(&self, tokens: Tensor<2, Int>, tap: &mut S) -> Tensor<3> {
        let mut x = tap.tap(Self::EMBEDDED, self.token.forward(tokens));
        for (index, block) in self.blocks.iter().enumerate() {
            tap.scope("blocks", index);
            let y = block.forward_by(x, |x| block.attention.forward_tapped(x, tap));
            x = tap.tap(Self::BLOCK, y);
        }
        self.score(tap.tap(Self::FINAL, self.norm.forward(x)))
    }

    fn go_on(&self, tokens: Tensor<2, Int>, memory: &mut Vec<KeyValueCache>) -> Tensor<3> {
        if memory.is_empty() {
            memory.extend(self.blocks.iter().map(|block| block.attention.cache()));
        }
        let attend = |x, (block, cache): (&LlamaBlock, &mut KeyValueCache)| block.forward_by(x, |x| block.attention.forward_cached(x, cache));
        let x = self.blocks.iter().zip(memory).fold(self.token.forward(tokens), attend);
        self.score(self.norm.forward(x))
    }
}
