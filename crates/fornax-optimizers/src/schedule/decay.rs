//! Schedules that fall, or stay.

use super::{Anneal, Schedule, progress};

/// 1 at every step.
pub fn constant() -> Schedule {
    Schedule::new(|_| 1.0)
}

/// From 1 straight to `end` at step `total`, and `end` after: PyTorch's `LinearLR(start_factor=1, end_factor=end)`.
pub fn linear(total: u64, end: f64) -> Schedule {
    Schedule::new(move |step| Anneal::Linear.between(1.0, end, progress(step, total)))
}

/// From 1 to `end` along half a cosine, and `end` after step `total`: `end + (1 − end)(1 + cos(π t / T)) / 2`.
///
/// Differs from PyTorch's `CosineAnnealingLR` after T, where that climbs again.
/// Source: Loshchilov and Hutter, "SGDR", 2017, equation 5.
pub fn cosine(total: u64, end: f64) -> Schedule {
    Schedule::new(move |step| Anneal::Cosine.between(1.0, end, progress(step, total)))
}

/// `γ^⌊t / size⌋`: PyTorch's `StepLR`.
///
/// # Panics
/// If `size` is 0.
pub fn step(size: u64, gamma: f64) -> Schedule {
    assert!(size > 0, "a step schedule needs a size of at least 1");
    Schedule::new(move |step| gamma.powf((step / size) as f64))
}

/// Times `γ` at each of `milestones`, in any order: PyTorch's `MultiStepLR`.
pub fn multi_step(milestones: Vec<u64>, gamma: f64) -> Schedule {
    Schedule::new(move |step| gamma.powf(milestones.iter().filter(|&&at| at <= step).count() as f64))
}

/// `γ^t`: PyTorch's `ExponentialLR`.
pub fn exponential(gamma: f64) -> Schedule {
    Schedule::new(move |step| gamma.powf(step as f64))
}

/// `end + (1 − end)(1 − t / T)^power`, and `end` after step T. With `end = 0` PyTorch's `PolynomialLR`.
pub fn polynomial(total: u64, power: f64, end: f64) -> Schedule {
    Schedule::new(move |step| end + (1.0 - end) * (1.0 - progress(step, total)).powf(power))
}

/// `√(w / (w + t))`: falls as the inverse square root, and is 1 at step 0, so that a warm-up of `w` steps can stand before it.
///
/// Source: Raffel et al., "Exploring the limits of transfer learning with a unified text-to-text transformer", 2020, section 3.1.2.
pub fn inverse_sqrt(timescale: u64) -> Schedule {
    let w = timescale.max(1) as f64;
    Schedule::new(move |step| (w / (w + step as f64)).sqrt())
}

/// `min(n / w, √(w / n))` with `n = t + 1`: climbs over `w` steps, then falls as the inverse square root.
///
/// The paper's `d⁻¹ᐟ² min(n⁻¹ᐟ², n w⁻³ᐟ²)` divided by its peak `(d w)⁻¹ᐟ²`.
/// Source: Vaswani et al., "Attention is all you need", 2017, equation 3.
pub fn noam(warm_up: u64) -> Schedule {
    let w = warm_up.max(1) as f64;
    Schedule::new(move |step| {
        let n = (step + 1) as f64;
        (n / w).min((w / n).sqrt())
    })
}

/// Stable at 1, then over the last `decay` of `total` steps down to `end`: the second and third part of warm-up–stable–decay.
///
/// Source: Hu et al., "MiniCPM", 2024; the shapes are those of Hägele et al., "Scaling laws and compute-optimal training beyond fixed
/// training durations", 2024, where `1 − √x` does best.
pub fn wsd(total: u64, decay: u64, end: f64, shape: Anneal) -> Schedule {
    let from = total.saturating_sub(decay);
    constant().then(from, Schedule::new(move |step| shape.between(1.0, end, progress(step, total - from))))
}

/// `end + (1 − end)(1 − z) / (1 − z / 2)`, `z = t / T`: nearly linear, and longer at high rates. `end` after step T.
///
/// Source: Chen, Wolfe and Kyrillidis, "REX: Revisiting budgeted training with an improved schedule", 2022.
pub fn rex(total: u64, end: f64) -> Schedule {
    Schedule::new(move |step| {
        let z = progress(step, total);
        end + (1.0 - end) * (1.0 - z) / (1.0 - z / 2.0)
    })
}
