use fornax_optimizers::Average;
use serde::{Deserialize, Serialize};

/// All that the loop needs to know; `trainer.*` on the command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Examples a batch.
    pub batch_size: usize,
    /// Passes over the training set, unless `steps` is set.
    pub epochs: f64,
    /// Optimizer steps; 0 leaves it to `epochs`.
    pub steps: u64,
    /// Batches whose gradients are averaged for one step.
    pub accumulate: usize,
    /// Largest global gradient norm; 0 for no clipping.
    pub clip_norm: f64,
    /// Decay of the average of weights that is evaluated and kept; 0 for none.
    pub ema_decay: f64,
    /// Let that decay climb: min(decay, (1 + t) / (10 + t)).
    pub ema_warmup: bool,
    /// Share of the run after which the mean of weights (SWA) is evaluated and kept instead; 0 for none.
    pub swa_start: f64,
    /// Steps between the weights of that mean; 0 for once an epoch, 1 for Polyak's.
    pub swa_every: u64,
    /// Steps between evaluations; 0 for once an epoch.
    pub eval_every: u64,
    /// Steps between checkpoints; 0 for once an evaluation.
    pub checkpoint_every: u64,
    /// How many of the last checkpoints to keep, besides the best.
    pub keep_checkpoints: usize,
    /// Steps between lines of metrics.jsonl.
    pub log_every: u64,
    /// The metric that decides which checkpoint is best; smaller is better for `loss`, `perplexity`, `per`, `wer`, `cer`.
    pub monitor: String,
    /// Evaluations without a better one after which training stops; 0 for never.
    pub patience: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            batch_size: 64,
            epochs: 1.0,
            steps: 0,
            accumulate: 1,
            clip_norm: 0.0,
            ema_decay: 0.0,
            ema_warmup: false,
            swa_start: 0.0,
            swa_every: 0,
            eval_every: 0,
            checkpoint_every: 0,
            keep_checkpoints: 3,
            log_every: 10,
            monitor: "accuracy".into(),
            patience: 0,
        }
    }
}

impl TrainConfig {
    /// The first field that is out of range, and why.
    ///
    /// # Errors
    /// As said.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        let positive = |name, x: usize| if x == 0 { Err((name, "must be at least 1".to_string())) } else { Ok(()) };
        positive("batch_size", self.batch_size)?;
        positive("accumulate", self.accumulate)?;
        positive("keep_checkpoints", self.keep_checkpoints)?;
        positive("log_every", self.log_every as usize)?;
        if !(self.epochs > 0.0 && self.epochs.is_finite()) {
            return Err(("epochs", format!("must be above 0, not {}", self.epochs)));
        }
        if !(self.clip_norm >= 0.0 && self.clip_norm.is_finite()) {
            return Err(("clip_norm", format!("must be 0 (off) or above, not {}", self.clip_norm)));
        }
        if !(0.0..1.0).contains(&self.ema_decay) {
            return Err(("ema_decay", format!("must be in [0, 1), not {}", self.ema_decay)));
        }
        if !(0.0..1.0).contains(&self.swa_start) {
            return Err(("swa_start", format!("must be a share of the run in [0, 1), not {}", self.swa_start)));
        }
        if self.swa_start > 0.0 && self.ema_decay > 0.0 {
            return Err(("swa_start", "and trainer.ema_decay are two averages; set one of them to 0".into()));
        }
        Ok(())
    }

    /// Steps of the whole run, for a source of so many batches an epoch.
    pub fn total_steps(&self, per_epoch: usize) -> u64 {
        match self.steps {
            0 => (self.epochs * per_epoch as f64 / self.accumulate as f64).ceil().max(1.0) as u64,
            steps => steps,
        }
    }

    /// The average of weights that is evaluated and kept, if there is one.
    pub fn average(&self, per_epoch: usize) -> Option<Average> {
        if self.swa_start > 0.0 {
            let start = (self.swa_start * self.total_steps(per_epoch) as f64).round() as u64;
            let epoch = (per_epoch as u64).div_ceil(self.accumulate as u64).max(1);
            return Some(Average::swa(start, if self.swa_every == 0 { epoch } else { self.swa_every }));
        }
        match (self.ema_decay > 0.0, self.ema_warmup) {
            (false, _) => None,
            (true, false) => Some(Average::ema(self.ema_decay)),
            (true, true) => Some(Average::ema_with_warm_up(self.ema_decay)),
        }
    }

    /// Whether more of the metric `monitor` is better.
    pub fn maximizes(&self) -> bool {
        !matches!(self.monitor.as_str(), "loss" | "perplexity" | "per" | "wer" | "cer")
    }

    /// Steps between evaluations.
    pub fn steps_between_evaluations(&self, per_epoch: usize) -> u64 {
        match self.eval_every {
            0 => (per_epoch as u64).div_ceil(self.accumulate as u64).max(1),
            steps => steps,
        }
    }

    /// Whether `new` is better than `old` by the metric `monitor`.
    pub fn is_better(&self, new: f64, old: f64) -> bool {
        if self.maximizes() { new > old } else { new < old }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_from_epochs() {
        let config = TrainConfig { epochs: 2.5, accumulate: 2, ..TrainConfig::default() };
        assert_eq!(config.total_steps(11), 14);
        assert_eq!(config.steps_between_evaluations(11), 6);
        assert_eq!(TrainConfig { steps: 7, ..config }.total_steps(11), 7);
    }

    #[test]
    fn each_field_out_of_range_is_named() {
        let good = TrainConfig::default();
        assert_eq!(good.validate(), Ok(()));
        let bad = [
            ("batch_size", TrainConfig { batch_size: 0, ..good.clone() }),
            ("accumulate", TrainConfig { accumulate: 0, ..good.clone() }),
            ("keep_checkpoints", TrainConfig { keep_checkpoints: 0, ..good.clone() }),
            ("log_every", TrainConfig { log_every: 0, ..good.clone() }),
            ("epochs", TrainConfig { epochs: -1.0, ..good.clone() }),
            ("epochs", TrainConfig { epochs: f64::NAN, ..good.clone() }),
            ("clip_norm", TrainConfig { clip_norm: -0.1, ..good.clone() }),
            ("ema_decay", TrainConfig { ema_decay: 1.0, ..good.clone() }),
            ("swa_start", TrainConfig { swa_start: 1.0, ..good.clone() }),
            ("swa_start", TrainConfig { swa_start: 0.5, ema_decay: 0.9, ..good.clone() }),
        ];
        for (name, config) in bad {
            assert_eq!(config.validate().unwrap_err().0, name);
        }
    }

    #[test]
    fn better_means_lower_for_losses() {
        let by = |monitor: &str| TrainConfig { monitor: monitor.into(), ..TrainConfig::default() };
        assert!(by("loss").is_better(1.0, 2.0) && !by("loss").is_better(1.0, 1.0));
        assert!(by("accuracy").is_better(0.9, 0.8) && !by("accuracy").is_better(0.8, 0.8));
    }
}
