use crate::metrics::edit_distance;

/// How far sequences are from what is right, where several may be: from the nearest.
///
/// `sequence_rate` is the share of sequences that are not one of those that are right (WER of words with pronunciations); `symbol_rate` is
/// `Σ edits / Σ symbols` over the nearest right ones (PER), the first of those that are equally near. It may be above 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SequenceErrors {
    /// Sequences.
    pub sequences: usize,
    /// Those that are none of the right ones.
    pub wrong: usize,
    /// Insertions, deletions and substitutions to the nearest right ones.
    pub edits: usize,
    /// Symbols of the nearest right ones.
    pub symbols: usize,
}

impl SequenceErrors {
    /// Counts one sequence, of which all of `right` would be.
    ///
    /// # Panics
    /// If nothing is right.
    pub fn add<T: PartialEq>(&mut self, found: &[T], right: &[Vec<T>]) {
        let distances = right.iter().map(|right| (edit_distance(found, right), right.len()));
        let (edits, symbols) = distances.min_by_key(|(edits, _)| *edits).expect("at least one sequence is right");
        self.sequences += 1;
        self.wrong += usize::from(edits > 0);
        self.edits += edits;
        self.symbols += symbols;
    }

    /// `wrong / sequences`; 0 of none.
    pub fn sequence_rate(&self) -> f64 {
        self.wrong as f64 / self.sequences.max(1) as f64
    }

    /// `edits / symbols`
    pub fn symbol_rate(&self) -> f64 {
        self.edits as f64 / self.symbols.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn letters(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn the_nearest_right_one_counts() {
        let mut errors = SequenceErrors::default();
        errors.add(&letters("tomato"), &[letters("tometo"), letters("tomato")]);
        assert_eq!(errors, SequenceErrors { sequences: 1, wrong: 0, edits: 0, symbols: 6 });
        errors.add(&letters("sitting"), &[letters("kitten"), letters("sittin"), letters("sittings")]);
        assert_eq!(errors, SequenceErrors { sequences: 2, wrong: 1, edits: 1, symbols: 12 });
        errors.add(&letters(""), &[letters("abcd")]);
        assert_eq!((errors.sequence_rate(), errors.symbol_rate()), (2.0 / 3.0, 5.0 / 16.0));
        assert_eq!(SequenceErrors::default().symbol_rate(), 0.0);
    }

    /// By its definition: the least over what is done with the last symbols.
    fn slow(a: &[u8], b: &[u8]) -> usize {
        match (a, b) {
            ([], rest) | (rest, []) => rest.len(),
            ([x, a @ ..], [y, b @ ..]) if x == y => slow(a, b),
            ([_, less_a @ ..], [_, less_b @ ..]) => 1 + slow(less_a, b).min(slow(a, less_b)).min(slow(less_a, less_b)),
        }
    }

    fn sequence(most: usize) -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(0u8..3, 0..most)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn the_distance_is_the_recursive_one(a in sequence(7), b in sequence(7)) {
            prop_assert_eq!(edit_distance(&a, &b), slow(&a, &b));
        }

        #[test]
        fn the_distance_is_a_metric(a in sequence(20), b in sequence(20), c in sequence(20)) {
            let (ab, bc, ac) = (edit_distance(&a, &b), edit_distance(&b, &c), edit_distance(&a, &c));
            prop_assert_eq!(ab, edit_distance(&b, &a));
            prop_assert_eq!(ab == 0, a == b);
            prop_assert!(ac <= ab + bc);
            prop_assert!(a.len().abs_diff(b.len()) <= ab && ab <= a.len().max(b.len()));
        }

        #[test]
        fn more_that_is_right_is_never_worse(found in sequence(10), right in prop::collection::vec(sequence(10), 1..4)) {
            let count = |right: &[Vec<u8>]| {
                let mut errors = SequenceErrors::default();
                errors.add(&found, right);
                errors
            };
            prop_assert!(count(&right).edits <= count(&right[..1]).edits && count(&right).wrong <= count(&right[..1]).wrong);
        }
    }
}
