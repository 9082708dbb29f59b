use crate::{LanguageModel, sequence_encoder::cell_name};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use fornax_layers::{
    Cell, DropoutConfig, Embedding, EmbeddingConfig, Linear, LinearConfig, LockedDropout, NoTap, Recurrent, RecurrentConfig, RecurrentState, Site,
    Tap,
};
use serde::{Deserialize, Serialize};

/// Configuration of [`CharRnn`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CharRnnConfig {
    /// `V`
    pub vocabulary: usize,
    /// `E`, the size of a token's vector.
    pub embedding: usize,
    /// `lstm`, `gru`, `tanh` or `relu`.
    #[serde(with = "cell_name")]
    pub cell: Cell,
    /// `H`
    pub hidden: usize,
    /// `L`
    pub layers: usize,
    /// After the embedding, between layers and before the head; the same at every step.
    pub dropout: f64,
    /// The head is the embedding, which must be as wide as `H`.
    pub tied: bool,
    /// Tokens that gradients reach back over when it is trained piece by piece: truncated back-propagation through time. The state goes further.
    pub bptt: usize,
}

impl CharRnnConfig {
    /// LSTM layers, vectors of their size, a head of its own, no dropout, pieces of 64.
    pub fn new(vocabulary: usize, hidden: usize, layers: usize) -> Self {
        Self { vocabulary, embedding: hidden, cell: Cell::Lstm, hidden, layers, dropout: 0.0, tied: false, bptt: 64 }
    }

    /// Two layers of 128 over 65 characters with dropout 0.5, the defaults of char-rnn: Karpathy, "The unreasonable effectiveness of recurrent neural
    /// networks", 2015. There characters are one-hot, which is an embedding into the first layer's gates.
    pub fn char_rnn() -> Self {
        Self { dropout: 0.5, bptt: 50, ..Self::new(65, 128, 2) }
    }

    /// Trainable parameters.
    pub fn parameters(&self) -> usize {
        let layer = |inputs: usize| self.cell.gates() * self.hidden * (inputs + self.hidden + 2);
        let layers = layer(self.embedding) + (self.layers - 1) * layer(self.hidden);
        let head = if self.tied { 0 } else { (self.hidden + 1) * self.vocabulary };
        self.vocabulary * self.embedding + layers + head
    }

    /// Draws the weights from the step key: embedding `N(0, 1/E)`, the rest as PyTorch.
    ///
    /// # Panics
    /// If there is no layer, the head is tied to an embedding of another size than `H`, or the dropout is not in `[0, 1)`.
    pub fn init(&self, device: &Device) -> CharRnn {
        let Self { vocabulary, embedding, hidden, tied, .. } = *self;
        assert!(self.layers > 0, "at least one layer");
        assert!(!tied || embedding == hidden, "a head tied to vectors of {embedding} needs layers of {embedding}, not of {hidden}");
        let layer = |inputs| RecurrentConfig::new(self.cell, inputs, hidden).init(device);
        CharRnn {
            embedding: EmbeddingConfig::new(vocabulary, embedding).with_deviation(1.0 / (embedding as f64).sqrt()).init(device),
            layers: (0..self.layers).map(|index| layer(if index == 0 { embedding } else { hidden })).collect(),
            dropout: DropoutConfig::new(self.dropout).init_locked(),
            head: (!tied).then(|| LinearConfig::new(hidden, vocabulary).init(device)),
        }
    }
}

/// A language model of recurrent layers, for characters or other small vocabularies: embedding, layers, head.
///
/// Source: Karpathy, "The unreasonable effectiveness of recurrent neural networks", 2015; locked dropout: Gal and Ghahramani, 2016.
#[derive(Module, Debug)]
pub struct CharRnn {
    /// `[V, E]`
    pub embedding: Embedding,
    /// One layer each.
    pub layers: Vec<Recurrent>,
    /// After the embedding and every layer.
    pub dropout: LockedDropout,
    /// To the logits; without one the embedding is the head.
    pub head: Option<Linear>,
}

impl CharRnn {
    /// The vectors of the tokens: `[B, T, E]`
    pub const EMBEDDED: Site = Site("embedded");
    /// The output of each layer, scoped by its index: `[B, T, H]`
    pub const LAYER: Site = Site("layer");

    /// Logits of the next token and the state of every layer, with every named activation shown to `tap`: `[B, T] -> [B, T, V]`
    ///
    /// A text goes through in pieces, each from the state of the one before; `detach` it to train piece by piece.
    ///
    /// # Panics
    /// If a token is not below `V`, or `state` is not of this model and batch.
    pub fn forward_with<S: Tap>(&self, tokens: Tensor<2, Int>, state: Option<&[RecurrentState]>, tap: &mut S) -> (Tensor<3>, Vec<RecurrentState>) {
        assert!(state.is_none_or(|state| state.len() == self.layers.len()), "one state a layer");
        let mut x = self.dropout.forward(tap.tap(Self::EMBEDDED, self.embedding.forward(tokens)));
        let mut last = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            tap.scope("layers", index);
            let (y, after) = layer.forward_from(x, state.map(|state| &state[index]), None);
            x = self.dropout.forward(tap.tap(Self::LAYER, y));
            last.push(after);
        }
        let logits = match &self.head {
            Some(head) => head.forward(x),
            None => self.embedding.scores(x),
        };
        (logits, last)
    }

    /// Logits of the next token and the state of every layer: `[B, T] -> [B, T, V]`
    ///
    /// # Panics
    /// As [`CharRnn::forward_with`].
    pub fn forward(&self, tokens: Tensor<2, Int>, state: Option<&[RecurrentState]>) -> (Tensor<3>, Vec<RecurrentState>) {
        self.forward_with(tokens, state, &mut NoTap)
    }
}

/// Its memory is `h` of every layer, and `c` of LSTM layers, layer after layer: `[1, B, H]` each.
impl LanguageModel for CharRnn {
    const CARRIES: bool = true;

    type Memory = Vec<Tensor<3>>;

    /// All of the text.
    fn context(&self) -> usize {
        usize::MAX
    }

    fn forward_with<S: Tap>(&self, tokens: Tensor<2, Int>, tap: &mut S) -> Tensor<3> {
        CharRnn::forward_with(self, tokens, None, tap).0
    }

    fn forward_from(&self, tokens: Tensor<2, Int>, memory: &[Tensor<3>]) -> (Tensor<3>, Vec<Tensor<3>>) {
        let a_layer = memory.len() / self.layers.len();
        let states: Vec<_> = memory.chunks(a_layer.max(1)).map(|part| RecurrentState { h: part[0].clone(), c: part.get(1).cloned() }).collect();
        let (logits, after) = CharRnn::forward(self, tokens, (!states.is_empty()).then_some(&states[..]));
        (logits, after.into_iter().flat_map(|state| [Some(state.h), state.c].into_iter().flatten()).collect())
    }

    fn go_on(&self, tokens: Tensor<2, Int>, memory: &mut Self::Memory) -> Tensor<3> {
        let (logits, after) = self.forward_from(tokens, memory);
        *memory = after;
        logits
    }
}
