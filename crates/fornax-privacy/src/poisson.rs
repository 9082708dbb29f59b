//! Batches in which every example is with the same probability, by itself.

use crate::secret::{Purpose, Secret};
use fornax_trainer::{Batches, SourceError};

/// What one step takes, in parts that fit the memory.
#[derive(Debug, Clone)]
pub struct Drawn<B> {
    /// Batches with their number of examples; none where nothing was drawn.
    pub parts: Vec<(B, usize)>,
}

impl<B> Drawn<B> {
    /// How many examples were drawn.
    pub fn examples(&self) -> usize {
        self.parts.iter().map(|(_, count)| count).sum()
    }
}

/// Makes a batch of examples by their numbers, as they are in an epoch.
pub type Build<B> = Box<dyn Fn(u64, &[usize]) -> Result<B, SourceError>>;

/// Poisson sampling: each of `examples` is in a step with probability `q = expected / examples`, so that the size of a batch varies.
///
/// It is what the accountants count on. Which examples a step takes follows from the secret: an observer who could work it out would know
/// more than (ε, δ) says.
pub struct Poisson<B> {
    examples: usize,
    expected: usize,
    largest: usize,
    secret: Secret,
    build: Build<B>,
}

impl<B> Poisson<B> {
    /// `expected` of `examples` a step; a part has at most `largest`.
    ///
    /// # Panics
    /// If one of them is 0, or more is expected than there is.
    pub fn new(examples: usize, expected: usize, largest: usize, secret: Secret, build: Build<B>) -> Self {
        assert!(expected > 0 && expected <= examples && largest > 0, "{expected} of {examples} examples a step, in parts of {largest}");
        Self { examples, expected, largest, secret, build }
    }

    /// `q`
    pub fn rate(&self) -> f64 {
        self.expected as f64 / self.examples as f64
    }

    /// Steps in which as many examples are expected as there are.
    pub fn steps_an_epoch(examples: usize, expected: usize) -> usize {
        ((examples as f64 / expected as f64).round() as usize).max(1)
    }

    /// The numbers of the examples of a step, ascending.
    pub fn numbers(&self, step: u64) -> Vec<usize> {
        let stream = self.secret.stream(Purpose::Sampling, step);
        // Out of 2⁶⁴; a rate of 1 takes all.
        let below = (self.rate() * 2f64.powi(64)) as u128;
        let chosen = |first: usize| {
            let bits = stream.bits((first / 8) as u32);
            (first..self.examples.min(first + 8)).zip(bits).filter(|(_, bits)| u128::from(*bits) < below).map(|(index, _)| index).collect::<Vec<_>>()
        };
        (0..self.examples).step_by(8).flat_map(chosen).collect()
    }
}

impl<B: Clone> Batches for Poisson<B> {
    type Batch = Drawn<B>;

    fn per_epoch(&self) -> usize {
        Self::steps_an_epoch(self.examples, self.expected)
    }

    fn epoch(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Result<Drawn<B>, SourceError>> + '_> {
        let per_epoch = self.per_epoch();
        Box::new((first..per_epoch).map(move |batch| {
            let numbers = self.numbers(epoch * per_epoch as u64 + batch as u64);
            let part = |numbers: &[usize]| -> Result<(B, usize), SourceError> { Ok(((self.build)(epoch, numbers)?, numbers.len())) };
            Ok(Drawn { parts: numbers.chunks(self.largest).map(part).collect::<Result<_, _>>()? })
        }))
    }
}
