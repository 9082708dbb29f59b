use super::{Content, DataSet, Readers, RemoteFile, pair, read_four_files};
use crate::{DataError, ImageSet, Split, idx};
use std::path::Path;

const CLASSES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// Handwritten digits, 28×28 grey: 60,000 to learn from, 10,000 to test.
///
/// Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998.
pub const MNIST: DataSet = DataSet {
    name: "mnist",
    title: "MNIST",
    about: "handwritten digits, 28x28 grey, 10 classes: 55,000 train, 5,000 valid, 10,000 test",
    licence: "CC BY-SA 3.0",
    size: 70_000,
    home: "http://yann.lecun.com/exdb/mnist",
    files: &[
        RemoteFile {
            name: "train-images-idx3-ubyte.gz",
            url: "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz",
            bytes: 9_912_422,
            sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            content_bytes: 47_040_016,
            content_sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        },
        RemoteFile {
            name: "train-labels-idx1-ubyte.gz",
            url: "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz",
            bytes: 28_881,
            sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            content_bytes: 60_008,
            content_sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        },
        RemoteFile {
            name: "t10k-images-idx3-ubyte.gz",
            url: "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-images-idx3-ubyte.gz",
            bytes: 1_648_877,
            sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            content_bytes: 7_840_016,
            content_sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        },
        RemoteFile {
            name: "t10k-labels-idx1-ubyte.gz",
            url: "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz",
            bytes: 4_542,
            sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            content_bytes: 10_008,
            content_sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ],
    embedded: Some("the 10,000 digits that come with Fornax (9,000 train, 1,000 valid)"),
    content: Content::Images(Readers { folder: load, embedded: Some(embedded) }),
};

fn load(folder: &Path, split: Split) -> Result<ImageSet, DataError> {
    read_four_files("mnist", &CLASSES, folder, split)
}

const TRAIN_IMAGES: &[u8] = include_bytes!("../../data/mnist-10k/train-images-idx3-ubyte.gz");
const TRAIN_LABELS: &[u8] = include_bytes!("../../data/mnist-10k/train-labels-idx1-ubyte.gz");
const VALID_IMAGES: &[u8] = include_bytes!("../../data/mnist-10k/valid-images-idx3-ubyte.gz");
const VALID_LABELS: &[u8] = include_bytes!("../../data/mnist-10k/valid-labels-idx1-ubyte.gz");

/// Ten thousand digits of the training set; see `data/README.md`.
fn embedded(split: Split) -> Result<ImageSet, DataError> {
    let (images, labels) = match split {
        Split::Train => (("train images", TRAIN_IMAGES), ("train labels", TRAIN_LABELS)),
        Split::Valid => (("valid images", VALID_IMAGES), ("valid labels", VALID_LABELS)),
        Split::Test => {
            return Err(DataError::NoSplit {
                source_name: "the set of 10,000 digits that comes with Fornax".into(),
                split,
                fix: "`fornax data fetch mnist` gets MNIST's 10,000 test images, or give the folder that has them with --data DIR".into(),
            });
        }
    };
    let read = |(name, bytes): (&str, &[u8])| idx::from_bytes(name.as_ref(), bytes);
    pair(read(images)?, read(labels)?.data, &CLASSES, labels.0.as_ref())
}
