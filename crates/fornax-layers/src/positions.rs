//! Where a token stands: what is added to embeddings, turned in queries and keys, or added to scores.

use burn::tensor::{DType, Device, Tensor};

use crate::steps::floats;

/// Sines and cosines of `T` positions from `first` on: `[T, D]`
///
/// `PE(p, 2i) = sin(p / 10000^(2i/D))`, `PE(p, 2i + 1) = cos(p / 10000^(2i/D))`
///
/// Source: Vaswani et al., "Attention is all you need", 2017, section 3.5.
pub fn sinusoidal(first: usize, time: usize, width: usize, device: &Device, dtype: DType) -> Tensor<2> {
    let value = |t: usize, d: usize| {
        let angle = (first + t) as f64 / 10_000f64.powf((d - d % 2) as f64 / width as f64);
        if d.is_multiple_of(2) { angle.sin() } else { angle.cos() }
    };
    floats((0..time * width).map(|i| value(i / width, i % width)).collect(), [time, width], device, dtype)
}

/// Which features of a head are turned together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// `i` with `i + D/2`: GPT-NeoX, Llama in transformers.
    Halves,
    /// `2i` with `2i + 1`: the paper, GPT-J.
    Neighbours,
}

/// Rotary position embedding: pairs of features of queries and keys are turned by angles that grow with the position, so that their product depends on the
/// distance alone.
///
/// `(x, y) → (x cos pθᵢ − y sin pθᵢ, x sin pθᵢ + y cos pθᵢ)` with `θᵢ = base^(−2i/D)`
///
/// Source: Su et al., "RoFormer", 2021.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rotary {
    /// 10,000 in the paper.
    pub base: f64,
    /// Which features are turned together.
    pub pairing: Pairing,
}

impl Rotary {
    /// The paper's base.
    pub fn new(pairing: Pairing) -> Self {
        Self { base: 10_000.0, pairing }
    }

    /// Positions from `first` on: `[B, H, T, D] -> [B, H, T, D]`
    ///
    /// # Panics
    /// If `D` is odd.
    pub fn forward(&self, x: Tensor<4>, first: usize) -> Tensor<4> {
        let [batch, heads, time, width] = x.dims();
        assert!(width % 2 == 0, "a head of {width} features has no pairs");
        let half = width / 2;
        let (device, dtype) = (x.device(), x.dtype());
        let table = |f: fn(f64) -> f64| {
            let angle = |i: usize| (first + i / half) as f64 * self.base.powf(-2.0 * (i % half) as f64 / width as f64);
            floats((0..time * half).map(|i| f(angle(i))).collect(), [1, 1, time, half], &device, dtype)
        };
        let (cos, sin) = (table(f64::cos), table(f64::sin));
        let turn = |x: Tensor<4>, y: Tensor<4>| (x.clone() * cos.clone() - y.clone() * sin.clone(), x * sin.clone() + y * cos.clone());
        match self.pairing {
            Pairing::Halves => {
                let (x, y) = turn(x.clone().narrow(3, 0, half), x.narrow(3, half, half));
                Tensor::cat(vec![x, y], 3)
            }
            Pairing::Neighbours => {
                let pairs: Tensor<5> = x.reshape([batch, heads, time, half, 2]);
                let part = |i: usize| pairs.clone().narrow(4, i, 1).reshape([batch, heads, time, half]);
                let (x, y) = turn(part(0), part(1));
                Tensor::stack::<5>(vec![x, y], 4).reshape([batch, heads, time, width])
            }
        }
    }
}

/// What attention with linear biases adds to the scores of `T` queries behind `past` keys: `[1, H, T, past + T]`, `−mₕ (q − k)` for a key `k` that is not
/// after query `q`, and −∞ for one that is.
///
/// The slopes `mₕ` are `2^(−8h/H)`, `h = 1…H`; where `H` is no power of two, those of the power below and every other one of the power above.
///
/// Source: Press, Smith and Lewis, "Train short, test long", 2022.
pub fn alibi(heads: usize, past: usize, time: usize, device: &Device) -> Tensor<4> {
    let (slopes, keys) = (alibi_slopes(heads), past + time);
    let value = |head: usize, query: usize, key: usize| {
        if key > query { f64::NEG_INFINITY } else { -slopes[head] * (query - key) as f64 }
    };
    let values = (0..heads * time * keys).map(|i| value(i / (time * keys), past + i / keys % time, i % keys)).collect();
    floats(values, [1, heads, time, keys], device, DType::F32)
}

fn alibi_slopes(heads: usize) -> Vec<f64> {
    let geometric = |count: usize| (1..=count).map(move |h| 2f64.powf(-8.0 * h as f64 / count as f64));
    let below = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    geometric(below).chain(geometric(2 * below).step_by(2)).take(heads).collect()
}

/// What hides keys further than `window − 1` behind a query, and those after it: `[1, 1, T, past + T]`, 0 or −∞.
///
/// Source: Beltagy, Peters and Cohan, "Longformer", 2020; as in Mistral a query sees `window` keys, its own among them.
pub fn sliding_window(window: usize, past: usize, time: usize, device: &Device) -> Tensor<4> {
    let keys = past + time;
    let seen = |query: usize, key: usize| key <= query && query - key < window;
    let values = (0..time * keys).map(|i| if seen(past + i / keys, i % keys) { 0.0 } else { f64::NEG_INFINITY }).collect();
    floats(values, [1, 1, time, keys], device, DType::F32)
}

/// What hides padding from every query: `[B, 1, 1, S]`, 0 or −∞.
///
/// # Panics
/// If a length is above `S`.
pub fn hide_padding(lengths: &[usize], time: usize, device: &Device) -> Tensor<4> {
    let behind = crate::steps::padding(lengths, time, device).reshape([lengths.len(), 1, 1, time]);
    Tensor::zeros([lengths.len(), 1, 1, time], device).mask_fill(behind, f32::NEG_INFINITY)
}
