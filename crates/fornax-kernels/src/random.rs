//! Randomness as a pure function of a key: no generator, no state, nothing to save.
//!
//! A [`Key`] names a stream; element `i` of it is [`Key::bits`]`(i)`. The trainer sets the key of each step with
//! [`set_step_key`], and every layer that draws takes [`next_draw`]: the n-th draw of step s under seed k is always the same,
//! so a resumed run continues exactly.
//!
//! The mixer is SplitMix64's finalizer (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;
use std::cell::Cell;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
/// Elements that one task draws: fixed, so that the result does not depend on the number of threads.
const CHUNK: usize = 1 << 14;

/// Names a stream of random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u64);

impl Key {
    /// The root key of a seed.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x464F_524E_4158_0001))
    }

    /// The key of a part: fold in a step, a rank, an index.
    pub fn fold(self, part: u64) -> Self {
        Self(mix(self.0.wrapping_add(GOLDEN) ^ mix(part.wrapping_add(GOLDEN))))
    }

    /// 64 random bits: element `index` of the stream.
    pub fn bits(self, index: u64) -> u64 {
        mix(self.0.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// Uniform in `[0, 1)`: element `index` of the stream.
    pub fn uniform(self, index: u64) -> f64 {
        (self.bits(index) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Normal with mean 0 and deviation 1: element `index` of the stream, from two of [`Key::bits`].
    ///
    /// Source: Box and Muller, "A note on the generation of random normal deviates", 1958.
    pub fn normal(self, index: u64) -> f64 {
        let [u, v] = [self.uniform(2 * index), self.uniform(2 * index + 1)];
        (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// A tensor of `value` with probability `probability`, else 0; the same on every backend.
    pub fn mask<const D: usize>(self, shape: [usize; D], probability: f64, value: f32, device: &Device) -> Tensor<D> {
        let mut data = vec![0f32; shape.iter().product()];
        // Two elements share 64 bits: 32 bits resolve a probability to 2e-10.
        let below = (probability.clamp(0.0, 1.0) * 4_294_967_296.0) as u64;
        data.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, part)| {
            let first = (chunk * CHUNK / 2) as u64;
            for (pair, two) in part.chunks_mut(2).enumerate() {
                let bits = self.bits(first + pair as u64);
                for (half, x) in two.iter_mut().enumerate() {
                    let draw = (bits >> (32 * half)) & 0xFFFF_FFFF;
                    *x = if draw < below { value } else { 0.0 };
                }
            }
        });
        Tensor::from_data(TensorData::new(data, shape), device)
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

thread_local! {
    static STEP: Cell<(Key, u64)> = const { Cell::new((Key(0), 0)) };
}

/// Starts a step: draws on this thread follow from `key` and their order alone.
pub fn set_step_key(key: Key) {
    STEP.set((key, 0));
}

/// The key of the next draw on this thread.
pub fn next_draw() -> Key {
    let (key, draw) = STEP.get();
    STEP.set((key, draw + 1));
    key.fold(draw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_from_the_step_key_and_their_order() {
        let three = || {
            set_step_key(Key::new(7).fold(3));
            [next_draw(), next_draw(), next_draw()]
        };
        let first = three();
        assert_eq!(first, three());
        assert_ne!(first[0], first[1]);
        set_step_key(Key::new(7).fold(4));
        assert_ne!(first[0], next_draw());
    }

    #[test]
    fn normal_is_normal() {
        let key = Key::new(1);
        let n = 200_000;
        let draws: Vec<f64> = (0..n).map(|i| key.normal(i)).collect();
        let moment = |p: i32| draws.iter().map(|x| x.powi(p)).sum::<f64>() / n as f64;
        // Four deviations of each mean.
        let off = [moment(1), moment(2) - 1.0, moment(3), moment(4) - 3.0];
        for (off, variance) in off.into_iter().zip([1.0, 2.0, 15.0, 96.0f64]) {
            assert!(off.abs() < 4.0 * (variance / n as f64).sqrt(), "{off}");
        }
    }

    #[test]
    fn uniform_is_uniform() {
        let key = Key::new(1).fold(2);
        let n = 200_000;
        let mut bins = [0usize; 10];
        let mut mean = 0.0;
        for i in 0..n {
            let u = key.uniform(i);
            bins[(u * 10.0) as usize] += 1;
            mean += u / n as f64;
        }
        assert!((mean - 0.5).abs() < 3e-3, "{mean}");
        // Chi-squared with 9 degrees of freedom: 27.9 is its 99.9th percentile.
        let expected = n as f64 / 10.0;
        let chi: f64 = bins.iter().map(|&b| (b as f64 - expected).powi(2) / expected).sum();
        assert!(chi < 27.9, "{chi}");
    }

    #[test]
    fn neighbouring_keys_are_independent() {
        let n = 100_000u64;
        for (a, b) in [(Key::new(0), Key::new(1)), (Key::new(5).fold(0), Key::new(5).fold(1))] {
            let covariance: f64 = (0..n).map(|i| (a.uniform(i) - 0.5) * (b.uniform(i) - 0.5)).sum::<f64>() / n as f64;
            assert!(covariance.abs() < 1.5e-3, "{covariance}");
        }
    }

    #[test]
    #[cfg(feature = "flex")]
    fn a_mask_keeps_its_share_and_does_not_depend_on_threads() {
        let draw = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Key::new(3).mask([7, 11_003], 0.3, 2.0, &Device::flex()).into_data())
        };
        let one = draw(1);
        assert_eq!(one, draw(4));
        let values = one.try_to_vec::<f32>().unwrap();
        let kept = values.iter().filter(|&&x| x == 2.0).count() as f64 / values.len() as f64;
        assert!((kept - 0.3).abs() < 0.01, "{kept}");
        assert!(values.iter().all(|&x| x == 0.0 || x == 2.0));
    }
}
