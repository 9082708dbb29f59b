//! A linear-chain conditional random field: labels of steps that know their neighbours.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use rayon::prelude::*;

use crate::init;
use crate::known_gradient::{log_sum_exp, zeros_with_gradient};
use crate::steps::floats;

/// Configuration of [`Crf`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrfConfig {
    /// `K`
    pub labels: usize,
}

impl CrfConfig {
    /// `K` labels.
    pub fn new(labels: usize) -> Self {
        Self { labels }
    }

    /// Draws the scores from the step key: `U(−0.1, 0.1)`.
    pub fn init(&self, device: &Device) -> Crf {
        Crf {
            transitions: init::uniform([self.labels; 2], 0.1, device),
            start: init::uniform([self.labels], 0.1, device),
            end: init::uniform([self.labels], 0.1, device),
        }
    }
}

/// A linear-chain conditional random field over `K` labels.
///
/// `s(y) = start_{y₁} + Σ_t e_t(y_t) + Σ_t A_{y_{t−1} y_t} + end_{y_T}`, `p(y) = exp s(y) / Σ_y' exp s(y')`. The sum by the forward algorithm, the best
/// labelling by Viterbi's.
///
/// Source: Lafferty, McCallum and Pereira, "Conditional random fields", 2001; over a BiLSTM: Huang, Xu and Yu, "Bidirectional LSTM-CRF models for sequence
/// tagging", 2015.
#[derive(Module, Debug)]
pub struct Crf {
    /// `A`, from the row's label to the column's: `[K, K]`
    pub transitions: Param<Tensor<2>>,
    /// `[K]`
    pub start: Param<Tensor<1>>,
    /// `[K]`
    pub end: Param<Tensor<1>>,
}

impl Crf {
    /// −log p of each sequence's labels: `[B, T, K], [B][T] -> [B]`
    ///
    /// With `lengths`, a sequence has that many steps and labels; one of none has loss 0. Sums over labellings are computed on the host in f64, a sequence a task.
    ///
    /// # Panics
    /// If labels or lengths are not one a sequence, a length is above `T`, there are not as many labels as steps, or a label is not below `K`.
    pub fn loss(&self, emissions: Tensor<3>, labels: &[Vec<usize>], lengths: Option<&[usize]>) -> Tensor<1> {
        let [batch, time, k] = emissions.dims();
        let scores = self.scores();
        let steps = steps(&emissions, lengths);
        assert_eq!(labels.len(), batch, "one list of labels a sequence");
        for (b, (labels, (_, steps))) in labels.iter().zip(&steps).enumerate() {
            assert_eq!(labels.len(), *steps, "sequence {b}: labels of its steps");
            assert!(labels.iter().all(|label| *label < k), "sequence {b} has labels {labels:?}, but there are {k}, counted from 0");
        }
        let one = |b: usize| scores.loss(&steps[b].0, &labels[b]);
        let each: Vec<(f64, Counts)> = (0..batch).into_par_iter().map(one).collect();
        let (device, dtype) = (emissions.device(), emissions.dtype());
        let losses = floats(each.iter().map(|(loss, _)| *loss).collect(), [batch], &device, dtype);
        let gather = |size: usize, part: fn(&Counts) -> &[f64]| -> Vec<f64> {
            let mut all = vec![0f64; batch * size];
            all.chunks_exact_mut(size.max(1)).zip(&each).for_each(|(all, (_, counts))| all[..part(counts).len()].copy_from_slice(part(counts)));
            all
        };
        losses
            + zeros_with_gradient(emissions.reshape([batch, time * k]), gather(time * k, |counts| &counts.emissions), batch)
            + zeros_with_gradient(self.transitions.val().reshape([1, k * k]), gather(k * k, |counts| &counts.transitions), batch)
            + zeros_with_gradient(self.start.val().reshape([1, k]), gather(k, |counts| &counts.start), batch)
            + zeros_with_gradient(self.end.val().reshape([1, k]), gather(k, |counts| &counts.end), batch)
    }

    /// The most probable labels of each sequence and their score `s(y)`: `[B, T, K] -> B` labellings
    ///
    /// # Panics
    /// If lengths are not one a sequence, or one is above `T`.
    pub fn decode(&self, emissions: Tensor<3>, lengths: Option<&[usize]>) -> Vec<(Vec<usize>, f64)> {
        let scores = self.scores();
        steps(&emissions, lengths).iter().map(|(emissions, _)| scores.viterbi(emissions)).collect()
    }

    fn scores(&self) -> Scores {
        let values = |data: burn::tensor::TensorData| data.iter::<f64>().collect();
        let (transitions, start, end) = (self.transitions.val().to_data(), self.start.val().to_data(), self.end.val().to_data());
        Scores { k: self.start.dims()[0], transitions: values(transitions), start: values(start), end: values(end) }
    }
}

