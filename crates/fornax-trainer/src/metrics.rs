//! Metrics of classifiers and of sequences.

pub use crate::bleu::{Bleu, BleuConfig, BleuTokens};
pub use crate::sequence_errors::SequenceErrors;
use serde::{Deserialize, Serialize};

/// Counts of (true class, predicted class).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// All zero.
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }
    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }
    /// Counts one example.
    pub fn add(&mut self, truth: usize, predicted: usize) {
        self.counts[truth * self.classes + predicted] += 1;
    }
    /// Examples of class `truth` that were taken for `predicted`.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.classes + predicted]
    }
    /// All examples.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
    /// The share on the diagonal.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|c| self.count(c, c)).sum();
        right as f64 / self.total().max(1) as f64
    }
    /// The mean over classes of `2 TP / (2 TP + FP + FN)`; a class that never occurs and is never predicted counts 0, as in scikit-learn.
    pub fn macro_f1(&self) -> f64 {
        let f1 = |c: usize| {
            let actual: u64 = (0..self.classes).map(|p| self.count(c, p)).sum();
            let predicted: u64 = (0..self.classes).map(|t| self.count(t, c)).sum();
            2.0 * self.count(c, c) as f64 / ((actual + predicted) as f64).max(1.0)
        };
        (0..self.classes).map(f1).sum::<f64>() / self.classes.max(1) as f64
    }
}

/// The least number of insertions, deletions and substitutions that make one sequence of the other.
///
/// Source: Levenshtein, "Binary codes capable of correcting deletions, insertions and reversals", 1966.
pub fn edit_distance<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    // Of what was read of `a` to each beginning of `b`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for x in a {
        let mut diagonal = row[0];
        row[0] += 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let mut c = Confusion::new(3);
        for (t, p) in [(0, 0), (0, 0), (0, 1), (1, 1), (2, 1)] {
            c.add(t, p);
        }
        assert_eq!((c.total(), c.count(2, 1)), (5, 1));
        assert!((c.accuracy() - 0.6).abs() < 1e-12);
        // scikit-learn: f1_score([0,0,0,1,2], [0,0,1,1,1], average="macro") = (0.8 + 0.5 + 0) / 3
        assert!((c.macro_f1() - 1.3 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn distances_of_words() {
        let distance = |a: &str, b: &str| edit_distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        for (a, b, want) in
            [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("", "", 0), ("abc", "abc", 0), ("ab", "ba", 2), ("intention", "execution", 5)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (want, want), "{a} {b}");
        }
    }
}
