//! Architectures, one file each, read from the top; presets are constructors that cite their source.
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use burn::tensor::{Device, Tensor};
//! use fornax_architectures::{ConvNetConfig, ImageClassifier};
//! let device = Device::flex();
//! let model = ConvNetConfig::tutorial().init(&device);
//! assert_eq!(model.forward(Tensor::zeros([2, 1, 28, 28], &device)).dims(), [2, 10]);
//! # }
//! ```
#![recursion_limit = "256"]

/// The Burn that this crate is built on, for those who depend on this crate alone.
pub use burn;

mod bert;
mod char_rnn;
mod convnet;
mod forecaster;
mod frame_labeler;
mod generate;
mod gpt;
mod lenet;
mod llama;
mod looks;
mod mlp;
mod resnet;
mod search;
mod seq2seq;
mod sequence_classifier;
mod sequence_encoder;
mod silero_vad;
mod speech_segments;
mod text_cnn;
mod transformer;
mod vit;

pub use bert::{Bert, BertConfig};
pub use char_rnn::{CharRnn, CharRnnConfig};
pub use convnet::{ConvNet, ConvNetConfig, Stage};
pub use forecaster::{Forecaster, ForecasterConfig};
pub use frame_labeler::{FrameLabeler, FrameLabelerConfig};
pub use generate::{Sampling, generate};
pub use gpt::{Gpt, GptConfig};
pub use lenet::{LeNet5, LeNet5Config};
pub use llama::{Llama, LlamaBlock, LlamaConfig};
pub use mlp::{Mlp, MlpConfig};
pub use resnet::{BasicBlock, ResNet, ResNetConfig, Stem};
pub use search::{Beam, StepDecoder, search};
pub use seq2seq::{Reading, Seq2Seq, Seq2SeqConfig};
pub use sequence_classifier::{Pooling, SequenceClassifier, SequenceClassifierConfig};
pub use sequence_encoder::{Encoded, FrontConv, SequenceEncoder, SequenceEncoderConfig, SpectralFront};
pub use silero_vad::{SileroVad, SileroVadConfig, VadState};
pub use speech_segments::SpeechSegments;
pub use text_cnn::{TextCnn, TextCnnConfig, WordVectors};
pub use transformer::{Read, Transformer, TransformerConfig};
pub use vit::{Vit, VitConfig};

use burn::{
    module::Module,
    tensor::{Int, Tensor},
};
use fornax_layers::{NoTap, Site, Tap};

/// A model from images to class logits.
pub trait ImageClassifier: Module {
    /// The last activation with a place in the image, `[B, C, H, W]`; Grad-CAM reads it. None if there is no such thing.
    const SPATIAL: Option<Site>;

    /// Logits, with every named activation shown to `tap`: `[B, C, H, W] -> [B, K]`
    fn forward_with<T: Tap>(&self, images: Tensor<4>, tap: &mut T) -> Tensor<2>;

    /// Logits: `[B, C, H, W] -> [B, K]`
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward_with(images, &mut NoTap)
    }
}

/// A model from tokens to the logits of the next ones.
pub trait LanguageModel: Module {
    /// Whether it carries a memory from a piece of a text to the next, so that it sees all of what came before.
    const CARRIES: bool = false;

    /// What it remembers of a text that it goes on with, token by token; at the beginning nothing.
    type Memory: Default;

    /// Tokens that it looks at, at most.
    fn context(&self) -> usize;

    /// Logits of each next token, with every named activation shown to `tap`: `[B, T] -> [B, T, V]`
    fn forward_with<S: Tap>(&self, tokens: Tensor<2, Int>, tap: &mut S) -> Tensor<3>;

    /// Logits of each next token: `[B, T] -> [B, T, V]`
    fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        self.forward_with(tokens, &mut NoTap)
    }

    /// Logits of each next token, going on from the memory of the text before, and the memory after: `[B, T] -> [B, T, V]`
    ///
    /// At the beginning the memory is empty. It always is for a model that carries none.
    fn forward_from(&self, tokens: Tensor<2, Int>, _memory: &[Tensor<3>]) -> (Tensor<3>, Vec<Tensor<3>>) {
        (self.forward(tokens), vec![])
    }

    /// Logits of each next token, behind what was remembered, without computing that again: `[B, T] -> [B, T, V]`
    ///
    /// # Panics
    /// If the memory is of another batch, or would hold more than [`LanguageModel::context`] tokens.
    fn go_on(&self, tokens: Tensor<2, Int>, memory: &mut Self::Memory) -> Tensor<3>;
}

/// A model that reads a sequence and writes another.
pub trait EncoderDecoder: Module + StepDecoder {
    /// What has been read of sources, before the first symbol is written; padding may be any symbol: `[B, S]`
    ///
    /// # Panics
    /// If a symbol is none of sources, lengths are not one a source, or one is above `S`.
    fn start(&self, sources: Tensor<2, Int>, lengths: &[usize]) -> Self::State;

    /// The logits of known targets, each step of which sees the right symbols before it; both with their lengths. `targets` begin with
    /// [`StepDecoder::begin`]: `[B, S], [B, T] -> [B, T, K + 1]`
    ///
    /// # Panics
    /// As [`EncoderDecoder::start`].
    fn forward(&self, sources: (Tensor<2, Int>, &[usize]), targets: (Tensor<2, Int>, &[usize])) -> Tensor<3>;

    /// How much each step of known targets looks at each symbol of its source in the last attention from the one to the other, the mean over heads; each step's
    /// share of all symbols is 1, and of padding 0. Nothing of a model that has no such attention: `[B, S], [B, T] -> [B, T, S]`
    ///
    /// # Panics
    /// As [`EncoderDecoder::start`].
    fn looks(&self, sources: (Tensor<2, Int>, &[usize]), targets: (Tensor<2, Int>, &[usize])) -> Option<Tensor<3>>;
}
