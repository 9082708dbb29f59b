//! Memory that operations use again and again: fresh pages cost as much as the arithmetic, and an allocator keeps more of what is freed than
//! is live.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Floats that are kept while nobody uses them, in all.
const KEPT: usize = 1 << 23;
/// Floats that are worth keeping.
const SMALLEST: usize = 1 << 10;

static FREE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

fn free() -> MutexGuard<'static, Vec<Vec<f32>>> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Floats with any values, which go back to the common store when they are dropped.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    data: Vec<f32>,
    len: usize,
}

impl Buffer {
    /// `len` floats: whoever reads one must have written it.
    pub(crate) fn new(len: usize) -> Self {
        let mut buffer = Self::default();
        buffer.resize(len);
        buffer
    }

    /// Makes it `len` floats long, again with any values.
    pub(crate) fn resize(&mut self, len: usize) {
        if len > self.data.len() {
            self.give_back();
            let mut free = free();
            // The smallest that is large enough, unless most of it would lie idle.
            let fit = |data: &Vec<f32>| data.len() >= len && data.len() / 2 <= len.max(SMALLEST);
            let best = free.iter().enumerate().filter(|(_, data)| fit(data)).min_by_key(|(_, data)| data.len()).map(|(at, _)| at);
            let found = best.map(|at| free.swap_remove(at));
            drop(free);
            self.data = found.unwrap_or_else(|| vec![0.0; len]);
        }
        self.len = len;
    }

    fn give_back(&mut self) {
        let data = std::mem::take(&mut self.data);
        if data.len() < SMALLEST || data.len() > KEPT {
            return;
        }
        let mut free = free();
        free.push(data);
        // The oldest go first.
        let mut kept: usize = free.iter().map(Vec::len).sum();
        while kept > KEPT {
            kept -= free.remove(0).len();
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.data[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_never_by_two() {
        let mut first = Buffer::new(5000);
        first.fill(1.0);
        let mut second = Buffer::new(5000);
        second.fill(2.0);
        assert!(first.iter().all(|x| *x == 1.0) && second.iter().all(|x| *x == 2.0));
        first.resize(3000);
        assert_eq!(first.len(), 3000);
        drop((first, second));
        let kept: usize = free().iter().map(Vec::len).sum();
        assert!((5000..=KEPT).contains(&kept), "{kept}");
        let [large, half, other_half] = [KEPT + 1, KEPT / 2 + 1, KEPT / 2 + 1].map(Buffer::new);
        drop((large, half, other_half));
        assert!(free().iter().map(Vec::len).sum::<usize>() <= KEPT);
        assert!(Buffer::new(0).is_empty());
    }
}
