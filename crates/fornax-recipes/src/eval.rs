//! `fornax eval`

use crate::{
    cli::{Compute, EvalArgs},
    config::device,
    error::usage,
    task::{Job, Task},
    train::RunConfig,
    ui,
};
use anyhow::{Context, Result};
use burn::{module::Module, tensor::Device};
use fornax_data::Split;
use fornax_trainer::{
    RunDir,
    checkpoint::{Checkpoint, Checkpoints},
};
use fornax_weights::load_state;
use serde_json::json;
use std::path::{Path, PathBuf};

/// A trained model's checkpoint, with the configuration of its run.
pub(crate) struct Trained {
    pub(crate) run: RunConfig,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) path: PathBuf,
    pub(crate) device: Device,
}

impl Trained {
    /// `path` is a run's folder or a checkpoint inside one.
    pub(crate) fn open(path: &Path, compute: &Compute) -> Result<Self> {
        let (folder, given) = match path.is_file() {
            true => (path.parent().and_then(Path::parent).map_or_else(|| PathBuf::from("."), Path::to_path_buf), true),
            false => (path.to_path_buf(), false),
        };
        let (file, checkpoint) = match given {
            true => (path.to_path_buf(), Checkpoint::read(path)?),
            false => Checkpoints::new(RunDir::open(&folder)?.checkpoints(), 1).for_use()?,
        };
        let run = RunConfig::read(
            &RunDir::open(&folder).with_context(|| format!("a checkpoint needs its run around it; cannot use {}", path.display()))?.config_path(),
        )?;
        run.config.validate()?;
        let backend = compute.backend.as_ref().unwrap_or(&run.backend);
        let device = device(backend, compute.device.as_deref().or(run.device.as_deref().filter(|_| compute.backend.is_none())))?;
        fornax_kernels::device::set_threads(compute.threads.unwrap_or(run.threads));
        Ok(Self { run, checkpoint, path: file, device })
    }

    /// Puts the trained weights into a model.
    pub(crate) fn load<M: Module>(&self, model: M) -> Result<M> {
        Ok(load_state(model, &self.checkpoint.weights(), "")?)
    }
}

pub(crate) fn run(args: &EvalArgs) -> Result<u8> {
    let split: Split = match args.split.as_str() {
        "valid" => Split::Valid,
        "test" => Split::Test,
        other => return Err(usage(format!("--split is valid or test, not `{other}`"))),
    };
    let trained = Trained::open(&args.run, &args.compute)?;
    trained.run.config.model.with(Eval { args, split, trained: &trained })
}

struct Eval<'a> {
    args: &'a EvalArgs,
    split: Split,
    trained: &'a Trained,
}

impl Job for Eval<'_> {
    type Output = u8;

    fn run<T: Task>(self, task: T) -> Result<u8> {
        let Self { args, split, trained } = self;
        let Trained { run, device, .. } = trained;
        let opened = task.open(&run.config, args.data.as_deref().or(run.data.as_deref()))?;
        ui::note(&opened.about);
        let data = (opened.load)(split)?;
        let model = trained.load(task.model(&run.classes, device))?;
        if let Some(path) = &args.dump_nll {
            let losses = task.token_losses(run, &data, &model, device)?;
            let lines: String = losses.iter().map(|loss| format!("{loss:.9}\n")).collect();
            std::fs::write(path, lines).with_context(|| format!("cannot write {}", path.display()))?;
            ui::note(format!("{} values, one a token: {}", losses.len(), path.display()));
        }
        let evaluation = task.measure(run, &data, &model, device)?;
        let mut metrics = serde_json::Map::new();
        metrics.insert("examples".into(), json!(evaluation.examples));
        metrics.extend(evaluation.metrics.iter().map(|(name, value)| (name.clone(), json!(value))));
        if args.json {
            let config = &run.config;
            let split = split.to_string();
            ui::out(json!({"recipe": config.recipe, "seed": config.seed, "split": split, "checkpoint": trained.path, "step": trained.checkpoint.position.step, split.clone(): metrics}).to_string());
        } else {
            let line: Vec<_> = evaluation.metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
            ui::out(format!("{split}: {} examples  {}", evaluation.examples, line.join("  ")));
        }
        Ok(0)
    }
}
