use burn::tensor::{Int, Tensor};
use fornax_kernels::attention::{Mask, attention_to_first};

/// Rows that a new cache has room for.
const ROOM: usize = 32;

/// Keys and values of the positions that a decoder has passed, of one layer and a batch of sequences.
///
/// The buffers are allocated ahead and written in place, so that a token costs no copy of those before it; when they are full they double.
/// With a window they never grow beyond it: the oldest position makes room for the next one.
#[derive(Debug, Clone, Default)]
pub struct KeyValueCache {
    /// `[B, G, S, D]` each, with room for `S`.
    buffers: Option<[Tensor<4>; 2]>,
    length: usize,
    window: Option<usize>,
}

impl KeyValueCache {
    /// Empty; it holds all positions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Empty; it holds the last `window` positions.
    ///
    /// # Panics
    /// If the window is 0.
    pub fn rolling(window: usize) -> Self {
        assert!(window > 0, "a window of at least one position");
        Self { window: Some(window), ..Self::default() }
    }

    /// Positions that were given to it, those that made room included.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes of the buffers, at four a number.
    pub fn bytes(&self) -> usize {
        self.buffers.iter().flatten().map(|buffer| 4 * buffer.shape().num_elements()).sum()
    }

    /// What the queries of the next positions see: all that is held, and each the positions up to its own among the new ones. The keys and values of these
    /// are put into the cache: `[B, H, T, D], [B, G, T, D], [B, G, T, D] -> [B, H, T, D]`
    ///
    /// # Panics
    /// If the sizes are not those of the positions before.
    pub fn attend(&mut self, q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Tensor<4> {
        let [_, _, steps, _] = k.dims();
        match self.window {
            // One after the other, where the oldest makes room.
            Some(window) if steps > 1 && self.length + steps > window => {
                let step = |x: &Tensor<4>, t: usize| x.clone().narrow(2, t, 1);
                Tensor::cat((0..steps).map(|t| self.attend_to(step(&q, t), step(&k, t), step(&v, t))).collect(), 2)
            }
            _ => self.attend_to(q, k, v),
        }
    }

    fn attend_to(&mut self, q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Tensor<4> {
        let [batch, groups, steps, width] = k.dims();
        let held = self.window.map_or(self.length, |window| window.min(self.length));
        let room = self.buffers.as_ref().map_or(0, |[keys, _]| keys.dims()[2]);
        // Without a window, or before it is full, the next place is behind the last.
        let place = self.window.map_or(self.length, |window| self.length % window);
        let wanted = place + steps;
        if wanted > room {
            self.grow(&k, wanted.max(2 * room).max(ROOM).min(self.window.unwrap_or(usize::MAX)));
        }
        // Taken out, so that nobody else holds them and they are written in place.
        let Some([keys, values]) = self.buffers.take() else { unreachable!("there is room") };
        let part = [0..batch, 0..groups, place..wanted, 0..width];
        let [keys, values] = [keys.slice_assign(part.clone(), k), values.slice_assign(part, v)];
        self.length += steps;
        let seen = self.window.map_or(self.length, |window| window.min(self.length));
        // One query sees all that is held, in whatever order.
        let mask = if steps == 1 { Mask::default() } else { Mask { past: held, ..Mask::causal() } };
        let y = attention_to_first(q, keys.clone(), values.clone(), seen, &mask);
        self.buffers = Some([keys, values]);
        y
    }

    fn grow(&mut self, like: &Tensor<4>, room: usize) {
        let [batch, groups, _, width] = like.dims();
        let larger = |old: Option<Tensor<4>>| {
            let new = Tensor::zeros([batch, groups, room, width], (&like.device(), like.dtype()));
            match old {
                Some(old) => {
                    let [_, _, rows, _] = old.dims();
                    new.slice_assign([0..batch, 0..groups, 0..rows, 0..width], old)
                }
                None => new,
            }
        };
        self.buffers = Some(match self.buffers.take() {
            Some([keys, values]) => [larger(Some(keys)), larger(Some(values))],
            None => [larger(None), larger(None)],
        });
    }

    /// The sequences with these numbers, in this order; one may be wanted more than once, or not at all: `[R]`
    #[must_use]
    pub fn select(self, rows: &Tensor<1, Int>) -> Self {
        let buffers = self.buffers.map(|buffers| buffers.map(|buffer| buffer.select(0, rows.clone())));
        Self { buffers, ..self }
    }
}
