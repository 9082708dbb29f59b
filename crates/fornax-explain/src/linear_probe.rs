use burn::tensor::Tensor;

/// Steps of the search for a probe's optimum, at most.
const STEPS: usize = 20_000;
/// Where a probe's gradient is as good as 0.
const ENOUGH: f64 = 1e-9;

/// A linear classifier of activations: what it can tell apart, the activations hold in a form that one more layer could read.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearProbe {
    /// By class: `[K][N]`
    pub weights: Vec<Vec<f64>>,
    /// By class: `[K]`
    pub biases: Vec<f64>,
}

impl LinearProbe {
    /// Multinomial logistic regression: the minimum of `−1/B Σ_b log softmax(W h_b + v)_{c_b} + λ/2 ‖W‖²`, with `λ = penalty`.
    ///
    /// `activations: [B, N]`, as [`layer_activation`](crate::layer_activation) gives them, with one class below `count` an example. On the host,
    /// by Nesterov's method until the gradient is 0 or 20,000 steps are done. A penalty makes the optimum unique.
    ///
    /// Source: Alain and Bengio, "Understanding intermediate layers using linear classifier probes", 2016 (<https://arxiv.org/abs/1610.01644>);
    /// restarts: O'Donoghue and Candès, 2015 (<https://arxiv.org/abs/1204.3982>), section 3.2.
    ///
    /// # Panics
    /// If there is no example, or the classes are not one an example, each below `count`.
    pub fn fit(activations: &Tensor<2>, classes: &[usize], count: usize, penalty: f64) -> Self {
        let rows = rows(activations);
        assert!(!rows.is_empty() && rows.len() == classes.len() && classes.iter().all(|&class| class < count), "one class below {count} an example");
        // What belongs to the bias is a last feature of 1.
        let width = rows[0].len();
        let mut probe = Self { weights: vec![vec![0.0; width]; count], biases: vec![0.0; count] };
        // The curvature is at most half the largest eigenvalue of the second moments, which their trace bounds from above: by squares.
        let step = 1.0 / (0.5 * largest_eigenvalue(&rows) + penalty);
        let (mut ahead, mut momentum) = (probe.clone(), 1f64);
        for _ in 0..STEPS {
            let gradient = ahead.gradient(&rows, classes, penalty);
            let next = ahead.moved(&gradient, -step);
            let way = next.moved(&probe, -1.0);
            if gradient.dot(&gradient).sqrt() < ENOUGH {
                return next;
            }
            // Where the momentum leads uphill it begins anew.
            let restart = gradient.dot(&way) > 0.0;
            let following = if restart { 1.0 } else { (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt()) / 2.0 };
            ahead = if restart { next.clone() } else { next.moved(&way, (momentum - 1.0) / following) };
            (probe, momentum) = (next, following);
        }
        probe
    }

    /// `W h + v`, by class, of each example: `[B, N] -> [B][K]`
    ///
    /// # Panics
    /// If the activations are of another width.
    pub fn logits(&self, activations: &Tensor<2>) -> Vec<Vec<f64>> {
        let rows = rows(activations);
        assert!(rows.iter().all(|row| row.len() == self.weights[0].len()), "a probe of activations of another width");
        rows.iter().map(|row| self.scores(row)).collect()
    }

    /// The share of examples whose class it finds.
    ///
    /// # Panics
    /// As [`LinearProbe::logits`].
    pub fn accuracy(&self, activations: &Tensor<2>, classes: &[usize]) -> f64 {
        let best = |scores: &Vec<f64>| (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        let right = self.logits(activations).iter().zip(classes).filter(|(scores, class)| best(scores) == Some(**class)).count();
        right as f64 / classes.len().max(1) as f64
    }

    fn scores(&self, row: &[f64]) -> Vec<f64> {
        let product = |(weights, bias): (&Vec<f64>, &f64)| weights.iter().zip(row).map(|(w, h)| w * h).sum::<f64>() + bias;
        self.weights.iter().zip(&self.biases).map(product).collect()
    }

    fn gradient(&self, rows: &[Vec<f64>], classes: &[usize], penalty: f64) -> Self {
        let mut gradient = Self {
            weights: self.weights.iter().map(|row| row.iter().map(|w| penalty * w).collect()).collect(),
            biases: vec![0.0; self.biases.len()],
        };
        for (row, &class) in rows.iter().zip(classes) {
            let scores = self.scores(row);
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|score| (score - most).exp()).sum();
            for (k, score) in scores.iter().enumerate() {
                let error = ((score - most).exp() / total - f64::from(u8::from(k == class))) / rows.len() as f64;
                gradient.biases[k] += error;
                gradient.weights[k].iter_mut().zip(row).for_each(|(g, h)| *g += error * h);
            }
        }
        gradient
    }

    fn numbers(&self) -> impl Iterator<Item = &f64> {
        self.weights.iter().flatten().chain(&self.biases)
    }
    fn dot(&self, other: &Self) -> f64 {
        self.numbers().zip(other.numbers()).map(|(a, b)| a * b).sum()
    }
    /// `self + by · direction`
    fn moved(&self, direction: &Self, by: f64) -> Self {
        let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + by * b).collect::<Vec<_>>();
        Self { weights: self.weights.iter().zip(&direction.weights).map(|(a, b)| sum(a, b)).collect(), biases: sum(&self.biases, &direction.biases) }
    }
}

fn rows(activations: &Tensor<2>) -> Vec<Vec<f64>> {
    let [_, width] = activations.dims();
    let numbers: Vec<f64> = activations.to_data().iter::<f64>().collect();
    numbers.chunks(width.max(1)).map(<[f64]>::to_vec).collect()
}

/// Of `1/B Σ (h, 1)(h, 1)ᵀ`, from above: power iteration, and a tenth more.
fn largest_eigenvalue(rows: &[Vec<f64>]) -> f64 {
    let width = rows[0].len() + 1;
    let with_one = |row: &[f64], v: &[f64]| row.iter().zip(v).map(|(h, v)| h * v).sum::<f64>() + v[width - 1];
    let trace = rows.iter().map(|row| 1.0 + row.iter().map(|h| h * h).sum::<f64>()).sum::<f64>() / rows.len() as f64;
    let mut vector: Vec<f64> = (0..width).map(|i| 1.0 + (i as f64).sin() / 2.0).collect();
    let mut value = trace;
    for _ in 0..100 {
        let size = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|v| *v /= size);
        let mut next = vec![0.0; width];
        for row in rows {
            let along = with_one(row, &vector) / rows.len() as f64;
            next.iter_mut().zip(row.iter().chain(&[1.0])).for_each(|(n, h)| *n += along * h);
        }
        value = next.iter().map(|v| v * v).sum::<f64>().sqrt();
        vector = next;
    }
    (1.1 * value).min(trace)
}
