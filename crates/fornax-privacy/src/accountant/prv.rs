//! Numerical composition of privacy losses, with bounds of its error.
//!
//! Source: Gopi, Lee and Wutschitz, "Numerical composition of differential privacy", 2021 (<https://arxiv.org/abs/2106.02848>), algorithm 1 with
//! the Fourier transform. Different from it: both neighbours are composed, the one with an example more and the one with an example
//! less, and the worse one counts; a run that would need a grid of more than 2²² points gets a coarser one, and a larger `epsilon_error`.

use super::{RdpAccountant, SubsampledGaussian, fft, normal};
use rayon::prelude::*;

/// Points of a grid, at most.
const LARGEST: usize = 1 << 22;

/// An ε with what is known of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The true ε is not below.
    pub lower: f64,
    /// Of the discretized composition.
    pub estimate: f64,
    /// The true ε is not above: the one to report.
    pub upper: f64,
}

/// Which of the two neighbours the outputs come from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Neighbour {
    /// With the example.
    More,
    /// Without it.
    Less,
}

/// The privacy loss `Y = log p(x) / p'(x)` of one step.
#[derive(Debug, Clone, Copy)]
struct Loss {
    q: f64,
    sigma: f64,
    neighbour: Neighbour,
}

impl Loss {
    /// `log((1 − q) + q e^((2x − 1) / 2σ²))`: of the outputs with the example, against those without.
    fn ratio(&self, x: f64) -> f64 {
        let z = (2.0 * x - 1.0) / (2.0 * self.sigma * self.sigma);
        if self.q == 1.0 {
            return z;
        }
        if z < 30.0 { (self.q * z.exp_m1()).ln_1p() } else { self.q.ln() + z + ((1.0 - self.q) / self.q * (-z).exp()).ln_1p() }
    }

    /// The `x` with that ratio, −∞ for one that is never reached.
    fn output(&self, ratio: f64) -> f64 {
        let inside = if self.q == 1.0 {
            ratio
        } else if ratio < 30.0 {
            (ratio.exp_m1() / self.q).ln_1p()
        } else {
            ratio - self.q.ln()
        };
        if inside.is_nan() { f64::NEG_INFINITY } else { self.sigma * self.sigma * inside + 0.5 }
    }

    /// `P(Y ≤ t)` and `P(Y > t)`.
    fn split(&self, t: f64) -> [f64; 2] {
        let Self { q, sigma, .. } = *self;
        let below = |x: f64, sign: f64| normal::cdf(sign * x / sigma);
        match self.neighbour {
            Neighbour::More => {
                let x = self.output(t);
                [1.0, -1.0].map(|sign| (1.0 - q) * below(x, sign) + q * below(x - 1.0, sign))
            }
            Neighbour::Less => {
                let x = self.output(-t);
                [below(x, -1.0), below(x, 1.0)]
            }
        }
    }

    /// `P(a < Y ≤ b)`, from the tail that is smaller.
    fn between(&self, a: f64, b: f64) -> f64 {
        let ([a, above_a], [b, above_b]) = (self.split(a), self.split(b));
        if above_a < 0.5 { above_a - above_b } else { b - a }
    }

    /// `E Y`, by the trapezoidal rule over the outputs, which is exact to the last digits for what decays on both sides.
    fn mean(&self) -> f64 {
        let Self { q, sigma, neighbour } = *self;
        let step = sigma / 200.0;
        let count = ((40.0 * sigma + 1.0) / step) as i64;
        let density = |x: f64, centre: f64| (-(x - centre) * (x - centre) / (2.0 * sigma * sigma)).exp();
        let term = |i: i64| {
            let x = (i - count / 2) as f64 * step;
            match neighbour {
                Neighbour::More => ((1.0 - q) * density(x, 0.0) + q * density(x, 1.0)) * self.ratio(x),
                Neighbour::Less => -density(x, 0.0) * self.ratio(x),
            }
        };
        (0..=count).map(term).sum::<f64>() * step / (sigma * std::f64::consts::TAU.sqrt())
    }
}

/// Points from `−size/2` to `size/2 − 1`, `mesh` apart; a negative one is kept at `size +` itself.
struct Grid {
    size: usize,
    mesh: f64,
}

impl Grid {
    fn point(&self, place: usize) -> f64 {
        let number = if place < self.size / 2 { place as f64 } else { place as f64 - self.size as f64 };
        number * self.mesh
    }
}

/// The losses of the whole run on a grid.
struct Composed {
    grid: Grid,
    /// What is added to a point.
    shift: f64,
    mass: Vec<fft::Complex>,
}

