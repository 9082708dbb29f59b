//! Cross-entropy and its gradient on slices of f32.

use crate::op::{self, Array, Op, Tape, View};
use crate::simd::{exp, max, sum, vectorized};
use burn::tensor::Tensor;
use rayon::prelude::*;

/// Elements a task.
const TASK: usize = 1 << 13;

#[derive(Debug)]
struct CrossEntropy {
    targets: Vec<i64>,
    smoothing: f64,
    ignore: Option<i64>,
}

/// See [`super::cross_entropy`].
pub(super) fn cross_entropy(logits: Tensor<2>, targets: Vec<i64>, smoothing: f64, ignore: Option<i64>) -> Tensor<1> {
    let [loss, ..] = op::apply(CrossEntropy { targets, smoothing, ignore }, [logits.into_dispatch()]);
    Tensor::from_dispatch(loss)
}

impl CrossEntropy {
    /// Leaves `p − q` in `p` of one row of logits, with the smoothed target `q`, and returns `−Σ q log p`.
    #[inline(always)]
    fn row(&self, logits: &[f32], target: usize, p: &mut [f32]) -> f64 {
        let smoothing = self.smoothing as f32;
        let (classes, most) = (logits.len() as f32, max(logits));
        p.iter_mut().zip(logits).for_each(|(p, x)| *p = exp(x - most));
        let total = sum(p, p, |p, _| p);
        let (scale, spread) = (1.0 / total, smoothing / classes);
        p.iter_mut().for_each(|p| *p = *p * scale - spread);
        p[target] -= 1.0 - smoothing;
        // log p = x − most − log total
        let mean = if smoothing == 0.0 { 0.0 } else { f64::from(sum(logits, logits, |x, _| x - most)) / f64::from(classes) };
        f64::from(total).ln() - (1.0 - self.smoothing) * f64::from(logits[target] - most) - self.smoothing * mean
    }
}

impl Op for CrossEntropy {
    fn forward(&self, inputs: &[View], train: bool) -> (Vec<Array>, Vec<Vec<f32>>) {
        let logits = inputs[0];
        let classes = logits.shape[1].max(1);
        let rows = (TASK / classes).max(1);
        let count = self.targets.iter().filter(|&&t| Some(t) != self.ignore).count() as f64;
        // A task writes `p − q` where it stays, or into a row of its own that is forgotten.
        let mut kept = vec![0.0; if train { logits.data.len() } else { 0 }];
        let places: Vec<&mut [f32]> = match train {
            true => kept.chunks_mut(rows * classes).collect(),
            false => (0..self.targets.len().div_ceil(rows)).map(|_| Default::default()).collect(),
        };
        let share = (1.0 / count) as f32;
        let task = |((place, logits), targets): ((&mut [f32], &[f32]), &[i64])| {
            let mut row = vec![0.0; classes];
            vectorized(
                #[inline(always)]
                || {
                    let mut loss = 0.0;
                    for (i, (logits, &target)) in logits.chunks_exact(classes).zip(targets).enumerate() {
                        if Some(target) == self.ignore {
                            continue;
                        }
                        let p = if train { &mut place[i * classes..][..classes] } else { &mut row[..] };
                        loss += self.row(logits, target as usize, p);
                        p.iter_mut().for_each(|p| *p *= share);
                    }
                    loss
                },
            )
        };
        let tasks = places.into_par_iter().zip(logits.data.par_chunks(rows * classes)).zip(self.targets.par_chunks(rows));
        let losses: Vec<f64> = tasks.map(task).collect();
        let loss = losses.iter().sum::<f64>() / count;
        (vec![Array::new(vec![loss as f32], [1])], vec![kept])
    }

    fn backward(&self, tape: &Tape, dy: &[Option<View>], _wanted: &[bool]) -> Vec<Option<Array>> {
        let Some(dy) = dy[0] else { return vec![None] };
        let (scale, kept) = (dy.data[0], &tape.saved[0]);
        let gradient = if scale == 1.0 { kept.clone() } else { kept.iter().map(|g| g * scale).collect() };
        let classes = kept.len() / self.targets.len().max(1);
        vec![Some(Array::new(gradient, [self.targets.len(), classes]))]
    }

    fn keeps_input(&self, _index: usize) -> bool {
        false
    }
}
