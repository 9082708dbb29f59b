use std::f64::consts::TAU;

/// A complex number: real and imaginary part.
pub(super) type Complex = [f64; 2];

/// The discrete Fourier transform `X(k) = Σ_n x(n) e^(−2πi k n / N)` of any size, by its prime factors: cheap where these are small, as
/// in 400 or 512, and a plain sum where the size is prime.
///
/// Written out here: frames are a few hundred samples, so that the plain form takes microseconds each.
///
/// Source: Cooley and Tukey, "An algorithm for the machine calculation of complex Fourier series", 1965.
#[derive(Debug, Clone)]
pub(super) struct Fft {
    /// `e^(−2πi k / N)`
    roots: Vec<Complex>,
    /// Prime, their product is `N`.
    factors: Vec<usize>,
}

impl Fft {
    pub(super) fn new(size: usize) -> Self {
        let root = |k: usize| {
            let angle = TAU * k as f64 / size as f64;
            [angle.cos(), -angle.sin()]
        };
        let (mut factors, mut rest, mut p) = (vec![], size, 2);
        while rest > 1 {
            while rest.is_multiple_of(p) {
                factors.push(p);
                rest /= p;
            }
            p += 1;
        }
        Self { roots: (0..size).map(root).collect(), factors }
    }

    /// `x` and `out` have `N` elements.
    pub(super) fn transform(&self, x: &[Complex], out: &mut [Complex]) {
        let mut terms = vec![[0.0; 2]; self.factors.last().copied().unwrap_or(1)];
        self.part(x, 1, out, &self.factors, &mut terms);
    }

    /// The transform of every `stride`-th element.
    fn part(&self, x: &[Complex], stride: usize, out: &mut [Complex], factors: &[usize], terms: &mut [Complex]) {
        let Some((&p, rest)) = factors.split_first() else {
            out[0] = x[0];
            return;
        };
        let m = out.len() / p;
        for (r, out) in out.chunks_exact_mut(m).enumerate() {
            self.part(&x[r * stride..], stride * p, out, rest, terms);
        }
        if p == 2 {
            let (even, odd) = out.split_at_mut(m);
            for ((even, odd), root) in even.iter_mut().zip(odd).zip(self.roots.iter().step_by(stride)) {
                let ([a, b], [c, d]) = (*even, product(*odd, *root));
                (*even, *odd) = ([a + c, b + d], [a - c, b - d]);
            }
            return;
        }
        // Element k of each part makes the elements k, k + m, k + 2m … of the whole.
        for k in 0..m {
            for (r, term) in terms[..p].iter_mut().enumerate() {
                *term = product(out[r * m + k], self.roots[r * k * stride % self.roots.len()]);
            }
            for q in 0..p {
                let turn = |r: usize| self.roots[r * q * m * stride % self.roots.len()];
                out[q * m + k] = terms[..p].iter().enumerate().fold([0.0; 2], |[re, im], (r, term)| {
                    let [a, b] = product(*term, turn(r));
                    [re + a, im + b]
                });
            }
        }
    }
}

fn product([a, b]: Complex, [c, d]: Complex) -> Complex {
    [a * c - b * d, a * d + b * c]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_sum(size in 1usize..65, values in proptest::collection::vec(-1.0..1.0f64, 128)) {
            let x: Vec<Complex> = (0..size).map(|i| [values[2 * i], values[2 * i + 1]]).collect();
            let mut got = vec![[0.0; 2]; size];
            Fft::new(size).transform(&x, &mut got);
            for (k, got) in got.iter().enumerate() {
                let mut want = [0.0; 2];
                for (n, x) in x.iter().enumerate() {
                    let angle = TAU * (k * n % size) as f64 / size as f64;
                    let [a, b] = product(*x, [angle.cos(), -angle.sin()]);
                    want = [want[0] + a, want[1] + b];
                }
                prop_assert!((got[0] - want[0]).abs() < 1e-12 && (got[1] - want[1]).abs() < 1e-12);
            }
        }
    }
}
