//! What a recipe learns: where its data are, what its loss is, how its model is measured, shown and used. One file a task.

use crate::{
    bench::{Report as BenchReport, Settings},
    cli::{GenerateArgs, PredictArgs},
    config::Config,
    error::usage,
    eval::Trained,
    privacy::ByNumber,
    train::RunConfig,
};
use anyhow::Result;
use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use fornax_data::Split;
use fornax_optimizers::Gradients;
use fornax_trainer::{Backprop, Batches, Evaluate, Evaluation, Sam, Scaled, TrainError, report::Picture};
use fornax_weights::Tensors;
use std::path::Path;

/// A task with a model for it.
pub(crate) trait Task {
    type Model: Module;
    /// A split, in memory.
    type Data;
    type Source: Batches<Batch: Clone>;

    /// What is counted, in the plural.
    const EXAMPLES: &'static str;
    /// Whether `fornax predict` can show what its model looked at.
    const EXPLAINS: bool = false;

    /// Finds the data, `given` or by the name in the configuration; what the run learned of them before is in its folder.
    fn open<'a>(&self, run: &'a RunConfig, given: Option<&Path>) -> Result<Opened<'a, Self::Data>>;
    /// What the model tells apart: classes, or tokens.
    fn classes(&self, train: &Self::Data, valid: &Self::Data) -> Vec<String>;
    fn examples(&self, data: &Self::Data) -> usize;
    /// What the run's folder must hold besides, by name, for the model to be used again.
    fn files(&self, _train: &Self::Data) -> Result<Vec<(&'static str, Vec<u8>)>> {
        Ok(vec![])
    }
    /// Draws a model's weights from the step key.
    fn model(&self, classes: &[String], device: &Device) -> Self::Model;
    /// Training batches; only so many, again and again, with `overfit`.
    fn source(&self, run: &RunConfig, data: Self::Data, device: &Device, overfit: Option<usize>) -> Result<Self::Source>;
    /// Examples by number, for training that keeps each of them private.
    fn by_number(&self, run: &RunConfig, _data: Self::Data, _device: &Device) -> Result<ByNumber<<Self::Source as Batches>::Batch>> {
        let recipe = &run.config.recipe;
        Err(usage(format!(
            "`{recipe}` cannot be private: its {} are no examples that stand by themselves; privacy.* is for images and classes of sequences",
            Self::EXAMPLES
        )))
    }
    /// The loss of each example, in order.
    fn example_losses(&self, run: &RunConfig, _data: &Self::Data, _model: &Self::Model, _device: &Device) -> Result<Vec<f64>> {
        Err(usage(format!("fornax audit is for images and classes of sequences, not for `{}`", run.config.recipe)))
    }
    /// Of examples that are counted in a batch of so many.
    fn examples_of(&self, batch_size: usize) -> usize {
        batch_size
    }
    fn loss(&self, model: &Self::Model, batch: <Self::Source as Batches>::Batch) -> Tensor<1>;
    /// What the loss carries from a batch to the next.
    fn carried(&self) -> Tensors {
        Tensors::new()
    }
    /// Goes on from what [`Task::carried`] gave.
    fn carry(&self, _carried: Tensors, _device: &Device) {}
    fn measure(&self, run: &RunConfig, data: &Self::Data, model: &Self::Model, device: &Device) -> Result<Evaluation>;
    /// Measures while it trains: less, where all of it takes long.
    fn watch(&self, run: &RunConfig, data: &Self::Data, model: &Self::Model, device: &Device) -> Result<Evaluation> {
        self.measure(run, data, model, device)
    }
    /// What the report shows besides numbers.
    fn show(&self, _run: &RunConfig, _data: &Self::Data, _model: &Self::Model, _device: &Device) -> Result<Shown> {
        Ok(Shown::default())
    }
    /// Minus the logarithms of the probabilities of all tokens, in order.
    fn token_losses(&self, _run: &RunConfig, _data: &Self::Data, _model: &Self::Model, _device: &Device) -> Result<Vec<f64>> {
        Err(usage("--dump-nll is for language models"))
    }
    /// `fornax predict`
    fn predict(&self, _args: &PredictArgs, trained: &Trained) -> Result<u8> {
        Err(usage(format!("`{}` is a language model: fornax generate goes on with a text", trained.run.config.recipe)))
    }
    /// `fornax generate`
    fn generate(&self, _args: &GenerateArgs, trained: &Trained) -> Result<u8> {
        Err(usage(format!("`{}` is no language model: fornax predict is for it", trained.run.config.recipe)))
    }
    /// `fornax bench RECIPE`
    fn bench(&self, settings: &Settings, config: &Config) -> Result<BenchReport>;
}

/// Data that are at hand.
pub(crate) struct Opened<'a, D> {
    /// What, from where.
    pub(crate) about: String,
    #[allow(clippy::type_complexity)]
    pub(crate) load: Box<dyn Fn(Split) -> Result<D> + 'a>,
}

/// What a report shows.
#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) title: String,
    /// How to read the pictures.
    pub(crate) note: String,
    pub(crate) pictures: Vec<Picture>,
    /// SVG, with a caption each.
    pub(crate) charts: Vec<(String, String)>,
    /// With a caption each.
    pub(crate) texts: Vec<(String, String)>,
}

/// Something to do with any task.
pub(crate) trait Job {
    type Output;
    fn run<T: Task>(self, task: T) -> Result<Self::Output>;
}

/// The loss's gradients, in one pass or in SAM's two.
pub(crate) fn backprop<'a, T: Task>(
    task: &'a T,
    config: &Config,
    device: &Device,
) -> impl Backprop<T::Model, <T::Source as Batches>::Batch> + use<'a, T> {
    let loss = |model: &T::Model, batch| task.loss(model, batch);
    let inner = Scaled { loss, scale: config.loss_scale() };
    Carrying { task, inner: Sam { inner, rho: config.gradient.sam, adaptive: config.gradient.sam_adaptive }, device: device.clone() }
}

/// Back-propagation whose checkpoints hold what the task's loss carries.
struct Carrying<'a, T, G> {
    task: &'a T,
    inner: G,
    device: Device,
}

impl<T: Task, B, G: Backprop<T::Model, B>> Backprop<T::Model, B> for Carrying<'_, T, G> {
    fn gradients(&mut self, model: &T::Model, batch: B) -> (f64, Gradients) {
        self.inner.gradients(model, batch)
    }
    fn leaves_out(&mut self, finite: bool) -> bool {
        self.inner.leaves_out(finite)
    }
    fn state(&self) -> Vec<f64> {
        self.inner.state()
    }
    fn load_state(&mut self, state: &[f64]) -> Result<(), String> {
        self.inner.load_state(state)
    }
    fn carried(&self) -> Tensors {
        self.task.carried()
    }
    fn load_carried(&mut self, carried: Tensors) -> Result<(), String> {
        self.task.carry(carried, &self.device);
        Ok(())
    }
}

/// Measures models on a split.
pub(crate) struct Measure<'a, T: Task> {
    pub(crate) task: &'a T,
    pub(crate) run: &'a RunConfig,
    pub(crate) data: &'a T::Data,
    pub(crate) device: Device,
}

impl<T: Task> Evaluate<T::Model> for Measure<'_, T> {
    fn evaluate(&mut self, model: &T::Model) -> Result<Evaluation, TrainError> {
        self.task.watch(self.run, self.data, model, &self.device).map_err(|why| TrainError::Other(why.into()))
    }
}
