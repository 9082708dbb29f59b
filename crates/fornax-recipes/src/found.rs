//! Images by the name in the configuration: a published data set, or a folder of class folders.

use crate::{
    config::Config,
    error::{did_you_mean, usage},
};
use anyhow::{Context, Result};
use fornax_data::{DATA_SETS, ImageSet, Resolved, Split, folder, picture::Colour, resolve};
use std::path::{Path, PathBuf};

/// The name that stands for class folders given with --data.
pub(crate) const FOLDER: &str = "folder";

/// Where the images of a configuration are.
pub(crate) enum Found {
    Set(Resolved),
    Folder(PathBuf, folder::FolderOptions),
}

/// The name that stands for a text file given with --data.
pub(crate) const FILE: &str = "file";

/// Whether there are data of that name with `content` (`images`, `text`) in them.
pub(crate) fn check_name(name: &str, content: &str) -> Result<()> {
    let own = match content {
        "text" => FILE,
        "images" => FOLDER,
        _ => "",
    };
    let set = fornax_data::find(name);
    if (name == own && !own.is_empty()) || set.is_some_and(|set| set.content.name() == content) {
        return Ok(());
    }
    if let Some(set) = set {
        return Err(usage(format!("data.name: {} holds {}, but the model takes {content}", set.title, set.content.name())));
    }
    let names =
        DATA_SETS.iter().filter(|set| set.content.name() == content).map(|set| set.name).chain([own].into_iter().filter(|own| !own.is_empty()));
    Err(usage(format!("there is no data set `{name}`{}", did_you_mean(name, names))))
}

impl Found {
    pub(crate) fn of(config: &Config, given: Option<&Path>) -> Result<Self> {
        let name = &config.data.images().name;
        if name != FOLDER {
            let set = fornax_data::find(name).context("the name was checked before")?;
            return Ok(Self::Set(resolve(set, given)?));
        }
        let [channels, height, width] = config.model.image();
        let colour = if channels == 1 { Colour::Grey } else { Colour::Rgb };
        let given = given.ok_or_else(|| usage("data.name=folder needs --data DIR with one folder a class"))?;
        Ok(Self::Folder(given.into(), folder::FolderOptions { colour, size: Some([height, width]) }))
    }

    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Set(found) => found.describe(),
            Self::Folder(path, _) => format!("class folders from {}", path.display()),
        }
    }

    /// One split, with images and classes as the model takes them.
    pub(crate) fn load(&self, split: Split, config: &Config) -> Result<ImageSet> {
        let images = match self {
            Self::Set(found) => found.load(split)?,
            Self::Folder(path, options) => folder::read_split(path, split, *options)?,
        };
        let (shape, classes) = (config.model.image(), config.model.classes());
        anyhow::ensure!(
            images.shape == shape,
            "the images are {:?} (channels, height, width), the model takes {shape:?}; set model.image, or give other data",
            images.shape
        );
        anyhow::ensure!(
            images.classes.len() == classes,
            "the data have {} classes, the model {classes}; set model.classes={}",
            images.classes.len(),
            images.classes.len()
        );
        anyhow::ensure!(!images.is_empty(), "the {split} split has no image");
        let limit = config.data.images().limit;
        if split == Split::Train && limit > 0 {
            return Ok(images.subset(&(0..limit.min(images.len())).collect::<Vec<_>>()));
        }
        Ok(images)
    }
}
