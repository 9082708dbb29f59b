use crate::{
    DataError, Warp,
    random::{Purpose, Stream},
};
use serde::{Deserialize, Serialize};

/// Random changes to an image that keep its class; the default changes nothing.
///
/// A pure function of (seed, epoch, index): no generator state, so a resumed run sees the same pictures. One bilinear [`Warp`] does
/// shift, rotation, scale, shear and flip; then a box may be erased.
///
/// Source of erasing: Zhong et al., "Random Erasing Data Augmentation", 2017 (<https://arxiv.org/abs/1708.04896>), with its defaults:
/// 2 to 40 % of the area, sides in a ratio of 0.3 to 3.3, filled with uniform noise. Where a drawn box does not fit, its sides are cut
/// to the image, while the paper draws again.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// At most this many pixels, along each axis.
    pub shift: f64,
    /// At most this many degrees, either way.
    pub rotate: f64,
    /// At most this relative change of size: 0.1 is 0.9 to 1.1.
    pub scale: f64,
    /// At most this many degrees, either way.
    pub shear: f64,
    /// The probability that a box is erased.
    pub erase: f64,
    /// Mirrored left to right with probability ½.
    pub flip: bool,
}

impl Augment {
    /// Whether every field is in its range.
    ///
    /// # Errors
    /// [`DataError::Invalid`] naming the field, its value and its range.
    pub fn check(&self) -> Result<(), DataError> {
        let fields = [
            ("shift", self.shift, 0.0..=1e4),
            ("rotate", self.rotate, 0.0..=180.0),
            ("scale", self.scale, 0.0..=0.9),
            ("shear", self.shear, 0.0..=60.0),
            ("erase", self.erase, 0.0..=1.0),
        ];
        for (name, value, range) in fields {
            if !range.contains(&value) {
                let (low, high) = (range.start(), range.end());
                return Err(DataError::Invalid(format!("augmentation: `{name}` must be from {low} to {high}, not {value}")));
            }
        }
        Ok(())
    }

    /// Whether nothing changes.
    pub fn is_identity(&self) -> bool {
        *self == Self::default()
    }

    /// The move of one image.
    pub fn warp(&self, seed: u64, epoch: u64, index: u64) -> Warp {
        // Six draws always, so that one field does not move another's draws.
        let mut stream = Stream::new(Purpose::Augment, &[seed, epoch, index, 0]);
        Warp {
            shift: [stream.symmetric(self.shift), stream.symmetric(self.shift)],
            rotate: stream.symmetric(self.rotate),
            scale: 1.0 + stream.symmetric(self.scale),
            shear: stream.symmetric(self.shear),
            flip: (stream.uniform() < 0.5) & self.flip,
        }
    }

    /// One image, `[C, H, W]` bytes, changed and written to `out` as floats in `[0, 1]`.
    ///
    /// # Panics
    /// If `image` or `out` does not have the size of `shape`.
    pub fn apply(&self, seed: u64, epoch: u64, index: u64, image: &[u8], shape: [usize; 3], out: &mut [f32]) {
        self.warp(seed, epoch, index).apply(image, shape, out);
        if self.erase > 0.0 {
            self.erase(Stream::new(Purpose::Augment, &[seed, epoch, index, 1]), shape, out);
        }
    }

