use crate::Seq2Seq;
use burn::tensor::Tensor;
use fornax_layers::{CROSS_PROBABILITIES, Site, Tap};

/// Keeps the last weights that it sees, the mean over heads: `[B, T, S]`
#[derive(Debug, Default)]
pub(crate) struct Looks(pub(crate) Option<Tensor<3>>);

impl Tap for Looks {
    const ATTENTION: bool = true;

    fn tap<const D: usize>(&mut self, site: Site, x: Tensor<D>) -> Tensor<D> {
        if site == Seq2Seq::WEIGHTS || site == CROSS_PROBABILITIES {
            let dims = x.dims();
            let (batch, heads, steps, keys) = (dims[0], dims[1..D - 2].iter().product::<usize>(), dims[D - 2], dims[D - 1]);
            self.0 = Some(x.clone().reshape([batch, heads, steps, keys]).mean_dim(1).squeeze_dim(1));
        }
        x
    }
}
