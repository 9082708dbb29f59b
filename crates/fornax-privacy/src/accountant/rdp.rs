//! Rényi differential privacy of the subsampled Gaussian.

use super::{Spent, SubsampledGaussian, normal::log_erfc};
use std::f64::consts::{LN_2, SQRT_2};

/// The orders at which it is looked at: 1.1, 1.2 … 10.9, then 12, 13 … 63. Those of Opacus.
pub fn orders() -> Vec<f64> {
    (1..100).map(|i| 1.0 + f64::from(i) / 10.0).chain((12..64).map(f64::from)).collect()
}

/// `ε(α)` of one step: `log A_α / (α − 1)`, where `A_α` is the moment of order α of the ratio of the two output densities.
///
/// Of whole orders the binomial sum, of others the two infinite series of section 3.3.
///
/// Source: Mironov, Talwar and Zhang, "Rényi differential privacy of the sampled Gaussian mechanism", 2019
/// (<https://arxiv.org/abs/1908.10530>).
pub fn of_order(mechanism: SubsampledGaussian, order: f64) -> f64 {
    let SubsampledGaussian { rate: q, noise: sigma } = mechanism;
    if q == 0.0 {
        0.0
    } else if sigma == 0.0 {
        f64::INFINITY
    } else if q == 1.0 {
        order / (2.0 * sigma * sigma)
    } else if order.fract() == 0.0 {
        log_moment_whole(q, sigma, order as u32) / (order - 1.0)
    } else {
        log_moment(q, sigma, order) / (order - 1.0)
    }
}

/// `log(eᵃ + eᵇ)`
fn log_add(a: f64, b: f64) -> f64 {
    let (low, high) = (a.min(b), a.max(b));
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// `log Σᵢ C(α, i) (1 − q)^(α−i) qⁱ e^((i² − i) / 2σ²)`
fn log_moment_whole(q: f64, sigma: f64, order: u32) -> f64 {
    let mut log_binomial = 0.0;
    let mut sum = f64::NEG_INFINITY;
    for i in 0..=order {
        if i > 0 {
            log_binomial += (f64::from(order - i + 1) / f64::from(i)).ln();
        }
        let n = f64::from(i);
        let log_term = log_binomial + n * q.ln() + f64::from(order - i) * (-q).ln_1p() + (n * n - n) / (2.0 * sigma * sigma);
        sum = log_add(sum, log_term);
    }
    sum
}

/// A sum of terms of either sign, by their logarithms.
#[derive(Default)]
struct Alternating {
    terms: Vec<(f64, f64)>,
}

impl Alternating {
    fn log(&self) -> f64 {
        let largest = self.terms.iter().map(|(_, log)| *log).fold(f64::NEG_INFINITY, f64::max);
        largest + self.terms.iter().map(|(sign, log)| sign * (log - largest).exp()).sum::<f64>().ln()
    }
}

fn log_moment(q: f64, sigma: f64, order: f64) -> f64 {
    let split = sigma * sigma * (1.0 / q - 1.0).ln() + 0.5;
    let (log_q, log_p, two_variances) = (q.ln(), (-q).ln_1p(), 2.0 * sigma * sigma);
    let (mut sign, mut log_binomial) = (1.0, 0.0);
    let mut sums = [Alternating::default(), Alternating::default()];
    let mut i = 0.0;
    loop {
        let j = order - i;
        let tail = |z: f64| log_erfc(z / (SQRT_2 * sigma)) - LN_2;
        let left = log_binomial + i * log_q + j * log_p + (i * i - i) / two_variances + tail(i - split);
        let right = log_binomial + j * log_q + i * log_p + (j * j - j) / two_variances + tail(split - j);
        sums[0].terms.push((sign, left));
        sums[1].terms.push((sign, right));
        // Past the order the terms shrink; before it they may rise again.
        if left.max(right) < -30.0 && i > order {
            return log_add(sums[0].log(), sums[1].log());
        }
        let ratio: f64 = (order - i) / (i + 1.0);
        sign *= ratio.signum();
        log_binomial += ratio.abs().ln();
        i += 1.0;
    }
}

/// The smallest ε for δ over all orders, from `ε(α)` of the whole composition at each.
///
/// `ε = ε(α) + log((α − 1) / α) − (log δ + log α) / (α − 1)`
///
/// Source: Balle et al., "Hypothesis testing interpretations and Rényi differential privacy", 2020, theorem 21
/// (<https://arxiv.org/abs/1905.09982>).
pub fn to_epsilon(orders: &[f64], rdp: &[f64], delta: f64) -> Spent {
    let at = |(&order, &rdp): (&f64, &f64)| {
        let epsilon = rdp + ((order - 1.0) / order).ln() - (delta.ln() + order.ln()) / (order - 1.0);
        Spent { epsilon: epsilon.max(0.0), order: Some(order) }
    };
    let all = orders.iter().zip(rdp).map(at).filter(|spent| !spent.epsilon.is_nan());
    all.min_by(|a, b| a.epsilon.total_cmp(&b.epsilon)).unwrap_or(Spent { epsilon: f64::INFINITY, order: None })
}

/// What so many steps cost, step by step: the orders are computed once.
#[derive(Debug, Clone)]
pub struct RdpAccountant {
    orders: Vec<f64>,
    step: Vec<f64>,
}

impl RdpAccountant {
    /// Of one mechanism at [`orders`].
    pub fn new(mechanism: SubsampledGaussian) -> Self {
        let orders = orders();
        let step = orders.iter().map(|&order| of_order(mechanism, order)).collect();
        Self { orders, step }
    }

    /// ε of so many steps at δ.
    pub fn spent(&self, steps: u64, delta: f64) -> Spent {
        // The conversion of a divergence of 0 would still cost something.
        if steps == 0 || self.step.iter().all(|&step| step == 0.0) {
            return Spent { epsilon: 0.0, order: None };
        }
        let rdp: Vec<f64> = self.step.iter().map(|step| step * steps as f64).collect();
        to_epsilon(&self.orders, &rdp, delta)
    }
}
