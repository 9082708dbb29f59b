use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use fornax_layers::{
    Dropout, DropoutConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, MultiHeadAttentionConfig, NoTap, Site, Tap,
    TransformerBlock, TransformerBlockConfig, positions::hide_padding, steps::mean_over_steps,
};
use fornax_weights::{Tensors, WeightError, load_state};
use serde::{Deserialize, Serialize};

/// Of the first weights.
const DEVIATION: f64 = 0.02;
/// Of all norms.
const EPSILON: f64 = 1e-12;

/// Configuration of [`Bert`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BertConfig {
    /// `V`
    pub vocabulary: usize,
    /// Positions, at most.
    pub context: usize,
    /// Kinds of segments: the first sentence, the second.
    pub segments: usize,
    /// `D`
    pub width: usize,
    /// Heads of a block.
    pub heads: usize,
    /// Width of the hidden layers.
    pub hidden: usize,
    /// Blocks.
    pub layers: usize,
    /// After the embeddings and in every block.
    pub dropout: f64,
}

impl BertConfig {
    /// BERT-base, uncased: Devlin et al., "BERT: pre-training of deep bidirectional Transformers for language understanding", 2019, section 3; 109,482,240 parameters.
    pub fn base() -> Self {
        Self { vocabulary: 30_522, context: 512, segments: 2, width: 768, heads: 12, hidden: 3072, layers: 12, dropout: 0.1 }
    }
    /// BERT-large, uncased: the same section; 335,141,888 parameters.
    pub fn large() -> Self {
        Self { width: 1024, heads: 16, hidden: 4096, layers: 24, ..Self::base() }
    }
    /// MiniLM-L6-H384, the body of all-MiniLM-L6-v2: Wang et al., "MiniLM", 2020; 22,713,216 parameters.
    pub fn mini_lm() -> Self {
        Self { width: 384, heads: 12, hidden: 1536, layers: 6, ..Self::base() }
    }

    /// Trainable parameters.
    pub fn parameters(&self) -> usize {
        let (d, h) = (self.width, self.hidden);
        let block = 4 * d * d + 4 * d + 2 * d * h + h + d + 4 * d;
        (self.vocabulary + self.context + self.segments) * d + 2 * d + self.layers * block + d * d + d
    }

    /// Draws the weights from the step key: `N(0, 0.02²)`, biases 0.
    ///
    /// # Panics
    /// If the heads do not divide the width.
    pub fn init(&self, device: &Device) -> Bert {
        let table = |count| EmbeddingConfig::new(count, self.width).with_deviation(DEVIATION).init(device);
        let block = TransformerBlockConfig::new(MultiHeadAttentionConfig::new(self.width, self.heads))
            .with_hidden(self.hidden)
            .with_epsilon(EPSILON)
            .with_dropout(self.dropout)
            .with_norm_first(false);
        Bert {
            token: table(self.vocabulary),
            position: table(self.context),
            segment: table(self.segments),
            norm: LayerNormConfig::new(self.width).with_epsilon(EPSILON).init(device),
            dropout: DropoutConfig::new(self.dropout).init(),
            // All weights of a block have the same deviation.
            blocks: (0..self.layers).map(|_| plain(&block, device)).collect(),
            pooler: LinearConfig::new(self.width, self.width).init_normal(DEVIATION, device),
        }
    }
}

fn plain(config: &TransformerBlockConfig, device: &Device) -> TransformerBlock {
    let mut block = config.init(device);
    for linear in [&mut block.attention.qkv, &mut block.attention.proj, &mut block.up, &mut block.down] {
        let [inputs, outputs] = linear.weight.dims();
        *linear = LinearConfig::new(inputs, outputs).init_normal(DEVIATION, device);
    }
    block
}

