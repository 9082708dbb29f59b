use crate::Parameter;
use crate::parameters::name_matches;
use std::{collections::BTreeMap, fmt, sync::Arc};

/// What an [`Adjust`] changes of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Multiplies η.
    pub lr_scale: f64,
    /// λ in its place.
    pub weight_decay: Option<f64>,
}

impl Change {
    /// η times `factor`.
    pub fn lr(factor: f64) -> Self {
        Self { lr_scale: factor, weight_decay: None }
    }
}

/// Changes η and λ of the parameters that it chooses, by name and shape. Unlike a [`Group`](crate::Group), of which the last counts,
/// all that apply act one after another, after the groups.
#[derive(Clone)]
pub struct Adjust {
    label: String,
    change: Arc<Choose>,
}

type Choose = dyn Fn(&str, &[usize]) -> Option<Change> + Send + Sync;

impl fmt::Debug for Adjust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Adjust({})", self.label)
    }
}

/// For which kind of rule the rate follows the width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WidthRule {
    /// Adam and others whose step does not depend on the size of gradients.
    Adam,
    /// SGD.
    Sgd,
}

impl Adjust {
    /// By any function of name and shape; None leaves a parameter as it is.
    pub fn new(label: impl Into<String>, change: impl Fn(&str, &[usize]) -> Option<Change> + Send + Sync + 'static) -> Self {
        Self { label: label.into(), change: Arc::new(change) }
    }

    /// Parameters whose name fits a pattern: see [`name_matches`](crate::name_matches).
    pub fn path(pattern: &str, change: Change) -> Self {
        let own = pattern.to_string();
        Self::new(pattern, move |name, _| name_matches(&own, name).then_some(change))
    }

    /// Parameters with so many axes: 1 for biases and norms.
    pub fn rank(rank: usize, change: Change) -> Self {
        Self::new(format!("rank {rank}"), move |_, shape| (shape.len() == rank).then_some(change))
    }

    /// Layer-wise decay of the rate: `η · decay^(L − 1 − l)` in layer l of L, so that the last layer has all of it.
    ///
    /// A layer is a name up to its first index (`blocks.3` of `blocks.3.attention.weight`), or its first part (`head` of `head.weight`);
    /// layers come in the order of the model's fields.
    ///
    /// Source: Howard and Ruder, "Universal language model fine-tuning for text classification", 2018 (discriminative fine-tuning).
    pub fn layer_decay(parameters: &[Parameter], decay: f64) -> Self {
        let mut layers: Vec<String> = vec![];
        for parameter in parameters.iter().filter(|parameter| parameter.trainable) {
            let layer = layer_of(&parameter.name);
            if !layers.contains(&layer) {
                layers.push(layer);
            }
        }
        Self::new("layer decay", move |name, _| {
            let at = layers.iter().position(|layer| *layer == layer_of(name))?;
            Some(Change::lr(decay.powf((layers.len() - 1 - at) as f64)))
        })
    }

    /// Rates that carry over from a narrow model to a wide one (maximal update parametrization): `base` are the parameters of the narrow one.
    ///
    /// With `r = fan / fan of the base`: `η / r_in` for Adam and `η r_out / r_in` for SGD, which are the rows of table 3 for input, hidden
    /// and output weights and for biases. The first weights must follow that table as well: `1/fan_in` in variance, `1/fan_in²` at the output.
    ///
    /// Source: Yang et al., "Tensor programs V: Tuning large neural networks via zero-shot hyperparameter transfer", 2022, table 3.
    pub fn width(base: &[Parameter], rule: WidthRule) -> Self {
        let base: BTreeMap<String, Vec<usize>> = base.iter().map(|parameter| (parameter.name.clone(), parameter.shape.clone())).collect();
        Self::new("width", move |name, shape| {
            let base = base.get(name).filter(|base| base.len() == shape.len())?;
            let ratio = |a: usize, b: usize| a as f64 / b.max(1) as f64;
            let ([fan_in, fan_out], [base_in, base_out]) = (fans(shape), fans(base));
            let (r_in, r_out) = (ratio(fan_in, base_in), ratio(fan_out, base_out));
            let scale = match rule {
                WidthRule::Adam => 1.0 / r_in,
                WidthRule::Sgd => r_out / r_in,
            };
            (scale != 1.0).then(|| Change::lr(scale))
        })
    }

    /// What it is called in a table.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What it changes of a parameter.
    pub fn change(&self, name: &str, shape: &[usize]) -> Option<Change> {
        (self.change)(name, shape)
    }
}

/// η's factor and λ after all adjustments.
pub(crate) fn adjusted(all: &[Adjust], name: &str, shape: &[usize], start: (f64, f64)) -> (f64, f64) {
    all.iter()
        .filter_map(|adjust| adjust.change(name, shape))
        .fold(start, |(scale, decay), change| (scale * change.lr_scale, change.weight_decay.unwrap_or(decay)))
}

fn layer_of(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let index = parts.iter().position(|part| part.parse::<usize>().is_ok()).unwrap_or(0);
    parts[..=index].join(".")
}

/// `[fan in, fan out]`
fn fans(shape: &[usize]) -> [usize; 2] {
    match shape {
        [] => [1, 1],
        [n] => [1, *n],
        [fan_in, fan_out] => [*fan_in, *fan_out],
        [fan_out, fan_in, kernel @ ..] => [fan_in * kernel.iter().product::<usize>(), *fan_out],
    }
}
