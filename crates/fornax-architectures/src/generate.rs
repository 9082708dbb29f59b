use crate::LanguageModel;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// How the next token is chosen.
///
/// The penalty comes first, then the temperature, then top-k, top-p and min-p, each on what the ones before it left, as in transformers.
///
/// Source: Fan, Lewis, Dauphin, "Hierarchical neural story generation", 2018 (top-k); Holtzman et al., "The curious case of neural text degeneration",
/// 2020 (top-p); Nguyen et al., "Turning up the heat", 2024 (min-p); Keskar et al., "CTRL", 2019 (repetition penalty).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0 takes the likeliest token, the first of equals.
    pub temperature: f64,
    /// Only so many of the likeliest; 0 for all.
    pub top_k: usize,
    /// Only the likeliest that together have this probability; 1 for all.
    pub top_p: f64,
    /// Only those that are at least this share as likely as the likeliest; 0 for all.
    pub min_p: f64,
    /// Logits of tokens that are already in the text are divided by it where they are positive, and multiplied where not; 1 for none.
    pub repetition_penalty: f64,
}

impl Default for Sampling {
    /// From the model's own distribution.
    fn default() -> Self {
        Self { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0 }
    }
}

impl Sampling {
    /// The likeliest token, always.
    pub const GREEDY: Self = Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0 };

    /// The next token, of logits, by a number drawn in `[0, 1)`.
    ///
    /// # Panics
    /// If there is no logit.
    pub fn next(&self, logits: &[f32], draw: f64) -> usize {
        assert!(!logits.is_empty(), "a distribution over nothing");
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        if self.temperature <= 0.0 {
            return order[0];
        }
        if self.top_k > 0 {
            order.truncate(self.top_k);
        }
        let most = f64::from(logits[order[0]]);
        let weights: Vec<f64> = order.iter().map(|&token| ((f64::from(logits[token]) - most) / self.temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        // The tokens before which less than top_p has been reached, at least the first.
        let mut kept = 0.0;
        let before_top_p = |weight: &&f64| {
            let before = kept;
            kept += **weight / total;
            before < self.top_p
        };
        let count = weights.iter().take_while(before_top_p).take_while(|weight| **weight >= self.min_p * weights[0]).count().max(1);
        let mut left = draw * weights[..count].iter().sum::<f64>();
        let chosen = weights[..count].iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        order[chosen.unwrap_or(count - 1)]
    }
}

impl Sampling {
    /// Logits with the penalty for the tokens of a text.
    fn penalize(&self, logits: &mut [f32], text: &[u32]) {
        if self.repetition_penalty == 1.0 {
            return;
        }
        let mut seen = vec![false; logits.len()];
        text.iter().for_each(|&token| seen[token as usize] = true);
        for (logit, _) in logits.iter_mut().zip(seen).filter(|(_, seen)| *seen) {
            let x = f64::from(*logit);
            *logit = (if x > 0.0 { x / self.repetition_penalty } else { x * self.repetition_penalty }) as f32;
        }
    }
}

/// Goes on with `prompt` for `count` tokens, and tells each to `on_token` as it comes. `draw` gives numbers in `[0, 1)`.
///
/// # Panics
/// If the prompt is empty.
pub fn generate<M: LanguageModel>(
    model: &M,
    prompt: &[u32],
    count: usize,
    sampling: Sampling,
    device: &Device,
    mut draw: impl FnMut() -> f64,
    mut on_token: impl FnMut(u32),
) -> Vec<u32> {
    assert!(!prompt.is_empty(), "there is nothing to go on with");
    let mut tokens = prompt.to_vec();
    let (mut memory, mut first, mut seen) = (M::Memory::default(), 0, 0);
    for _ in 0..count {
        if tokens.len() - first > model.context() {
            // Positions are learned one by one: where there is none left, the last ones are read again from the first on.
            (memory, first) = (M::Memory::default(), tokens.len() - model.context());
            seen = first;
        }
        let unseen: Vec<i64> = tokens[seen..].iter().map(|&token| i64::from(token)).collect();
        let time = unseen.len();
        let logits = model.go_on(Tensor::<2, Int>::from_data(TensorData::new(unseen, [1, time]), device), &mut memory);
        seen = tokens.len();
        let [_, _, vocabulary] = logits.dims();
        let mut last: Vec<f32> = logits.narrow(1, time - 1, 1).reshape([vocabulary]).into_data().iter::<f32>().collect();
        sampling.penalize(&mut last, &tokens);
        let token = sampling.next(&last, draw()) as u32;
        tokens.push(token);
        on_token(token);
    }
    tokens.split_off(prompt.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_follows_the_probabilities() {
        let logits = [0.0, 2.0f32.ln(), 5.0f32.ln()];
        let count = |sampling: Sampling| {
            let mut counts = [0; 3];
            (0..8000).for_each(|i| counts[sampling.next(&logits, (f64::from(i) + 0.5) / 8000.0)] += 1);
            counts
        };
        assert_eq!(count(Sampling::default()), [1000, 2000, 5000]);
        assert_eq!(count(Sampling { top_k: 2, ..Sampling::default() }).map(|n| (n + 5) / 10), [0, 229, 571]);
        assert_eq!(count(Sampling { top_p: 0.6, ..Sampling::default() }), [0, 0, 8000]);
        assert_eq!(count(Sampling { top_p: 0.7, ..Sampling::default() })[0], 0);
        assert_eq!(count(Sampling { min_p: 0.3, ..Sampling::default() }).map(|n| (n + 5) / 10), [0, 229, 571]);
        assert_eq!(count(Sampling { min_p: 0.5, ..Sampling::default() }), [0, 0, 8000]);
        assert_eq!(count(Sampling::GREEDY), [0, 0, 8000]);
        // Half the temperature squares the odds: 1 : 4 : 25.
        assert_eq!(count(Sampling { temperature: 0.5, ..Sampling::default() }).map(|n| (n + 133) / 267), [1, 4, 25]);
    }

    #[test]
    fn what_was_said_is_penalized_on_either_side_of_zero() {
        let mut logits = [2.0, -2.0, 3.0, -3.0];
        Sampling { repetition_penalty: 2.0, ..Sampling::default() }.penalize(&mut logits, &[1, 0, 1]);
        assert_eq!(logits, [1.0, -4.0, 3.0, -3.0]);
    }
}
