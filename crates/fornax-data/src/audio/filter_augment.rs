use super::Frames;
use crate::{
    DataError,
    random::{Purpose, Stream},
};
use serde::{Deserialize, Serialize};

/// Another microphone and another room: a random filter over the bands of a spectrogram in decibels, the same in every frame.
///
/// Decibels are drawn at three to six random places of the frequency axis, its ends among them, and run straight between. A pure function of (seed, epoch,
/// index); the default changes nothing.
///
/// Source: Nam, Kim and Park, "FilterAugment: an acoustic environmental data augmentation method", 2022: the linear one.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilterAugment {
    /// At most this many, either way: 6 in the paper.
    pub decibels: f64,
}

impl FilterAugment {
    /// Whether the number is in its range.
    ///
    /// # Errors
    /// [`DataError::Invalid`] with the number.
    pub fn check(&self) -> Result<(), DataError> {
        if (0.0..=60.0).contains(&self.decibels) {
            return Ok(());
        }
        Err(DataError::Invalid(format!("filter: `decibels` must be from 0 to 60, not {}", self.decibels)))
    }

    /// In place, on decibels: [`Log::Decibel`](super::Log::Decibel).
    pub fn apply(&self, seed: u64, epoch: u64, index: u64, frames: &mut Frames) {
        if self.decibels == 0.0 || frames.width == 0 {
            return;
        }
        let gains = self.gains(seed, epoch, index, frames.width);
        for frame in frames.values.chunks_exact_mut(frames.width) {
            frame.iter_mut().zip(&gains).for_each(|(x, gain)| *x += gain);
        }
    }

    /// Of each band.
    fn gains(&self, seed: u64, epoch: u64, index: u64, width: usize) -> Vec<f32> {
        let mut stream = Stream::new(Purpose::Filter, &[seed, epoch, index]);
        let inner = 1 + stream.below(4) as usize;
        let last = width.saturating_sub(1) as f64;
        let mut places: Vec<f64> = (0..inner).map(|_| stream.uniform() * last).collect();
        places.extend([0.0, last]);
        places.sort_by(f64::total_cmp);
        let knots: Vec<(f64, f64)> = places.into_iter().map(|place| (place, stream.symmetric(self.decibels))).collect();
        let gain = |band: usize| {
            let above = knots.iter().position(|(place, _)| *place >= band as f64).unwrap_or(knots.len() - 1).max(1);
            let ((a, low), (b, high)) = (knots[above - 1], knots[above]);
            let share = if b > a { (band as f64 - a) / (b - a) } else { 0.0 };
            (low + (high - low) * share) as f32
        };
        (0..width).map(gain).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_gets_the_same_bounded_curve() {
        let filter = FilterAugment { decibels: 6.0 };
        let changed = |filter: FilterAugment, index: u64| {
            let mut frames = Frames { values: vec![0.0; 3 * 40], width: 40 };
            filter.apply(1, 2, index, &mut frames);
            frames.values
        };
        assert!(changed(FilterAugment::default(), 0).iter().all(|x| *x == 0.0));
        let mut largest = 0f32;
        for index in 0..200 {
            let values = changed(filter, index);
            assert!(values[..40] == values[40..80] && values[..40] == values[80..], "{index}");
            largest = values.iter().fold(largest, |most, x| most.max(x.abs()));
            // Straight but for four places inside at most, each of which bends two differences of second order.
            let bends = values[..40].windows(3).filter(|x| (x[0] - 2.0 * x[1] + x[2]).abs() > 1e-4).count();
            assert!(bends <= 8, "{bends}");
        }
        assert!(largest <= 6.0 && largest > 5.5, "{largest}");
        assert_eq!(changed(filter, 3), changed(filter, 3));
        assert_ne!(changed(filter, 3), changed(filter, 4));
    }

    #[test]
    fn few_bands_and_numbers_out_of_range() {
        for width in [1, 2, 3] {
            let mut frames = Frames { values: vec![0.0; width], width };
            FilterAugment { decibels: 6.0 }.apply(0, 0, 0, &mut frames);
            assert!(frames.values.iter().all(|x| x.abs() <= 6.0));
        }
        assert!(FilterAugment { decibels: 61.0 }.check().unwrap_err().to_string().contains("from 0 to 60, not 61"));
    }
}
