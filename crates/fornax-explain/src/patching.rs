use burn::tensor::Tensor;
use fornax_layers::{Site, Tap};

/// A tap that reads an activation in every block that shows it, and puts another in its place in one of them.
#[derive(Debug)]
pub struct PatchTap {
    site: Site,
    seen: Vec<Tensor<3>>,
    patch: Option<Patch>,
}

#[derive(Debug)]
struct Patch {
    block: usize,
    /// Of dimension 1; all without it.
    position: Option<usize>,
    value: Tensor<3>,
}

impl PatchTap {
    fn new(site: Site, patch: Option<Patch>) -> Self {
        Self { site, seen: vec![], patch }
    }
}

impl Tap for PatchTap {
    fn tap<const D: usize>(&mut self, site: Site, x: Tensor<D>) -> Tensor<D> {
        if site != self.site || D < 2 {
            return x;
        }
        let dims = x.dims();
        let mut flat: Tensor<3> = x.reshape([dims[0] as i32, dims[1] as i32, -1]);
        if let Some(Patch { block, position, value }) = &self.patch
            && *block == self.seen.len()
        {
            assert_eq!(flat.dims(), value.dims(), "an activation is patched by one of its shape");
            flat = match position {
                Some(at) => flat.slice_assign([0..dims[0], *at..at + 1], value.clone().narrow(1, *at, 1)),
                None => value.clone(),
            };
        }
        self.seen.push(flat.clone());
        flat.reshape(dims)
    }
}

/// What a model would say after each block, if the later ones were left out: its output with the last block's result replaced by an earlier one's.
///
/// One output for each block that shows `site`, the last of which is the model's own; what follows the last block, a norm and the head, is the
/// model's. `forward` runs the model with the tap that it is given; empty if the model shows nothing at `site`.
///
/// Source: nostalgebraist, "Interpreting GPT: the logit lens", 2020
/// (<https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens>).
///
/// # Panics
/// If the blocks' results differ in shape.
pub fn logit_lens<const D: usize>(site: Site, forward: impl Fn(&mut PatchTap) -> Tensor<D>) -> Vec<Tensor<D>> {
    let mut tap = PatchTap::new(site, None);
    let whole = forward(&mut tap);
    let Some(last) = tap.seen.len().checked_sub(1) else { return vec![] };
    let early = tap.seen.into_iter().take(last).map(|value| forward(&mut PatchTap::new(site, Some(Patch { block: last, position: None, value }))));
    early.chain([whole]).collect()
}

/// Which activations carry what makes the difference between two inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct CausalTrace {
    /// The score of the clean input.
    pub clean: f64,
    /// The score of the corrupted one.
    pub corrupted: f64,
    /// The score of the corrupted one with one activation from the clean one, by block and position.
    pub patched: Vec<Vec<f64>>,
}

impl CausalTrace {
    /// How much of the difference each activation restores: `(y_patched − y_corrupted) / (y_clean − y_corrupted)`, 0 where there is no difference.
    pub fn restored(&self) -> Vec<Vec<f64>> {
        let difference = self.clean - self.corrupted;
        let share = |patched: &f64| if difference == 0.0 { 0.0 } else { (patched - self.corrupted) / difference };
        self.patched.iter().map(|block| block.iter().map(share).collect()).collect()
    }
}

/// Activation patching: a corrupted input is run once for each block and position, with the activation there taken from the clean input.
///
/// Positions are those of dimension 1: tokens of `[B, T, D]`, channels of `[B, C, H, W]`. `clean` and `corrupted` run the same model, each with its own
/// input and the tap that it is given, and return the score: a logit, or a difference of two. Of a model that shows nothing at `site`, `patched`
/// is empty.
///
/// Source: Vig et al., "Investigating gender bias in language models using causal mediation analysis", 2020 (<https://arxiv.org/abs/2004.12265>); Meng et
/// al., "Locating and editing factual associations in GPT", 2022 (<https://arxiv.org/abs/2202.05262>), section 2.1.
///
/// # Panics
/// If both inputs do not give activations of the same shape.
pub fn causal_trace(site: Site, clean: impl FnOnce(&mut PatchTap) -> f64, corrupted: impl Fn(&mut PatchTap) -> f64) -> CausalTrace {
    let mut tap = PatchTap::new(site, None);
    let clean = clean(&mut tap);
    let patched = tap.seen.iter().enumerate().map(|(block, value)| {
        let at = |position| Patch { block, position: Some(position), value: value.clone() };
        (0..value.dims()[1]).map(|position| corrupted(&mut PatchTap::new(site, Some(at(position))))).collect()
    });
    CausalTrace { clean, patched: patched.collect(), corrupted: corrupted(&mut PatchTap::new(site, None)) }
}
