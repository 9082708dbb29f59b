use crate::{
    DataError,
    random::{Purpose, Stream},
};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
};

/// Examples by number. What `get` gives must follow from its arguments alone, so that a run can be resumed exactly.
pub trait Dataset: Send + Sync + 'static {
    /// One example.
    type Item: Send + 'static;

    /// The number of examples.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Example `index`, as it is seen in `epoch`.
    ///
    /// # Errors
    /// [`DataError`] for what cannot be read.
    fn get(&self, epoch: u64, index: usize) -> Result<Self::Item, DataError>;
}

/// Batches of a [`Dataset`]: the order is a pure function of (seed, epoch), and the same for any number of workers.
#[derive(Debug)]
pub struct Loader<D: Dataset> {
    dataset: Arc<D>,
    batch_size: usize,
    seed: u64,
    workers: usize,
    prefetch: usize,
    shuffle: bool,
    drop_last: bool,
    /// Of every example, to put those of about the same length together.
    lengths: Option<Vec<usize>>,
}

/// Batches whose examples are sorted among each other.
const BUCKET: usize = 16;

impl<D: Dataset> Loader<D> {
    /// A loader that shuffles, keeps the last batch even if it is smaller, and works in the caller's thread.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    pub fn new(dataset: Arc<D>, batch_size: usize, seed: u64) -> Self {
        assert!(batch_size > 0, "a batch has at least one example");
        Self { dataset, batch_size, seed, workers: 0, prefetch: 4, shuffle: true, drop_last: false, lengths: None }
    }

    /// Threads that prepare batches ahead; 0 is the caller's own.
    pub fn with_workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Batches that may be ready or in work at a time, at least one; memory is bounded by them. Four unless set.
    pub fn with_prefetch(self, batches: usize) -> Self {
        Self { prefetch: batches.max(1), ..self }
    }

    /// Whether each epoch has an order of its own; otherwise that of the data set.
    pub fn with_shuffle(self, shuffle: bool) -> Self {
        Self { shuffle, ..self }
    }

    /// Whether a last batch that is smaller than the others is left out.
    pub fn with_drop_last(self, drop_last: bool) -> Self {
        Self { drop_last, ..self }
    }

    /// Puts examples of about the same length into a batch, so that little is padded: within every sixteen batches of the order, examples are
    /// sorted by length, and then the batches shuffled.
    ///
    /// # Panics
    /// If there is not a length for each example.
    pub fn with_buckets(self, lengths: Vec<usize>) -> Self {
        assert_eq!(lengths.len(), self.dataset.len(), "a length for each example");
        Self { lengths: Some(lengths), ..self }
    }

    /// The data set.
    pub fn dataset(&self) -> &Arc<D> {
        &self.dataset
    }

    /// The number of batches of an epoch.
    pub fn batches_per_epoch(&self) -> usize {
        let len = self.dataset.len();
        if self.drop_last { len / self.batch_size } else { len.div_ceil(self.batch_size) }
    }

    /// The order of an epoch: Fisher–Yates keyed by (seed, epoch), then in buckets if there are lengths.
    pub fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.dataset.len()).collect();
        if self.shuffle {
            Stream::new(Purpose::Order, &[self.seed, epoch]).shuffle(&mut order);
        }
        let Some(lengths) = &self.lengths else { return order };
        order.chunks_mut(BUCKET * self.batch_size).for_each(|bucket| bucket.sort_by_key(|&index| lengths[index]));
        let (whole, rest) = order.split_at(order.len() / self.batch_size * self.batch_size);
        let mut batches: Vec<&[usize]> = whole.chunks_exact(self.batch_size).collect();
        if self.shuffle {
            Stream::new(Purpose::Order, &[self.seed, epoch, 1]).shuffle(&mut batches);
        }
        // A smaller batch stays the last.
        batches.into_iter().chain([rest]).flatten().copied().collect()
    }

    /// The batches of an epoch from `first_batch` on; none if that is past the end. The first error ends them.
    pub fn epoch(&self, epoch: u64, first_batch: usize) -> Batches<D> {
        let plan = Arc::new(Plan {
            dataset: self.dataset.clone(),
            order: self.order(epoch),
            batch_size: self.batch_size,
            epoch,
            stop: AtomicBool::new(false),
        });
        let end = self.batches_per_epoch();
        let mut batches =
            Batches { plan, next: first_batch.min(end), end, jobs: None, pending: VecDeque::new(), threads: Vec::new(), prefetch: self.prefetch };
        batches.start(self.workers.min(self.prefetch));
        batches
    }
}

