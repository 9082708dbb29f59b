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
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

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
    if args.runs.len() > 1 && args.dump_nll.is_some() {
        return Err(usage("--dump-nll is for one run"));
    }
    let several = args.runs.len() > 1;
    let mut all = vec![];
    for path in &args.runs {
        let trained = Trained::open(path, &args.compute)?;
        // What is read and from where is said once.
        let measured = trained.run.config.model.with(Eval { args, split, trained: &trained, quiet: !all.is_empty() })?;
        if !args.json {
            let line: Vec<_> = measured.metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
            let name = if several { format!("{}: ", path.display()) } else { String::new() };
            ui::out(format!("{name}{split}: {} examples  {}", measured.examples, line.join("  ")));
        }
        all.push(measured);
    }
    let mean = mean(&all);
    match (args.json, several) {
        (true, false) => ui::out(all.remove(0).json.to_string()),
        (true, true) => {
            let spread: serde_json::Map<_, _> = mean.iter().map(|(name, (mean, sd))| (name.clone(), json!({"mean": mean, "sd": sd}))).collect();
            ui::out(json!({"split": split.to_string(), "runs": all.into_iter().map(|one| one.json).collect::<Vec<_>>(), "mean": spread}).to_string());
        }
        (false, true) => {
            let line: Vec<_> = mean.iter().map(|(name, (mean, sd))| format!("{name} {mean:.4} ± {sd:.4}")).collect();
            ui::out(format!("mean and deviation of {} runs: {}", all.len(), line.join("  ")));
        }
        (false, false) => {}
    }
    Ok(0)
}

/// What a run came to.
struct Measured {
    examples: usize,
    metrics: BTreeMap<String, f64>,
    json: serde_json::Value,
}

/// Mean and deviation (of a sample) of the values that all runs have.
fn mean(all: &[Measured]) -> BTreeMap<String, (f64, f64)> {
    let values = |name: &String| all.iter().map(|one| one.metrics.get(name).copied()).collect::<Option<Vec<f64>>>();
    let names = all.first().map(|one| one.metrics.keys()).into_iter().flatten();
    let of = |name: &String| {
        let values = values(name)?;
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        Some((name.clone(), (mean, (squares / (values.len().max(2) - 1) as f64).sqrt())))
    };
    names.filter_map(of).collect()
}

struct Eval<'a> {
    args: &'a EvalArgs,
    split: Split,
    trained: &'a Trained,
    quiet: bool,
}

impl Job for Eval<'_> {
    type Output = Measured;

    fn run<T: Task>(self, task: T) -> Result<Measured> {
        let Self { args, split, trained, quiet } = self;
        let Trained { run, device, .. } = trained;
        let opened = task.open(run, args.data.as_deref().or(run.data.as_deref()))?;
        if !quiet {
            ui::note(&opened.about);
        }
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
        let config = &run.config;
        let name = split.to_string();
        let json = json!({"recipe": config.recipe, "seed": config.seed, "split": name, "checkpoint": trained.path, "step": trained.checkpoint.position.step, name.clone(): metrics});
        Ok(Measured { examples: evaluation.examples, metrics: evaluation.metrics, json })
    }
}
