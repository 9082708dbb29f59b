/// A factor on the loss that keeps small gradients of half-precision numbers above zero, and finds its size by itself: PyTorch's
/// `GradScaler`.
///
/// The gradients are divided by it again; a step with one that is not finite is left out and halves the factor, and 2,000 good ones
/// in a row double it.
///
/// Source: Micikevicius et al., "Mixed precision training", 2018, section 3.2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossScale {
    /// The factor at present: 65,536 at first.
    pub scale: f64,
    /// 2.
    pub growth: f64,
    /// 0.5.
    pub backoff: f64,
    /// Good steps in a row before it grows: 2,000.
    pub interval: u64,
    /// Good steps in a row so far.
    pub good: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { scale: 65_536.0, growth: 2.0, backoff: 0.5, interval: 2000, good: 0 }
    }
}

impl LossScale {
    /// After a step whose gradients were finite, or were not. It grows no further than `f32` goes.
    pub fn update(&mut self, finite: bool) {
        if !finite {
            (self.scale, self.good) = (self.scale * self.backoff, 0);
            return;
        }
        self.good += 1;
        if self.good == self.interval {
            let grown = self.scale * self.growth;
            if grown <= f64::from(f32::MAX) {
                self.scale = grown;
            }
            self.good = 0;
        }
    }
}