/// An encoder of text: token, position and segment embeddings, post-norm blocks that see both sides, and a vector for the whole.
///
/// Source: Devlin et al., "BERT: pre-training of deep bidirectional Transformers for language understanding", 2019.
#[derive(Module, Debug)]
pub struct Bert {
    /// `[V, D]`
    pub token: Embedding,
    /// `[T, D]`, learned.
    pub position: Embedding,
    /// `[2, D]`
    pub segment: Embedding,
    /// Of their sum.
    pub norm: LayerNorm,
    /// After it.
    pub dropout: Dropout,
    /// Blocks, in order.
    pub blocks: Vec<TransformerBlock>,
    /// Of the first token, which stands for the whole.
    pub pooler: Linear,
}

impl Bert {
    /// The normalized sum of the embeddings: `[B, T, D]`
    pub const EMBEDDED: Site = Site("embedded");
    /// The output of each block, scoped by its index: `[B, T, D]`
    pub const BLOCK: Site = Site("block");

    /// A vector for each token, with every named activation shown to `tap`: `[B, T] -> [B, T, D]`
    ///
    /// `segments` are the kinds of segments, of which every token has one; the first for all without. With `lengths`, no token looks at padding, which may be any
    /// token; the vectors of padding mean nothing.
    ///
    /// # Panics
    /// If there are more positions than the model has, a token or segment is unknown, lengths are not one a text, or one is 0 or above `T`.
    pub fn forward_with<S: Tap>(
        &self,
        tokens: Tensor<2, Int>,
        segments: Option<Tensor<2, Int>>,
        lengths: Option<&[usize]>,
        tap: &mut S,
    ) -> Tensor<3> {
        let [batch, time] = tokens.dims();
        let [context, _] = self.position.weight.dims();
        assert!(time <= context, "{time} tokens, but the model has {context} positions");
        assert!(lengths.is_none_or(|lengths| lengths.len() == batch && !lengths.contains(&0)), "one length a text, of one token at least");
        let bias = lengths.map(|lengths| hide_padding(lengths, time, &tokens.device()));
        let segments = segments.unwrap_or_else(|| tokens.zeros_like());
        let sum = self.token.forward(tokens) + self.segment.forward(segments) + self.position.positions(batch, 0, time);
        let mut x = self.dropout.forward(tap.tap(Self::EMBEDDED, self.norm.forward(sum)));
        for (index, block) in self.blocks.iter().enumerate() {
            tap.scope("blocks", index);
            x = tap.tap(Self::BLOCK, block.forward_masked(x, bias.clone()));
        }
        x
    }

    /// A vector for each token: `[B, T] -> [B, T, D]`
    ///
    /// # Panics
    /// As [`Bert::forward_with`].
    pub fn forward(&self, tokens: Tensor<2, Int>, segments: Option<Tensor<2, Int>>, lengths: Option<&[usize]>) -> Tensor<3> {
        self.forward_with(tokens, segments, lengths, &mut NoTap)
    }

    /// A vector for the whole, from that of the first token: `tanh(W h₀ + b)`, `[B, T, D] -> [B, D]`
    pub fn pool(&self, hidden: Tensor<3>) -> Tensor<2> {
        self.pooler.forward(hidden.narrow(1, 0, 1).squeeze_dim::<2>(1)).tanh()
    }

    /// A vector of length 1 for the whole, the mean over its tokens, so that products of such vectors are cosines: `[B, T] -> [B, D]`
    ///
    /// Source: Reimers and Gurevych, "Sentence-BERT: sentence embeddings using Siamese BERT-networks", 2019, and its successors' normalization.
    ///
    /// # Panics
    /// As [`Bert::forward_with`].
    pub fn embed(&self, tokens: Tensor<2, Int>, lengths: Option<&[usize]>) -> Tensor<2> {
        let mean = mean_over_steps(self.forward(tokens, None, lengths), lengths);
        let length = mean.clone().square().sum_dim(1).sqrt().clamp_min(1e-12);
        mean / length
    }

