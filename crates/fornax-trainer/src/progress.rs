use crate::{Callback, EvaluationReport, Flow, StepReport, TrainError};
use indicatif::{ProgressBar as Bar, ProgressStyle};
use std::{
    io::{IsTerminal, Write, stderr},
    time::{Duration, Instant},
};

/// Without a terminal, a line so often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows rate, loss and time left on standard error: a bar on a terminal, elsewhere a line every few seconds.
#[derive(Debug)]
pub struct ProgressBar {
    bar: Option<Bar>,
    batch_size: f64,
    examples: &'static str,
    began: Option<(Instant, u64)>,
    last_line: Instant,
    smooth: Option<f64>,
}

impl ProgressBar {
    /// `batch_size` of `examples` ("images", "characters") a step.
    pub fn new(batch_size: usize, examples: &'static str) -> Self {
        Self { bar: None, batch_size: batch_size as f64, examples, began: None, last_line: Instant::now(), smooth: None }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => drop(writeln!(stderr(), "{line}")),
        }
    }
}

impl Callback for ProgressBar {
    fn on_step(&mut self, r: &StepReport) -> Result<Flow, TrainError> {
        // The first step of this process does not count: caches and thread pools are cold.
        let first = self.began.is_none();
        let (began, from) = *self.began.get_or_insert((Instant::now(), r.step));
        let smooth = self.smooth.map_or(r.loss, |old| old * 0.9 + r.loss * 0.1);
        self.smooth = Some(smooth);
        let rate = (r.step - from) as f64 * self.batch_size / began.elapsed().as_secs_f64().max(1e-9);
        if first && stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:30.cyan} {pos}/{len} {msg}  {elapsed} of {eta} left");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            self.bar = Some(Bar::new(r.steps).with_style(style.progress_chars("━╸─")));
        }
        let shown = r.shown.map_or_else(String::new, |(name, value)| format!("  {name} {value:.3}"));
        let message = format!("epoch {:.2}  loss {smooth:.4}{shown}  {rate:.0} {}/s", r.epoch, self.examples);
        match &self.bar {
            Some(bar) => {
                bar.set_position(r.step);
                bar.set_message(message);
            }
            None if first || r.step == r.steps || self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                let left = (r.steps - r.step) as f64 * self.batch_size / rate.max(1e-9);
                let left = if first { String::new() } else { format!("  {left:.0} s left") };
                self.say(&format!("step {}/{}  {message}{left}", r.step, r.steps));
            }
            None => {}
        }
        Ok(Flow::Continue)
    }

    fn on_evaluation(&mut self, r: &EvaluationReport<'_>) -> Result<Flow, TrainError> {
        let numbers: Vec<_> = r.evaluation.metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        self.say(&format!("step {}  valid: {}{}", r.step, numbers.join("  "), if r.best { "  (best)" } else { "" }));
        r.evaluation.samples.iter().for_each(|sample| self.say(sample));
        Ok(Flow::Continue)
    }

    fn on_end(&mut self) -> Result<(), TrainError> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        Ok(())
    }
}
