use super::{Frames, MelConfig};
use crate::{
    DataError,
    random::{Purpose, Stream},
};

/// Another length of the speaker's vocal tract: the frequencies of a spectrogram of mel bands are stretched, and its times are not.
///
/// The value at frequency `f` is that which was at `G(f)`, with `α` uniform in `[1 − warp, 1 + warp)`, `S` half the rate and `F = 0.6 S`:
/// `G(f) = α f` up to `F min(α, 1) / α`, and from there straight to `G(S) = S`. Between bands it is interpolated on the mel scale.
///
/// Source: Jaitly and Hinton, "Vocal tract length perturbation (VTLP) improves speech recognition", 2013, who move the filters instead.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct VocalTract {
    /// At most this relative change, either way: 0.1 in the paper. 0 changes nothing.
    pub warp: f64,
}

impl VocalTract {
    /// Whether the number is in its range.
    ///
    /// # Errors
    /// [`DataError::Invalid`] with the number.
    pub fn check(&self) -> Result<(), DataError> {
        if (0.0..=0.5).contains(&self.warp) {
            return Ok(());
        }
        Err(DataError::Invalid(format!("vocal tract: `warp` must be from 0 to 0.5, not {}", self.warp)))
    }

    /// In place, on bands of `mel`: a pure function of (seed, epoch, index).
    ///
    /// # Panics
    /// If the frames are not as wide as `mel` has filters.
    pub fn apply(&self, seed: u64, epoch: u64, index: u64, mel: &MelConfig, frames: &mut Frames) {
        assert_eq!(frames.width, mel.filters, "frames of {} features for {} mel filters", frames.width, mel.filters);
        let factor = 1.0 + Stream::new(Purpose::Warp, &[seed, epoch, index]).symmetric(self.warp);
        if factor == 1.0 {
            return;
        }
        let places = places(mel, factor);
        let mut before = vec![0f32; mel.filters];
        for frame in frames.values.chunks_exact_mut(mel.filters) {
            before.copy_from_slice(frame);
            for (x, place) in frame.iter_mut().zip(&places) {
                let below = place.floor() as usize;
                let above = (below + 1).min(mel.filters - 1);
                let share = place - below as f64;
                *x = (f64::from(before[below]) * (1.0 - share) + f64::from(before[above]) * share) as f32;
            }
        }
    }
}

/// Where each band's value is taken from, in bands.
fn places(mel: &MelConfig, factor: f64) -> Vec<f64> {
    let half = f64::from(mel.rate) / 2.0;
    let (first, last) = (mel.scale.mel(mel.low), mel.scale.mel(mel.high.unwrap_or(half)));
    let step = (last - first) / (mel.filters + 1) as f64;
    let straight = 0.6 * half * factor.min(1.0);
    let warped = |f: f64| {
        let edge = straight / factor;
        if f <= edge { factor * f } else { half - (half - straight) / (half - edge) * (half - f) }
    };
    let place = |m: usize| (mel.scale.mel(warped(mel.scale.hertz(first + (m + 1) as f64 * step))) - first) / step - 1.0;
    (0..mel.filters).map(|m| place(m).clamp(0.0, (mel.filters - 1) as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_peak_moves_by_the_factor() {
        let mel = MelConfig::speech(8000, 200);
        for factor in [0.9, 1.1] {
            let places = places(&mel, factor);
            // The centre of a band at about 1 kHz, which is below the bend.
            let hertz = |place: f64| mel.scale.hertz(mel.scale.mel(4000.0) * (place + 1.0) / 201.0);
            let band = (0..200).find(|m| hertz(f64::from(*m)) > 1000.0).unwrap();
            let ratio = hertz(places[band as usize]) / hertz(f64::from(band));
            assert!((ratio - factor).abs() < 1e-9, "{ratio} instead of {factor}");
        }
    }

    #[test]
    fn without_a_warp_nothing_changes_and_the_number_is_checked() {
        let mel = MelConfig::speech(8000, 40);
        let before = Frames { values: (0..80).map(|i| i as f32).collect(), width: 40 };
        let changed = |tract: VocalTract, index: u64| {
            let mut frames = before.clone();
            tract.apply(1, 2, index, &mel, &mut frames);
            frames
        };
        assert_eq!(changed(VocalTract::default(), 0), before);
        let tract = VocalTract { warp: 0.2 };
        assert_ne!(changed(tract, 0), before);
        assert_eq!(changed(tract, 0), changed(tract, 0));
        assert_ne!(changed(tract, 0), changed(tract, 1));
        assert!(tract.check().is_ok() && VocalTract { warp: 0.6 }.check().unwrap_err().to_string().contains("from 0 to 0.5, not 0.6"));
    }

    proptest! {
        #[test]
        fn bands_keep_their_order_and_their_range(filters in 1usize..90, factor in 0.5..1.5f64) {
            let places = places(&MelConfig::speech(16_000, filters), factor);
            prop_assert!(places.windows(2).all(|pair| pair[0] <= pair[1]));
            prop_assert!(places.iter().all(|place| (0.0..=(filters - 1) as f64).contains(place)));
        }
    }
}
