//! How far one example may move the sum.

/// How the gradient of an example is scaled down. Whatever the way, the norm of what is left of it is at most `C`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clipping {
    /// By the norm of the whole gradient: `min(1, C / ‖g‖)`.
    ///
    /// Source: Abadi et al., "Deep learning with differential privacy", 2016.
    Flat,
    /// Each of `L` parameters by itself, to `C / √L`.
    ///
    /// Source: McMahan et al., "Learning differentially private recurrent language models", 2018.
    PerLayer,
    /// As [`Clipping::Flat`], with a norm that goes to where a share γ of the examples is not clipped: `C ← C e^(−η (b − γ))`, where `b` is that share,
    /// counted with noise of its own. The noise of gradients grows a little, so that both together cost what the noise alone would.
    ///
    /// Source: Andrew et al., "Differentially private learning with adaptive clipping", 2021.
    Adaptive {
        /// γ: 0.5.
        quantile: f64,
        /// η: 0.2.
        rate: f64,
        /// Deviation of the count's noise, in examples: a twentieth of a batch.
        count_noise: f64,
    },
}

/// Keeps a norm of 0 from being divided by, and a rounding from going over `C`.
const SMALL: f64 = 1e-6;

impl Clipping {
    /// The paper's, for batches of about so many examples.
    pub fn adaptive(expected: usize) -> Self {
        Self::Adaptive { quantile: 0.5, rate: 0.2, count_noise: expected as f64 / 20.0 }
    }

    /// A factor for each parameter of each example, from the squared norms `[parameter][example]`; and how many examples were not clipped.
    pub(crate) fn factors(&self, bound: f64, squares: &[Vec<f64>]) -> (Vec<Vec<f64>>, usize) {
        let examples = squares.first().map_or(0, Vec::len);
        let factor = |square: f64, bound: f64| (bound / (square.sqrt() + SMALL * bound.max(1.0))).min(1.0);
        let whole: Vec<f64> = (0..examples).map(|i| squares.iter().map(|of| of[i]).sum()).collect();
        let inside = whole.iter().filter(|square| square.sqrt() <= bound).count();
        let factors = match self {
            Self::PerLayer => {
                let bound = bound / (squares.len() as f64).sqrt();
                squares.iter().map(|of| of.iter().map(|&square| factor(square, bound)).collect()).collect()
            }
            Self::Flat | Self::Adaptive { .. } => {
                let all: Vec<f64> = whole.iter().map(|&square| factor(square, bound)).collect();
                vec![all; squares.len()]
            }
        };
        (factors, inside)
    }

    /// The deviation of the gradients' noise, in units of `C`, of a mechanism that costs what noise σ costs.
    ///
    /// The count changes by ½ at most (it is taken as ±½ an example): `σ_g = (σ⁻² − (2 σ_b)⁻²)^(−½)`.
    ///
    /// # Errors
    /// If the count alone would cost more.
    pub fn gradient_noise(&self, noise: f64) -> Result<f64, String> {
        match *self {
            Self::Adaptive { count_noise, .. } if noise > 0.0 => {
                let left = noise.powi(-2) - (2.0 * count_noise).powi(-2);
                if left > 0.0 { Ok(left.powf(-0.5)) } else { Err(format!("its count needs a noise above {}, not {count_noise}", noise / 2.0)) }
            }
            _ => Ok(noise),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_within_the_norm() {
        let squares = vec![vec![0.01, 4.0, 9e12, 0.0], vec![0.02, 5.0, 1e12, 0.0]];
        for clipping in [Clipping::Flat, Clipping::PerLayer, Clipping::adaptive(100)] {
            for bound in [0.1, 1.0, 30.0] {
                let (factors, _) = clipping.factors(bound, &squares);
                for i in 0..4 {
                    let left: f64 = (0..2).map(|p| squares[p][i] * factors[p][i].powi(2)).sum();
                    assert!(left.sqrt() <= bound, "{clipping:?} {bound}: {left}");
                }
            }
        }
        let (factors, inside) = Clipping::Flat.factors(1.0, &squares);
        assert_eq!(inside, 2);
        assert!((factors[0][1] - 1.0 / 3.0).abs() < 1e-6 && factors[1][0] == 1.0 && factors[0][3] == 1.0);
    }

    #[test]
    fn the_count_is_paid_for() {
        let adaptive = Clipping::Adaptive { quantile: 0.5, rate: 0.2, count_noise: 10.0 };
        let noise = adaptive.gradient_noise(1.0).unwrap();
        assert!((noise.powi(-2) + (20.0f64).powi(-2) - 1.0).abs() < 1e-12);
        assert!(Clipping::Adaptive { quantile: 0.5, rate: 0.2, count_noise: 0.4 }.gradient_noise(1.0).is_err());
        assert_eq!(Clipping::Flat.gradient_noise(1.3), Ok(1.3));
    }
}
