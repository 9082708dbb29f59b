//! Class folders of pictures: `DIR/CLASS/*.png`, classes and files in the order of their names.

use crate::{
    DataError, ImageSet, Split,
    picture::{self, Colour},
};
use std::path::{Path, PathBuf};

/// How pictures become images of one shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderOptions {
    /// Channels.
    pub colour: Colour,
    /// Height and width to resize to; without it all pictures must have one size.
    pub size: Option<[usize; 2]>,
}

/// The pictures of a folder, unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The names of the class folders.
    pub classes: Vec<String>,
    /// Each file with its class.
    pub files: Vec<(PathBuf, u32)>,
}

const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "ppm", "pgm", "pnm"];

/// The class folders of `folder` and the pictures in them. Hidden entries and other files are passed over.
///
/// # Errors
/// [`DataError`] for a folder that cannot be read, has no class folder, or has a class without a picture.
pub fn list(folder: &Path) -> Result<Listing, DataError> {
    let mut listing = Listing { classes: Vec::new(), files: Vec::new() };
    for path in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let class = listing.classes.len() as u32;
        let pictures = entries(&path)?.into_iter().filter(|path| path.is_file() && is_picture(path));
        let before = listing.files.len();
        listing.files.extend(pictures.map(|path| (path, class)));
        if listing.files.len() == before {
            let what = format!("a picture ({})", ENDINGS.join(", "));
            return Err(DataError::Missing { what, fix: "put the pictures of this class here, or remove the folder".into(), folder: path });
        }
        listing.classes.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
    }
    if listing.classes.is_empty() {
        let fix = "a folder of images has one folder a class, with pictures in it: CLASS/NAME.png";
        return Err(DataError::Missing { what: "a class folder".into(), fix: fix.into(), folder: folder.into() });
    }
    Ok(listing)
}

/// All pictures of a folder with class folders.
///
/// # Errors
/// As [`list`] and [`picture::read`], and for a picture of another size where none was asked for.
pub fn read(folder: &Path, options: FolderOptions) -> Result<ImageSet, DataError> {
    let listing = list(folder)?;
    let mut set = ImageSet { shape: [0; 3], pixels: Vec::new(), labels: Vec::new(), classes: listing.classes };
    for (path, label) in listing.files {
        let picture = picture::read(&path, options.colour, options.size)?;
        if set.is_empty() {
            set.shape = picture.shape;
        } else if set.shape != picture.shape {
            let ([_, h, w], [_, first_h, first_w]) = (picture.shape, set.shape);
            let why = format!("it is {h}x{w}, the first one {first_h}x{first_w} (height x width); give a size to resize all to");
            return Err(DataError::damaged("image", &path, why));
        }
        let room = set.pixels.try_reserve(picture.pixels.len());
        room.map_err(|_| DataError::damaged("image", &path, "no memory for more pictures; give a smaller size"))?;
        set.pixels.extend(picture.pixels);
        set.labels.push(label);
    }
    Ok(set)
}

/// One split of a folder.
///
/// A folder with `train/` in it has its splits in folders: `train/CLASS/…`, and `valid/` and `test/` where they exist. One with class
/// folders alone is all training data. Where there is no `valid/`, a tenth of the training pictures is held out, by class, with seed 0.
///
/// # Errors
/// As [`read`], and for a test split that is not there.
pub fn read_split(folder: &Path, split: Split, options: FolderOptions) -> Result<ImageSet, DataError> {
    let part = |split: Split| folder.join(split.to_string());
    let train = if part(Split::Train).is_dir() { part(Split::Train) } else { folder.to_path_buf() };
    let divided = train != folder;
    match split {
        Split::Test if divided && part(split).is_dir() => like_train(read(&part(split), options)?, &train, &part(split)),
        Split::Test => {
            let source_name = folder.display().to_string();
            Err(DataError::NoSplit { source_name, split, fix: "put test pictures in its folder test/CLASS, beside train/CLASS".into() })
        }
        Split::Valid if divided && part(split).is_dir() => like_train(read(&part(split), options)?, &train, &part(split)),
        Split::Train if divided && part(Split::Valid).is_dir() => read(&train, options),
        Split::Train | Split::Valid => {
            let all = read(&train, options)?;
            let (rest, held) = all.hold_out(all.len() / 10, 0);
            Ok(if split == Split::Train { rest } else { held })
        }
    }
}

