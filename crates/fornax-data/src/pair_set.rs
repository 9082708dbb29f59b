//! Sequences of symbols and what they become: a word and its phonemes.

use crate::{
    DataError, Dataset,
    random::{Purpose, Stream},
};
use std::collections::BTreeMap;

/// Sequences, each with one or more that are right for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairSet {
    /// The symbols of sources, in order; a source holds their numbers.
    pub source_symbols: Vec<String>,
    /// The symbols of targets, in order; a target holds their numbers.
    pub target_symbols: Vec<String>,
    /// `N` sequences.
    pub sources: Vec<Vec<u32>>,
    /// Of each source every sequence that is right, the usual one first.
    pub targets: Vec<Vec<Vec<u32>>>,
}

impl PairSet {
    /// A set whose parts fit together.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if a source is empty, has no target or another number of them than one list each, or a number is no symbol's.
    pub fn new(
        source_symbols: Vec<String>,
        target_symbols: Vec<String>,
        sources: Vec<Vec<u32>>,
        targets: Vec<Vec<Vec<u32>>>,
    ) -> Result<Self, DataError> {
        if sources.len() != targets.len() {
            return Err(DataError::Invalid(format!("{} sources with targets for {}: a list of targets each", sources.len(), targets.len())));
        }
        if let Some(at) = sources.iter().zip(&targets).position(|(source, targets)| source.is_empty() || targets.is_empty()) {
            return Err(DataError::Invalid(format!("source {at} is empty, or nothing is right for it")));
        }
        let above = |sequences: &mut dyn Iterator<Item = &Vec<u32>>, count: usize| sequences.flatten().any(|&symbol| symbol as usize >= count);
        if above(&mut sources.iter(), source_symbols.len()) || above(&mut targets.iter().flatten(), target_symbols.len()) {
            let (sources, targets) = (source_symbols.len(), target_symbols.len());
            return Err(DataError::Invalid(format!("a symbol's number is not below {sources} in a source, or {targets} in a target")));
        }
        Ok(Self { source_symbols, target_symbols, sources, targets })
    }

    /// The number of sources.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether there is no source.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// The pairs at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    pub fn subset(&self, indices: &[usize]) -> Self {
        let sources = indices.iter().map(|&i| self.sources[i].clone()).collect();
        let targets = indices.iter().map(|&i| self.targets[i].clone()).collect();
        Self { sources, targets, source_symbols: self.source_symbols.clone(), target_symbols: self.target_symbols.clone() }
    }

    /// With other symbols in the targets, several of which may become one; targets that are then the same count once.
    pub fn map_targets(self, map: impl Fn(&str) -> String) -> Self {
        let renamed: Vec<String> = self.target_symbols.iter().map(|symbol| map(symbol)).collect();
        let numbers: BTreeMap<&String, u32> = renamed.iter().collect::<std::collections::BTreeSet<_>>().into_iter().zip(0..).collect();
        let target = |target: Vec<u32>| -> Vec<u32> { target.into_iter().map(|symbol| numbers[&renamed[symbol as usize]]).collect() };
        let distinct = |targets: Vec<Vec<u32>>| {
            targets.into_iter().map(target).fold(vec![], |mut seen, target| {
                if !seen.contains(&target) {
                    seen.push(target);
                }
                seen
            })
        };
        let targets = self.targets.into_iter().map(distinct).collect();
        Self { targets, target_symbols: numbers.into_keys().cloned().collect(), ..self }
    }
}

/// A source with one of its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairExample {
    /// Numbers of source symbols.
    pub source: Vec<u32>,
    /// Numbers of target symbols.
    pub target: Vec<u32>,
    /// Its place in the set.
    pub index: usize,
}

/// A [`PairSet`] as a loader's source: where several targets are right, one of them by (seed, epoch, index).
#[derive(Debug, Clone)]
pub struct PairDataset {
    pairs: PairSet,
    seed: u64,
}

impl PairDataset {
    /// Pairs, and the seed of what is chosen.
    pub fn new(pairs: PairSet, seed: u64) -> Self {
        Self { pairs, seed }
    }

    /// What to put examples into batches by, so that little is padded: as long a source, and among those as long a first target.
    pub fn lengths(&self) -> Vec<usize> {
        let longest = self.pairs.targets.iter().map(|targets| targets[0].len()).max().unwrap_or(0);
        self.pairs.sources.iter().zip(&self.pairs.targets).map(|(source, targets)| source.len() * (longest + 1) + targets[0].len()).collect()
    }
}

impl Dataset for PairDataset {
    type Item = PairExample;

    fn len(&self) -> usize {
        self.pairs.len()
    }

    fn get(&self, epoch: u64, index: usize) -> Result<PairExample, DataError> {
        let targets = &self.pairs.targets[index];
        let chosen = match targets.len() {
            1 => 0,
            count => Stream::new(Purpose::Variant, &[self.seed, epoch, index as u64]).below(count as u64) as usize,
        };
        Ok(PairExample { source: self.pairs.sources[index].clone(), target: targets[chosen].clone(), index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(symbols: &[&str]) -> Vec<String> {
        symbols.iter().map(ToString::to_string).collect()
    }

    fn small() -> PairSet {
        let targets = vec![vec![vec![0, 2], vec![1, 2], vec![3]], vec![vec![3]]];
        PairSet::new(strings(&["a", "b"]), strings(&["X0", "X1", "Y", "Z"]), vec![vec![0], vec![1, 1]], targets).unwrap()
    }

    #[test]
    fn symbols_that_become_one_make_targets_one() {
        let mapped = small().map_targets(|symbol| symbol.trim_end_matches(char::is_numeric).into());
        assert_eq!(mapped.target_symbols, ["X", "Y", "Z"]);
        assert_eq!(mapped.targets, [vec![vec![0, 1], vec![2]], vec![vec![2]]]);
        assert_eq!(small().map_targets(str::to_string), small());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let with = |sources: Vec<Vec<u32>>, targets: Vec<Vec<Vec<u32>>>| {
            PairSet::new(strings(&["a"]), strings(&["X"]), sources, targets).map_err(|error| error.to_string())
        };
        assert!(with(vec![vec![0]], vec![vec![vec![]]]).is_ok(), "nothing to say is an answer");
        assert!(with(vec![vec![0]], vec![]).unwrap_err().contains("1 sources with targets for 0"));
        assert!(with(vec![vec![]], vec![vec![vec![0]]]).unwrap_err().contains("source 0 is empty"));
        assert!(with(vec![vec![0]], vec![vec![]]).unwrap_err().contains("nothing is right"));
        assert!(with(vec![vec![1]], vec![vec![vec![0]]]).unwrap_err().contains("not below 1"));
        assert!(with(vec![vec![0]], vec![vec![vec![1]]]).unwrap_err().contains("not below 1"));
    }

    #[test]
    fn each_target_has_its_turn_and_an_epoch_is_always_the_same() {
        let data = PairDataset::new(small(), 7);
        let target = |epoch| data.get(epoch, 0).unwrap().target;
        let mut counts = [0; 3];
        (0..300).for_each(|epoch| counts[small().targets[0].iter().position(|t| *t == target(epoch)).unwrap()] += 1);
        assert!(counts.iter().all(|count| (70..130).contains(count)), "{counts:?}");
        assert!((0..50).all(|epoch| target(epoch) == target(epoch)));
        assert_eq!(data.get(3, 1).unwrap(), PairExample { source: vec![1, 1], target: vec![3], index: 1 });
        assert_eq!(data.lengths(), [3 + 2, 6 + 1]);
    }
}
