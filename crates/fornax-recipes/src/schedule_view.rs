//! `fornax inspect RUN --schedule` and `--groups`: what a run's configuration comes to, step by step and parameter by parameter.

use crate::{
    config::{Config, device},
    error::usage,
    task::{Job, Task},
    train::RunConfig,
    ui,
};
use anyhow::{Context, Result};
use burn::tensor::Device;
use fornax_optimizers::{Parameter, name_matches, parameters};
use fornax_trainer::{
    RunDir,
    report::chart::{Line, lines},
};
use serde_json::{Value, json};
use std::path::Path;

/// Points of the curve in JSON and in the picture, at most.
const POINTS: u64 = 1000;
/// Of the plot in the terminal.
const COLUMNS: usize = 72;
const ROWS: usize = 14;

/// The learning rate over the run's steps.
pub(crate) fn schedule(path: &Path, as_json: bool) -> Result<u8> {
    let run = RunDir::open(path)?;
    let config = RunConfig::read(&run.config_path())?.config;
    let metrics = run.metrics();
    let total = total_steps(&config, &metrics).context("the run has no step yet, so that an epoch's steps are not known; set trainer.steps")?;
    let schedule = config.schedule(total)?;
    let stride = total.div_ceil(POINTS).max(1);
    let steps = (0..total).step_by(stride as usize).chain((total > 1).then_some(total - 1));
    let mut planned: Vec<(f64, f64)> = steps.map(|step| ((step + 1) as f64, config.optimizer.lr * schedule.factor(step))).collect();
    planned.dedup();
    let number = |line: &Value, key: &str| line.get(key).and_then(Value::as_f64);
    let used: Vec<(f64, f64)> = metrics.iter().filter_map(|line| Some((number(line, "step")?, number(line, "lr")?))).collect();

    let mut all = vec![Line { name: "schedule".into(), points: planned.clone() }];
    if !used.is_empty() {
        all.push(Line { name: "used so far".into(), points: used.clone() });
    }
    run.write("schedule.svg", lines("step", "learning rate", &all).as_bytes())?;
    if as_json {
        let points = |points: &[(f64, f64)]| -> Vec<Value> { points.iter().map(|(step, lr)| json!({"step": *step as u64, "lr": lr})).collect() };
        ui::out(json!({"schedule": config.schedule, "steps": total, "planned": points(&planned), "used": points(&used)}).to_string());
        return Ok(0);
    }
    ui::out(format!("{} over {total} steps, peak {:e}", config.schedule.name, config.optimizer.lr));
    plot(&planned).iter().for_each(ui::out);
    if schedule.plateau().is_some() {
        ui::out("and lower by its factor whenever the metric stands still: the picture shows what was used");
    }
    ui::note(format!("picture: {}", path.join("schedule.svg").display()));
    Ok(0)
}

/// As configured, or by the epochs that metrics.jsonl counts.
fn total_steps(config: &Config, metrics: &[Value]) -> Option<u64> {
    if config.trainer.steps > 0 {
        return Some(config.trainer.steps);
    }
    let per_epoch = metrics.iter().find_map(|line| {
        let (step, epoch) = (line["step"].as_f64()?, line["epoch"].as_f64()?);
        (epoch > 0.0).then(|| (step * config.trainer.accumulate as f64 / epoch).round() as usize)
    })?;
    Some(config.trainer.total_steps(per_epoch))
}

/// Rows of text: the highest value of each column's steps, on an axis from 0.
fn plot(points: &[(f64, f64)]) -> Vec<String> {
    let (first, last) = (points.first().map_or(0.0, |p| p.0), points.last().map_or(1.0, |p| p.0));
    let most = points.iter().map(|p| p.1).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let mut grid = vec![[' '; COLUMNS]; ROWS];
    let mut before = None;
    let column = |x: f64| ((x - first) / (last - first).max(1.0) * (COLUMNS - 1) as f64).round() as usize;
    let row = |y: f64| (ROWS - 1) - ((y / most).clamp(0.0, 1.0) * (ROWS - 1) as f64).round() as usize;
    // Where there are fewer points than columns, straight lines join them.
    let between = |w: &[(f64, f64)]| {
        let ((x, y), (to_x, to_y)) = (w[0], w[1]);
        let n = column(to_x).saturating_sub(column(x)).max(1);
        (1..=n).map(move |i| i as f64 / n as f64).map(move |t| (x + (to_x - x) * t, y + (to_y - y) * t)).collect::<Vec<_>>()
    };
    for (x, y) in points.first().copied().into_iter().chain(points.windows(2).flat_map(between)) {
        let (c, r) = (column(x), row(y));
        // Between two points that are far apart, the nearest column carries the line.
        let (low, high) = before.map_or((r, r), |last: usize| if last < r { (last + 1, r) } else { (r, last.saturating_sub(1).max(r)) });
        (low..=high).for_each(|r| grid[r][c] = '•');
        before = Some(r);
    }
    let label = |r: usize| match r {
        0 => format!("{most:>9.2e}"),
        r if r == ROWS - 1 => format!("{:>9}", "0"),
        _ => " ".repeat(9),
    };
    let mut rows: Vec<String> =
        grid.iter().enumerate().map(|(r, line)| format!("{} ┤{}", label(r), line.iter().collect::<String>().trim_end())).collect();
    rows.push(format!("{:10}└{}", "", "─".repeat(COLUMNS)));
    rows.push(format!("{:11}step {first:<10}{last:>width$}", "", width = COLUMNS - 15));
    rows
}

