//! Search over a decoder that is a table: a wide beam finds what going through everything finds, a narrow one what is best at each step.
#![recursion_limit = "256"]

use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_architectures::{Beam, StepDecoder, search};
use fornax_layers::Hypothesis;
use fornax_testkit::device;
use proptest::prelude::*;

/// Symbol 3 begins, symbol 2 ends.
const BEGIN: usize = 3;
const END: usize = 2;
const SYMBOLS: usize = 3;

/// Logits that any function of the sequence's number and what has been written gives.
struct Table {
    seed: u64,
}

impl Table {
    fn logits(&self, sequence: u64, written: &[usize]) -> [f32; SYMBOLS] {
        let key = written.iter().fold(fornax_kernels::random::Key::new(self.seed).fold(sequence), |key, &symbol| key.fold(symbol as u64));
        std::array::from_fn(|symbol| (3.0 * key.normal(symbol as u64)) as f32)
    }

    fn log_p(&self, sequence: u64, written: &[usize]) -> [f64; SYMBOLS] {
        let logits = self.logits(sequence, written).map(f64::from);
        let sum: f64 = logits.iter().map(|x| x.exp()).sum();
        logits.map(|x| x - sum.ln())
    }

    /// Every sequence that is no longer than the limit, with its end.
    fn all(&self, sequence: u64, limit: usize) -> Vec<Hypothesis> {
        let (mut open, mut complete) = (vec![(vec![], 0.0)], vec![]);
        while let Some((labels, before)) = open.pop() {
            let log_p = self.log_p(sequence, &labels);
            complete.push(Hypothesis { labels: labels.clone(), log_probability: before + log_p[END] });
            if labels.len() < limit {
                open.extend((0..END).map(|symbol| ([&labels[..], &[symbol]].concat(), before + log_p[symbol])));
            }
        }
        complete
    }
}

impl StepDecoder for Table {
    type State = Vec<(u64, Vec<usize>)>;

    fn begin(&self) -> usize {
        BEGIN
    }
    fn end(&self) -> usize {
        END
    }
    fn step(&self, last: Tensor<1, Int>, state: Self::State) -> (Tensor<2>, Self::State) {
        let device = last.device();
        let last: Vec<i64> = last.into_data().iter::<i64>().collect();
        assert_eq!(last.len(), state.len());
        let after: Self::State = state
            .into_iter()
            .zip(last)
            .map(|((sequence, mut written), last)| {
                if last as usize != BEGIN {
                    written.push(last as usize);
                }
                (sequence, written)
            })
            .collect();
        let logits: Vec<f32> = after.iter().flat_map(|(sequence, written)| self.logits(*sequence, written)).collect();
        (Tensor::from_data(TensorData::new(logits, [after.len(), SYMBOLS]), &device), after)
    }
    fn select(&self, state: Self::State, rows: &[usize]) -> Self::State {
        rows.iter().map(|&row| state[row].clone()).collect()
    }
}

fn start(count: u64) -> Vec<(u64, Vec<usize>)> {
    (0..count).map(|sequence| (sequence, vec![])).collect()
}

fn find(table: &Table, limits: &[usize], beam: Beam, device: &Device) -> Vec<Vec<Hypothesis>> {
    search(table, start(limits.len() as u64), limits, beam, device)
}

/// As the documentation has it.
fn score(found: &Hypothesis, penalty: f64) -> f64 {
    found.log_probability / ((5.0 + (found.labels.len() + 1) as f64) / 6.0).powf(penalty)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_wide_beam_is_exact(seed in any::<u64>(), limits in prop::collection::vec(0usize..5, 1..4), penalty in 0.0..1.5f64, keep in 1usize..4) {
        let (table, device) = (Table { seed }, device());
        let found = find(&table, &limits, Beam { width: 64, keep, length_penalty: penalty }, &device);
        for (sequence, (found, &limit)) in (0..).zip(found.iter().zip(&limits)) {
            let mut all = table.all(sequence, limit);
            all.sort_by(|a, b| score(b, penalty).total_cmp(&score(a, penalty)));
            prop_assert_eq!(found.len(), keep.min(all.len()));
            for (found, want) in found.iter().zip(&all) {
                prop_assert_eq!(&found.labels, &want.labels);
                prop_assert!((found.log_probability - want.log_probability).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_beam_of_one_is_greedy(seed in any::<u64>(), limits in prop::collection::vec(0usize..9, 1..5)) {
        let (table, device) = (Table { seed }, device());
        let found = find(&table, &limits, Beam::GREEDY, &device);
        for (sequence, (found, &limit)) in (0..).zip(found.iter().zip(&limits)) {
            let mut want = vec![];
            while want.len() < limit {
                let log_p = table.log_p(sequence, &want);
                match (0..SYMBOLS).max_by(|&a, &b| log_p[a].total_cmp(&log_p[b])) {
                    Some(END) | None => break,
                    Some(symbol) => want.push(symbol),
                }
            }
            prop_assert_eq!(&found[0].labels, &want);
        }
    }

    #[test]
    fn any_beam_tells_true_probabilities_and_does_not_mix_sequences(seed in any::<u64>(), width in 1usize..5) {
        let (table, device) = (Table { seed }, device());
        let together = find(&table, &[4, 3, 4], Beam { keep: 2, ..Beam::new(width) }, &device);
        for (sequence, found) in (0..).zip(&together) {
            for found in found {
                let want = table.all(sequence, 4).into_iter().find(|one| one.labels == found.labels).expect("a sequence within the limit");
                prop_assert!((found.log_probability - want.log_probability).abs() < 1e-6);
            }
        }
        let alone = search(&table, vec![(1, vec![])], &[3], Beam { keep: 2, ..Beam::new(width) }, &device);
        prop_assert_eq!(&alone[0], &together[1]);
    }
}
