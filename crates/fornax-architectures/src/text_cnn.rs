use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use fornax_layers::{
    Dropout, DropoutConfig, Embedding, Linear, LinearConfig, MaxOverTime, MaxOverTimeConfig, NoTap, Site, Tap, init, steps::zero_padding,
};
use serde::{Deserialize, Serialize};

/// Where word vectors come from, and whether they are learned: the paper's four models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WordVectors {
    /// CNN-rand: drawn at random, and learned.
    Rand,
    /// CNN-static: given, and kept.
    Static,
    /// CNN-non-static: given, and learned.
    NonStatic,
    /// CNN-multichannel: given twice, kept and learned. A filter has weights for each.
    Multichannel,
}

/// Configuration of [`TextCnn`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextCnnConfig {
    /// `V` words; number 0 is any that is not known.
    pub vocabulary: usize,
    /// `D` of a word's vector.
    pub width: usize,
    /// Where they come from.
    pub vectors: WordVectors,
    /// Words that the filters of each size see at once.
    pub kernels: Vec<usize>,
    /// Filters of each size.
    pub maps: usize,
    /// Before the head.
    pub dropout: f64,
    /// The largest length of a class's weights in the head; 0 for any.
    pub max_norm: f64,
    /// `K`
    pub classes: usize,
}

impl TextCnnConfig {
    /// The paper's CNN-rand: 100 filters each over 3, 4 and 5 words of 300 numbers, dropout 1/2, class weights of length 3 at most.
    ///
    /// Source: Kim, "Convolutional neural networks for sentence classification", 2014, section 3.1.
    pub fn kim(vocabulary: usize, classes: usize) -> Self {
        Self { vocabulary, width: 300, vectors: WordVectors::Rand, kernels: vec![3, 4, 5], maps: 100, dropout: 0.5, max_norm: 3.0, classes }
    }

    fn channels(&self) -> usize {
        if self.vectors == WordVectors::Multichannel { 2 } else { 1 }
    }

    /// Parameters, whether learned or kept.
    pub fn parameters(&self) -> usize {
        let inputs = self.channels() * self.width;
        let filters: usize = self.kernels.iter().map(|kernel| (inputs * kernel + 1) * self.maps).sum();
        self.vocabulary * inputs + filters + (self.kernels.len() * self.maps + 1) * self.classes
    }

    /// Draws the weights from the step key: word vectors as the paper's `U(−1/4, 1/4)`, the others as PyTorch.
    ///
    /// # Panics
    /// If there is no kernel, or one is 0.
    pub fn init(&self, device: &Device) -> TextCnn {
        assert!(!self.kernels.is_empty() && !self.kernels.contains(&0), "kernels of at least one word, not {:?}", self.kernels);
        let Self { vocabulary, width, maps, .. } = *self;
        let table = |device: &Device| Embedding { weight: init::uniform([vocabulary, width], 0.25, device) };
        let inputs = self.channels() * width;
        TextCnn {
            embedding: table(device),
            kept: (self.vectors == WordVectors::Multichannel).then(|| table(device)),
            filters: self.kernels.iter().map(|&kernel| MaxOverTimeConfig::new(inputs, maps, kernel).init(device)).collect(),
            dropout: DropoutConfig::new(self.dropout).init(),
            head: LinearConfig::new(maps * self.kernels.len(), self.classes).init(device),
            learned: self.vectors != WordVectors::Static,
            max_norm: self.max_norm,
        }
    }

    /// The same with given word vectors, `[V, D]`: both tables of CNN-multichannel begin with them.
    ///
    /// # Panics
    /// As [`TextCnnConfig::init`], and if the vectors are of another shape.
    pub fn init_with(&self, vectors: &[f32], device: &Device) -> TextCnn {
        let shape = [self.vocabulary, self.width];
        assert_eq!(vectors.len(), shape[0] * shape[1], "vectors of {} words, {} numbers each", shape[0], shape[1]);
        let table = || Embedding { weight: init::by_index(shape, |i| f64::from(vectors[i]), device) };
        let model = self.init(device);
        TextCnn { embedding: table(), kept: model.kept.is_some().then(table), ..model }
    }
}