    fn erase(&self, mut stream: Stream, [channels, height, width]: [usize; 3], out: &mut [f32]) {
        if stream.uniform() >= self.erase || out.is_empty() {
            return;
        }
        let area = (0.02 + 0.38 * stream.uniform()) * (height * width) as f64;
        let ratio = 0.3 + 3.0 * stream.uniform();
        let side = |length: f64, most: usize| (length.round() as usize).clamp(1, most);
        let (tall, wide) = (side((area * ratio).sqrt(), height), side((area / ratio).sqrt(), width));
        let top = stream.below((height - tall + 1) as u64) as usize;
        let left = stream.below((width - wide + 1) as u64) as usize;
        for channel in 0..channels {
            for row in top..top + tall {
                let start = (channel * height + row) * width + left;
                out[start..start + wide].iter_mut().for_each(|x| *x = stream.uniform() as f32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHAPE: [usize; 3] = [1, 28, 28];

    /// A lopsided figure, so that every move shows.
    fn figure() -> Vec<u8> {
        (0..784)
            .map(|i| {
                let (x, y) = (i % 28, i / 28);
                if (8..14).contains(&x) && (5..23).contains(&y) || (14..20).contains(&x) && (5..9).contains(&y) { (x * 9 + y) as u8 } else { 0 }
            })
            .collect()
    }

    fn apply(augment: &Augment, seed: u64, epoch: u64, index: u64) -> Vec<f32> {
        let mut out = vec![f32::NAN; 784];
        augment.apply(seed, epoch, index, &figure(), SHAPE, &mut out);
        out
    }

    fn all() -> Augment {
        Augment { shift: 2.0, rotate: 15.0, scale: 0.1, shear: 10.0, erase: 0.5, flip: true }
    }

    /// Each field alone.
    fn each() -> [(&'static str, Augment); 6] {
        let none = Augment::default();
        [
            ("shift", Augment { shift: 2.0, ..none.clone() }),
            ("rotate", Augment { rotate: 15.0, ..none.clone() }),
            ("scale", Augment { scale: 0.1, ..none.clone() }),
            ("shear", Augment { shear: 10.0, ..none.clone() }),
            ("erase", Augment { erase: 0.5, ..none.clone() }),
            ("flip", Augment { flip: true, ..none }),
        ]
    }

    #[test]
    fn the_default_is_exactly_byte_over_255() {
        let exact: Vec<f32> = figure().iter().map(|&x| f32::from(x) / 255.0).collect();
        for index in 0..20 {
            assert_eq!(apply(&Augment::default(), 1, 2, index), exact);
        }
        assert!(Augment::default().is_identity());
    }

    #[test]
    fn each_field_has_an_effect_of_its_own() {
        let plain = apply(&Augment::default(), 0, 0, 0);
        for (name, augment) in each() {
            let changed = (0..200).filter(|&i| apply(&augment, 0, 0, i) != plain).count();
            let wanted = if matches!(name, "erase" | "flip") { 70..=130 } else { 200..=200 };
            assert!(wanted.contains(&changed), "{name}: {changed} of 200");
            assert!(!augment.is_identity());
        }
    }

    #[test]
    fn seed_epoch_and_index_alone_decide() {
        let first = apply(&all(), 1, 2, 3);
        apply(&all(), 9, 9, 9);
        assert_eq!(first, apply(&all(), 1, 2, 3));
        for (seed, epoch, index) in [(2, 2, 3), (1, 3, 3), (1, 2, 4), (3, 2, 1)] {
            assert_ne!(first, apply(&all(), seed, epoch, index));
        }
    }

    #[test]
    fn draws_fill_their_ranges() {
        let warps: Vec<Warp> = (0..4000).map(|i| all().warp(0, 0, i)).collect();
        let range = |value: fn(&Warp) -> f64, low: f64, high: f64| {
            let least = warps.iter().map(value).fold(f64::INFINITY, f64::min);
            let most = warps.iter().map(value).fold(f64::NEG_INFINITY, f64::max);
            let margin = (high - low) * 0.01;
            assert!((low..low + margin).contains(&least) && (high - margin..=high).contains(&most), "{least} to {most}");
        };
        range(|w| w.shift[0], -2.0, 2.0);
        range(|w| w.shift[1], -2.0, 2.0);
        range(|w| w.rotate, -15.0, 15.0);
        range(|w| w.scale, 0.9, 1.1);
        range(|w| w.shear, -10.0, 10.0);
        let flipped = warps.iter().filter(|w| w.flip).count();
        assert!((1850..2150).contains(&flipped), "{flipped}");
    }

    #[test]
    fn one_field_does_not_move_the_draws_of_another() {
        let rotate = Augment { rotate: 15.0, ..Augment::default() };
        assert_eq!(rotate.warp(1, 2, 3).rotate, all().warp(1, 2, 3).rotate);
    }

    /// The numbers that this version draws: a change here breaks the exact resume of older runs.
    #[test]
    fn the_drawn_numbers_are_pinned() {
        let warp = all().warp(1, 2, 3);
        let sum: f64 = apply(&all(), 1, 2, 3).iter().map(|&x| f64::from(x)).sum();
        assert_eq!(format!("{:.6} {:.6} {:.6} {:.6}", warp.shift[0], warp.rotate, warp.scale, sum), PINNED);
    }
    const PINNED: &str = "1.734100 11.454497 1.061760 67.929700";

    #[test]
    fn out_of_range_names_the_field() {
        for (name, augment) in [
            ("shift", Augment { shift: -1.0, ..Augment::default() }),
            ("rotate", Augment { rotate: f64::NAN, ..Augment::default() }),
            ("scale", Augment { scale: 1.0, ..Augment::default() }),
            ("shear", Augment { shear: 90.0, ..Augment::default() }),
            ("erase", Augment { erase: 1.5, ..Augment::default() }),
        ] {
            let error = augment.check().unwrap_err().to_string();
            assert!(error.contains(&format!("`{name}` must be from 0")), "{error}");
        }
        assert!(all().check().is_ok());
    }

    #[test]
    fn json_keeps_every_field_and_refuses_unknown_ones() {
        let text = serde_json::to_string(&all()).unwrap();
        assert_eq!(serde_json::from_str::<Augment>(&text).unwrap(), all());
        assert_eq!(serde_json::from_str::<Augment>("{}").unwrap(), Augment::default());
        assert!(serde_json::from_str::<Augment>(r#"{"rotat": 3}"#).is_err());
    }

    proptest! {
        #[test]
        fn values_stay_in_0_to_1(
            shift in 0.0..40.0, rotate in 0.0..180.0, scale in 0.0..0.9, shear in 0.0..60.0, erase in 0.0..=1.0,
            flip: bool, index: u64, pixels in proptest::collection::vec(any::<u8>(), 3 * 5 * 7),
        ) {
            let augment = Augment { shift, rotate, scale, shear, erase, flip };
            let mut out = vec![f32::NAN; 105];
            augment.apply(0, 0, index, &pixels, [3, 5, 7], &mut out);
            prop_assert!(out.iter().all(|x| (0.0..=1.0).contains(x)));
        }
    }
}