/// The emissions of each sequence, and how many steps they are.
fn steps(emissions: &Tensor<3>, lengths: Option<&[usize]>) -> Vec<(Vec<f64>, usize)> {
    let [batch, time, k] = emissions.dims();
    assert!(
        lengths.is_none_or(|lengths| lengths.len() == batch && lengths.iter().all(|l| *l <= time)),
        "lengths {lengths:?} of {batch} sequences of {time}"
    );
    let values: Vec<f64> = emissions.to_data().iter::<f64>().collect();
    let length = |b: usize| lengths.map_or(time, |lengths| lengths[b]);
    (0..batch).map(|b| (values[b * time * k..][..length(b) * k].to_vec(), length(b))).collect()
}

/// Expected less observed counts: the gradient of a loss.
struct Counts {
    emissions: Vec<f64>,
    transitions: Vec<f64>,
    start: Vec<f64>,
    end: Vec<f64>,
}

struct Scores {
    k: usize,
    transitions: Vec<f64>,
    start: Vec<f64>,
    end: Vec<f64>,
}

impl Scores {
    fn loss(&self, emissions: &[f64], labels: &[usize]) -> (f64, Counts) {
        let k = self.k;
        let mut counts = Counts { emissions: vec![0.0; emissions.len()], transitions: vec![0.0; k * k], start: vec![0.0; k], end: vec![0.0; k] };
        let (Some(first), Some(last)) = (labels.first(), labels.last()) else { return (0.0, counts) };
        let (time, arc) = (labels.len(), |i: usize, j: usize| self.transitions[i * k + j]);

        // α: log of the sum over all beginnings that end in a label, the step included; β: over all that can follow it.
        let mut alpha: Vec<f64> = (0..k).map(|j| self.start[j] + emissions[j]).collect();
        for t in 1..time {
            let before = &alpha[(t - 1) * k..];
            let now: Vec<f64> = (0..k).map(|j| emissions[t * k + j] + log_sum_exp((0..k).map(|i| before[i] + arc(i, j)))).collect();
            alpha.extend(now);
        }
        let mut beta = self.end.clone();
        let total = log_sum_exp((0..k).map(|j| alpha[(time - 1) * k + j] + self.end[j]));
        for t in (0..time).rev() {
            for j in 0..k {
                counts.emissions[t * k + j] = (alpha[t * k + j] + beta[j] - total).exp();
            }
            if t > 0 {
                let after: Vec<f64> = (0..k).map(|j| emissions[t * k + j] + beta[j]).collect();
                for i in 0..k {
                    (0..k).for_each(|j| counts.transitions[i * k + j] += (alpha[(t - 1) * k + i] + arc(i, j) + after[j] - total).exp());
                    beta[i] = log_sum_exp((0..k).map(|j| arc(i, j) + after[j]));
                }
            }
        }
        counts.start.copy_from_slice(&counts.emissions[..k]);
        counts.end.copy_from_slice(&counts.emissions[(time - 1) * k..]);

        // What was observed.
        let mut score = self.start[*first] + self.end[*last];
        counts.start[*first] -= 1.0;
        counts.end[*last] -= 1.0;
        for (t, label) in labels.iter().enumerate() {
            score += emissions[t * k + label];
            counts.emissions[t * k + label] -= 1.0;
        }
        for pair in labels.windows(2) {
            score += arc(pair[0], pair[1]);
            counts.transitions[pair[0] * k + pair[1]] -= 1.0;
        }
        (total - score, counts)
    }

    fn viterbi(&self, emissions: &[f64]) -> (Vec<usize>, f64) {
        let (k, time) = (self.k, emissions.len() / self.k.max(1));
        if time == 0 {
            return (vec![], 0.0);
        }
        let best = |scores: &[f64]| (0..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best });
        let mut score: Vec<f64> = (0..k).map(|j| self.start[j] + emissions[j]).collect();
        // Of every label of every later step, the label before.
        let mut from = vec![];
        for t in 1..time {
            let mut next = Vec::with_capacity(k);
            for j in 0..k {
                let arrivals: Vec<f64> = (0..k).map(|i| score[i] + self.transitions[i * k + j]).collect();
                let i = best(&arrivals);
                from.push(i);
                next.push(arrivals[i] + emissions[t * k + j]);
            }
            score = next;
        }
        score.iter_mut().zip(&self.end).for_each(|(score, end)| *score += end);
        let mut labels = vec![best(&score)];
        for row in from.chunks_exact(k).rev() {
            labels.push(row[labels[labels.len() - 1]]);
        }
        labels.reverse();
        (labels.clone(), score[labels[time - 1]])
    }
}
