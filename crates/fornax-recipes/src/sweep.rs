//! `fornax sweep`: a recipe trained over a grid of settings, one process after another.

use crate::{cli::SweepArgs, error::usage, recipes, sweep_view as view, ui};
use anyhow::{Context, Result, bail};
use fornax_trainer::TrainConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A line of the plan: settings that all its runs share, and fields with several values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    #[serde(default)]
    set: Vec<String>,
    #[serde(default)]
    vary: Vec<String>,
}

/// One combination, and what its runs came to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cell {
    pub(crate) group: String,
    /// What was varied, as `optimizer.lr=1e-3`.
    pub(crate) setting: Vec<String>,
    /// By seed.
    pub(crate) runs: Vec<Trained>,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Trained {
    pub(crate) seed: u64,
    /// The validation value that the recipe watches; None for a run that failed.
    pub(crate) value: Option<f64>,
    pub(crate) seconds: f64,
    /// Steps and values.
    pub(crate) curve: Vec<(u64, f64)>,
    /// Why it failed.
    pub(crate) error: Option<String>,
    /// The step and second in which the target was reached.
    pub(crate) reached: Option<(u64, f64)>,
}

impl Cell {
    /// The mean over seeds; None if one of them failed.
    pub(crate) fn value(&self) -> Option<f64> {
        let values: Option<Vec<f64>> = self.runs.iter().map(|run| run.value).collect();
        values.filter(|values| !values.is_empty()).map(|values| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// The group and what was varied.
    pub(crate) fn name(&self) -> String {
        let short = |text: &String| match text.split_once('=') {
            Some((key, value)) => format!("{}={value}", key.rsplit('.').next().unwrap_or(key)),
            None => text.clone(),
        };
        let setting = self.setting.iter().map(short).collect::<Vec<_>>().join(" ");
        [self.group.as_str(), &setting].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// The best cell of each group, or the first where every run failed.
pub(crate) fn best<'a>(cells: &'a [Cell], trainer: &TrainConfig) -> Vec<&'a Cell> {
    let mut best: Vec<&Cell> = vec![];
    for cell in cells {
        match best.iter_mut().find(|other| other.group == cell.group) {
            None => best.push(cell),
            Some(other) => {
                if cell.value().is_some_and(|new| other.value().is_none_or(|old| trainer.is_better(new, old))) {
                    *other = cell;
                }
            }
        }
    }
    best
}

pub(crate) fn run(args: &SweepArgs) -> Result<u8> {
    let entry = recipes::find(&args.recipe)?;
    let trainer = (entry.config)().trainer;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(format!("{}-sweep", args.recipe)));
    let groups = groups(args)?;
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let combinations: Vec<(&Group, Vec<String>)> = groups
        .iter()
        .map(|group| Ok(grid(&group.vary)?.into_iter().map(move |setting| (group, setting))))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect();
    let total = combinations.len() * args.seeds.len();
    ui::note(format!("{total} runs of {} in {}", args.recipe, out.display()));
    let (mut cells, mut done) = (vec![], 0);
    for (group, setting) in combinations {
        let mut cell = Cell { group: group.name.clone(), setting, runs: vec![] };
        for &seed in &args.seeds {
            let trained = train(args, &trainer, &out, group, &cell.setting, seed)?;
            done += 1;
            let came = trained.error.clone().unwrap_or_else(|| format!("{} {:.4}", trainer.monitor, trained.value.unwrap_or(f64::NAN)));
            ui::note(format!("{done}/{total}  {}  seed {seed}: {came} ({:.0} s)", cell.name(), trained.seconds));
            cell.runs.push(trained);
        }
        cells.push(cell);
    }
    let best = best(&cells, &trainer);
    let table = view::table(&cells, &best, &trainer, args.target);
    let report =
        json!({"recipe": args.recipe, "steps": args.steps, "set": args.set, "monitor": trainer.monitor, "target": args.target, "cells": cells});
    let write = |name: &str, text: &str| fs::write(out.join(name), text).with_context(|| format!("cannot write {}", out.join(name).display()));
    write("sweep.json", &serde_json::to_string_pretty(&report)?)?;
    write("sweep.md", &table)?;
    write("sweep.svg", &view::chart(&best, &format!("validation {}", trainer.monitor)))?;
    if args.json {
        ui::out(report.to_string());
    } else {
        ui::out(table.trim_end());
    }
    ui::note(format!("curves: {}", out.join("sweep.svg").display()));
    Ok(0)
}

fn groups(args: &SweepArgs) -> Result<Vec<Group>> {
    let Some(path) = &args.plan else {
        if args.vary.is_empty() {
            return Err(usage("nothing to vary: give --vary optimizer.lr=1e-4,1e-3 or --plan FILE"));
        }
        return Ok(vec![Group { name: String::new(), set: vec![], vary: args.vary.clone() }]);
    };
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the plan {}", path.display()))?;
    let mut groups: Vec<Group> =
        serde_json::from_str(&text).with_context(|| format!("not a plan, a list of {{\"name\", \"set\", \"vary\"}}: {}", path.display()))?;
    anyhow::ensure!(!groups.is_empty(), "the plan is empty: {}", path.display());
    groups.iter_mut().for_each(|group| group.vary.extend(args.vary.iter().cloned()));
    Ok(groups)
}

/// All combinations of `key=v1,v2,…`, as lists of `key=value`.
fn grid(vary: &[String]) -> Result<Vec<Vec<String>>> {
    let mut all = vec![vec![]];
    for field in vary {
        let Some((key, values)) = field.split_once('=').filter(|(_, values)| values.split(',').all(|value| !value.trim().is_empty())) else {
            return Err(usage(format!("--vary {field}: write it as key.path=value,value")));
        };
        let longer = |setting: &Vec<String>| {
            values.split(',').map(|value| setting.iter().cloned().chain([format!("{}={}", key.trim(), value.trim())]).collect()).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    Ok(all)
}

/// Trains one run in a process of its own, or reads it if it is done.
fn train(args: &SweepArgs, trainer: &TrainConfig, out: &Path, group: &Group, setting: &[String], seed: u64) -> Result<Trained> {
    let sets: Vec<&String> = args.set.iter().chain(&group.set).chain(setting).collect();
    let slug = |text: &str| text.chars().map(|c| if c.is_alphanumeric() || "-.=".contains(c) { c } else { '_' }).collect::<String>();
    let parts = [group.name.clone()].into_iter().chain(setting.iter().cloned()).chain([format!("seed={seed}")]);
    let folder = out.join(parts.filter(|part| !part.is_empty()).map(|part| slug(&part)).collect::<Vec<_>>().join(","));
    let command = json!({"recipe": args.recipe, "steps": args.steps, "set": sets, "data": args.data});
    let note = folder.join("sweep-run.json");
    let before = fs::read_to_string(&note).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    if before.as_ref().is_some_and(|before| before["command"] != command) {
        bail!("{} holds a run of another sweep; give another --out", folder.display());
    }
    let error = match before.filter(|before| before["done"] == true) {
        Some(before) => before["error"].as_str().map(str::to_string),
        None => {
            fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
            let put = |value: Value| fs::write(&note, value.to_string()).with_context(|| format!("cannot write {}", note.display()));
            put(json!({"command": command, "done": false}))?;
            let error = spawn(args, &folder, &sets, seed)?;
            put(json!({"command": command, "done": true, "error": error}))?;
            error
        }
    };
    let lines = fs::read_to_string(folder.join("metrics.jsonl")).unwrap_or_default();
    let lines: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let curve: Vec<(u64, f64)> = lines.iter().filter_map(|line| Some((line["step"].as_u64()?, line["valid"][&trainer.monitor].as_f64()?))).collect();
    let report = fs::read_to_string(folder.join("report.json")).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok()).unwrap_or_default();
    let seconds = report["wall_s"].as_f64().unwrap_or(0.0);
    let steps = report["steps"].as_f64().unwrap_or(f64::NAN);
    let good = |value: f64, target: f64| value == target || trainer.is_better(value, target);
    let reached =
        args.target.and_then(|target| curve.iter().find(|(_, value)| good(*value, target)).map(|(step, _)| (*step, seconds * *step as f64 / steps)));
    Ok(Trained { seed, value: report["valid"][&trainer.monitor].as_f64(), seconds, curve, error, reached })
}

/// Why the run failed, if it did. What the command line has wrong ends the sweep.
fn spawn(args: &SweepArgs, folder: &Path, sets: &[&String], seed: u64) -> Result<Option<String>> {
    let program = std::env::current_exe().context("cannot find this program to start it again")?;
    let mut command = Command::new(program);
    command.args(["train", &args.recipe, "--quiet", "--resume", "--seed", &seed.to_string()]).arg("--out").arg(folder);
    for set in sets {
        command.args(["--set", set]);
    }
    let number = |value: Option<&dyn ToString>| value.map(ToString::to_string);
    let options = [
        ("--steps", number(args.steps.as_ref().map(|n| n as _))),
        ("--threads", number(args.compute.threads.as_ref().map(|n| n as _))),
        ("--backend", args.compute.backend.clone()),
        ("--device", args.compute.device.clone()),
    ];
    for (name, value) in options.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        command.args([*name, value.as_str()]);
    }
    if let Some(data) = &args.data {
        command.arg("--data").arg(data);
    }
    let output = command.stdin(Stdio::null()).output().context("cannot start a training")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim_start_matches("error: ").to_string();
    match output.status.code() {
        Some(0) => Ok(None),
        Some(2) => Err(usage(last)),
        Some(1) => Ok(Some(last)),
        _ => bail!("a training was stopped: {last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_all_combinations() {
        let vary = ["optimizer.lr=1e-3, 1e-2".to_string(), "seed=1,2".to_string()];
        let all = grid(&vary).unwrap();
        assert_eq!(all.len(), 4);
        assert_eq!(all[1], ["optimizer.lr=1e-3", "seed=2"]);
        assert_eq!(grid(&[]).unwrap(), [Vec::<String>::new()]);
        for wrong in ["optimizer.lr", "optimizer.lr=", "optimizer.lr=1,,2"] {
            assert!(grid(&[wrong.to_string()]).unwrap_err().to_string().contains("key.path=value,value"), "{wrong}");
        }
    }

    #[test]
    fn the_best_of_a_group_has_no_failed_seed() {
        let run = |value| Trained { seed: 0, value, seconds: 1.0, curve: vec![], error: None, reached: None };
        let cell = |group: &str, values: &[Option<f64>]| Cell {
            group: group.into(),
            setting: vec!["a.lr=1.5".into()],
            runs: values.iter().copied().map(run).collect(),
        };
        let cells = [cell("a", &[Some(2.0), Some(4.0)]), cell("a", &[Some(1.0), None]), cell("b", &[None]), cell("b", &[Some(5.0)])];
        let trainer = TrainConfig { monitor: "loss".into(), ..TrainConfig::default() };
        let values: Vec<_> = best(&cells, &trainer).iter().map(|cell| cell.value()).collect();
        assert_eq!(values, [Some(3.0), Some(5.0)]);
        assert_eq!(cells[0].name(), "a lr=1.5");
    }
}
