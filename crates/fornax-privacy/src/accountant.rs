//! What a run of DP-SGD costs: (ε, δ) of many steps of the subsampled Gaussian mechanism.
//!
//! Neighbours are data sets of which one has an example more. A step takes each example with probability `q` by itself (Poisson), sums
//! clipped gradients, and adds normal noise whose deviation is σ times the clipping norm.

mod fft;
pub mod gdp;
mod normal;
pub mod prv;
pub mod rdp;

pub use rdp::RdpAccountant;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SubsampledGaussian {
    /// `q`, with which an example takes part.
    pub rate: f64,
    /// σ: the deviation of the noise in units of the clipping norm.
    pub noise: f64,
}

/// How it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accountant {
    /// Rényi differential privacy: an upper bound, a little loose.
    Rdp,
    /// Gaussian differential privacy: the central limit, which may be below the truth.
    Gdp,
    /// Numerical composition: an upper bound, within 0.01.
    Prv,
}

/// An ε, with the order that gave it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spent {
    /// ε
    pub epsilon: f64,
    /// Of Rényi's divergence, where that was counted.
    pub order: Option<f64>,
}

impl Accountant {
    /// ε of so many steps at δ.
    ///
    /// # Panics
    /// If the rate is not in [0, 1], the noise negative, or δ not in (0, 1).
    pub fn epsilon(self, mechanism: SubsampledGaussian, steps: u64, delta: f64) -> f64 {
        assert!((0.0..=1.0).contains(&mechanism.rate), "a rate of {} is not in [0, 1]", mechanism.rate);
        assert!(mechanism.noise >= 0.0, "a noise of {} is negative", mechanism.noise);
        assert!(delta > 0.0 && delta < 1.0, "a δ of {delta} is not in (0, 1)");
        match self {
            Self::Rdp => RdpAccountant::new(mechanism).spent(steps, delta).epsilon,
            Self::Gdp => gdp::epsilon(gdp::mu(mechanism, steps), delta),
            Self::Prv => prv::epsilon(mechanism, steps, delta, 0.01, delta / 1000.0).upper,
        }
    }

    /// The least σ, to four digits and rounded up, with which so many steps at `rate` cost no more than (ε, δ). None if even σ = 10⁵ does not do.
    pub fn noise(self, epsilon: f64, delta: f64, rate: f64, steps: u64) -> Option<f64> {
        let fits = |noise: f64| self.epsilon(SubsampledGaussian { rate, noise }, steps, delta) <= epsilon;
        let mut high = 0.5;
        while !fits(high) {
            high *= 2.0;
            if high > 1e5 {
                return None;
            }
        }
        let mut low = if high > 0.5 { high / 2.0 } else { 0.0 };
        while high - low > 1e-4 * high {
            let middle = 0.5 * (low + high);
            if fits(middle) { high = middle } else { low = middle }
        }
        // A number that people can read, on the safe side.
        let digits = 10f64.powi(3 - high.log10().floor() as i32);
        let rounded = (high * digits).ceil() / digits;
        Some(if fits(rounded) { rounded } else { high })
    }
}
