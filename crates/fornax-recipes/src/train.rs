//! `fornax train`

use crate::{
    cli::TrainArgs,
    config::{Config, device, rule_error},
    error::usage,
    overrides,
    privacy::{ByNumber, Plan},
    recipes,
    task::{Job, Measure, Task, backprop},
    ui,
};
use anyhow::{Context, Result};
use burn::{module::Module, tensor::Device};
use fornax_data::Split;
use fornax_kernels::random::{Key, set_step_key};
use fornax_optimizers::{RuleConfig, parameters};
use fornax_privacy::{DpSgd, Poisson};
use fornax_trainer::{
    Backprop, Batches, Callback, Ended, Fit, ProgressBar, RunDir, TensorBoard, TrainConfig, checkpoint::Checkpoints, fit, lr_finder, report::Report,
    system,
};
use fornax_weights::{count_trainable, load_state};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

/// `config.json`: the configuration, and where it was run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunConfig {
    pub(crate) config: Config,
    pub(crate) backend: String,
    pub(crate) device: Option<String>,
    pub(crate) threads: usize,
    /// The folder given with --data.
    pub(crate) data: Option<PathBuf>,
    /// The names of the classes, or tokens.
    pub(crate) classes: Vec<String>,
    /// The run's folder, of one that has been begun.
    #[serde(skip)]
    pub(crate) folder: Option<PathBuf>,
}

/// Classes that a report lists.
const MOST_CLASSES: usize = 500;

impl RunConfig {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let run: Self = serde_json::from_str(&text).with_context(|| format!("damaged or foreign config: {}", path.display()))?;
        Ok(Self { folder: path.parent().map(Path::to_path_buf), ..run })
    }
}

pub(crate) fn run(args: &TrainArgs) -> Result<u8> {
    let entry = recipes::find(&args.recipe)?;
    let out = out_folder(args)?;
    let before = if args.resume && out.join("config.json").is_file() { Some(RunConfig::read(&out.join("config.json"))?) } else { None };
    if let Some(before) = before.as_ref().filter(|before| before.config.recipe != args.recipe) {
        return Err(usage(format!("{} holds a run of `{}`, not of `{}`; give another --out", out.display(), before.config.recipe, args.recipe)));
    }
    let run = configure(
        args,
        before.unwrap_or_else(|| RunConfig {
            config: (entry.config)(),
            backend: "flex".into(),
            device: None,
            threads: cores(),
            data: None,
            classes: vec![],
            folder: None,
        }),
    )?;
    if args.show_config {
        ui::out(serde_json::to_string_pretty(&run.config)?);
        return Ok(0);
    }
    let time_limit = args.time_limit.as_deref().map(duration).transpose()?;
    let device = device(&run.backend, run.device.as_deref())?.autodiff();
    fornax_kernels::device::set_threads(run.threads);
    let interrupt = signals()?;

    let model = run.config.model.clone();
    model.with(Train { args, run, out, device, interrupt, time_limit })
}

struct Train<'a> {
    args: &'a TrainArgs,
    run: RunConfig,
    out: PathBuf,
    device: Device,
    interrupt: Arc<AtomicUsize>,
    time_limit: Option<Duration>,
}

/// What is there when training begins.
struct Ready<T: Task> {
    run: RunConfig,
    folder: RunDir,
    model: T::Model,
    valid: T::Data,
    examples: usize,
    plan: Option<Plan>,
}

impl Job for Train<'_> {
    type Output = u8;

    fn run<T: Task>(self, task: T) -> Result<u8> {
        let Self { args, run, out, device, .. } = &self;
        let mut run = run.clone();
        let opened = task.open(&run, run.data.as_deref())?;
        ui::note(&opened.about);
        let (train, valid) = ((opened.load)(Split::Train)?, (opened.load)(Split::Valid)?);
        drop(opened);
        run.classes = task.classes(&train, &valid);
        if !args.resume && (out.join("config.json").exists() || out.join("checkpoints").exists()) {
            anyhow::bail!("{} holds a run already; go on with --resume, or give another --out", out.display());
        }
        let (examples, files) = (task.examples(&train), task.files(&train)?);
        set_step_key(Key::new(run.config.seed).fold(u64::MAX));
        let model = task.model(&run.classes, device);
        let plan = run.config.private_plan(examples)?;
        let write = |run: &RunConfig| -> Result<RunDir> {
            let folder = RunDir::create(out)?;
            files.iter().try_for_each(|(name, content)| folder.write(name, content))?;
            folder.write("config.json", &serde_json::to_vec_pretty(run)?)?;
            Ok(folder)
        };
        let Some(plan) = plan else {
            let source = task.source(&run, train, device, args.overfit_batches)?;
            let folder = write(&run)?;
            if args.find_lr {
                return find_lr(&task, model, &source, &run, &folder, device);
            }
            let backprop = backprop(&task, &run.config, device);
            return self.fit(&task, Ready { run, folder, model, valid, examples, plan: None }, &source, backprop);
        };
        if args.find_lr || args.overfit_batches.is_some() {
            return Err(usage("--find-lr and --overfit-batches look at examples without privacy: leave privacy.* out for them"));
        }
        plan.check(&model)?;
        let ByNumber { build, single } = task.by_number(&run, train, device)?;
        let source = Poisson::new(examples, plan.mechanism.expected, run.config.privacy.largest_part, plan.secret.clone(), build);
        let loss = |model: &T::Model, batch| task.loss(model, batch);
        let backprop = DpSgd::new(loss, single, plan.mechanism, plan.secret.clone()).map_err(usage)?;
        ui::note(plan.about(T::EXAMPLES));
        let folder = write(&run)?;
        self.fit(&task, Ready { run, folder, model, valid, examples, plan: Some(plan) }, &source, backprop)
    }
}

