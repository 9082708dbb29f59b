use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt::Debug};

/// What a step brings to a rule besides the gradient.
#[derive(Debug, Clone, Copy)]
pub struct Hyper<'a> {
    /// η, after schedule and group.
    pub lr: f64,
    /// λ, after group.
    pub weight_decay: f64,
    /// The parameter's shape: parameters and gradients come flat.
    pub shape: &'a [usize],
}

/// What a rule remembers of one parameter.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Steps taken, this one included.
    pub step: u64,
    pub(crate) tensors: BTreeMap<&'static str, Tensor<1>>,
}

impl State {
    /// Takes a tensor out; before the first step there is none.
    pub fn take(&mut self, slot: &'static str) -> Option<Tensor<1>> {
        self.tensors.remove(slot)
    }
    /// Takes a tensor out, or zeros like `like`.
    pub fn take_or_zeros(&mut self, slot: &'static str, like: &Tensor<1>) -> Tensor<1> {
        self.take(slot).unwrap_or_else(|| like.zeros_like())
    }
    /// Puts a tensor back.
    pub fn put(&mut self, slot: &'static str, tensor: Tensor<1>) {
        self.tensors.insert(slot, tensor);
    }
}

/// A pure update of one parameter: `(η, λ, θₜ₋₁, gₜ, state) -> (θₜ, state)`.
pub trait Rule: Debug + Send {
    /// The names under which it keeps tensors, for checkpoints.
    fn slots(&self) -> &'static [&'static str];
    /// The decay λ of parameters in no group.
    fn weight_decay(&self) -> f64;
    /// θₜ, all tensors flat.
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1>;
}

/// What a recipe may set of a rule; a rule reads what it has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// A name from [`RULES`].
    pub name: String,
    /// Peak learning rate η.
    pub lr: f64,
    /// Decay λ.
    pub weight_decay: f64,
    /// Whether vectors (biases, norms) are exempt from decay.
    pub decay_matrices_only: bool,
    /// μ of SGD.
    pub momentum: f64,
    /// Nesterov's form of momentum.
    pub nesterov: bool,
    /// β₁ of Adam and its kin.
    pub beta1: f64,
    /// β₂ of Adam and its kin.
    pub beta2: f64,
    /// ε of Adam and its kin.
    pub epsilon: f64,
}

impl Default for RuleConfig {
    /// AdamW as in PyTorch.
    fn default() -> Self {
        Self {
            name: "adamw".into(),
            lr: 1e-3,
            weight_decay: 1e-2,
            decay_matrices_only: true,
            momentum: 0.9,
            nesterov: false,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
        }
    }
}

impl RuleConfig {
    /// The rule of that name, if there is one.
    pub fn build(&self) -> Option<Box<dyn Rule>> {
        RULES.iter().find(|entry| entry.name == self.name).map(|entry| (entry.build)(self))
    }
}

/// A line of [`RULES`].
#[derive(Debug)]
pub struct RuleEntry {
    /// The name on the command line.
    pub name: &'static str,
    /// Makes the rule.
    pub build: fn(&RuleConfig) -> Box<dyn Rule>,
}

/// Every rule by name.
pub const RULES: &[RuleEntry] = &[crate::sgd::ENTRY, crate::adam::ENTRY, crate::adam::ENTRY_W];
