//! Data for training: data sets by name, readers that trust no file, augmentation and loaders that are pure functions of
//! (seed, epoch, index). Knows no model and no tensor: images are bytes or floats, `[C, H, W]`, channels first; series are floats, `[T, D]`, step by step;
//! texts are texts, or numbers of a tokenizer's pieces.
//!
//! ```
//! # fn main() -> Result<(), fornax_data::DataError> {
//! use fornax_data::{Augment, ImageDataset, Loader, Split, find, resolve};
//! use std::sync::Arc;
//!
//! let mnist = resolve(find("mnist").expect("a known name"), None)?;
//! let train = mnist.load(Split::Train)?;
//! let augment = Augment { shift: 2.0, rotate: 10.0, ..Augment::default() };
//! let loader = Loader::new(Arc::new(ImageDataset::new(train, augment, 0)?), 64, 0).with_workers(2);
//! let batch = loader.epoch(0, 0).next().expect("an epoch has batches")?;
//! assert_eq!(batch[0].pixels.len(), 28 * 28);
//! # Ok(()) }
//! ```

pub mod audio;
mod augment;
pub mod csv;
mod error;
mod fetch;
pub mod folder;
pub mod idx;
mod image_set;
mod loader;
pub mod npy;
mod pair_set;
pub mod picture;
mod random;
mod read;
mod resolve;
mod sentence_dataset;
mod sentence_set;
pub mod sentences;
mod series;
mod series_augment;
mod sets;
mod signal;
mod sound_dataset;
mod sound_set;
mod text_pairs;
mod tokenizer;
pub mod ts;
mod warp;

pub use augment::Augment;
pub use error::DataError;
pub use fetch::{fetch, fetch_into};
pub use image_set::{Example, ImageDataset, ImageSet, Split};
pub use loader::{Batches, Dataset, Loader};
pub use pair_set::{PairDataset, PairExample, PairSet};
pub use resolve::{Resolved, Source, cache_folder, resolve};
pub use sentence_dataset::{SentenceDataset, SentenceExample, Vocabulary};
pub use sentence_set::SentenceSet;
pub use series::{Padded, SeriesExample, SeriesSet, pad};
pub use series_augment::SeriesAugment;
pub use sets::{
    CMUDICT, Content, DATA_SETS, DataSet, ELECTRICITY, FASHION_MNIST, FSDD, JAPANESE_VOWELS, MNIST, MOVIE_SENTENCES, MULTI30K, Readers, RemoteFile,
    TINY_SHAKESPEARE, find,
};
pub use signal::Signal;
pub use sound_dataset::{SoundDataset, SoundFeatures};
pub use sound_set::SoundSet;
pub use text_pairs::TextPairs;
pub use tokenizer::{Tokenizer, TokenizerKind};
pub use warp::Warp;