impl Train<'_> {
    /// Trains, and writes the reports.
    fn fit<T: Task, D: Batches, G: Backprop<T::Model, D::Batch>>(self, task: &T, ready: Ready<T>, source: &D, backprop: G) -> Result<u8> {
        let Self { args, device, interrupt, time_limit, .. } = self;
        let Ready { run, folder, model, valid, examples, plan } = ready;
        let config = &run.config;
        let params = count_trainable(&model);
        let asked = config.trainer.total_steps(source.per_epoch());
        let total = plan.as_ref().map_or(asked, |plan| plan.steps);
        let trainer = if plan.is_some() { TrainConfig { steps: total, ..config.trainer.clone() } } else { config.trainer.clone() };
        let optimizer = run.optimizer(&parameters(&model), &device, total)?;
        let inner = device.clone().inner();
        let a_step = task.examples_of(config.trainer.batch_size) * config.trainer.accumulate;
        ui::note(format!(
            "{}: {params} parameters, {examples} training and {} validation {}, {total} steps of {a_step} on {} with {} threads, seed {}",
            config.recipe,
            task.examples(&valid),
            T::EXAMPLES,
            run.backend,
            run.threads,
            config.seed
        ));
        ui::note(format!("writing to {}", folder.path().display()));

        let mut bar = ProgressBar::new(a_step, T::EXAMPLES);
        let mut board = TensorBoard::create(folder.path(), config.trainer.log_every)?;
        let mut callbacks: Vec<&mut dyn Callback> = vec![&mut board];
        if !args.quiet {
            callbacks.push(&mut bar);
        }
        let outcome = fit(
            Fit {
                model,
                batches: source,
                backprop,
                evaluate: Measure { task, run: &run, data: &valid, device: inner.clone() },
                optimizer,
                schedule: config.schedule(total)?,
                lr: config.optimizer.lr,
                seed: config.seed,
                config: trainer,
                run: Some(folder.clone()),
                identity: json!({"config": config, "backend": run.backend, "examples": examples, "overfit": args.overfit_batches}).to_string(),
                resume: args.resume,
                time_limit,
                interrupt,
            },
            &mut callbacks,
        )?;
        outcome.notes.iter().for_each(ui::note);
        if let Ended::Interrupted(signal) = outcome.ended {
            ui::note(format!(
                "stopped by signal {signal} after step {}; go on with: fornax train {} --resume --out {}",
                outcome.step,
                config.recipe,
                folder.path().display()
            ));
            return Ok(128 + signal as u8);
        }

        // What `eval` and `predict` will use is what the report shows.
        let (_, checkpoint) = Checkpoints::new(folder.checkpoints(), config.trainer.keep_checkpoints).for_use()?;
        let best = load_state(outcome.model, &checkpoint.weights(), "")?.valid();
        let evaluation = task.measure(&run, &valid, &best, &inner)?;
        let seconds = outcome.seconds;
        let seen = outcome.batches as f64 * task.examples_of(config.trainer.batch_size) as f64;
        let rate = if outcome.step_seconds > 0.0 { seen / outcome.step_seconds } else { 0.0 };
        let mut report = json!({
            "recipe": config.recipe, "backend": run.backend, "device": run.device, "threads": run.threads, "seed": config.seed, "params": params,
            "steps": outcome.step, "epochs": outcome.epochs, "train": {"loss": outcome.train_loss, "examples": examples}, "valid": evaluation.metrics,
            "best_step": checkpoint.position.step, "ended": format!("{:?}", outcome.ended), "wall_s": seconds, "examples_per_s": rate, "peak_rss_mb": system::memory_mb().1,
            "git": std::env::var("FORNAX_GIT").ok(), "versions": {"fornax": env!("CARGO_PKG_VERSION"), "burn": "0.22.1"},
        });
        if let Some(plan) = &plan {
            report["privacy"] = plan.report(outcome.step);
        }
        folder.write("report.json", &serde_json::to_vec_pretty(&report)?)?;
        let shown = task.show(&run, &valid, &best, &inner)?;
        let page = Report {
            title: format!("{}, seed {}", config.recipe, config.seed),
            summary: summary(&report, T::EXAMPLES),
            metrics: folder.metrics(),
            confusion: evaluation.confusion.clone(),
            classes: if evaluation.confusion.is_some() { run.classes.clone() } else { vec![] },
            pictures_title: shown.title,
            pictures_note: shown.note,
            pictures: shown.pictures,
            charts: shown.charts,
            texts: shown.texts,
            config: shown_config(&run)?,
        };
        folder.write("report.html", page.html().as_bytes())?;
        ui::note(format!(
            "done in {seconds:.0} s ({rate:.0} {}/s in training): validation {}",
            T::EXAMPLES,
            evaluation.metrics.iter().map(|(name, value)| format!("{name} {}", metric(name, *value))).collect::<Vec<_>>().join(", ")
        ));
        ui::note(format!("report: {}\ntest:   fornax eval {}", folder.path().join("report.html").display(), folder.path().display()));
        if args.json {
            ui::out(report.to_string());
        }
        Ok(0)
    }
}

