use crate::{
    forecast::Forecast,
    frames::Frames,
    images::Images,
    pairs::Pairs,
    sentences::Sentences,
    sequences::Sequences,
    signals::{INPUTS, KNOWN},
    task::Job,
    text::Text,
    transcripts::Transcripts,
};
use anyhow::Result;
use burn::tensor::Device;
use fornax_architectures::{
    CharRnnConfig, ConvNetConfig, ForecasterConfig, FrameLabelerConfig, GptConfig, LeNet5Config, LlamaConfig, MlpConfig, Seq2SeqConfig,
    SequenceClassifierConfig, SequenceEncoderConfig, TextCnnConfig, TransformerConfig, WordVectors,
};
use fornax_kernels::device::in_pool;
use serde::{Deserialize, Serialize};

/// `model.*`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub(crate) enum ModelConfig {
    ConvNet(ConvNetConfig),
    LeNet5(LeNet5Config),
    Mlp(MlpConfig),
    Gpt(GptConfig),
    Llama(LlamaConfig),
    CharRnn(CharRnnConfig),
    Sequence(SequenceClassifierConfig),
    Frames(FrameLabelerConfig),
    Transcriber(FrameLabelerConfig),
    #[serde(rename = "seq2seq")]
    Seq2Seq(Seq2SeqConfig),
    Transformer(TransformerConfig),
    Forecaster(ForecasterConfig),
    TextCnn(TextCnnConfig),
}

impl ModelConfig {
    /// Hands the task of this model to `job`: the one place that knows every architecture.
    ///
    /// It works on a thread of the pool, where an operation need not wake one and wait for it.
    pub(crate) fn with<J: Job<Output: Send> + Send>(&self, job: J) -> Result<J::Output> {
        in_pool(|| match self {
            Self::ConvNet(config) => job.run(Images(|device: &Device| config.init(device))),
            Self::LeNet5(config) => job.run(Images(|device: &Device| config.init(device))),
            Self::Mlp(config) => job.run(Images(|device: &Device| config.init(device))),
            Self::Gpt(config) => job.run(Text::new(|vocabulary, device: &Device| GptConfig { vocabulary, ..*config }.init(device), config.context)),
            Self::Llama(config) => {
                job.run(Text::new(|vocabulary, device: &Device| LlamaConfig { vocabulary, ..*config }.init(device), config.context))
            }
            Self::CharRnn(config) => {
                job.run(Text::new(|vocabulary, device: &Device| CharRnnConfig { vocabulary, ..*config }.init(device), config.bptt))
            }
            Self::Sequence(config) => job.run(Sequences(|device: &Device| config.init(device), config.encoder.inputs)),
            Self::Frames(config) => job.run(Frames(config.clone())),
            Self::Transcriber(config) => job.run(Transcripts(config.clone())),
            Self::Forecaster(config) => job.run(Forecast(config.clone())),
            Self::TextCnn(config) => job.run(Sentences(config.clone())),
            Self::Seq2Seq(config) => {
                job.run(Pairs(|[sources, targets]: [usize; 2], device: &Device| Seq2SeqConfig { sources, targets, ..*config }.init(device)))
            }
            Self::Transformer(config) => job.run(Pairs(|[sources, targets]: [usize; 2], device: &Device| {
                let sources = if config.shared { targets + 1 } else { sources };
                TransformerConfig { sources, targets, ..*config }.init(device)
            })),
        })
    }

    pub(crate) fn learns_text(&self) -> bool {
        matches!(self, Self::Gpt(_) | Self::Llama(_) | Self::CharRnn(_))
    }

    pub(crate) fn learns_pairs(&self) -> bool {
        matches!(self, Self::Seq2Seq(_) | Self::Transformer(_))
    }

    /// Channels, height and width of an image; nothing of other models.
    pub(crate) fn image(&self) -> [usize; 3] {
        match self {
            Self::ConvNet(config) => config.image,
            Self::LeNet5(_) | Self::Mlp(_) => [1, 28, 28],
            _ => [0; 3],
        }
    }

