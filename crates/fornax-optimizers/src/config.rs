use crate::{Configured, Lbfgs, LbfgsConfig, PerTensor, RULES, Rule};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::collections::BTreeMap;

/// A rule's own numbers by name.
pub type Options = BTreeMap<String, Value>;

/// What a recipe may set of a rule: four fields that all rules have, and beside them the rule's own options, as in
/// `{"name": "sgd", "lr": 0.1, "weight_decay": 0.0, "decay_matrices_only": true, "momentum": 0.9, …}`.
///
/// An option that is left out has the rule's default; one that the rule does not have is refused by [`RuleConfig::build`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleConfig {
    /// A name from [`RULES`].
    pub name: String,
    /// Peak learning rate η.
    pub lr: f64,
    /// Decay λ.
    pub weight_decay: f64,
    /// Whether vectors (biases, norms) are exempt from decay.
    pub decay_matrices_only: bool,
    /// The rule's own.
    #[serde(flatten)]
    pub options: Options,
}

/// Names of the fields that are no options.
const FIELDS: [&str; 4] = ["name", "lr", "weight_decay", "decay_matrices_only"];

/// A wrong name or number in a [`RuleConfig`], as one line: `beta1 must be in [0, 1), not 1`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option} {why}")]
pub struct RuleError {
    /// The field.
    pub option: String,
    /// What is wrong with it.
    pub why: String,
    /// The word that is not known, and those that are: for who wants to suggest one.
    pub unknown: Option<(String, Vec<String>)>,
}

impl RuleError {
    fn new(option: &str, why: impl Into<String>) -> Self {
        Self { option: option.into(), why: why.into(), unknown: None }
    }
}

impl Default for RuleConfig {
    /// AdamW as in PyTorch.
    fn default() -> Self {
        crate::rules::ADAMW.config()
    }
}

impl RuleConfig {
    /// A rule with its defaults.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn named(name: &str) -> Result<Self, RuleError> {
        Ok(entry(name)?.config())
    }

    /// With one option set; [`RuleConfig::build`] checks it.
    pub fn with(mut self, option: &str, value: impl Into<Value>) -> Self {
        self.options.insert(option.into(), value.into());
        self
    }

    /// Builds the rule, after checking every name, type and range.
    ///
    /// # Errors
    /// The first that is wrong; and `lbfgs`, which is no rule of one parameter: see [`RuleConfig::optimizer`].
    pub fn build(&self) -> Result<Box<dyn Rule>, RuleError> {
        match self.built()? {
            Built::Rule(rule) => Ok(rule),
            Built::Lbfgs(_) => Err(RuleError::new("name", format!("`{}` takes all parameters as one vector, without groups", self.name))),
        }
    }

    /// Builds the optimizer, without groups.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn optimizer(&self) -> Result<Configured, RuleError> {
        Ok(match self.built()? {
            Built::Rule(rule) => Configured::PerTensor(Box::new(PerTensor::boxed(rule))),
            Built::Lbfgs(_) if self.weight_decay != 0.0 => {
                return Err(RuleError::new("weight_decay", format!("must be 0 with `{}`: a penalty belongs to its loss", self.name)));
            }
            Built::Lbfgs(lbfgs) => Configured::Lbfgs(lbfgs),
        })
    }

    fn built(&self) -> Result<Built, RuleError> {
        let entry = entry(&self.name)?;
        if !(self.lr > 0.0 && self.lr.is_finite()) {
            return Err(RuleError::new("lr", format!("must be above 0, not {}", self.lr)));
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return Err(RuleError::new("weight_decay", format!("must be 0 or above, not {}", self.weight_decay)));
        }
        let mut options = (entry.defaults)();
        let decays = options.remove("weight_decay").is_some();
        for (option, value) in &self.options {
            let Some(default) = options.get_mut(option) else { return Err(entry.unknown(option)) };
            entry.check(option, default, value)?;
            default.clone_from(value);
        }
        if decays {
            options.insert("weight_decay".into(), self.weight_decay.into());
        }
        let built = (entry.build)(options).map_err(|error| RuleError::new("options", error.to_string()))?;
        match &built {
            Built::Rule(rule) => rule.conflict().map_or(Ok(()), |(option, why)| Err(RuleError::new(option, why)))?,
            Built::Lbfgs(_) => {}
        }
        Ok(built)
    }
}

/// What an entry makes of its options.
enum Built {
    Rule(Box<dyn Rule>),
    Lbfgs(Lbfgs),
}

fn entry(name: &str) -> Result<&'static RuleEntry, RuleError> {
    RULES.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let names: Vec<_> = RULES.iter().map(|entry| entry.name.to_string()).collect();
        let why = format!("is one of {}, not `{name}`", names.join(", "));
        RuleError { option: "name".into(), why, unknown: Some((name.into(), names)) }
    })
}

