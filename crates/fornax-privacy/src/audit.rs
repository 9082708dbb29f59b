//! Attacks on a trained model, to see what it tells of the examples it was trained on.

/// What an attack that ranks examples by a score reaches, on members (trained on) and others.
#[derive(Debug, Clone, PartialEq)]
pub struct Inference {
    /// The probability that a member is ranked above another; ½ says nothing.
    pub auc: f64,
    /// The largest difference of true and false positive rate over all thresholds.
    pub advantage: f64,
    /// True positive rate at the threshold with at most a thousandth of false positives.
    pub tpr_at_low_fpr: f64,
    /// Members and others.
    pub counts: [usize; 2],
    /// The ε below which the mechanism is not, with the confidence asked for; 0 if nothing shows.
    pub epsilon_lower: f64,
}

/// The share of false positives at which an attack is looked at besides.
pub const LOW_FPR: f64 = 1e-3;

/// Membership inference by a threshold on the loss: who is fitted well was probably trained on.
///
/// Losses may be any score of which members have less. AUC, the advantage, and the true positive rate where hardly anyone is accused wrongly.
/// The lower bound on ε: if some threshold `t` tells members by more than (ε, δ) allows, `TPR ≤ e^ε FPR + δ` is broken. Half of the examples choose
/// the threshold, the others are counted on it, with Clopper and Pearson's limits at `confidence`, in both directions.
///
/// Source: Yeom et al., "Privacy risk in machine learning", 2018; Carlini et al., "Membership inference attacks from first principles", 2022, for the
/// low false positive rate; Jagielski et al., "Auditing differentially private machine learning", 2020, for the bound.
///
/// # Panics
/// If one of both has no examples.
pub fn by_loss(members: &[f64], others: &[f64], delta: f64, confidence: f64) -> Inference {
    assert!(!members.is_empty() && !others.is_empty(), "an attack needs members and others");
    let curve = Curve::new(members, others);
    let half = |x: &[f64], rest: usize| -> Vec<f64> { x.iter().skip(rest).step_by(2).copied().collect() };
    let enough = members.len() > 1 && others.len() > 1;
    let epsilon_lower =
        if enough { lower_bound([half(members, 0), half(others, 0)], [half(members, 1), half(others, 1)], delta, confidence) } else { 0.0 };
    Inference {
        auc: curve.auc(),
        advantage: curve.points.iter().map(|[fpr, tpr]| tpr - fpr).fold(0.0, f64::max),
        tpr_at_low_fpr: curve.points.iter().filter(|[fpr, _]| *fpr <= LOW_FPR).map(|[_, tpr]| *tpr).fold(0.0, f64::max),
        counts: [members.len(), others.len()],
        epsilon_lower,
    }
}

/// False and true positive rates over all thresholds, from (0, 0) to (1, 1).
struct Curve {
    points: Vec<[f64; 2]>,
    /// Below or at which one is accused; of the points after the first.
    thresholds: Vec<f64>,
}

impl Curve {
    fn new(members: &[f64], others: &[f64]) -> Self {
        let mut all: Vec<(f64, bool)> = members.iter().map(|&x| (x, true)).chain(others.iter().map(|&x| (x, false))).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut points, mut thresholds, mut counts) = (vec![[0.0; 2]], vec![], [0usize; 2]);
        for (i, &(score, member)) in all.iter().enumerate() {
            counts[usize::from(member)] += 1;
            // Equals stand on one side of every threshold.
            if all.get(i + 1).is_none_or(|next| next.0 != score) {
                points.push([counts[0] as f64 / others.len() as f64, counts[1] as f64 / members.len() as f64]);
                thresholds.push(score);
            }
        }
        Self { points, thresholds }
    }

    fn auc(&self) -> f64 {
        self.points.windows(2).map(|w| (w[1][0] - w[0][0]) * (w[0][1] + w[1][1]) / 2.0).sum()
    }
}

