//! A forecaster, on windows whose future is known.

use super::{
    Settings,
    driver::{Report, floats, train_by},
};
use anyhow::Result;
use fornax_architectures::{Forecaster, ForecasterConfig};
use fornax_layers::loss::pinball;
use fornax_optimizers::Adam;

/// Trains on windows.
pub(crate) fn forecasts(settings: &Settings, model: Forecaster, config: &ForecasterConfig, batch: usize) -> Result<Report> {
    let data = |b, device: &_| {
        let past = floats(b, [batch, config.context, config.inputs], device);
        let future = floats(b, [batch, config.horizon, config.known], device);
        (past, future, floats(b, [batch, config.horizon], device))
    };
    let loss = |model: &Forecaster, (past, future, targets)| pinball(model.forward(past, future), targets, &config.quantiles);
    train_by(settings, model, data, Adam::default(), loss)
}
