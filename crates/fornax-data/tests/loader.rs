//! Loaders: the same batches for any number of workers, resume at any batch, faults that reach the caller, workers that stop.

use fornax_data::{DataError, Dataset, Loader};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread::sleep,
    time::Duration,
};

/// Example `i` is (epoch, i); some fail, some panic, some are slow. Counts what is asked for, and what is alive.
#[derive(Default)]
struct Numbers {
    len: usize,
    fails_at: Option<usize>,
    panics_at: Option<usize>,
    uneven: bool,
    asked: AtomicUsize,
    alive: Arc<AtomicUsize>,
    most_alive: AtomicUsize,
}

#[derive(Debug)]
struct Item {
    value: (u64, usize),
    alive: Arc<AtomicUsize>,
}

impl Drop for Item {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, SeqCst);
    }
}

impl Dataset for Numbers {
    type Item = Item;

    fn len(&self) -> usize {
        self.len
    }

    fn get(&self, epoch: u64, index: usize) -> Result<Item, DataError> {
        self.asked.fetch_add(1, SeqCst);
        if self.uneven {
            sleep(Duration::from_micros((index as u64 * 7919) % 300));
        }
        if self.panics_at == Some(index) {
            panic!("picture {index} has no pixels");
        }
        if self.fails_at == Some(index) {
            let source = std::io::Error::other("the disk is gone");
            return Err(DataError::Io { doing: "read", source, path: format!("picture-{index}.png").into() });
        }
        let alive = self.alive.fetch_add(1, SeqCst) + 1;
        self.most_alive.fetch_max(alive, SeqCst);
        Ok(Item { value: (epoch, index), alive: self.alive.clone() })
    }
}

fn numbers(len: usize) -> Numbers {
    Numbers { len, ..Numbers::default() }
}

type Values = Vec<Vec<(u64, usize)>>;

fn collect(loader: &Loader<Numbers>, epoch: u64, first: usize) -> Values {
    loader.epoch(epoch, first).map(|batch| batch.unwrap().iter().map(|item| item.value).collect()).collect()
}

#[test]
fn any_number_of_workers_gives_the_same_batches() {
    let loader =
        |workers, prefetch| Loader::new(Arc::new(Numbers { uneven: true, ..numbers(203) }), 10, 5).with_workers(workers).with_prefetch(prefetch);
    let alone = collect(&loader(0, 1), 3, 0);
    assert_eq!((alone.len(), alone[20].len()), (21, 3));
    for (workers, prefetch) in [(1, 1), (1, 4), (2, 2), (3, 8), (8, 3), (8, 100)] {
        assert_eq!(collect(&loader(workers, prefetch), 3, 0), alone, "{workers} workers, {prefetch} ahead");
    }
}

#[test]
fn starting_at_any_batch_gives_the_tail() {
    for workers in [0, 2] {
        let loader = Loader::new(Arc::new(numbers(57)), 8, 1).with_workers(workers);
        let whole = collect(&loader, 4, 0);
        assert_eq!(whole.len(), loader.batches_per_epoch());
        for first in 0..=whole.len() + 2 {
            assert_eq!(collect(&loader, 4, first), whole[first.min(whole.len())..], "from batch {first}");
        }
    }
}

#[test]
fn an_epoch_holds_every_example_once_in_an_order_of_its_own() {
    let loader = Loader::new(Arc::new(numbers(100)), 7, 0);
    let flat = |loader: &Loader<Numbers>, epoch| collect(loader, epoch, 0).concat().into_iter().map(|(_, i)| i).collect::<Vec<_>>();
    let [first, second] = [0, 1].map(|epoch| flat(&loader, epoch));
    assert_ne!(first, second);
    assert_eq!(first, loader.order(0));
    let mut sorted = first.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    assert_ne!(first, flat(&Loader::new(Arc::new(numbers(100)), 7, 1), 0), "another seed");
    assert_eq!(first, flat(&Loader::new(Arc::new(numbers(100)), 32, 0), 0), "the batch size does not touch the order");
    assert_eq!(flat(&Loader::new(Arc::new(numbers(100)), 7, 0).with_shuffle(false), 9), (0..100).collect::<Vec<_>>());
}

/// An order once drawn stays: a change breaks the exact resume of older runs. The numbers are those of the same algorithm written in Python.
#[test]
fn the_order_is_pinned() {
    assert_eq!(Loader::new(Arc::new(numbers(12)), 4, 42).order(7), ORDER);
}
const ORDER: [usize; 12] = [11, 7, 2, 4, 5, 8, 10, 9, 3, 0, 1, 6];