/// A convolutional network over the words of a sentence: filters over a few words each, of every filter its strongest answer anywhere in the sentence, and a
/// linear head. With `⊕` for one behind the other:
///
/// ```text
/// c_i = max(w · (x_i ⊕ … ⊕ x_{i+h−1}) + b, 0),    z = max_i c_i of each filter,    y = W z + b
/// ```
///
/// A filter also sees the zeros around a sentence, `h − 1` of them on either side, so that no sentence is too short for it. What a sentence gives does not depend
/// on how far its batch is padded.
///
/// Where a class's weights are longer than `max_norm` they are taken as if they had that length, in place of being shortened after each step as in the paper.
///
/// Source: Kim, "Convolutional neural networks for sentence classification", 2014.
#[derive(Module, Debug)]
pub struct TextCnn {
    /// A vector for each word.
    pub embedding: Embedding,
    /// Of [`WordVectors::Multichannel`], those that are not learned.
    pub kept: Option<Embedding>,
    /// Of each size.
    pub filters: Vec<MaxOverTime>,
    /// Before the head.
    pub dropout: Dropout,
    /// To the logits.
    pub head: Linear,
    learned: bool,
    max_norm: f64,
}

impl TextCnn {
    /// The word vectors, with zeros behind each sentence: `[B, T, D]`
    pub const WORDS: Site = Site("words");
    /// Every filter's strongest answer: `[B, kernels · maps]`
    pub const POOLED: Site = Site("pooled");

    /// Logits, with every named activation shown to `tap`: `[B, T] -> [B, K]`
    ///
    /// With `lengths`, padding is not read; it may be any word. A sentence of no words is one of zeros.
    ///
    /// # Panics
    /// If a word is not below `V`, lengths are not one a sentence, or one is above `T`.
    pub fn forward_with<S: Tap>(&self, words: Tensor<2, Int>, lengths: Option<&[usize]>, tap: &mut S) -> Tensor<2> {
        let x = tap.tap(Self::WORDS, zero_padding(self.embed(words), lengths));
        let pooled = self.filters.iter().map(|filters| filters.forward(x.clone(), lengths)).collect();
        let pooled = tap.tap(Self::POOLED, Tensor::cat(pooled, 1));
        self.scores(self.dropout.forward(pooled))
    }

    /// The vectors of words, those that are kept before those that are learned: `[B, T] -> [B, T, D]`
    ///
    /// # Panics
    /// If a word is not below `V`.
    pub fn embed(&self, words: Tensor<2, Int>) -> Tensor<3> {
        let learned = self.embedding.forward(words.clone());
        let x = if self.learned { learned } else { learned.detach() };
        match &self.kept {
            Some(kept) => Tensor::cat(vec![kept.forward(words).detach(), x], 2),
            None => x,
        }
    }

    /// Logits of words that are given as vectors: `[B, T, D] -> [B, K]`
    pub fn classify(&self, vectors: Tensor<3>) -> Tensor<2> {
        let pooled = self.filters.iter().map(|filters| filters.forward(vectors.clone(), None)).collect();
        self.scores(self.dropout.forward(Tensor::cat(pooled, 1)))
    }

    /// Logits: `[B, T] -> [B, K]`
    ///
    /// # Panics
    /// As [`TextCnn::forward_with`].
    pub fn forward(&self, words: Tensor<2, Int>, lengths: Option<&[usize]>) -> Tensor<2> {
        self.forward_with(words, lengths, &mut NoTap)
    }

    /// By weights that are no longer than they may be.
    fn scores(&self, pooled: Tensor<2>) -> Tensor<2> {
        if self.max_norm == 0.0 {
            return self.head.forward(pooled);
        }
        // `[1, K]`
        let shares = (self.head.weight.val().detach().square().sum_dim(0).sqrt().recip() * self.max_norm).clamp_max(1.0);
        let scores = self.head.forward(pooled);
        match &self.head.bias {
            Some(bias) => (scores - bias.val().unsqueeze_dim(0)) * shares + bias.val().unsqueeze_dim(0),
            None => scores * shares,
        }
    }
}
