use crate::LanguageModel;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use fornax_layers::{
    Activation, Dropout, DropoutConfig, Embedding, EmbeddingConfig, KeyValueCache, LayerNorm, LayerNormConfig, Linear, LinearConfig,
    MultiHeadAttentionConfig, Site, Tap, TransformerBlock, TransformerBlockConfig,
};
use serde::{Deserialize, Serialize};

/// Of the first weights.
const DEVIATION: f64 = 0.02;

/// Configuration of [`Gpt`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GptConfig {
    /// `V`
    pub vocabulary: usize,
    /// Positions, at most.
    pub context: usize,
    /// `D`
    pub width: usize,
    /// Heads of a block.
    pub heads: usize,
    /// Blocks.
    pub layers: usize,
    /// After the embeddings and in every block.
    pub dropout: f64,
    /// GELU by its tanh approximation, as GPT-2 has it.
    pub tanh_gelu: bool,
    /// The head is the embedding.
    pub tied: bool,
}

impl GptConfig {
    /// Exact GELU, a head of its own, no dropout.
    pub fn new(vocabulary: usize, context: usize, [width, heads, layers]: [usize; 3]) -> Self {
        Self { vocabulary, context, width, heads, layers, dropout: 0.0, tanh_gelu: false, tied: false }
    }

    /// 4 blocks 128 wide over 64 of 65 characters: the size of nanoGPT's example for a CPU, with a head of its own.
    pub fn small() -> Self {
        Self::new(65, 64, [128, 4, 4])
    }
    /// 6 blocks 384 wide over 256 of 65 characters: the size of nanoGPT's example for a GPU, with a head of its own.
    pub fn wide() -> Self {
        Self::new(65, 256, [384, 6, 6])
    }
    /// nanoGPT's example for a CPU: Karpathy, "nanoGPT", 2022. Here linear layers and norms have a bias.
    pub fn nano_cpu() -> Self {
        Self { tied: true, ..Self::small() }
    }

    /// GPT-2 124M: Radford et al., "Language models are unsupervised multitask learners", 2019, table 2, first row.
    pub fn gpt2() -> Self {
        Self { tanh_gelu: true, tied: true, dropout: 0.1, ..Self::new(50_257, 1024, [768, 12, 12]) }
    }
    /// GPT-2 355M: the same table, second row.
    pub fn gpt2_medium() -> Self {
        Self { width: 1024, heads: 16, layers: 24, ..Self::gpt2() }
    }
    /// GPT-2 774M: the same table, third row.
    pub fn gpt2_large() -> Self {
        Self { width: 1280, heads: 20, layers: 36, ..Self::gpt2() }
    }
    /// GPT-2 1558M: the same table, fourth row.
    pub fn gpt2_xl() -> Self {
        Self { width: 1600, heads: 25, layers: 48, ..Self::gpt2() }
    }

    /// Trainable parameters.
    pub fn parameters(&self) -> usize {
        let d = self.width;
        let heads = if self.tied { 1 } else { 2 };
        heads * self.vocabulary * d + self.context * d + self.layers * (12 * d * d + 13 * d) + 2 * d
    }

    /// Draws the weights from the step key, `N(0, 0.02²)` as GPT-2.
    ///
    /// # Panics
    /// If the heads do not divide the width.
    pub fn init(&self, device: &Device) -> Gpt {
        let table = |count| EmbeddingConfig::new(count, self.width).with_deviation(DEVIATION).init(device);
        let block = TransformerBlockConfig::new(MultiHeadAttentionConfig::new(self.width, self.heads).with_causal(true))
            .with_activation(if self.tanh_gelu { Activation::GeluTanh } else { Activation::Gelu })
            .with_dropout(self.dropout);
        let head = LinearConfig::new(self.width, self.vocabulary).with_bias(false);
        Gpt {
            token: table(self.vocabulary),
            position: table(self.context),
            dropout: DropoutConfig::new(self.dropout).init(),
            blocks: (0..self.layers).map(|_| block.init_normal(DEVIATION, self.layers, device)).collect(),
            norm: LayerNormConfig::new(self.width).init(device),
            head: (!self.tied).then(|| head.init_normal(DEVIATION, device)),
        }
    }
}

/// A language model: token and position embeddings, causal pre-norm blocks, a norm, a head.
///
/// Source: Radford et al., "Language models are unsupervised multitask learners", 2019.
#[derive(Module, Debug)]
pub struct Gpt {
    /// `[V, D]`
    pub token: Embedding,
    /// `[T, D]`, learned.
    pub position: Embedding,
    /// After the embeddings.
    pub dropout: Dropout,
    /// Blocks, in order.
    pub blocks: Vec<TransformerBlock>,
    /// Before the head.
    pub norm: LayerNorm,
    /// To the logits; without one the token embedding is the head.
    pub head: Option<Linear>,
}

impl Gpt {
    /// Token plus position: `[B, T, D]`
    pub const EMBEDDED: Site = Site("embedded");
    /// The output of each block, scoped by its index: `[B, T, D]`
    pub const BLOCK: Site = Site("block");
    /// What the head reads: `[B, T, D]`
    pub const FINAL: Site = Site("final");

    /// Token plus position, from position `first` on.
    fn embed(&self, tokens: Tensor<2, Int>, first: usize) -> Tensor<3> {
        let [batch, time] = tokens.dims();
        let [context, _] = self.position.weight.dims();
        assert!(first + time <= context, "{} tokens, but the model has {context} positions", first + time);
        self.token.forward(tokens) + self.position.positions(batch, first, time)
    }

    fn score(&self, x: Tensor<3>) -> Tensor<3> {
        match &self.head {
            Some(head) => head.forward(x),
            None => self.token.scores(x),
        }
    }
}

impl LanguageModel for Gpt {
    /// Of each block.
    type Memory = Vec<KeyValueCache>;

    fn context(&self) -> usize {
        self.position.weight.dims()[0]
    }

    /// # Panics
    /// If there are more positions than the model has, or a token is not below `V`.
    fn forward_with<S: Tap>(&self, tokens: Tensor<2, Int>, tap: &mut S) -> Tensor<3> {
        let mut x = self.dropout.forward(tap.tap(Self::EMBEDDED, self.embed(tokens, 0)));
        for (index, block) in self.blocks.iter().enumerate() {
            tap.scope("blocks", index);
            let y = block.forward_tapped(x, None, tap);
            x = tap.tap(Self::BLOCK, y);
        }
        self.score(tap.tap(Self::FINAL, self.norm.forward(x)))
    }

    fn go_on(&self, tokens: Tensor<2, Int>, memory: &mut Vec<KeyValueCache>) -> Tensor<3> {
        memory.resize_with(self.blocks.len(), KeyValueCache::new);
        let first = memory.first().map_or(0, KeyValueCache::len);
        let x = self.dropout.forward(self.embed(tokens, first));
        let x = self.blocks.iter().zip(memory).fold(x, |x, (block, cache)| block.forward_cached(x, cache));
        self.score(self.norm.forward(x))
    }
}