#[test]
fn a_small_last_batch_is_kept_or_left_out() {
    for (len, batch, kept, dropped) in [(10, 4, 3, 2), (8, 4, 2, 2), (3, 4, 1, 0), (0, 4, 0, 0)] {
        for workers in [0, 2] {
            let loader = Loader::new(Arc::new(numbers(len)), batch, 0).with_workers(workers);
            assert_eq!((loader.batches_per_epoch(), collect(&loader, 0, 0).len()), (kept, kept));
            let loader = loader.with_drop_last(true);
            assert_eq!((loader.batches_per_epoch(), collect(&loader, 0, 0).len()), (dropped, dropped));
            assert!(collect(&loader, 0, 0).iter().all(|b| b.len() == batch));
        }
    }
}

#[test]
fn an_error_reaches_the_caller_and_ends_the_epoch() {
    for workers in [0, 1, 3] {
        let loader = Loader::new(Arc::new(Numbers { fails_at: Some(25), ..numbers(60) }), 10, 0).with_shuffle(false).with_workers(workers);
        let mut batches = loader.epoch(0, 0);
        assert!(batches.next().unwrap().is_ok() && batches.next().unwrap().is_ok());
        let error = batches.next().unwrap().unwrap_err().to_string();
        assert_eq!(error, "cannot read: the disk is gone: picture-25.png", "{workers} workers");
        assert!(batches.next().is_none() && batches.next().is_none());
    }
}

#[test]
fn a_panic_reaches_the_caller_as_an_error() {
    for workers in [0, 1, 3] {
        let loader = Loader::new(Arc::new(Numbers { panics_at: Some(31), ..numbers(60) }), 10, 0).with_shuffle(false).with_workers(workers);
        let results: Vec<_> = loader.epoch(0, 0).collect();
        assert_eq!(results.len(), 4, "{workers} workers");
        let error = results[3].as_ref().unwrap_err().to_string();
        assert_eq!(error, "a data worker panicked: example 31: picture 31 has no pixels");
        // The loader still works where nothing panics.
        assert!(loader.epoch(0, 4).all(|batch| batch.is_ok()));
    }
}

#[test]
fn every_worker_panicking_at_once_does_not_hang() {
    struct Broken;
    impl Dataset for Broken {
        type Item = ();
        fn len(&self) -> usize {
            100
        }
        fn get(&self, _: u64, _: usize) -> Result<(), DataError> {
            std::panic::panic_any(7);
        }
    }
    let results: Vec<_> = Loader::new(Arc::new(Broken), 1, 0).with_workers(4).with_prefetch(16).epoch(0, 0).collect();
    assert_eq!(results.len(), 1);
    assert!(results[0].as_ref().unwrap_err().to_string().ends_with("no message"));
}

#[test]
fn memory_is_bounded_by_prefetch() {
    let dataset = Arc::new(numbers(1000));
    let loader = Loader::new(dataset.clone(), 10, 0).with_workers(4).with_prefetch(3);
    for batch in loader.epoch(0, 0) {
        // A slow caller: workers fill what they may.
        sleep(Duration::from_millis(1));
        drop(batch.unwrap());
    }
    let most = dataset.most_alive.load(SeqCst);
    assert!(most <= 40, "{most} examples alive: three batches ahead and the caller's own are 40");
    assert_eq!(dataset.alive.load(SeqCst), 0);
}

#[test]
fn dropping_early_stops_the_workers() {
    let dataset = Arc::new(Numbers { uneven: true, ..numbers(100_000) });
    let loader = Loader::new(dataset.clone(), 1000, 0).with_workers(3).with_prefetch(6);
    let mut batches = loader.epoch(0, 0);
    batches.next().unwrap().unwrap();
    let before = dataset.asked.load(SeqCst);
    drop(batches);
    drop(loader);
    assert_eq!(Arc::strong_count(&dataset), 1, "no worker holds the data");
    // Each worker ends its example, not its batch, and not the batches that were planned.
    let asked = dataset.asked.load(SeqCst);
    assert!(asked - before < 500, "{} examples after the drop", asked - before);
    sleep(Duration::from_millis(20));
    assert_eq!(dataset.asked.load(SeqCst), asked, "nobody works on");
    assert_eq!(dataset.alive.load(SeqCst), 0);
}

#[test]
fn batches_may_be_read_in_another_thread() {
    let loader = Loader::new(Arc::new(numbers(40)), 10, 0).with_workers(2);
    let batches = loader.epoch(0, 0);
    drop(loader);
    assert_eq!(std::thread::spawn(move || batches.filter(|batch| batch.is_ok()).count()).join().unwrap(), 4);
}
