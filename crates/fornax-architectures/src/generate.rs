use crate::LanguageModel;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// How the next token is chosen.
///
/// Source: Fan, Lewis, Dauphin, "Hierarchical neural story generation", 2018 (top-k); Holtzman et al., "The curious case of neural text degeneration",
/// 2020 (top-p).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0 takes the likeliest token, the first of equals.
    pub temperature: f64,
    /// Only so many of the likeliest; 0 for all.
    pub top_k: usize,
    /// Only the likeliest that together have this probability; 1 for all.
    pub top_p: f64,
}

impl Default for Sampling {
    /// From the model's own distribution.
    fn default() -> Self {
        Self { temperature: 1.0, top_k: 0, top_p: 1.0 }
    }
}

impl Sampling {
    /// The likeliest token, always.
    pub const GREEDY: Self = Self { temperature: 0.0, top_k: 0, top_p: 1.0 };

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
        let count = weights.iter().take_while(before_top_p).count().max(1);
        let mut left = draw * weights[..count].iter().sum::<f64>();
        let chosen = weights[..count].iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        order[chosen.unwrap_or(count - 1)]
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
    let (mut memory, mut seen) = (vec![], 0);
    for _ in 0..count {
        let from = if M::CARRIES { seen } else { tokens.len().saturating_sub(model.context()) };
        let window: Vec<i64> = tokens[from..].iter().map(|&token| i64::from(token)).collect();
        let time = window.len();
        let (logits, after) = model.forward_from(Tensor::<2, Int>::from_data(TensorData::new(window, [1, time]), device), &memory);
        (memory, seen) = (after, tokens.len());
        let [_, _, vocabulary] = logits.dims();
        let last: Vec<f32> = logits.narrow(1, time - 1, 1).reshape([vocabulary]).into_data().iter::<f32>().collect();
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
        assert_eq!(count(Sampling::GREEDY), [0, 0, 8000]);
        // Half the temperature squares the odds: 1 : 4 : 25.
        assert_eq!(count(Sampling { temperature: 0.5, ..Sampling::default() }).map(|n| (n + 133) / 267), [1, 4, 25]);
    }
}
