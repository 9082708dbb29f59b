use burn::tensor::Tensor;
use std::{collections::BTreeMap, fmt::Debug};

/// Numbers by name.
pub type Numbers = BTreeMap<&'static str, f64>;

/// What a step brings to a rule besides the gradient.
#[derive(Debug, Clone, Copy)]
pub struct Hyper<'a> {
    /// η, after schedule and group.
    pub lr: f64,
    /// λ, after group.
    pub weight_decay: f64,
    /// The parameter's shape: parameters and gradients come flat.
    pub shape: &'a [usize],
    /// The parameter's name: `blocks.0.attention.query.weight`.
    pub name: &'a str,
    /// The rule's numbers over all parameters: see [`Rule::globals`].
    pub globals: &'a Numbers,
}

/// What a rule remembers of one parameter.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Steps taken, this one included.
    pub step: u64,
    pub(crate) tensors: BTreeMap<&'static str, Tensor<1>>,
    pub(crate) numbers: Numbers,
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
    /// A tensor, left where it is.
    pub fn get(&self, slot: &'static str) -> Option<&Tensor<1>> {
        self.tensors.get(slot)
    }
    /// Puts a tensor back.
    pub fn put(&mut self, slot: &'static str, tensor: Tensor<1>) {
        self.tensors.insert(slot, tensor);
    }
    /// A number, or `start` before the first step.
    pub fn number(&self, name: &'static str, start: f64) -> f64 {
        self.numbers.get(name).copied().unwrap_or(start)
    }
    /// Keeps a number.
    pub fn set_number(&mut self, name: &'static str, value: f64) {
        self.numbers.insert(name, value);
    }
}

/// A pure update of one parameter: `(η, λ, θₜ₋₁, gₜ, state) -> (θₜ, state)`.
///
/// The first three methods make a rule; the others are for those that keep something else than tensors like the parameter, or that need
/// a number over all parameters before the first of them moves.
pub trait Rule: Debug + Send {
    /// The names under which it keeps tensors, for checkpoints.
    fn slots(&self) -> &'static [&'static str];
    /// The decay λ of parameters in no group.
    fn weight_decay(&self) -> f64;
    /// θₜ, all tensors flat.
    fn update(&self, hyper: Hyper<'_>, param: Tensor<1>, grad: Tensor<1>, state: &mut State) -> Tensor<1>;

    /// The names under which it keeps numbers of each parameter, in f64 whatever the parameter's type.
    fn numbers(&self) -> &'static [&'static str] {
        &[]
    }
    /// Elements that a slot has for a parameter of this name and shape; None where such a parameter has no such slot.
    fn slot_len(&self, _slot: &str, _name: &str, shape: &[usize]) -> Option<usize> {
        Some(shape.iter().product())
    }
    /// Its numbers over all parameters, with what they start from. Rules that have some get a pass over all parameters before the update:
    /// [`Rule::observe`] of each, then [`Rule::conclude`].
    fn globals(&self) -> Vec<(&'static str, f64)> {
        vec![]
    }
    /// Sees a parameter before any is updated, and adds to `sums`.
    fn observe(&self, _hyper: Hyper<'_>, _param: &Tensor<1>, _grad: &Tensor<1>, _state: &mut State, _sums: &mut Numbers) {}
    /// Turns the sums of [`Rule::observe`] into the numbers that the updates see.
    fn conclude(&self, _sums: &Numbers, _globals: &mut Numbers) {}
    /// The weight to evaluate with, of rules that take gradients elsewhere.
    fn eval_weight(&self, _param: &Tensor<1>, _state: &State) -> Option<Tensor<1>> {
        None
    }
    /// What is wrong with two numbers that are each in their range: the option, and why.
    fn conflict(&self) -> Option<(&'static str, &'static str)> {
        None
    }
}
