//! Connectionist temporal classification: labels without their times.
//!
//! A path gives each of `T` steps a label or a blank; without repetitions, and then without blanks, it reads as a labelling. The loss of a labelling is
//! −log of the probability of all its paths.
//!
//! Source: Graves et al., "Connectionist temporal classification: labelling unsegmented sequence data with recurrent neural networks", 2006.

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use crate::known_gradient::{log_sum_exp, zeros_with_gradient};

/// How the losses of a batch become one, or don't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CtcReduction {
    /// Each over the number of its labels (at least 1), and then the mean: PyTorch's default.
    Mean,
    /// The sum: `[1]`
    Sum,
    /// As they are: `[B]`
    None,
}

/// The CTC loss. As PyTorch's `ctc_loss` after `log_softmax`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CtcLoss {
    /// The class that means no label: 0.
    pub blank: usize,
    /// A labelling that does not fit into its steps has loss 0 instead of ∞: off. Its gradient is 0 in either case, where PyTorch's is NaN without this.
    pub zero_infinity: bool,
    /// Over the batch: the mean.
    pub reduction: CtcReduction,
}

impl Default for CtcLoss {
    fn default() -> Self {
        Self { blank: 0, zero_infinity: false, reduction: CtcReduction::Mean }
    }
}

impl CtcLoss {
    /// Whether every label is one of `classes` and none is the blank: for labels that come from a file.
    ///
    /// # Errors
    /// The first label that is not, with its place.
    pub fn check(&self, targets: &[Vec<usize>], classes: usize) -> Result<(), String> {
        if self.blank >= classes {
            return Err(format!("the blank is class {} of {classes}: there is no such class", self.blank));
        }
        for (b, target) in targets.iter().enumerate() {
            if let Some((i, label)) = target.iter().enumerate().find(|(_, label)| **label >= classes || **label == self.blank) {
                let what = if *label == self.blank { "the blank" } else { "no class" };
                return Err(format!(
                    "label {i} of sequence {b} is {label}, which is {what}: {classes} classes, counted from 0, and {} is the blank",
                    self.blank
                ));
            }
        }
        Ok(())
    }

    /// The loss of `targets`, each as long as it is, under the logits of `lengths` steps: `[B, T, K] -> [1]`, or `[B]` without a reduction.
    ///
    /// Forward and backward variables are computed on the host in f64, a sequence a task. Padding has no gradient.
    ///
    /// # Panics
    /// If targets or lengths are not one a sequence, a length is above `T`, or a label is not one: see [`CtcLoss::check`].
    pub fn forward(&self, logits: Tensor<3>, targets: &[Vec<usize>], lengths: Option<&[usize]>) -> Tensor<1> {
        let [batch, time, classes] = logits.dims();
        let whole = vec![time; batch];
        let lengths = lengths.unwrap_or(&whole);
        assert!(targets.len() == batch && lengths.len() == batch, "{} labellings and {} lengths for {batch} sequences", targets.len(), lengths.len());
        assert!(lengths.iter().all(|length| *length <= time), "lengths {lengths:?} of sequences of {time} steps");
        self.check(targets, classes).unwrap_or_else(|why| panic!("{why}"));

        let values: Vec<f64> = logits.to_data().iter::<f64>().collect();
        let size = time * classes;
        let one = |b: usize| loss(&values[b * size..][..lengths[b] * classes], classes, &targets[b], self.blank);
        let each: Vec<(f64, Vec<f64>)> = (0..batch).into_par_iter().map(one).collect();
        let mut gradient = vec![0f64; batch * size];
        for (b, (_, of_one)) in each.iter().enumerate() {
            gradient[b * size..][..of_one.len()].copy_from_slice(of_one);
        }
        let losses: Vec<f64> = each.into_iter().map(|(loss, _)| if self.zero_infinity && loss.is_infinite() { 0.0 } else { loss }).collect();
        let (device, dtype) = (logits.device(), logits.dtype());
        let tensor = |values: Vec<f64>| Tensor::<1>::from_data(TensorData::new(values, [batch]).convert_dtype(dtype), (&device, dtype));
        let losses = tensor(losses) + zeros_with_gradient(logits.reshape([batch, size]), gradient, batch);
        match self.reduction {
            CtcReduction::None => losses,
            CtcReduction::Sum => losses.sum(),
            CtcReduction::Mean => (losses / tensor(targets.iter().map(|target| target.len().max(1) as f64).collect())).mean(),
        }
    }
}

/// −log p of a labelling, and its gradient by the logits `[T, K]`.
fn loss(logits: &[f64], classes: usize, target: &[usize], blank: usize) -> (f64, Vec<f64>) {
    let (states, time) = (2 * target.len() + 1, logits.len() / classes.max(1));
    // Blanks around and between the labels.
    let label = |s: usize| if s.is_multiple_of(2) { blank } else { target[s / 2] };
    let log_p = log_softmax(logits, classes);
    let p = |t: usize, s: usize| log_p[t * classes + label(s)];
    // A label may follow another one at once, if it differs.
    let skips = |s: usize| s % 2 == 1 && s > 1 && label(s) != label(s - 2);
    let ends = [states - 1, states.saturating_sub(2)];
    let ends = &ends[..states.min(2)];
    if time == 0 {
        return (if target.is_empty() { 0.0 } else { f64::INFINITY }, vec![]);
    }

    // α: of all beginnings of paths that are in state s at step t, the step included.
    let mut alpha = vec![f64::NEG_INFINITY; time * states];
    (0..states.min(2)).for_each(|s| alpha[s] = p(0, s));
    for t in 1..time {
        let (before, now) = alpha[(t - 1) * states..(t + 1) * states].split_at_mut(states);
        for (s, now) in now.iter_mut().enumerate() {
            let from = [Some(s), s.checked_sub(1), s.checked_sub(2).filter(|_| skips(s))];
            *now = p(t, s) + log_sum_exp(from.into_iter().flatten().map(|s| before[s]));
        }
    }
    let last = &alpha[(time - 1) * states..];
    let total = log_sum_exp(ends.iter().map(|s| last[*s]));
    if !total.is_finite() {
        return (-total, vec![0.0; logits.len()]);
    }

    // β: of all ends of paths that are in state s at step t, the step left out.
    let mut beta = vec![f64::NEG_INFINITY; states];
    ends.iter().for_each(|s| beta[*s] = 0.0);
    let mut gradient: Vec<f64> = log_p.iter().map(|log_p| log_p.exp()).collect();
    for t in (0..time).rev() {
        for s in 0..states {
            gradient[t * classes + label(s)] -= (alpha[t * states + s] + beta[s] - total).exp();
        }
        if t > 0 {
            let after: Vec<f64> = (0..states).map(|s| beta[s] + p(t, s)).collect();
            for (s, beta) in beta.iter_mut().enumerate() {
                let to = [Some(s), Some(s + 1), Some(s + 2).filter(|to| *to < states && skips(*to))];
                *beta = log_sum_exp(to.into_iter().flatten().filter_map(|s| after.get(s).copied()));
            }
        }
    }
    (-total, gradient)
}

/// Of every row.
pub(crate) fn log_softmax(x: &[f64], classes: usize) -> Vec<f64> {
    let mut out = x.to_vec();
    for row in out.chunks_exact_mut(classes.max(1)) {
        let total = log_sum_exp(row.iter().copied());
        row.iter_mut().for_each(|x| *x -= total);
    }
    out
}