/// The configuration as a report shows it: not every one of thousands of tokens.
fn shown_config(run: &RunConfig) -> Result<Value> {
    let mut config = serde_json::to_value(run)?;
    if run.classes.len() > MOST_CLASSES {
        config["classes"] = json!(format!("{}, in config.json", run.classes.len()));
    }
    Ok(config)
}

/// As people read it.
fn metric(name: &str, value: f64) -> String {
    if ["accuracy", "wer", "per", "beam_wer", "beam_per", "mape", "coverage"].contains(&name) {
        format!("{:.2} %", 100.0 * value)
    } else {
        format!("{value:.4}")
    }
}

fn summary(report: &Value, examples: &str) -> Vec<(String, String)> {
    let number = |path: &[&str]| path.iter().fold(report, |v, key| &v[*key]).as_f64().unwrap_or(f64::NAN);
    let text = |key: &str| report[key].as_str().unwrap_or("-").to_string();
    let metrics = report["valid"].as_object().into_iter().flatten();
    let mut rows: Vec<_> = metrics.map(|(name, value)| (format!("validation {name}"), metric(name, value.as_f64().unwrap_or(f64::NAN)))).collect();
    rows.extend([
        ("training loss".into(), format!("{:.4}", number(&["train", "loss"]))),
        ("parameters".into(), report["params"].to_string()),
        (format!("training {examples}"), report["train"]["examples"].to_string()),
        ("steps".into(), format!("{} ({:.1} epochs)", report["steps"], number(&["epochs"]))),
        ("time".into(), format!("{:.0} s", number(&["wall_s"]))),
        ("training rate".into(), format!("{:.0} {examples}/s", number(&["examples_per_s"]))),
        ("peak memory".into(), format!("{:.0} MB", number(&["peak_rss_mb"]))),
        ("backend".into(), format!("{}, {} threads", text("backend"), report["threads"])),
        ("revision".into(), text("git")),
    ]);
    if let Some(epsilon) = report["privacy"]["epsilon"].as_f64() {
        let of = |key: &str| number(&["privacy", key]);
        rows.push(("privacy".into(), format!("ε {epsilon:.3} (by composition {:.3}) at δ {:e}", of("epsilon_prv"), of("delta"))));
        rows.push(("noise and clipping norm".into(), format!("{}, {}", of("noise"), of("clip"))));
    }
    rows
}

fn find_lr<T: Task>(task: &T, model: T::Model, source: &T::Source, run: &RunConfig, folder: &RunDir, device: &Device) -> Result<u8> {
    let range = lr_finder::Range::default();
    let optimizer = run.optimizer(&parameters(&model), device, range.steps)?;
    let curve = lr_finder::find(model, source, backprop(task, &run.config, device), optimizer, run.config.seed, range)?;
    folder.write("lr_finder.svg", curve.svg().as_bytes())?;
    for (lr, loss) in curve.points.iter().step_by(5) {
        ui::out(format!("lr {lr:.2e}  loss {loss:.4}"));
    }
    match curve.suggestion {
        Some(lr) => ui::out(format!("the loss falls fastest at {lr:.1e}; a peak there: --set optimizer.lr={lr:.1e}")),
        None => ui::out("the loss falls nowhere: the range is wrong, or the model cannot learn this"),
    }
    ui::note(format!("curve: {}", folder.path().join("lr_finder.svg").display()));
    Ok(0)
}

