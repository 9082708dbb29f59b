use super::{Content, DataSet, Readers, RemoteFile, read_four_files};
use crate::{DataError, ImageSet, Split};
use std::path::Path;

/// By label.
const CLASSES: [&str; 10] = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

/// Pictures of clothes in MNIST's format: 60,000 to learn from, 10,000 to test.
///
/// Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST", 2017 (<https://arxiv.org/abs/1708.07747>).
pub const FASHION_MNIST: DataSet = DataSet {
    name: "fashion-mnist",
    title: "Fashion-MNIST",
    about: "pictures of clothes, 28x28 grey, 10 classes: 55,000 train, 5,000 valid, 10,000 test",
    licence: "MIT",
    size: 70_000,
    home: "https://github.com/zalandoresearch/fashion-mnist",
    files: &[
        RemoteFile {
            name: "train-images-idx3-ubyte.gz",
            url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz",
            bytes: 26_421_880,
            sha256: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            content_bytes: 47_040_016,
            content_sha256: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        },
        RemoteFile {
            name: "train-labels-idx1-ubyte.gz",
            url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-labels-idx1-ubyte.gz",
            bytes: 29_515,
            sha256: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            content_bytes: 60_008,
            content_sha256: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        },
        RemoteFile {
            name: "t10k-images-idx3-ubyte.gz",
            url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-images-idx3-ubyte.gz",
            bytes: 4_422_102,
            sha256: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            content_bytes: 7_840_016,
            content_sha256: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        },
        RemoteFile {
            name: "t10k-labels-idx1-ubyte.gz",
            url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-labels-idx1-ubyte.gz",
            bytes: 5_148,
            sha256: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            content_bytes: 10_008,
            content_sha256: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
    ],
    embedded: None,
    content: Content::Images(Readers { folder: load, embedded: None }),
};

fn load(folder: &Path, split: Split) -> Result<ImageSet, DataError> {
    read_four_files("fashion-mnist", &CLASSES, folder, split)
}
