use burn::tensor::Tensor;
use std::collections::HashMap;

use crate::{ctc::log_softmax, known_gradient::log_sum_exp};

/// A label of a CTC path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emission {
    /// The class.
    pub label: usize,
    /// The step where it begins.
    pub step: usize,
}

/// A labelling that a beam found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// Without blanks.
    pub labels: Vec<usize>,
    /// Natural logarithm of the probability of the paths that were kept.
    pub log_probability: f64,
}

/// The labelling of the most probable path of each sequence: `[B, T, K] -> B` labellings
///
/// The most probable class of every step, without repetitions, and then without blanks.
///
/// # Panics
/// If lengths are not one a sequence, or one is above `T`.
pub fn ctc_greedy(logits: Tensor<3>, lengths: Option<&[usize]>, blank: usize) -> Vec<Vec<Emission>> {
    let classes = logits.dims()[2];
    let best = |row: &[f64]| (0..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
    let decode = |logits: Vec<f64>| {
        let path: Vec<usize> = logits.chunks_exact(classes).map(best).collect();
        let begins = |t: usize| path[t] != blank && (t == 0 || path[t - 1] != path[t]);
        (0..path.len()).filter(|t| begins(*t)).map(|step| Emission { label: path[step], step }).collect()
    };
    sequences(logits, lengths).into_iter().map(decode).collect()
}

/// The most probable labellings of each sequence, best first, by a search over prefixes that keeps `width` of them at each step: `[B, T, K] -> B` lists
///
/// All paths of a kept prefix count together, which the most probable path does not see. With a width above the number of prefixes it is exact.
///
/// Source: Hannun et al., "First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs", 2014, without a language model.
///
/// # Panics
/// If the width is 0, lengths are not one a sequence, or one is above `T`.
pub fn ctc_beam(logits: Tensor<3>, lengths: Option<&[usize]>, blank: usize, width: usize) -> Vec<Vec<Hypothesis>> {
    assert!(width > 0, "a beam is at least 1 wide");
    let classes = logits.dims()[2];
    sequences(logits, lengths).into_iter().map(|logits| search(&log_softmax(&logits, classes), classes, blank, width)).collect()
}

/// The steps of each sequence.
fn sequences(logits: Tensor<3>, lengths: Option<&[usize]>) -> Vec<Vec<f64>> {
    let [batch, time, classes] = logits.dims();
    assert!(
        lengths.is_none_or(|lengths| lengths.len() == batch && lengths.iter().all(|l| *l <= time)),
        "lengths {lengths:?} of {batch} sequences of {time}"
    );
    let values: Vec<f64> = logits.into_data().iter::<f64>().collect();
    (0..batch).map(|b| values[b * time * classes..][..lengths.map_or(time, |lengths| lengths[b]) * classes].to_vec()).collect()
}

/// Log-probabilities of a prefix's paths: those that end in a blank, and those that end in its last label.
#[derive(Debug, Clone, Copy)]
struct Mass {
    blank: f64,
    label: f64,
}

impl Mass {
    const NOTHING: Self = Self { blank: f64::NEG_INFINITY, label: f64::NEG_INFINITY };

    fn total(self) -> f64 {
        log_sum_exp([self.blank, self.label].into_iter())
    }
}

fn search(log_p: &[f64], classes: usize, blank: usize, width: usize) -> Vec<Hypothesis> {
    let add = |to: &mut f64, x: f64| *to = log_sum_exp([*to, x].into_iter());
    let mut beam = vec![(vec![], Mass { blank: 0.0, ..Mass::NOTHING })];
    for row in log_p.chunks_exact(classes) {
        let mut next: HashMap<Vec<usize>, Mass> = HashMap::new();
        for (prefix, mass) in beam {
            let stays = next.entry(prefix.clone()).or_insert(Mass::NOTHING);
            add(&mut stays.blank, mass.total() + row[blank]);
            if let Some(last) = prefix.last() {
                add(&mut stays.label, mass.label + row[*last]);
            }
            for k in (0..classes).filter(|k| *k != blank) {
                // The last label once more needs a blank between.
                let from = if prefix.last() == Some(&k) { mass.blank } else { mass.total() };
                let longer = [&prefix[..], &[k]].concat();
                add(&mut next.entry(longer).or_insert(Mass::NOTHING).label, from + row[k]);
            }
        }
        beam = next.into_iter().filter(|(_, mass)| mass.total() > f64::NEG_INFINITY).collect();
        // Equals are ordered by their labels: a map has no order.
        beam.sort_by(|(a, x), (b, y)| y.total().total_cmp(&x.total()).then_with(|| a.cmp(b)));
        beam.truncate(width);
    }
    beam.into_iter().map(|(labels, mass)| Hypothesis { labels, log_probability: mass.total() }).collect()
}