/// The recipe's configuration (or a run's, to resume) with what the command line changes.
fn configure(args: &TrainArgs, mut run: RunConfig) -> Result<RunConfig> {
    // The schedule's name first: it says which options there are.
    let name = args.set.iter().rev().find_map(|text| text.split_once('=').filter(|(path, _)| path.trim() == "schedule.name"));
    if let Some((_, name)) = name {
        run.config.schedule = run.config.schedule.renamed(name.trim()).or_else(|_| {
            // Refused below, with what there is.
            run.config.schedule.name = name.trim().into();
            run.config.schedule(1).map(|_| run.config.schedule.clone())
        })?;
    }
    let mut value = serde_json::to_value(&run.config)?;
    // A rule's options come with its name, so that the name comes first.
    let (names, others): (Vec<_>, Vec<_>) = args.set.iter().partition(|text| text.trim_start().starts_with("optimizer.name"));
    for text in names {
        overrides::set(&mut value, text).map_err(usage)?;
        value["optimizer"] = serde_json::to_value(with_rule(&run.config.optimizer, value["optimizer"]["name"].as_str())?)?;
    }
    for text in others {
        overrides::set(&mut value, text).map_err(usage)?;
    }
    run.config = serde_json::from_value(value).map_err(|e| usage(format!("--set: {e}")))?;
    let config = &mut run.config;
    if let Some(seed) = args.seed {
        config.seed = seed;
    }
    if let Some(steps) = args.steps {
        config.trainer.steps = steps;
    }
    if let Some(epochs) = args.epochs {
        (config.trainer.epochs, config.trainer.steps) = (epochs, 0);
    }
    if args.fast_dev_run {
        (config.trainer.steps, config.trainer.eval_every, config.trainer.log_every) = (3, 3, 1);
    }
    if args.steps == Some(0) || args.overfit_batches == Some(0) || args.compute.threads == Some(0) {
        return Err(usage("--steps, --overfit-batches and --threads must be at least 1"));
    }
    config.validate()?;
    run.backend = args.compute.backend.clone().unwrap_or(run.backend);
    run.device = args.compute.device.clone().or(run.device);
    run.threads = args.compute.threads.unwrap_or(run.threads);
    // A path that does not depend on where the next command is called from.
    run.data = args.data.as_ref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone())).or(run.data);
    Ok(run)
}

/// A recipe's optimizer with another rule, and all numbers of that rule's: those of the recipe were chosen for its own.
fn with_rule(old: &RuleConfig, name: Option<&str>) -> Result<RuleConfig> {
    let name = name.unwrap_or_default();
    if name == old.name {
        return Ok(old.clone());
    }
    let new = RuleConfig::named(name).map_err(rule_error)?;
    Ok(RuleConfig { decay_matrices_only: old.decay_matrices_only, ..new })
}

fn out_folder(args: &TrainArgs) -> Result<PathBuf> {
    if let Some(out) = &args.out {
        return Ok(out.clone());
    }
    let numbered = |n: u32| PathBuf::from("runs").join(format!("{}-{n}", args.recipe));
    let free = (1..).find(|&n| !numbered(n).exists()).unwrap_or(1);
    Ok(numbered(if args.resume { (free - 1).max(1) } else { free }))
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// `90s`, `10m`, `2h`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration> {
    let wrong = || usage(format!("--time-limit takes a time like 90s, 10m or 2h, not `{text}`"));
    let digits = text.trim_end_matches(char::is_alphabetic);
    let factor = match &text[digits.len()..] {
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let seconds = digits.parse::<f64>().ok().map(|x| x * factor).filter(|x| *x > 0.0 && *x < 1e9).ok_or_else(wrong)?;
    Ok(Duration::from_secs_f64(seconds))
}

/// A number that becomes the signal's when Ctrl-C or SIGTERM comes; the second one ends the process at once.
fn signals() -> Result<Arc<AtomicUsize>> {
    let seen = Arc::new(AtomicUsize::new(0));
    #[cfg(unix)]
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let again = Arc::new(std::sync::atomic::AtomicBool::new(false));
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, again.clone())?;
        signal_hook::flag::register(signal, again)?;
        signal_hook::flag::register_usize(signal, seen.clone(), signal as usize)?;
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [("90s", 90.0), ("10m", 600.0), ("2h", 7200.0), ("5", 5.0), ("1.5m", 90.0)] {
            assert_eq!(duration(text).unwrap().as_secs_f64(), seconds);
        }
        for text in ["", "m", "-1s", "10x", "inf", "0s"] {
            assert!(duration(text).unwrap_err().to_string().contains("10m"), "{text}");
        }
    }
}
