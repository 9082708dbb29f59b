//! What each word of a sentence is worth, by the name of a method.

use crate::error::usage;
use anyhow::Result;
use burn::tensor::Tensor;
use fornax_architectures::TextCnn;
use fornax_explain::{
    Features, all_coalitions, feature_ablation, input_x_gradient, integrated_gradients, kernel_shap, random_coalitions, random_orders, saliency,
    shapley_sampling,
};
use fornax_kernels::random::Key;

/// Words of which all sets are tried; of more, some.
const FEW: usize = 10;

/// The vectors of a sentence's words `[1, T, D]`, who says what they are, and of which class.
pub(crate) struct Sentence<'a> {
    pub(crate) vectors: Tensor<3>,
    pub(crate) class: usize,
    /// A frozen model.
    pub(crate) model: &'a TextCnn,
}

/// Of each word what it is worth.
type Attribute = fn(&Sentence<'_>) -> Vec<f64>;

/// A word that is taken away is a vector of zeros.
const METHODS: &[(&str, Attribute)] = &[
    ("saliency", |s| s.sums(saliency(s.vectors.clone(), &[s.class], |x| s.logits(x)))),
    ("input-x-gradient", |s| s.sums(input_x_gradient(s.vectors.clone(), &[s.class], |x| s.logits(x)))),
    ("integrated-gradients", |s| s.sums(integrated_gradients(s.vectors.clone(), s.nothing(), &[s.class], 50, |x| s.logits(x)).attributions)),
    ("feature-ablation", |s| s.firsts(feature_ablation(s.vectors.clone(), s.nothing(), &s.words(), &[s.class], |x| s.logits(x)))),
    ("shapley-sampling", |s| {
        let words = s.words();
        let orders = random_orders(Key::new(0), words.count(), 25);
        s.firsts(shapley_sampling(s.vectors.clone(), s.nothing(), &words, &orders, &[s.class], |x| s.logits(x)))
    }),
    ("kernel-shap", |s| {
        let words = s.words();
        let few = words.count() <= FEW;
        let coalitions = if few { all_coalitions(words.count()) } else { random_coalitions(Key::new(0), words.count(), 20 * words.count()) };
        s.firsts(kernel_shap(s.vectors.clone(), s.nothing(), &words, &coalitions, &[s.class], |x| s.logits(x)))
    }),
];

impl Sentence<'_> {
    fn logits(&self, vectors: Tensor<3>) -> Tensor<2> {
        self.model.classify(vectors)
    }
    fn nothing(&self) -> Tensor<3> {
        self.vectors.zeros_like()
    }
    fn words(&self) -> Features {
        let [_, words, width] = self.vectors.dims();
        Features::new((0..words * width).map(|element| element / width).collect())
    }

    /// Over the numbers of each word's vector.
    fn sums(&self, attributions: Tensor<3>) -> Vec<f64> {
        let values: Vec<f64> = attributions.into_data().iter::<f64>().collect();
        values.chunks(self.vectors.dims()[2]).map(|word| word.iter().sum()).collect()
    }

    /// Of words whose numbers all have the same.
    fn firsts(&self, attributions: Tensor<3>) -> Vec<f64> {
        let values: Vec<f64> = attributions.into_data().iter::<f64>().collect();
        values.into_iter().step_by(self.vectors.dims()[2]).collect()
    }

    /// What each word is worth for the class, by a method.
    pub(crate) fn worth(&self, name: &str) -> Result<Vec<f64>> {
        match METHODS.iter().find(|(known, _)| *known == name) {
            Some((_, attribute)) => Ok(attribute(self)),
            None => {
                let known: Vec<_> = METHODS.iter().map(|(name, _)| *name).collect();
                Err(usage(format!("--explain of sentences takes {}, not `{name}`", known.join(", "))))
            }
        }
    }
}
