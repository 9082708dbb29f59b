//! Series of vectors, each as long as it is: sets of them, and batches with padding.

use crate::{
    DataError, Dataset,
    random::{Purpose, Stream},
};

/// Labelled series of `D` channels. Lengths differ.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSet {
    /// `D`
    pub channels: usize,
    /// `[T, D]` of every series, row-major: one step behind the other.
    pub series: Vec<Vec<f32>>,
    /// `[N]`, each below the number of classes.
    pub labels: Vec<u32>,
    /// The name of each class.
    pub classes: Vec<String>,
}

impl SeriesSet {
    /// A set whose parts fit together.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if there are no channels, a series is empty or ends within a step, or labels are not one for each series and below the
    /// number of classes.
    pub fn new(channels: usize, series: Vec<Vec<f32>>, labels: Vec<u32>, classes: Vec<String>) -> Result<Self, DataError> {
        if channels == 0 || series.len() != labels.len() {
            let (series, labels) = (series.len(), labels.len());
            return Err(DataError::Invalid(format!(
                "{series} series of {channels} channels with {labels} labels: one label each, and a channel at least"
            )));
        }
        if let Some(at) = series.iter().position(|x| x.is_empty() || !x.len().is_multiple_of(channels)) {
            let got = series[at].len();
            return Err(DataError::Invalid(format!("series {at} has {got} values, which are not one step of {channels} channels or more")));
        }
        if let Some(at) = labels.iter().position(|&label| label as usize >= classes.len()) {
            let (label, known) = (labels[at], classes.len());
            return Err(DataError::Invalid(format!("series {at} has label {label}, but there are {known} classes, counted from 0")));
        }
        Ok(Self { channels, series, labels, classes })
    }

    /// The number of series.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// `T` of one series.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn steps(&self, index: usize) -> usize {
        self.series[index].len() / self.channels
    }

    /// How many series each class has.
    pub fn count_by_class(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        self.labels.iter().for_each(|&label| counts[label as usize] += 1);
        counts
    }

    /// The series at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    pub fn subset(&self, indices: &[usize]) -> Self {
        let series = indices.iter().map(|&i| self.series[i].clone()).collect();
        let labels = indices.iter().map(|&i| self.labels[i]).collect();
        Self { channels: self.channels, series, labels, classes: self.classes.clone() }
    }

    /// Fold `index` of `folds` for cross-validation: (the rest, the fold), both in the order of `self`.
    ///
    /// The members of each class are dealt out to the folds in turn, in an order that the seed gives, so that every series is in exactly one fold and
    /// a fold has its share of every class, give or take one.
    ///
    /// # Panics
    /// If `index` is not below `folds`.
    pub fn fold(&self, index: usize, folds: usize, seed: u64) -> (Self, Self) {
        assert!(index < folds, "fold {index} of {folds}");
        let mut held = vec![false; self.len()];
        let mut dealt = 0;
        for class in 0..self.classes.len() {
            let mut members: Vec<usize> = (0..self.len()).filter(|&i| self.labels[i] as usize == class).collect();
            Stream::new(Purpose::HoldOut, &[seed, class as u64]).shuffle(&mut members);
            // The next class goes on where this one ended, or the first folds would get all that does not divide.
            members.iter().enumerate().for_each(|(turn, &i)| held[i] = (dealt + turn) % folds == index);
            dealt += members.len();
        }
        let (out, rest): (Vec<usize>, Vec<usize>) = (0..self.len()).partition(|&i| held[i]);
        (self.subset(&rest), self.subset(&out))
    }

    /// Mean and standard deviation (of the population) of each channel over all steps of all series; missing values (NaN) are left out.
    pub fn moments(&self) -> Vec<(f32, f32)> {
        let mut sums = vec![(0f64, 0f64, 0f64); self.channels];
        for step in self.series.iter().flat_map(|x| x.chunks_exact(self.channels)) {
            for (sums, x) in sums.iter_mut().zip(step).filter(|(_, x)| !x.is_nan()) {
                let x = f64::from(*x);
                *sums = (sums.0 + 1.0, sums.1 + x, sums.2 + x * x);
            }
        }
        let moments = |(n, sum, squares): (f64, f64, f64)| {
            let mean = sum / n.max(1.0);
            (mean as f32, (squares / n.max(1.0) - mean * mean).max(0.0).sqrt() as f32)
        };
        sums.into_iter().map(moments).collect()
    }

    /// `(x − mean) / deviation` in each channel, with the moments of the set that a model learns from. A deviation of 0 divides nothing.
    ///
    /// # Panics
    /// If there is not a pair for each channel.
    pub fn standardize(&mut self, moments: &[(f32, f32)]) {
        assert_eq!(moments.len(), self.channels, "moments are one pair a channel");
        for step in self.series.iter_mut().flat_map(|x| x.chunks_exact_mut(self.channels)) {
            step.iter_mut().zip(moments).for_each(|(x, (mean, deviation))| *x = (*x - mean) / if *deviation > 0.0 { *deviation } else { 1.0 });
        }
    }
}

/// One series with its label.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesExample {
    /// `[T, D]`
    pub values: Vec<f32>,
    /// The class.
    pub label: usize,
    /// Which series of the set it was.
    pub index: usize,
}

impl Dataset for SeriesSet {
    type Item = SeriesExample;

    fn len(&self) -> usize {
        self.len()
    }

    fn get(&self, _epoch: u64, index: usize) -> Result<SeriesExample, DataError> {
        Ok(SeriesExample { values: self.series[index].clone(), label: self.labels[index] as usize, index })
    }
}

/// Series of a batch beside each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Padded {
    /// `[B, T, D]`, zeros behind each series.
    pub values: Vec<f32>,
    /// `T` of each series.
    pub lengths: Vec<usize>,
    /// `[B, T, D]`, with the `T` of the longest.
    pub shape: [usize; 3],
}

/// Pads series, `[T, D]` each, to the longest.
///
/// # Panics
/// If `channels` is 0, or a series ends within a step.
pub fn pad<S: AsRef<[f32]>>(series: &[S], channels: usize) -> Padded {
    assert!(channels > 0 && series.iter().all(|x| x.as_ref().len() % channels == 0), "series of whole steps, of {channels} channels");
    let lengths: Vec<usize> = series.iter().map(|x| x.as_ref().len() / channels).collect();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let mut values = vec![0f32; series.len() * longest * channels];
    for (i, x) in series.iter().map(AsRef::as_ref).enumerate() {
        values[i * longest * channels..][..x.len()].copy_from_slice(x);
    }
    Padded { values, shape: [lengths.len(), longest, channels], lengths }
}