/// Where a number may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Above 0.
    Positive,
    /// 0 or above.
    NotNegative,
    /// 0 or below.
    NotPositive,
    /// `[0, 1)`: decay rates of averages.
    Share,
    /// `[0, 1]`
    UpToOne,
    /// `(0, 1)`
    Inside,
    /// 1 or above.
    FromOne,
}

impl Range {
    fn holds(self, x: f64) -> bool {
        x.is_finite()
            && match self {
                Self::Positive => x > 0.0,
                Self::NotNegative => x >= 0.0,
                Self::NotPositive => x <= 0.0,
                Self::Share => (0.0..1.0).contains(&x),
                Self::UpToOne => (0.0..=1.0).contains(&x),
                Self::Inside => x > 0.0 && x < 1.0,
                Self::FromOne => x >= 1.0,
            }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Positive => "above 0",
            Self::NotNegative => "0 or above",
            Self::NotPositive => "0 or below",
            Self::Share => "in [0, 1)",
            Self::UpToOne => "in [0, 1]",
            Self::Inside => "in (0, 1)",
            Self::FromOne => "1 or above",
        }
    }
}

/// A line of [`RULES`].
#[derive(Debug)]
pub struct RuleEntry {
    /// The name on the command line.
    pub name: &'static str,
    /// The learning rate of PyTorch or the paper.
    pub lr: f64,
    /// Where each number may lie.
    pub ranges: &'static [(&'static str, Range)],
    /// Every option with its default, λ included.
    pub defaults: fn() -> Options,
    build: fn(Options) -> serde_json::Result<Built>,
}

impl RuleEntry {
    /// Of a rule whose fields are its options, and whose `Default` has their defaults.
    pub const fn new<R>(name: &'static str, lr: f64, ranges: &'static [(&'static str, Range)]) -> Self
    where
        R: Rule + Default + Serialize + DeserializeOwned + 'static,
    {
        Self { name, lr, ranges, defaults: defaults::<R>, build: build::<R> }
    }

    /// Of L-BFGS.
    pub(crate) const fn lbfgs(name: &'static str, lr: f64, ranges: &'static [(&'static str, Range)]) -> Self {
        Self { name, lr, ranges, defaults: defaults::<LbfgsConfig>, build: build_lbfgs }
    }

    /// The rule with its defaults.
    pub fn config(&self) -> RuleConfig {
        let mut options = (self.defaults)();
        let weight_decay = options.remove("weight_decay").and_then(|value| value.as_f64()).unwrap_or(0.0);
        RuleConfig { name: self.name.into(), lr: self.lr, weight_decay, decay_matrices_only: true, options }
    }

    fn unknown(&self, option: &str) -> RuleError {
        let own = (self.defaults)();
        let own = own.keys().map(String::as_str).filter(|key| !FIELDS.contains(key));
        let known: Vec<String> = FIELDS.into_iter().chain(own).map(str::to_string).collect();
        let why = format!("is not an option of `{}`, which has {}", self.name, known.join(", "));
        RuleError { option: option.into(), why, unknown: Some((option.into(), known)) }
    }

    fn check(&self, option: &str, default: &Value, value: &Value) -> Result<(), RuleError> {
        let wants = match default {
            Value::Bool(_) if !value.is_boolean() => "true or false",
            Value::String(_) if !value.is_string() => "a text",
            Value::Number(n) if n.is_u64() && !value.is_u64() => "a whole number, 0 or above",
            Value::Number(_) if !value.is_number() => "a number",
            _ => "",
        };
        if !wants.is_empty() {
            return Err(RuleError::new(option, format!("takes {wants}, not {value}")));
        }
        let range = self.ranges.iter().find(|(name, _)| *name == option);
        match (range, value.as_f64()) {
            (Some((_, range)), Some(x)) if !range.holds(x) => Err(RuleError::new(option, format!("must be {}, not {x}", range.text()))),
            _ => Ok(()),
        }
    }
}

fn defaults<R: Default + Serialize>() -> Options {
    serde_json::to_value(R::default()).and_then(serde_json::from_value).unwrap_or_else(|error| panic!("a rule's fields are plain data: {error}"))
}

fn read<T: DeserializeOwned>(options: Options) -> serde_json::Result<T> {
    serde_json::from_value(Value::Object(options.into_iter().collect()))
}

fn build<R: Rule + DeserializeOwned + 'static>(options: Options) -> serde_json::Result<Built> {
    Ok(Built::Rule(Box::new(read::<R>(options)?)))
}

fn build_lbfgs(options: Options) -> serde_json::Result<Built> {
    Ok(Built::Lbfgs(read::<LbfgsConfig>(options)?.init()))
}
