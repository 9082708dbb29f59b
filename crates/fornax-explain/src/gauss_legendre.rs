//! Where and with which weight a path integral is sampled.

/// Nodes and weights of `∫₀¹ f ≈ Σ wᵢ f(aᵢ)`, exact for polynomials of degree `2n − 1`; nodes ascend.
///
/// The nodes are the roots of Legendre's polynomial, by Newton's method from Tricomi's first guess.
pub(crate) fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    let root = |i: usize| {
        let mut x = (std::f64::consts::PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..100 {
            let (mut p, mut before) = (1.0, 0.0);
            for k in 1..=n {
                let k = k as f64;
                (p, before) = (((2.0 * k - 1.0) * x * p - (k - 1.0) * before) / k, p);
            }
            slope = n as f64 * (x * p - before) / (x * x - 1.0);
            let step = p / slope;
            x -= step;
            if step.abs() < 1e-15 {
                break;
            }
        }
        ((1.0 + x) / 2.0, 1.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..n).rev().map(root).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_integrated_exactly() {
        for n in [1, 2, 5, 20, 50] {
            let nodes = gauss_legendre(n);
            assert!(nodes.windows(2).all(|pair| pair[0].0 < pair[1].0));
            for power in 0..2 * n as i32 {
                let integral: f64 = nodes.iter().map(|(a, w)| w * a.powi(power)).sum();
                assert!((integral - 1.0 / f64::from(power + 1)).abs() < 1e-12, "{n} nodes, power {power}: {integral}");
            }
        }
    }
}
