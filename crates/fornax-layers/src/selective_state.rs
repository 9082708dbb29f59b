use burn::module::{Module, Param};
use burn::tensor::{
    Device, Tensor,
    activation::{silu, softplus},
};

use crate::{Linear, LinearConfig, init, linear_scan};

/// Configuration of [`SelectiveState`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelectiveStateConfig {
    /// `D`
    pub width: usize,
    /// `E`, channels inside: `2 D`
    pub channels: usize,
    /// `N`, states of a channel: 16.
    pub states: usize,
    /// `K`, steps of the convolution: 4.
    pub kernel: usize,
    /// `R`, rank of the step sizes: `⌈D / 16⌉`
    pub rank: usize,
}

impl SelectiveStateConfig {
    /// The paper's sizes for a width.
    pub fn new(width: usize) -> Self {
        Self { width, channels: 2 * width, states: 16, kernel: 4, rank: width.div_ceil(16) }
    }
    /// With another number of states.
    pub fn with_states(self, states: usize) -> Self {
        Self { states, ..self }
    }

    /// Draws the weights from the step key, as the paper's code: `A = −1 … −N` in every channel, step sizes log-uniform in 0.001 to 0.1, the rest as PyTorch.
    pub fn init(&self, device: &Device) -> SelectiveState {
        let Self { width, channels, states, kernel, rank } = *self;
        let dense = |inputs: usize, outputs: usize| LinearConfig::new(inputs, outputs).with_bias(false).init(device);
        // The inverse of softplus of a step size.
        let step = |u: f64| {
            let step = (0.001f64.ln() + u * (0.1f64 / 0.001).ln()).exp();
            step + (-(-step).exp_m1()).ln()
        };
        SelectiveState {
            input: dense(width, 2 * channels),
            conv: init::uniform([kernel, channels], 1.0 / (kernel as f64).sqrt(), device),
            conv_bias: init::uniform([channels], 1.0 / (kernel as f64).sqrt(), device),
            select: dense(channels, rank + 2 * states),
            step: Linear {
                weight: init::uniform([rank, channels], 1.0 / (rank as f64).sqrt(), device),
                bias: Some(init::mapped([channels], step, device)),
            },
            log_a: init::by_index([channels, states], |i| ((i % states + 1) as f64).ln(), device),
            skip: init::constant([channels], 1.0, device),
            output: dense(channels, width),
        }
    }
}

/// A selective state-space block, of the kind that Mamba is made of.
///
/// `[u; z] = W_in x`, `v = silu(conv(u))` (causal, each channel by itself), `[δ; B; C] = W_s v`, `Δ = softplus(W_Δ δ + b)`,
/// `h_t = exp(Δ_t A) ⊙ h_{t−1} + Δ_t B_t v_t`, `y_t = C_tᵀ h_t + D ⊙ v_t`, and `W_out (y ⊙ silu(z))`, with `A = −exp(log_a)`. All steps at once by a parallel scan.
///
/// Source: Gu and Dao, "Mamba: linear-time sequence modeling with selective state spaces", 2023.
#[derive(Module, Debug)]
pub struct SelectiveState {
    /// `[D, 2E]`
    pub input: Linear,
    /// `[K, E]`, the last row for the step itself.
    pub conv: Param<Tensor<2>>,
    /// `[E]`
    pub conv_bias: Param<Tensor<1>>,
    /// `[E, R + 2N]`: of `δ`, `B` and `C`.
    pub select: Linear,
    /// `[R, E]` and `b: [E]`
    pub step: Linear,
    /// `[E, N]`
    pub log_a: Param<Tensor<2>>,
    /// `D: [E]`
    pub skip: Param<Tensor<1>>,
    /// `[E, D]`
    pub output: Linear,
}

/// What [`SelectiveState`] remembers between two pieces of a stream.
#[derive(Debug, Clone)]
pub struct SelectiveMemory {
    /// The last inputs of the convolution: `[B, K − 1, E]`
    pub window: Tensor<3>,
    /// `[B, E N]`
    pub h: Tensor<2>,
}

impl SelectiveMemory {
    /// The same numbers without their history.
    pub fn detach(self) -> Self {
        Self { window: self.window.detach(), h: self.h.detach() }
    }
}

impl SelectiveState {
    /// From nothing: `[B, T, D] -> [B, T, D]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.forward_from(x, None).0
    }

    /// From a memory, and with what is remembered after the last step: `[B, T, D] -> [B, T, D]`
    ///
    /// A stream goes through in pieces of any length.
    ///
    /// # Panics
    /// If there is no step.
    pub fn forward_from(&self, x: Tensor<3>, memory: Option<SelectiveMemory>) -> (Tensor<3>, SelectiveMemory) {
        crate::dissect::uncovered("a selective state space");
        let ([batch, time, _], [kernel, channels], [_, states]) = (x.dims(), self.conv.dims(), self.log_a.dims());
        assert!(time > 0, "a sequence of no steps");
        let options = (&x.device(), x.dtype());
        let memory = memory.unwrap_or_else(|| SelectiveMemory {
            window: Tensor::zeros([batch, kernel - 1, channels], options),
            h: Tensor::zeros([batch, channels * states], options),
        });
        let both = self.input.forward(x);
        let (u, z) = (both.clone().narrow(2, 0, channels), both.narrow(2, channels, channels));
        let u = if kernel > 1 { Tensor::cat(vec![memory.window.clone(), u], 1) } else { u };
        let window = if kernel > 1 { u.clone().narrow(1, time, kernel - 1) } else { memory.window };
        let conv = self.conv.val();
        let tap = |k: usize| u.clone().narrow(1, k, time) * conv.clone().narrow(0, k, 1).unsqueeze_dim(0);
        let v = (1..kernel).fold(tap(0), |sum, k| sum + tap(k)) + self.conv_bias.val().reshape([1, 1, channels]);
        let v = silu(v);

        let selected = self.select.forward(v.clone());
        let rank = selected.dims()[2] - 2 * states;
        let part = |from: usize| -> Tensor<4> { selected.clone().narrow(2, from, states).unsqueeze_dim(2) };
        let (b, c) = (part(rank), part(rank + states));
        let step: Tensor<4> = softplus(self.step.forward(selected.clone().narrow(2, 0, rank)), 1.0).unsqueeze_dim(3);
        let a = -self.log_a.val().exp().reshape([1, 1, channels, states]);
        // `[B, T, E, N]`, and `[B, T, E N]` to scan.
        let flat = |x: Tensor<4>| x.reshape([batch, time, channels * states]);
        let decay = flat((step.clone() * a).exp());
        let mut added = flat(step * v.clone().unsqueeze_dim::<4>(3) * b);
        let first = added.clone().narrow(1, 0, 1) + decay.clone().narrow(1, 0, 1) * memory.h.unsqueeze_dim(1);
        added = if time == 1 { first } else { Tensor::cat(vec![first, added.narrow(1, 1, time - 1)], 1) };
        let h = linear_scan(decay, added);
        let last = h.clone().narrow(1, time - 1, 1).squeeze_dim(1);
        let seen: Tensor<3> = (h.reshape([batch, time, channels, states]) * c).sum_dim(3).squeeze_dim(3);
        let y = seen + v * self.skip.val().reshape([1, 1, channels]);
        (self.output.forward(y * silu(z)), SelectiveMemory { window, h: last })
    }
}