impl Composed {
    fn new(loss: Loss, steps: u64, size: usize, mesh: f64) -> Self {
        let grid = Grid { size, mesh };
        let at = |place: usize| {
            let centre = grid.point(place);
            [loss.between(centre - mesh / 2.0, centre + mesh / 2.0), 0.0]
        };
        let mut mass: Vec<fft::Complex> = (0..size).into_par_iter().map(at).collect();
        let total: f64 = mass.iter().map(|[p, _]| p).sum();
        mass.iter_mut().for_each(|[p, _]| *p /= total);
        let mean: f64 = mass.iter().enumerate().map(|(place, [p, _])| p * grid.point(place)).sum();
        let shift = steps as f64 * (loss.mean() - mean);
        fft::transform(&mut mass, false);
        mass.par_iter_mut().for_each(|z| *z = fft::power(*z, steps));
        fft::transform(&mut mass, true);
        Self { grid, shift, mass }
    }

    /// The ε with `E (1 − e^(ε − Y))₊ = δ`; 0 where already that is smaller, infinite where no point has as much.
    fn epsilon(&self, delta: f64) -> f64 {
        if delta <= 0.0 {
            return f64::INFINITY;
        }
        let n = self.grid.size;
        // From the largest loss down: the mass above a point `y`, and the sum of it times `e^(y − Y)`.
        let step = (-self.grid.mesh).exp();
        let (mut above, mut discounted, mut last) = (0.0, 0.0, 0.0);
        for place in (0..n / 2).rev().chain((n / 2..n).rev()) {
            let y = self.grid.point(place) + self.shift;
            if y <= 0.0 {
                break;
            }
            discounted *= step;
            if above - discounted >= delta {
                return y + ((above - delta) / discounted).ln();
            }
            let p = self.mass[place][0] / n as f64;
            (above, discounted, last) = (above + p, discounted + p, y);
        }
        discounted *= (-last).exp();
        if above - discounted >= delta { ((above - delta) / discounted).ln() } else { 0.0 }
    }
}

/// ε of so many steps at δ, within about `epsilon_error` and `delta_error` (0.01, and a thousandth of δ).
pub fn epsilon(mechanism: SubsampledGaussian, steps: u64, delta: f64, epsilon_error: f64, delta_error: f64) -> Bounds {
    let SubsampledGaussian { rate: q, noise: sigma } = mechanism;
    if steps == 0 || q == 0.0 {
        return Bounds { lower: 0.0, estimate: 0.0, upper: 0.0 };
    }
    let rdp = RdpAccountant::new(mechanism);
    let k = steps as f64;
    let whole = rdp.spent(steps, delta_error / 4.0).epsilon;
    let single = rdp.spent(1, delta_error / 8.0 / k).epsilon;
    let reach = whole.max(single).max(epsilon_error) + 3.0;
    if !(reach.is_finite() && sigma > 0.0) {
        return Bounds { lower: 0.0, estimate: f64::INFINITY, upper: f64::INFINITY };
    }
    let per_error = 1.0 / (k / 2.0 * (12.0 / delta_error).ln()).sqrt();
    let wanted = (2.0 * reach / (epsilon_error * per_error)).ceil() as usize;
    let size = wanted.next_power_of_two().min(LARGEST);
    let mesh = if size < wanted { 2.0 * reach / size as f64 } else { epsilon_error * per_error };
    let epsilon_error = mesh / per_error;
    // What the roundings of the transform may add up to.
    let delta_error = delta_error + f64::EPSILON * size as f64;
    let of = |neighbour: Neighbour| {
        let composed = Composed::new(Loss { q, sigma, neighbour }, steps, size, mesh);
        Bounds {
            lower: (composed.epsilon(delta + delta_error) - epsilon_error).max(0.0),
            estimate: composed.epsilon(delta),
            upper: composed.epsilon(delta - delta_error) + epsilon_error,
        }
    };
    let (more, less) = (of(Neighbour::More), of(Neighbour::Less));
    Bounds { lower: more.lower.max(less.lower), estimate: more.estimate.max(less.estimate), upper: more.upper.max(less.upper) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_is_a_distribution_with_the_mean_of_its_density() {
        for neighbour in [Neighbour::More, Neighbour::Less] {
            let loss = Loss { q: 0.1, sigma: 0.8, neighbour };
            let cells: Vec<(f64, f64)> =
                (-400_000..400_000).map(|i| f64::from(i) * 5e-5).map(|t| (t, loss.between(t - 2.5e-5, t + 2.5e-5))).collect();
            let (mass, mean) = cells.iter().fold((0.0, 0.0), |(mass, mean), (t, p)| (mass + p, mean + t * p));
            assert!((mass - 1.0).abs() < 1e-9, "{mass}");
            assert!((mean - loss.mean()).abs() < 1e-7, "{mean} {}", loss.mean());
            for t in [-0.05, 0.3, 2.0, 40.0] {
                assert!((loss.ratio(loss.output(t)) - t).abs() < 1e-9, "{t}");
            }
            assert_eq!(loss.output(-1.0), f64::NEG_INFINITY);
        }
    }
}
