//! The key from which the noise and the choice of examples follow: 256 bits from the operating system.
//!
//! Whoever has it can take the noise away again. It stands in the checkpoints that a run goes on from, and in no configuration, report or log.

use burn::tensor::{DType, TensorData};
use fornax_weights::Tensors;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// Its name among the tensors of a checkpoint.
const NAME: &str = "noise_key";

/// A key that the noise and the sampling of a run share; a clone is the same key, also after [`Secret::load`].
#[derive(Clone)]
pub struct Secret(Arc<Mutex<[u8; 32]>>);

/// What a stream is for: two purposes share nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// Of gradients.
    Noise = 1,
    /// Which examples a step takes.
    Sampling = 2,
    /// Of the count that moves the clipping norm.
    Count = 3,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// A new key.
    ///
    /// # Errors
    /// If the operating system has no randomness to give.
    pub fn from_system() -> Result<Self, SecretError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|why| SecretError(why.to_string()))?;
        Ok(Self::fixed(key))
    }

    /// A given key: for tests, and for nothing that shall stay private.
    pub fn fixed(key: [u8; 32]) -> Self {
        Self(Arc::new(Mutex::new(key)))
    }

    fn key(&self) -> [u8; 32] {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a checkpoint.
    pub fn tensors(&self) -> Tensors {
        Tensors::from([(NAME.into(), TensorData::new(self.key().to_vec(), [32]))])
    }

    /// Takes back what [`Secret::tensors`] gave.
    ///
    /// # Errors
    /// If it is not there.
    pub fn load(&self, tensors: &Tensors) -> Result<(), String> {
        let data = tensors.get(NAME).filter(|data| data.dtype() == DType::U8);
        let bytes = data.and_then(|data| data.as_slice::<u8>().ok()).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bytes.ok_or("the key of the noise")?;
        Ok(())
    }

    pub(crate) fn stream(&self, purpose: Purpose, step: u64) -> Stream {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&(purpose as u32).to_le_bytes());
        nonce[4..].copy_from_slice(&step.to_le_bytes());
        Stream { key: words(&self.key()), nonce: words(&nonce) }
    }
}

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random key: {0}")]
pub struct SecretError(String);

fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    std::array::from_fn(|i| u32::from_le_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]]))
}

/// A stream of random bits: block `i` is ChaCha20 at counter `i`.
///
/// Source: Bernstein, "ChaCha, a variant of Salsa20", 2008; Nir and Langley, RFC 8439, 2018.
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    key: [u32; 8],
    nonce: [u32; 3],
}

/// Normal draws of a block.
pub(crate) const NORMALS: usize = 8;

impl Stream {
    /// 512 bits.
    fn block(&self, counter: u32) -> [u32; 16] {
        let mut start = [0; 16];
        start[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
        start[4..12].copy_from_slice(&self.key);
        start[12] = counter;
        start[13..].copy_from_slice(&self.nonce);
        let mut x = start;
        let mut quarter = |a: usize, b: usize, c: usize, d: usize| {
            for (left, right) in [(16, 12), (8, 7)] {
                x[a] = x[a].wrapping_add(x[b]);
                x[d] = (x[d] ^ x[a]).rotate_left(left);
                x[c] = x[c].wrapping_add(x[d]);
                x[b] = (x[b] ^ x[c]).rotate_left(right);
            }
        };
        for _ in 0..10 {
            for i in 0..4 {
                quarter(i, 4 + i, 8 + i, 12 + i);
            }
            for i in 0..4 {
                quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
            }
        }
        std::array::from_fn(|i| x[i].wrapping_add(start[i]))
    }

    /// Eight times 64 bits.
    pub(crate) fn bits(&self, counter: u32) -> [u64; 8] {
        let block = self.block(counter);
        std::array::from_fn(|i| u64::from(block[2 * i]) | u64::from(block[2 * i + 1]) << 32)
    }

    /// Normal draws with mean 0 and deviation 1.
    ///
    /// Source: Box and Muller, "A note on the generation of random normal deviates", 1958.
    pub(crate) fn normals(&self, counter: u32) -> [f64; NORMALS] {
        let uniform = self.bits(counter).map(|bits| (bits >> 11) as f64 / (1u64 << 53) as f64);
        let mut out = [0.0; NORMALS];
        for (out, u) in out.chunks_exact_mut(2).zip(uniform.chunks_exact(2)) {
            let radius = (-2.0 * (1.0 - u[0]).ln()).sqrt();
            let (sin, cos) = (std::f64::consts::TAU * u[1]).sin_cos();
            out.copy_from_slice(&[radius * cos, radius * sin]);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_chacha20() {
        // RFC 8439, 2.3.2.
        let key: [u8; 32] = std::array::from_fn(|i| i as u8);
        let nonce = [0, 0, 0, 9, 0, 0, 0, 0x4a, 0, 0, 0, 0];
        let stream = Stream { key: words(&key), nonce: words(&nonce) };
        let want = [
            0xe4e7_f110,
            0x1559_3bd1,
            0x1fdd_0f50,
            0xc471_20a3,
            0xc7f4_d1c7,
            0x0368_c033,
            0x9aaa_2204,
            0x4e6c_d4c3,
            0x4664_82d2,
            0x09aa_9f07,
            0x05d7_c214,
            0xa202_8bd9,
            0xd19c_12b5,
            0xb94e_16de,
            0xe883_d0cb,
            0x4e3c_50a2,
        ];
        assert_eq!(stream.block(1), want);
    }

    #[test]
    fn keys_purposes_and_steps_differ_and_a_clone_does_not() {
        let secret = Secret::from_system().unwrap();
        let first = |secret: &Secret, purpose, step| secret.stream(purpose, step).bits(0);
        let one = first(&secret, Purpose::Noise, 3);
        assert_eq!(one, first(&secret.clone(), Purpose::Noise, 3));
        assert_ne!(one, first(&secret, Purpose::Noise, 4));
        assert_ne!(one, first(&secret, Purpose::Sampling, 3));
        let other = Secret::from_system().unwrap();
        assert_ne!(one, first(&other, Purpose::Noise, 3));
        let held = other.clone();
        other.load(&secret.tensors()).unwrap();
        assert_eq!(one, first(&held, Purpose::Noise, 3));
        assert!(other.load(&Tensors::new()).is_err());
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