    /// A model with published weights, by the names that Hugging Face's `BertModel` has for them; what stands before all names does not matter, nor do buffers and
    /// heads for other tasks. `tensors` are those of a safetensors file ([`fornax_weights::read_tensors`]).
    ///
    /// # Errors
    /// If a tensor is missing or of another shape.
    pub fn load(config: &BertConfig, tensors: &Tensors, device: &Device) -> Result<Self, WeightError> {
        const FIRST: &str = "embeddings.word_embeddings.weight";
        let prefix = tensors.keys().find_map(|name| name.strip_suffix(FIRST)).unwrap_or_default();
        let mut missing = vec![];
        let mut take = |name: String| {
            let found = tensors.get(&format!("{prefix}{name}")).cloned();
            if found.is_none() {
                missing.push(name);
            }
            found
        };
        let mut found = Tensors::new();
        for (ours, theirs) in [("token", "word_embeddings"), ("position", "position_embeddings"), ("segment", "token_type_embeddings")] {
            found.extend(take(format!("embeddings.{theirs}.weight")).map(|data| (format!("{ours}.weight"), data)));
        }
        let mut norms = vec![("norm".to_string(), "embeddings.LayerNorm".to_string())];
        let mut linears = vec![("pooler".to_string(), vec!["pooler.dense".to_string()])];
        for i in 0..config.layers {
            let layer = format!("encoder.layer.{i}");
            let of = |names: &[&str]| names.iter().map(|name| format!("{layer}.{name}")).collect::<Vec<_>>();
            norms.extend(
                [("norm1", "attention.output.LayerNorm"), ("norm2", "output.LayerNorm")]
                    .map(|(a, b)| (format!("blocks.{i}.{a}"), format!("{layer}.{b}"))),
            );
            linears.extend([
                (format!("blocks.{i}.attention.qkv"), of(&["attention.self.query", "attention.self.key", "attention.self.value"])),
                (format!("blocks.{i}.attention.proj"), of(&["attention.output.dense"])),
                (format!("blocks.{i}.up"), of(&["intermediate.dense"])),
                (format!("blocks.{i}.down"), of(&["output.dense"])),
            ]);
        }
        for (ours, theirs) in norms {
            for part in ["weight", "bias"] {
                found.extend(take(format!("{theirs}.{part}")).map(|data| (format!("{ours}.{part}"), data)));
            }
        }
        for (ours, theirs) in linears {
            let mut parts = |part: &str| theirs.iter().map(|name| take(format!("{name}.{part}"))).collect::<Option<Vec<_>>>();
            let (weights, biases) = (parts("weight"), parts("bias"));
            found.extend(weights.and_then(|weights| beside(&weights)).map(|data| (format!("{ours}.weight"), data)));
            found.extend(biases.map(|biases| (format!("{ours}.bias"), behind(&biases))));
        }
        match missing.first() {
            Some(first) => Err(WeightError::Missing { count: missing.len(), first: format!("{prefix}{first}") }),
            None => load_state(config.init(device), &found, ""),
        }
    }
}

fn values(data: &TensorData) -> Vec<f32> {
    data.clone().convert_dtype(DType::F32).iter::<f32>().collect()
}

/// PyTorch's `[D', D]` of several layers as one that is `[D, D' · count]`; None if one is no matrix or they do not fit, which is told by the name that is then missing.
fn beside(weights: &[TensorData]) -> Option<TensorData> {
    let shape = weights.first()?.shape().to_vec();
    let &[outputs, inputs] = &shape[..] else { return None };
    if weights.iter().any(|weight| weight.shape().to_vec() != shape) {
        return None;
    }
    let rows: Vec<f32> = weights.iter().flat_map(values).collect();
    let all = outputs * weights.len();
    let transposed = (0..inputs * all).map(|i| rows[i % all * inputs + i / all]).collect();
    Some(TensorData::new::<f32, _>(transposed, [inputs, all]))
}

fn behind(biases: &[TensorData]) -> TensorData {
    let all: Vec<f32> = biases.iter().flat_map(values).collect();
    let count = all.len();
    TensorData::new(all, [count])
}
