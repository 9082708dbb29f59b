//! The normal distribution in f64, with tails that keep their digits.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// Where the series ends and the continued fraction begins.
const SERIES: f64 = 2.0;

/// `erfc(x) e^(x²)` for `x ≥ 2`, by the continued fraction of Laplace.
fn scaled_erfc(x: f64) -> f64 {
    let terms = 20 + (300.0 / (x * x)) as usize;
    let tail = (1..=terms).rev().fold(x, |rest, k| x + 0.5 * k as f64 / rest);
    0.5 * FRAC_2_SQRT_PI / tail
}

/// `erf(x)` for `|x| < 2`, by its series of positive terms.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > 1e-18 * sum.abs() {
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// `2/√π ∫ₓ^∞ e^(−t²) dt`
pub(super) fn erfc(x: f64) -> f64 {
    match x {
        x if x >= SERIES => scaled_erfc(x) * (-x * x).exp(),
        x if x <= -SERIES => 2.0 - erfc(-x),
        x => 1.0 - erf(x),
    }
}

/// `log erfc(x)`, finite where `erfc` itself is no longer a number above 0.
pub(super) fn log_erfc(x: f64) -> f64 {
    if x >= SERIES { scaled_erfc(x).ln() - x * x } else { erfc(x).ln() }
}

/// `Φ(x)`
pub(super) fn cdf(x: f64) -> f64 {
    0.5 * erfc(-x * FRAC_1_SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erfc_has_all_its_digits() {
        // SciPy.
        let table = [
            (0.0, 1.0),
            (0.5, 0.479_500_122_186_953_5),
            (1.0, 0.157_299_207_050_285_13),
            (1.999, 0.004_698_443_348_629_487),
            (2.0, 0.004_677_734_981_047_266),
            (3.0, 2.209_049_699_858_544e-5),
            (6.0, 2.151_973_671_249_891e-17),
            (10.0, 2.088_487_583_762_545e-45),
            (-1.0, 1.842_700_792_949_715),
            (-3.0, 1.999_977_909_503_001_4),
        ];
        for (x, want) in table {
            assert!((erfc(x) / want - 1.0f64).abs() < 1e-12, "erfc({x}) is {}, not {want}", erfc(x));
            assert!((log_erfc(x) - want.ln()).abs() < 1e-12, "{x}");
        }
        assert!((log_erfc(50.0) + 2_504.484_587_848_451).abs() < 1e-9, "{}", log_erfc(50.0));
    }
}
