//! The learning-rate range test: a short run whose rate climbs exponentially until the loss explodes.
//!
//! Source: Smith, "Cyclical learning rates for training neural networks", 2017, section 3.3.

use crate::{Backprop, Batches, TrainError, report};
use burn::module::Module;
use fornax_kernels::random::{Key, set_step_key};
use fornax_optimizers::Optimizer;

/// What the test found.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// `(learning rate, smoothed loss)`
    pub points: Vec<(f64, f64)>,
    /// Where the loss falls fastest, if it falls at all: a good peak rate.
    pub suggestion: Option<f64>,
}

/// The range of rates and the steps to cross it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The first rate: 1e-6.
    pub low: f64,
    /// The last rate: 1.
    pub high: f64,
    /// Steps between them: 100.
    pub steps: u64,
}

impl Default for Range {
    fn default() -> Self {
        Self { low: 1e-6, high: 1.0, steps: 100 }
    }
}

/// Runs the test on a model that is thrown away. Stops where the smoothed loss is four times its best, or not finite.
///
/// # Errors
/// If a batch cannot be read.
pub fn find<M, D, G, O>(mut model: M, batches: &D, mut backprop: G, mut optimizer: O, seed: u64, range: Range) -> Result<Curve, TrainError>
where
    M: Module,
    D: Batches,
    G: Backprop<M, D::Batch>,
    O: Optimizer,
{
    let mut points: Vec<(f64, f64)> = vec![];
    let (mut average, mut best) = (0.0, f64::INFINITY);
    let (mut epoch, mut batch, mut source) = (0, 0, batches.epoch(0, 0));
    for step in 0..range.steps {
        if batch == batches.per_epoch() {
            (epoch, batch) = (epoch + 1, 0);
            source = batches.epoch(epoch, 0);
        }
        let data = source.next().ok_or(TrainError::NoBatches)?.map_err(|source| TrainError::Data { epoch, batch, source })?;
        batch += 1;
        let key = Key::new(seed).fold(step);
        let mut gradients_of = |model: &M| {
            set_step_key(key);
            backprop.gradients(model, data.clone())
        };
        let lr = range.low * (range.high / range.low).powf(step as f64 / (range.steps.max(2) - 1) as f64);
        let (loss, gradients) = gradients_of(&model);
        average = average * 0.95 + loss * 0.05;
        let smooth = average / (1.0 - 0.95f64.powf((step + 1) as f64));
        if !smooth.is_finite() || smooth > 4.0 * best {
            break;
        }
        best = best.min(smooth);
        points.push((lr, smooth));
        model = optimizer.step_with(lr, model, (loss, &gradients), &mut gradients_of);
    }
    let slope = |w: &[(f64, f64)]| (w[1].1 - w[0].1) / (w[1].0 / w[0].0).ln();
    // The first tenth is noise: the average has not seen enough.
    let from = points.len() / 10;
    let steepest = points[from..].windows(2).min_by(|a, b| slope(a).total_cmp(&slope(b)));
    let suggestion = steepest.filter(|w| slope(w) < 0.0).map(|w| w[1].0);
    Ok(Curve { points, suggestion })
}

impl Curve {
    /// The curve as an SVG picture, the rate on a logarithmic axis.
    pub fn svg(&self) -> String {
        report::chart::log_x("learning rate", "loss", &self.points, self.suggestion)
    }
}