    /// Classes of the head; of a language model and of pairs 0, for as many as the data have symbols.
    pub(crate) fn classes(&self) -> usize {
        match self {
            Self::ConvNet(config) => config.classes,
            Self::LeNet5(config) => config.classes,
            Self::Mlp(config) => config.classes,
            Self::Gpt(config) => config.vocabulary,
            Self::Llama(config) => config.vocabulary,
            Self::CharRnn(config) => config.vocabulary,
            Self::Sequence(config) => config.classes,
            Self::Frames(config) | Self::Transcriber(config) => config.classes,
            Self::Seq2Seq(config) => config.sources + config.targets,
            Self::Transformer(config) => config.sources + config.targets,
            Self::Forecaster(_) => 0,
            Self::TextCnn(config) => config.vocabulary + config.classes,
        }
    }

    pub(super) fn validate(&self) -> Result<(), (String, String)> {
        let dropout = match self {
            Self::ConvNet(config) => {
                config.features().map_err(|why| ("stages".into(), why))?;
                if config.dense.contains(&0) {
                    return Err(("dense".into(), "has a width of 0".into()));
                }
                config.dropout
            }
            Self::Mlp(config) if config.hidden.contains(&0) => return Err(("hidden".into(), "has a width of 0".into())),
            Self::Mlp(config) if config.inputs != 28 * 28 => return Err(("inputs".into(), "must be 784, the pixels of an image".into())),
            Self::Mlp(config) => config.dropout,
            Self::LeNet5(_) => 0.0,
            Self::Gpt(config) => {
                let positive = [("context", config.context), ("width", config.width), ("heads", config.heads), ("layers", config.layers)];
                if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
                    return Err(((*name).into(), "must be at least 1".into()));
                }
                if config.width % config.heads != 0 {
                    return Err(("heads".into(), format!("must divide model.width, {}, not {}", config.width, config.heads)));
                }
                config.dropout
            }
            Self::Llama(config) => {
                let LlamaConfig { context, width, heads, groups, layers, hidden, .. } = *config;
                let positive = [("context", context), ("width", width), ("heads", heads), ("groups", groups), ("layers", layers), ("hidden", hidden)];
                if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
                    return Err(((*name).into(), "must be at least 1".into()));
                }
                if width % heads != 0 || width / heads % 2 != 0 {
                    return Err(("heads".into(), format!("must divide model.width, {width}, into even parts, not {heads}")));
                }
                if heads % groups != 0 {
                    return Err(("groups".into(), format!("must divide model.heads, {heads}, not {groups}")));
                }
                0.0
            }
            Self::CharRnn(config) => {
                let positive = [("embedding", config.embedding), ("hidden", config.hidden), ("layers", config.layers), ("bptt", config.bptt)];
                if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
                    return Err(((*name).into(), "must be at least 1".into()));
                }
                if config.tied && config.embedding != config.hidden {
                    return Err(("tied".into(), format!("needs an embedding as wide as model.hidden, {}, not {}", config.hidden, config.embedding)));
                }
                config.dropout
            }
            Self::Seq2Seq(config) => {
                let Seq2SeqConfig { embedding, hidden, encoder_layers, decoder_layers, .. } = *config;
                let positive = [("embedding", embedding), ("hidden", hidden), ("encoder_layers", encoder_layers), ("decoder_layers", decoder_layers)];
                if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
                    return Err(((*name).into(), "must be at least 1".into()));
                }
                if hidden % 2 == 1 {
                    return Err(("hidden".into(), format!("must be even, for both directions of the encoder share it, not {hidden}")));
                }
                if decoder_layers > encoder_layers {
                    return Err(("decoder_layers".into(), format!("must be at most model.encoder_layers, {encoder_layers}, not {decoder_layers}")));
                }
                config.dropout
            }
            Self::Transformer(config) => {
                let TransformerConfig { width, heads, hidden, encoder_layers, decoder_layers, .. } = *config;
                let positive =
                    [("width", width), ("heads", heads), ("hidden", hidden), ("encoder_layers", encoder_layers), ("decoder_layers", decoder_layers)];
                if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
                    return Err(((*name).into(), "must be at least 1".into()));
                }
                if width % heads != 0 {
                    return Err(("heads".into(), format!("must divide model.width, {width}, not {heads}")));
                }
                config.dropout
            }
            Self::Forecaster(config) => {
                let sizes = [
                    ("context", config.context),
                    ("horizon", config.horizon),
                    ("hidden", config.hidden),
                    ("layers", config.layers),
                    ("width", config.width),
                ];
                if let Some((name, _)) = sizes.iter().find(|(_, value)| *value == 0) {
                    return Err(((*name).into(), "must be at least 1".into()));
                }
                let features = [("inputs", config.inputs, INPUTS), ("known", config.known, KNOWN)];
                if let Some((name, value, is)) = features.iter().find(|(_, value, is)| value != is) {
                    return Err(((*name).into(), format!("must be {is}, the features that a signal has, not {value}")));
                }
                let levels = &config.quantiles;
                if levels.is_empty() || levels.iter().any(|level| !(*level > 0.0 && *level < 1.0)) || levels.windows(2).any(|pair| pair[0] >= pair[1])
                {
                    return Err(("quantiles".into(), format!("must be levels in (0, 1), ascending, not {levels:?}")));
                }
                config.dropout
            }
            Self::TextCnn(config) => {
                let positive = [("width", config.width), ("maps", config.maps)];
                if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
                    return Err(((*name).into(), "must be at least 1".into()));
                }
                if config.kernels.is_empty() || config.kernels.iter().any(|kernel| !(1..=64).contains(kernel)) {
                    return Err(("kernels".into(), format!("must be one or more numbers of words from 1 to 64, not {:?}", config.kernels)));
                }
                if !(config.max_norm >= 0.0 && config.max_norm.is_finite()) {
                    return Err(("max_norm".into(), format!("must be 0 or above, not {}", config.max_norm)));
                }
                if config.vectors != WordVectors::Rand {
                    return Err(("vectors".into(), "must be rand: a recipe has no word vectors to begin with".into()));
                }
                config.dropout
            }
            Self::Sequence(config) => {
                check_encoder(&config.encoder)?;
                config.dropout
            }
            Self::Frames(config) | Self::Transcriber(config) => {
                check_encoder(&config.encoder)?;
                config.dropout
            }
        };
        if !(0.0..1.0).contains(&dropout) {
            return Err(("dropout".into(), format!("must be in [0, 1), not {dropout}")));
        }
        match self.classes() {
            0 if self.learns_text() || self.learns_pairs() || matches!(self, Self::Forecaster(_) | Self::TextCnn(_)) => Ok(()),
            0 => Err(("classes".into(), "must be at least 1".into())),
            _ if self.learns_pairs() => Err(("sources".into(), "and model.targets must be 0: the pairs that the model learns from decide".into())),
            _ if matches!(self, Self::TextCnn(_)) => {
                Err(("vocabulary".into(), "and model.classes must be 0: the sentences that the model learns from decide".into()))
            }
            _ if self.learns_text() => Err(("vocabulary".into(), "must be 0: the text that the model learns from decides".into())),
            _ => Ok(()),
        }
    }
}

fn check_encoder(encoder: &SequenceEncoderConfig) -> Result<(), (String, String)> {
    let positive = [("inputs", encoder.inputs), ("hidden", encoder.hidden), ("layers", encoder.layers)];
    if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
        return Err((format!("encoder.{name}"), "must be at least 1".into()));
    }
    if encoder.spectral.iter().any(|conv| conv.channels == 0 || conv.kernel.iter().any(|side| side % 2 == 0) || conv.stride.contains(&0)) {
        return Err(("encoder.spectral".into(), "needs channels, kernels of odd sides, and strides of at least 1".into()));
    }
    if encoder.front.iter().any(|conv| conv.channels == 0 || conv.kernel % 2 == 0 || conv.stride == 0) {
        return Err(("encoder.front".into(), "needs channels, an odd kernel, and a stride of at least 1".into()));
    }
    if !(0.0..1.0).contains(&encoder.dropout) {
        return Err(("encoder.dropout".into(), format!("must be in [0, 1), not {}", encoder.dropout)));
    }
    Ok(())
}