/// From the halves that choose a threshold and those that are counted, members first.
fn lower_bound(choose: [Vec<f64>; 2], count: [Vec<f64>; 2], delta: f64, confidence: f64) -> f64 {
    let curve = Curve::new(&choose[0], &choose[1]);
    let at_or_below = |x: &[f64], threshold: f64| x.iter().filter(|&&x| x <= threshold).count();
    // Each of two sides, of two limits each.
    let miss = (1.0 - confidence) / 4.0;
    let bound = |hits: usize, of: usize, wrong: usize, among: usize| {
        let tpr = clopper_pearson(hits, of, miss)[0];
        let fpr = clopper_pearson(wrong, among, miss)[1];
        if tpr > delta { ((tpr - delta) / fpr).ln().max(0.0) } else { 0.0 }
    };
    let [members, others] = [choose[0].len(), choose[1].len()];
    let guess = |threshold: f64| {
        let [m, o] = [0, 1].map(|i| at_or_below(&choose[i], threshold));
        [bound(m, members, o, others), bound(others - o, others, members - m, members)]
    };
    // A threshold in each direction: members have less; others have more.
    let step = (curve.thresholds.len() / 500).max(1);
    let mut best = [(0.0, None); 2];
    for &threshold in curve.thresholds.iter().step_by(step) {
        for (best, value) in best.iter_mut().zip(guess(threshold)) {
            if value > best.0 {
                *best = (value, Some(threshold));
            }
        }
    }
    let [members, others] = [count[0].len(), count[1].len()];
    let counted = best.iter().enumerate().filter_map(|(side, &(_, threshold))| {
        let threshold = threshold?;
        let [m, o] = [0, 1].map(|i| at_or_below(&count[i], threshold));
        Some(if side == 0 { bound(m, members, o, others) } else { bound(others - o, others, members - m, members) })
    });
    counted.fold(0.0, f64::max)
}

/// Limits of a probability from `hits` of `of`, each missed with probability `miss` at most.
///
/// Source: Clopper and Pearson, "The use of confidence or fiducial limits", 1934.
pub fn clopper_pearson(hits: usize, of: usize, miss: f64) -> [f64; 2] {
    // P(X ≥ hits) rises with p: the lower limit is where it is `miss`; the upper where P(X ≤ hits) is.
    let solve = |at_most: &dyn Fn(f64) -> bool| {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if at_most(middle) { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    };
    let lower = if hits == 0 { 0.0 } else { solve(&|p| 1.0 - cumulative(hits - 1, of, p) <= miss) };
    let upper = if hits == of { 1.0 } else { solve(&|p| cumulative(hits, of, p) > miss) };
    [lower, upper]
}

/// `P(X ≤ k)` of a binomial: the regularized incomplete beta function `I_(1−p)(n − k, k + 1)`.
fn cumulative(k: usize, n: usize, p: f64) -> f64 {
    if k >= n { 1.0 } else { incomplete_beta((n - k) as f64, (k + 1) as f64, 1.0 - p) }
}

/// `I_x(a, b)`, by its continued fraction.
///
/// Source: Abramowitz and Stegun, "Handbook of mathematical functions", 26.5.8.
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return f64::from(u8::from(x >= 1.0));
    }
    // It converges fast on one side of the mean.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let term = |m: usize| {
        let (i, half) = ((m / 2) as f64, m.is_multiple_of(2));
        if half {
            i * (b - i) * x / ((a + 2.0 * i - 1.0) * (a + 2.0 * i))
        } else {
            -(a + i) * (a + b + i) * x / ((a + 2.0 * i) * (a + 2.0 * i + 1.0))
        }
    };
    // Lentz's evaluation: the ratios of numerators and of denominators.
    let away_from_zero = |x: f64| if x.abs() < 1e-300 { 1e-300 } else { x };
    let (mut value, mut c, mut d) = (1.0, 1.0, 0.0);
    for m in 1..10_000 {
        d = 1.0 / away_from_zero(1.0 + term(m) * d);
        c = away_from_zero(1.0 + term(m) / c);
        value *= c * d;
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    let front = a * x.ln() + b * (-x).ln_1p() + log_gamma(a + b) - log_gamma(a) - log_gamma(b);
    front.exp() / (a * value)
}