struct Plan<D> {
    dataset: Arc<D>,
    order: Vec<usize>,
    batch_size: usize,
    epoch: u64,
    stop: AtomicBool,
}

impl<D: Dataset> Plan<D> {
    fn build(&self, batch: usize) -> Result<Vec<D::Item>, DataError> {
        let start = batch * self.batch_size;
        let indices = &self.order[start..self.order.len().min(start + self.batch_size)];
        let mut items = Vec::with_capacity(indices.len());
        for &index in indices {
            if self.stop.load(Relaxed) {
                break;
            }
            // The data set is only read, so a panic leaves nothing half done that anybody sees: the epoch ends here.
            let got = catch_unwind(AssertUnwindSafe(|| self.dataset.get(self.epoch, index)));
            items.push(got.unwrap_or_else(|panic| {
                let said = panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
                Err(DataError::Worker(format!("example {index}: {}", said.unwrap_or_else(|| "no message".into()))))
            })?);
        }
        Ok(items)
    }
}

type Reply<D> = Result<Vec<<D as Dataset>::Item>, DataError>;

/// The batches of one epoch. Dropping it stops its workers.
pub struct Batches<D: Dataset> {
    plan: Arc<Plan<D>>,
    /// The next batch to hand out to a worker, or to build here.
    next: usize,
    end: usize,
    jobs: Option<Sender<(usize, Sender<Reply<D>>)>>,
    /// Of the batches that workers have, in order.
    pending: VecDeque<Receiver<Reply<D>>>,
    threads: Vec<JoinHandle<()>>,
    prefetch: usize,
}

impl<D: Dataset> Batches<D> {
    fn start(&mut self, workers: usize) {
        let (jobs, queue) = unbounded::<(usize, Sender<Reply<D>>)>();
        for number in 0..workers.min(self.end - self.next) {
            let (plan, queue) = (self.plan.clone(), queue.clone());
            let work = move || {
                for (batch, reply) in queue {
                    // Fails only if the caller has gone.
                    let _ = reply.send(plan.build(batch));
                }
            };
            // Where the system has no more threads, those that there are, or the caller's own, give the same batches.
            match std::thread::Builder::new().name(format!("data-{number}")).spawn(work) {
                Ok(thread) => self.threads.push(thread),
                Err(_) => break,
            }
        }
        if !self.threads.is_empty() {
            self.jobs = Some(jobs);
            self.hand_out();
        }
    }

    /// Keeps `prefetch` batches with the workers.
    fn hand_out(&mut self) {
        let Some(jobs) = &self.jobs else { return };
        while self.next < self.end && self.pending.len() < self.prefetch {
            let (reply, answer) = bounded(1);
            if jobs.send((self.next, reply)).is_err() {
                break;
            }
            self.pending.push_back(answer);
            self.next += 1;
        }
    }

    fn stop(&mut self) {
        self.plan.stop.store(true, Relaxed);
        self.next = self.end;
        self.jobs = None;
        self.pending.clear();
        for thread in self.threads.drain(..) {
            // A worker catches what it runs; there is nothing to report.
            let _ = thread.join();
        }
    }
}

impl<D: Dataset> Iterator for Batches<D> {
    type Item = Reply<D>;

    fn next(&mut self) -> Option<Reply<D>> {
        let reply = if self.jobs.is_some() {
            if self.pending.is_empty() && self.next == self.end {
                return None;
            }
            // Nothing pending, or no answer, means that the workers are gone.
            let answer = self.pending.pop_front().and_then(|answer| answer.recv().ok());
            let reply = answer.unwrap_or_else(|| Err(DataError::Worker("it ended without an answer".into())));
            self.hand_out();
            reply
        } else if self.next < self.end {
            self.next += 1;
            self.plan.build(self.next - 1)
        } else {
            return None;
        };
        if reply.is_err() {
            self.stop();
        }
        Some(reply)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end - self.next + self.pending.len();
        // An error may end it early.
        (0, Some(left))
    }
}

impl<D: Dataset> Drop for Batches<D> {
    fn drop(&mut self) {
        self.stop();
    }
}
