//! Training batches from a loader: what all tasks with a data set of examples share.

use fornax_data::{Dataset, Loader};
use fornax_trainer::{Batches, SourceError};

/// Batches that a function makes of a loader's examples.
pub(crate) struct Loaded<D: Dataset, B> {
    loader: Loader<D>,
    collate: Box<dyn Fn(&[D::Item]) -> B>,
    /// Only so many batches of the first epoch, again and again; otherwise all.
    overfit: Option<usize>,
}

impl<D: Dataset, B> Loaded<D, B> {
    pub(crate) fn new(loader: Loader<D>, overfit: Option<usize>, collate: impl Fn(&[D::Item]) -> B + 'static) -> Self {
        let overfit = overfit.map(|n| n.clamp(1, loader.batches_per_epoch().max(1)));
        Self { loader, collate: Box::new(collate), overfit }
    }
}

impl<D: Dataset, B: Clone> Batches for Loaded<D, B> {
    type Batch = B;

    fn per_epoch(&self) -> usize {
        self.overfit.unwrap_or_else(|| self.loader.batches_per_epoch())
    }

    fn epoch(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Result<B, SourceError>> + '_> {
        let epoch = if self.overfit.is_some() { 0 } else { epoch };
        let batches = self.loader.epoch(epoch, first).take(self.per_epoch() - first);
        Box::new(batches.map(|examples| Ok((self.collate)(&examples?))))
    }
}
