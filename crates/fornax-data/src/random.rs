//! Randomness as a pure function of a key, integer arithmetic alone: the same on every platform.
//!
//! The mixer is SplitMix64's finalizer (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of random numbers, named by what was folded into it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    key: u64,
    drawn: u64,
}

/// What a stream is for: two purposes with the same seed share nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Order = 1,
    Augment = 2,
    HoldOut = 3,
    Sound = 4,
    Spectrogram = 5,
    Splice = 6,
    Variant = 7,
    Series = 8,
    Filter = 9,
    Warp = 10,
    Word = 11,
}

impl Stream {
    pub(crate) fn new(purpose: Purpose, parts: &[u64]) -> Self {
        let root = mix(0x464F_524E_4158_4454 ^ purpose as u64);
        let key = parts.iter().fold(root, |key, &part| mix(key.wrapping_add(GOLDEN) ^ mix(part.wrapping_add(GOLDEN))));
        Self { key, drawn: 0 }
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        mix(self.key.wrapping_add(self.drawn.wrapping_mul(GOLDEN)))
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `[-limit, limit)`.
    pub(crate) fn symmetric(&mut self, limit: f64) -> f64 {
        (2.0 * self.uniform() - 1.0) * limit
    }

    /// Normal with mean 0 and deviation 1 (Box and Muller, "A note on the generation of random normal deviates", 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Uniform in `0..n`, without bias (Lemire, "Fast random integer generation in an interval", 2019).
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        loop {
            let wide = u128::from(self.bits()) * u128::from(n);
            if wide as u64 >= n.wrapping_neg() % n {
                return (wide >> 64) as u64;
            }
        }
    }

    /// Fisher–Yates.
    pub(crate) fn shuffle<T>(mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SplitMix64 seeded with 0 starts with these (its reference implementation, <https://prng.di.unimi.it/splitmix64.c>).
    #[test]
    fn the_mixer_is_splitmix64() {
        let mut stream = Stream { key: 0, drawn: 0 };
        let first = [stream.bits(), stream.bits(), stream.bits()];
        assert_eq!(first, [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F]);
    }

    #[test]
    fn every_permutation_of_four_is_equally_likely() {
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            Stream::new(Purpose::Order, &[seed]).shuffle(&mut items);
            *counts.entry(items).or_insert(0.0) += 1.0;
        }
        assert_eq!(counts.len(), 24);
        // Chi-squared with 23 degrees of freedom: 49.7 is its 99.9th percentile.
        let chi: f64 = counts.values().map(|n: &f64| (n - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi < 49.7, "{chi}");
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let mut stream = Stream::new(Purpose::Order, &[5]);
        let mut counts = [0f64; 7];
        for _ in 0..70_000 {
            counts[stream.below(7) as usize] += 1.0;
        }
        // Six degrees of freedom: 22.5 is the 99.9th percentile.
        let chi: f64 = counts.iter().map(|n| (n - 10_000.0).powi(2) / 10_000.0).sum();
        assert!(chi < 22.5, "{chi}");
    }

    #[test]
    fn purposes_seeds_and_epochs_name_different_streams() {
        let firsts = [
            Stream::new(Purpose::Order, &[0, 0]).bits(),
            Stream::new(Purpose::Augment, &[0, 0]).bits(),
            Stream::new(Purpose::Order, &[0, 1]).bits(),
            Stream::new(Purpose::Order, &[1, 0]).bits(),
            Stream::new(Purpose::Order, &[0]).bits(),
        ];
        let distinct: std::collections::BTreeSet<_> = firsts.iter().collect();
        assert_eq!(distinct.len(), firsts.len());
    }
}
