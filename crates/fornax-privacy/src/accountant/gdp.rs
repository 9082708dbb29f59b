//! Gaussian differential privacy by the central limit theorem: an approximation, and not a bound.

use super::{SubsampledGaussian, normal::cdf};

/// `μ = q √T √(e^(1/σ²) − 1)`: the composition of many steps is about as private as one Gaussian mechanism of sensitivity μ.
///
/// Source: Bu, Dong, Long and Su, "Deep learning with Gaussian differential privacy", 2020 (<https://arxiv.org/abs/1911.11607>), for Poisson
/// sampling.
pub fn mu(mechanism: SubsampledGaussian, steps: u64) -> f64 {
    let SubsampledGaussian { rate, noise } = mechanism;
    rate * (steps as f64).sqrt() * (1.0 / (noise * noise)).exp_m1().sqrt()
}

/// `δ(ε) = Φ(−ε/μ + μ/2) − e^ε Φ(−ε/μ − μ/2)`
///
/// Source: Dong, Roth and Su, "Gaussian differential privacy", 2019, corollary 2.13 (<https://arxiv.org/abs/1905.02383>).
pub fn delta(mu: f64, epsilon: f64) -> f64 {
    cdf(-epsilon / mu + mu / 2.0) - epsilon.exp() * cdf(-epsilon / mu - mu / 2.0)
}

/// The ε with `δ(ε) = δ`: the dual of [`delta`]. 0 where even that has a smaller δ, infinite for an infinite μ.
pub fn epsilon(mu: f64, delta_wanted: f64) -> f64 {
    if !mu.is_finite() {
        return f64::INFINITY;
    }
    if mu == 0.0 || delta(mu, 0.0) <= delta_wanted {
        return 0.0;
    }
    // δ ≤ Φ(−ε/μ + μ/2), so that ε ≤ μ²/2 + 40 μ for any δ that f64 holds.
    let (mut low, mut high) = (0.0, mu * mu / 2.0 + 40.0 * mu);
    while high - low > 1e-13 * high {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        let value = delta(mu, middle);
        // e^ε overflows above 700; what is left of δ there is nothing.
        if value.is_finite() && value > delta_wanted { low = middle } else { high = middle }
    }
    high
}
