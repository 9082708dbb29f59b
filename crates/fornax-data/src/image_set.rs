use crate::{
    Augment, DataError, Dataset,
    random::{Purpose, Stream},
};
use std::{fmt, str::FromStr};

/// Which part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// What a model learns from.
    Train,
    /// Held out of the training data, to choose by.
    Valid,
    /// Read once, at the end.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        })
    }
}

impl FromStr for Split {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        [Self::Train, Self::Valid, Self::Test]
            .into_iter()
            .find(|split| split.to_string() == name)
            .ok_or_else(|| DataError::Invalid(format!("no split is called `{name}`: use train, valid or test")))
    }
}

/// Images with labels, 8 bits a channel, channels first.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageSet {
    /// `[C, H, W]` of every image.
    pub shape: [usize; 3],
    /// `[N, C, H, W]`, row-major.
    pub pixels: Vec<u8>,
    /// `[N]`, each below the number of classes.
    pub labels: Vec<u32>,
    /// The name of each class.
    pub classes: Vec<String>,
}

impl ImageSet {
    /// A set whose parts fit together.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if the number of pixels is not that of the labels' images, or a label has no class.
    pub fn new(shape: [usize; 3], pixels: Vec<u8>, labels: Vec<u32>, classes: Vec<String>) -> Result<Self, DataError> {
        let size = shape.iter().try_fold(1usize, |size, &side| size.checked_mul(side));
        let wanted = size.and_then(|size| size.checked_mul(labels.len()));
        if wanted != Some(pixels.len()) {
            let (got, count) = (pixels.len(), labels.len());
            return Err(DataError::Invalid(format!("{got} pixels are not {count} images of shape {shape:?}, one for each label")));
        }
        if let Some(at) = labels.iter().position(|&label| label as usize >= classes.len()) {
            let (label, known) = (labels[at], classes.len());
            return Err(DataError::Invalid(format!("image {at} has label {label}, but there are {known} classes, counted from 0")));
        }
        Ok(Self { shape, pixels, labels, classes })
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The pixels of one image, `[C, H, W]`.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn image(&self, index: usize) -> &[u8] {
        let size: usize = self.shape.iter().product();
        &self.pixels[index * size..(index + 1) * size]
    }

    /// The class of one image.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn label(&self, index: usize) -> usize {
        self.labels[index] as usize
    }

    /// How many images each class has.
    pub fn count_by_class(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        self.labels.iter().for_each(|&label| counts[label as usize] += 1);
        counts
    }

    /// The images at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    pub fn subset(&self, indices: &[usize]) -> Self {
        let mut pixels = Vec::with_capacity(indices.len() * self.shape.iter().product::<usize>());
        indices.iter().for_each(|&i| pixels.extend_from_slice(self.image(i)));
        let labels = indices.iter().map(|&i| self.labels[i]).collect();
        Self { shape: self.shape, pixels, labels, classes: self.classes.clone() }
    }

    /// Splits `count` images off, in proportion to the classes: of each class the end of a seeded shuffle.
    ///
    /// Returns (the rest, the held out), both in the order of `self`. Shares are rounded by largest remainder, so that the held-out
    /// set has exactly `count` images; a `count` above [`len`](Self::len) holds all out.
    pub fn hold_out(&self, count: usize, seed: u64) -> (Self, Self) {
        let sizes = self.count_by_class();
        let shares = shares(&sizes, count.min(self.len()));
        let mut held = vec![false; self.len()];
        for (class, &share) in shares.iter().enumerate() {
            let mut members: Vec<usize> = (0..self.len()).filter(|&i| self.label(i) == class).collect();
            Stream::new(Purpose::HoldOut, &[seed, class as u64]).shuffle(&mut members);
            members[sizes[class] - share..].iter().for_each(|&i| held[i] = true);
        }
        let (out, rest): (Vec<usize>, Vec<usize>) = (0..self.len()).partition(|&i| held[i]);
        (self.subset(&rest), self.subset(&out))
    }
}

/// `total` in proportion to `sizes`, by largest remainder; at most `sizes` each, since `total` is at most their sum.
fn shares(sizes: &[usize], total: usize) -> Vec<usize> {
    let whole = sizes.iter().sum::<usize>().max(1) as u128;
    let exact = |i: usize| sizes[i] as u128 * total as u128;
    let mut shares: Vec<usize> = (0..sizes.len()).map(|i| (exact(i) / whole) as usize).collect();
    let mut by_remainder: Vec<usize> = (0..sizes.len()).collect();
    by_remainder.sort_by_key(|&i| (std::cmp::Reverse(exact(i) % whole), i));
    let left = total - shares.iter().sum::<usize>();
    by_remainder[..left].iter().for_each(|&i| shares[i] += 1);
    shares
}

/// One augmented image with its label.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// `[C, H, W]`, in `[0, 1]`.
    pub pixels: Vec<f32>,
    /// The class.
    pub label: usize,
    /// Which image of the set it was.
    pub index: usize,
}

