use crate::{
    DataError, SeriesSet,
    random::{Purpose, Stream},
};
use serde::{Deserialize, Serialize};

/// Random changes to a series of vectors; the default changes nothing. Meant for series with deviation 1 in every channel,
/// [`SeriesSet::standardize`].
///
/// A pure function of (seed, epoch, index), as [`Augment`](crate::Augment).
///
/// Source: Um et al., "Data augmentation of wearable sensor data for Parkinson's disease monitoring using convolutional neural networks", 2017 (jittering);
/// an offset is its counterpart that lasts, as of another microphone or another day.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeriesAugment {
    /// Deviation of noise, drawn for every value.
    pub noise: f64,
    /// Deviation of what is added to a channel over the whole series.
    pub offset: f64,
}

impl SeriesAugment {
    /// Whether every field is in its range.
    ///
    /// # Errors
    /// [`DataError::Invalid`] naming the field, its value and its range.
    pub fn check(&self) -> Result<(), DataError> {
        for (name, value) in [("noise", self.noise), ("offset", self.offset)] {
            if !(0.0..=10.0).contains(&value) {
                return Err(DataError::Invalid(format!("augmentation of series: `{name}` must be from 0 to 10, not {value}")));
            }
        }
        Ok(())
    }

    /// Series `index` of the set, changed: `[T, D]`
    ///
    /// # Panics
    /// If `index` is not below the number of series.
    pub fn apply(&self, seed: u64, epoch: u64, index: usize, set: &SeriesSet) -> Vec<f32> {
        // A stream each, so that one field does not move the other's draws.
        let stream = |part: u64| Stream::new(Purpose::Series, &[seed, epoch, index as u64, part]);
        let (mut offsets, mut noise) = (stream(0), stream(1));
        let offsets: Vec<f64> = (0..set.channels).map(|_| self.offset * offsets.normal()).collect();
        let mut values = set.series[index].clone();
        if *self != Self::default() {
            let offsets = offsets.iter().cycle();
            values.iter_mut().zip(offsets).for_each(|(x, offset)| *x += (offset + self.noise * noise.normal()) as f32);
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_lasts_and_noise_does_not() {
        let set = SeriesSet::new(2, vec![vec![0.0; 2000]], vec![0], vec!["a".into()]).unwrap();
        let moments = |augment: SeriesAugment, index: u64| {
            let values = augment.apply(index, 3, 0, &set);
            SeriesSet { series: vec![values], ..set.clone() }.moments()
        };
        let offset = SeriesAugment { offset: 0.5, ..SeriesAugment::default() };
        let noise = SeriesAugment { noise: 0.5, ..SeriesAugment::default() };
        assert!(moments(offset, 0).iter().all(|(mean, deviation)| mean.abs() > 1e-3 && *deviation < 1e-3));
        assert!(moments(noise, 0).iter().all(|(mean, deviation)| mean.abs() < 0.1 && (deviation - 0.5).abs() < 0.05));
        let drawn: Vec<f32> = (0..500).flat_map(|seed| moments(offset, seed)).map(|(mean, _)| mean).collect();
        let spread = (drawn.iter().map(|x| x * x).sum::<f32>() / drawn.len() as f32).sqrt();
        assert!((spread - 0.5).abs() < 0.05, "{spread}");
        assert_eq!(SeriesAugment::default().apply(0, 0, 0, &set), set.series[0]);
        assert_eq!(noise.apply(1, 2, 0, &set), noise.apply(1, 2, 0, &set));
        assert_ne!(noise.apply(1, 2, 0, &set), noise.apply(1, 3, 0, &set));
        assert!(SeriesAugment { noise: f64::NAN, offset: 0.0 }.check().unwrap_err().to_string().contains("`noise`"));
        assert!(SeriesAugment { noise: 0.0, offset: -1.0 }.check().unwrap_err().to_string().contains("`offset`"));
    }
}