/// `log Γ(x)` for `x ≥ 1`, by Stirling's series behind a few steps of the recurrence.
fn log_gamma(x: f64) -> f64 {
    let (mut x, mut before) = (x, 0.0);
    while x < 15.0 {
        before += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = (1.0 / 12.0 - inverse * (1.0 / 360.0 - inverse * (1.0 / 1260.0 - inverse * (1.0 / 1680.0 - inverse / 1188.0)))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(count: usize, shift: f64) -> Vec<f64> {
        (0..count).map(|i| (i as f64 + 0.5) / count as f64 + shift).collect()
    }

    #[test]
    fn what_is_known_of_simple_cases() {
        let same = by_loss(&spread(1000, 0.0), &spread(1000, 0.0), 1e-5, 0.95);
        assert!((same.auc - 0.5).abs() < 1e-9 && same.advantage < 2e-3 && same.epsilon_lower == 0.0, "{same:?}");
        let apart = by_loss(&spread(1000, 0.0), &spread(1000, 2.0), 1e-5, 0.95);
        assert_eq!((apart.auc, apart.advantage, apart.tpr_at_low_fpr), (1.0, 1.0, 1.0));
        // 500 of 500 against 0 of 500, at a hundredth and a quarter: log(0.9913 / 0.0087).
        assert!((apart.epsilon_lower - 4.73).abs() < 0.05, "{}", apart.epsilon_lower);
        let backwards = by_loss(&spread(100, 2.0), &spread(100, 0.0), 1e-5, 0.95);
        assert_eq!((backwards.auc, backwards.advantage), (0.0, 0.0));
        // Uniforms a quarter apart: AUC 1 − (3/4)² / 2.
        let quarter = by_loss(&spread(2000, 0.0), &spread(2000, 0.25), 1e-5, 0.95);
        assert!((quarter.auc - (1.0 - 0.75f64.powi(2) / 2.0)).abs() < 1e-3 && (quarter.advantage - 0.25).abs() < 1e-3, "{quarter:?}");
        assert!((quarter.tpr_at_low_fpr - 0.251).abs() < 2e-3);
        let ties = by_loss(&[1.0; 10], &[1.0; 10], 1e-5, 0.95);
        assert_eq!((ties.auc, ties.advantage), (0.5, 0.0));
    }

    #[test]
    fn limits_are_those_of_the_table() {
        // R: binom.test(3, 10)$conf.int, and of 0 of 20.
        let close = |[a, b]: [f64; 2], [c, d]: [f64; 2]| assert!((a - c).abs() < 1e-5 && (b - d).abs() < 1e-5, "{a} {b}");
        close(clopper_pearson(3, 10, 0.025), [0.066_739_51, 0.652_452_9]);
        close(clopper_pearson(0, 20, 0.025), [0.0, 0.168_433_5]);
        close(clopper_pearson(20, 20, 0.025), [0.831_566_5, 1.0]);
        // Of many: the normal approximation with its own error.
        let [low, high] = clopper_pearson(30_000, 60_000, 0.025);
        assert!((low - 0.495_99).abs() < 2e-5 && (high - 0.504_01).abs() < 2e-5, "{low} {high}");
        let direct = |k: usize, p: f64| {
            (0..=k)
                .map(|i| (0..i).map(|j| (10 - j) as f64 / (j + 1) as f64).product::<f64>() * p.powi(i as i32) * (1.0 - p).powi(10 - i as i32))
                .sum::<f64>()
        };
        for k in 0..10 {
            for p in [0.01, 0.3, 0.5, 0.9] {
                assert!((cumulative(k, 10, p) - direct(k, p)).abs() < 1e-13, "{k} {p}");
            }
        }
    }
}