/// An [`ImageSet`] as a loader's source: each image augmented by (seed, epoch, index).
#[derive(Debug, Clone)]
pub struct ImageDataset {
    images: ImageSet,
    augment: Augment,
    seed: u64,
}

impl ImageDataset {
    /// Images with their augmentation; [`Augment::default`] changes nothing.
    ///
    /// # Errors
    /// [`DataError::Invalid`] for an augmentation out of range.
    pub fn new(images: ImageSet, augment: Augment, seed: u64) -> Result<Self, DataError> {
        augment.check()?;
        Ok(Self { images, augment, seed })
    }

    /// The images.
    pub fn images(&self) -> &ImageSet {
        &self.images
    }
}

impl Dataset for ImageDataset {
    type Item = Example;

    fn len(&self) -> usize {
        self.images.len()
    }

    fn get(&self, epoch: u64, index: usize) -> Result<Example, DataError> {
        let mut pixels = vec![0f32; self.images.shape.iter().product()];
        self.augment.apply(self.seed, epoch, index as u64, self.images.image(index), self.images.shape, &mut pixels);
        Ok(Example { pixels, label: self.images.label(index), index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2×1 images whose pixels tell their index; class sizes 50, 30, 17, 3.
    fn set() -> ImageSet {
        let labels: Vec<u32> = (0..100).map(|i| [0, 0, 0, 0, 0, 1, 1, 1, 2, 2][i % 10]).collect();
        let labels: Vec<u32> = labels.into_iter().enumerate().map(|(i, label)| if i % 33 == 9 { 3 } else { label }).collect();
        let pixels = (0..100u8).flat_map(|i| [i, 255 - i]).collect();
        ImageSet::new([1, 2, 1], pixels, labels, ["a", "b", "c", "d"].map(String::from).to_vec()).unwrap()
    }

    #[test]
    fn hold_out_keeps_the_shares_of_the_classes() {
        let set = set();
        let sizes = set.count_by_class();
        for count in [0, 1, 10, 33, 99, 100] {
            let (rest, held) = set.hold_out(count, 0);
            assert_eq!((rest.len(), held.len()), (100 - count, count));
            for (class, &size) in sizes.iter().enumerate() {
                let exact = size as f64 * count as f64 / 100.0;
                assert!((held.count_by_class()[class] as f64 - exact).abs() < 1.0, "class {class}, {count} held out");
            }
            let mut seen: Vec<u8> = rest.pixels.iter().chain(&held.pixels).copied().step_by(2).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..100).collect::<Vec<u8>>(), "every image is in exactly one part");
        }
    }

    #[test]
    fn hold_out_follows_the_seed_and_mixes() {
        let set = set();
        assert_eq!(set.hold_out(20, 7), set.hold_out(20, 7));
        assert_ne!(set.hold_out(20, 7).1, set.hold_out(20, 8).1);
        assert_eq!(set.hold_out(1_000, 0).1.len(), 100);
        // Not simply the last of each class.
        let held = set.hold_out(20, 0).1;
        assert!(held.pixels.iter().step_by(2).any(|&i| i < 50));
    }

    /// Held out once, held out always: these are what the same algorithm in Python holds out.
    #[test]
    fn the_held_out_are_pinned() {
        let held: Vec<u8> = set().hold_out(10, 0).1.pixels.iter().step_by(2).copied().collect();
        assert_eq!(held, [6, 12, 20, 31, 37, 39, 68, 83, 90, 97]);
    }

    #[test]
    fn a_subset_keeps_images_with_their_labels() {
        let set = set();
        let part = set.subset(&[42, 3]);
        assert_eq!((part.image(0), part.image(1)), (&[42, 213][..], &[3, 252][..]));
        assert_eq!((part.label(0), part.label(1)), (set.label(42), set.label(3)));
        assert!(set.subset(&[]).is_empty());
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let classes = vec!["a".to_string()];
        assert!(ImageSet::new([1, 2, 2], vec![0; 7], vec![0, 0], classes.clone()).is_err());
        assert!(ImageSet::new([1, usize::MAX, 2], vec![], vec![0, 0], classes.clone()).is_err());
        let error = ImageSet::new([1, 1, 1], vec![0; 3], vec![0, 0, 1], classes).unwrap_err().to_string();
        assert!(error.contains("image 2 has label 1"), "{error}");
    }

    #[test]
    fn splits_have_names() {
        for split in [Split::Train, Split::Valid, Split::Test] {
            assert_eq!(split.to_string().parse::<Split>().unwrap(), split);
        }
        assert!("tset".parse::<Split>().unwrap_err().to_string().contains("train, valid or test"));
    }

    #[test]
    fn an_image_dataset_gives_pixels_over_255() {
        let dataset = ImageDataset::new(set(), Augment::default(), 0).unwrap();
        let example = dataset.get(3, 51).unwrap();
        assert_eq!(example.pixels, [51.0 / 255.0, 204.0 / 255.0]);
        assert_eq!((example.label, example.index), (0, 51));
        assert!(ImageDataset::new(set(), Augment { erase: 2.0, ..Augment::default() }, 0).is_err());
    }
}