/// Renumbers the classes of `set` as the training folder has them.
fn like_train(mut set: ImageSet, train: &Path, part: &Path) -> Result<ImageSet, DataError> {
    let classes = list(train)?.classes;
    let numbers = set.classes.iter().map(|class| {
        classes.iter().position(|known| known == class).map(|number| number as u32).ok_or_else(|| DataError::Missing {
            what: format!("class `{class}` of {}", part.display()),
            fix: "training needs a folder for every class".into(),
            folder: train.into(),
        })
    });
    let numbers = numbers.collect::<Result<Vec<u32>, _>>()?;
    set.labels.iter_mut().for_each(|label| *label = numbers[*label as usize]);
    set.classes = classes;
    Ok(set)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let read = std::fs::read_dir(folder).map_err(DataError::io("list", folder))?;
    let paths = read.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    let mut paths = paths.map_err(DataError::io("list", folder))?;
    paths.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
    paths.sort();
    Ok(paths)
}

fn is_picture(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma};

    const GREY: FolderOptions = FolderOptions { colour: Colour::Grey, size: None };

    fn put(folder: &Path, name: &str, side: u32, value: u8) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        GrayImage::from_pixel(side, side, Luma([value])).save(path).unwrap();
    }

    #[test]
    fn classes_and_files_come_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in [("dog/b.png", 4), ("dog/a.PGM", 3), ("cat/2.png", 2), ("cat/10.png", 1), (".hidden/x.png", 9)] {
            put(folder.path(), name, 3, value);
        }
        std::fs::write(folder.path().join("cat/notes.txt"), "not a picture").unwrap();
        std::fs::write(folder.path().join("README"), "not a class").unwrap();
        let set = read(folder.path(), GREY).unwrap();
        assert_eq!(set.classes, ["cat", "dog"]);
        assert_eq!((set.shape, set.labels.clone()), ([1, 3, 3], vec![0, 0, 1, 1]));
        assert_eq!((0..4).map(|i| set.image(i)[0]).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    #[test]
    fn another_size_is_named_or_resized() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "a/1.png", 4, 7);
        put(folder.path(), "b/2.png", 6, 8);
        let error = read(folder.path(), GREY).unwrap_err().to_string();
        assert!(error.contains("it is 6x6, the first one 4x4") && error.contains("2.png"), "{error}");
        let set = read(folder.path(), FolderOptions { colour: Colour::Rgb, size: Some([5, 2]) }).unwrap();
        assert_eq!((set.shape, set.len()), ([3, 5, 2], 2));
    }

    #[test]
    fn empty_folders_say_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let error = list(folder.path()).unwrap_err().to_string();
        assert!(error.starts_with("a class folder is missing"), "{error}");
        std::fs::create_dir(folder.path().join("cat")).unwrap();
        let error = list(folder.path()).unwrap_err().to_string();
        assert!(error.starts_with("a picture") && error.ends_with("cat"), "{error}");
        assert!(list(&folder.path().join("none")).unwrap_err().to_string().starts_with("cannot list"));
    }

    #[test]
    fn a_damaged_picture_is_named() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "a/1.png", 4, 7);
        std::fs::write(folder.path().join("a/2.png"), b"\x89PNG\r\n\x1a\n broken").unwrap();
        let error = read(folder.path(), GREY).unwrap_err().to_string();
        assert!(error.starts_with("not a readable image file") && error.ends_with("2.png"), "{error}");
    }

    #[test]
    fn splits_are_folders_or_a_tenth_is_held_out() {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..20u8 {
            put(folder.path(), &format!("train/a/{i:02}.png"), 2, i);
            put(folder.path(), &format!("train/b/{i:02}.png"), 2, 100 + i);
        }
        let [train, valid] = [Split::Train, Split::Valid].map(|split| read_split(folder.path(), split, GREY).unwrap());
        assert_eq!((train.count_by_class(), valid.count_by_class()), (vec![18, 18], vec![2, 2]));
        let error = read_split(folder.path(), Split::Test, GREY).unwrap_err().to_string();
        assert!(error.contains("has no test split"), "{error}");

        // A split without class `a` keeps the numbers of the training classes.
        put(folder.path(), "test/b/1.png", 2, 7);
        put(folder.path(), "valid/b/1.png", 2, 8);
        let test = read_split(folder.path(), Split::Test, GREY).unwrap();
        assert_eq!((test.labels, test.classes), (vec![1], vec!["a".to_string(), "b".to_string()]));
        assert_eq!(read_split(folder.path(), Split::Train, GREY).unwrap().len(), 40);
        put(folder.path(), "test/c/1.png", 2, 7);
        let error = read_split(folder.path(), Split::Test, GREY).unwrap_err().to_string();
        assert!(error.starts_with("class `c`"), "{error}");

        let plain = read_split(&folder.path().join("train"), Split::Train, GREY).unwrap();
        assert_eq!(plain, train);
    }
}