/// Which parameter is in which group.
pub(crate) fn groups(path: &Path, as_json: bool) -> Result<u8> {
    let run = RunDir::open(path)?;
    let config = RunConfig::read(&run.config_path())?;
    let device = device(&config.backend, config.device.as_deref())?.autodiff();
    let metrics = run.metrics();
    config.config.model.with(Table { run: &config, total: total_steps(&config.config, &metrics), as_json, device })
}

struct Table<'a> {
    run: &'a RunConfig,
    total: Option<u64>,
    as_json: bool,
    device: Device,
}

impl Job for Table<'_> {
    type Output = u8;

    fn run<T: Task>(self, task: T) -> Result<u8> {
        let (run, config) = (self.run, &self.run.config);
        let all = parameters(&task.model(&run.classes, &self.device));
        let optimizer = run.per_tensor(&all, &self.device)?;
        if self.total.is_none() && !config.groups.freeze.is_empty() {
            return Err(usage("the run has no step yet, so that its length is not known; set trainer.steps"));
        }
        let freezes = config.freezes(&all, self.total.unwrap_or(0))?;
        let rows: Vec<Value> = all
            .iter()
            .filter(|parameter| parameter.trainable)
            .map(|p| {
                let (lr_scale, decay) = optimizer.settings(&p.name, &p.shape);
                let until = freezes.iter().filter(|(path, _)| name_matches(path, &p.name)).map(|(_, until)| *until).max();
                json!({
                    "name": p.name, "shape": p.shape, "lr_scale": lr_scale, "lr": config.optimizer.lr * lr_scale, "weight_decay": decay,
                    "frozen_until": until, "groups": optimizer.groups_of(&p.name, &p.shape),
                })
            })
            .collect();
        if self.as_json {
            ui::out(json!({"optimizer": config.optimizer.name, "parameters": rows}).to_string());
            return Ok(0);
        }
        let width = all.iter().map(|p| p.name.len()).max().unwrap_or(0).max("parameter".len());
        ui::out(format!(
            "{:<width$}  {:<18} {:>9} {:>10} {:>9}  {:<12} {}",
            "parameter", "shape", "× rate", "peak rate", "decay", "frozen until", "groups"
        ));
        rows.iter().for_each(|row| ui::out(line(row, width)));
        let count: usize = all.iter().filter(|p| p.trainable).map(numbers).sum();
        ui::out(format!("{} parameters, {count} numbers, {}", rows.len(), config.optimizer.name));
        Ok(0)
    }
}

fn numbers(parameter: &Parameter) -> usize {
    parameter.shape.iter().product()
}

fn line(row: &Value, width: usize) -> String {
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_string();
    let number = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
    let groups: Vec<_> = row["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let until = match row["frozen_until"].as_u64() {
        None => "-".into(),
        Some(u64::MAX) => "the end".into(),
        Some(step) => format!("step {step}"),
    };
    let shape = row["shape"].to_string().replace(',', "×").replace(['[', ']'], "");
    format!(
        "{:<width$}  {shape:<18} {:>9} {:>10.2e} {:>9}  {until:<12} {}",
        text("name"),
        format!("{:.4}", number("lr_scale")).trim_end_matches('0').trim_end_matches('.'),
        number("lr"),
        number("weight_decay"),
        if groups.is_empty() { "-".into() } else { groups.join(", ") }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plot_begins_low_and_ends_low() {
        let points: Vec<(f64, f64)> = (1..=100).map(|i| (f64::from(i), 1e-3 * f64::from(50 - (i - 50i32).abs()) / 50.0)).collect();
        let rows = plot(&points);
        assert_eq!(rows.len(), ROWS + 2);
        assert!(rows[0].contains("1.00e-3") && rows[0].contains('•'));
        let bottom: Vec<usize> = rows[ROWS - 1].char_indices().filter(|(_, c)| *c == '•').map(|(i, _)| i).collect();
        assert!(bottom.len() >= 2);
        assert!(rows[..ROWS].iter().all(|row| row.contains('•')), "the line has a hole:\n{}", rows.join("\n"));
        assert_eq!(plot(&[]).len(), ROWS + 2);
        let few = plot(&[(1.0, 1.0), (2.0, 1.0), (3.0, 0.0)]);
        assert!((0..COLUMNS).all(|c| few[..ROWS].iter().any(|row| row.chars().nth(11 + c) == Some('•'))), "{}", few.join("\n"));
    }

    #[test]
    fn an_epochs_steps_come_from_the_metrics() {
        let mut config = (crate::recipes::find("mnist-cnn").unwrap().config)();
        assert_eq!(total_steps(&config, &[]), None);
        (config.trainer.epochs, config.trainer.accumulate) = (2.0, 2);
        // Step 3 of 2 batches each is epoch 0.6: 10 batches an epoch.
        assert_eq!(total_steps(&config, &[json!({"step": 3, "epoch": 0.6})]), Some(10));
        config.trainer.steps = 7;
        assert_eq!(total_steps(&config, &[]), Some(7));
    }
}
