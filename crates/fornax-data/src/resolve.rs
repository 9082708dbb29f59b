use crate::{Content, DataError, DataSet, ImageSet, PairSet, Readers, SentenceSet, SeriesSet, Signal, SoundSet, Split, TextPairs, sentences};
use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Where a data set was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The folder that the caller named.
    Given(PathBuf),
    /// `$FORNAX_DATA/NAME`.
    Environment(PathBuf),
    /// Where `fornax data fetch` put it.
    Cache(PathBuf),
    /// Inside this crate.
    Embedded,
}

/// A data set that has been found.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Where.
    pub source: Source,
    set: DataSet,
    /// What the cache has of a set that is not all there.
    partly: String,
}

/// Looks for a data set: `folder`, then `$FORNAX_DATA/NAME`, then the cache, then what this crate embeds.
///
/// # Errors
/// [`DataError`] if it is nowhere, with the command that fetches it, or if a folder that was named is not one.
pub fn resolve(set: &DataSet, folder: Option<&Path>) -> Result<Resolved, DataError> {
    let environment = env::var_os("FORNAX_DATA").filter(|value| !value.is_empty()).map(PathBuf::from);
    resolve_in(set, folder, environment.as_deref(), cache_folder(set.name).ok().as_deref())
}

fn resolve_in(set: &DataSet, folder: Option<&Path>, environment: Option<&Path>, cache: Option<&Path>) -> Result<Resolved, DataError> {
    let found = |source: Source, partly: String| Ok(Resolved { source, set: *set, partly });
    if let Some(folder) = folder {
        if folder.is_file() && matches!(set.content, Content::Sentences(_)) {
            return found(Source::Given(folder.into()), String::new());
        }
        check_folder(folder, format!("the folder of {}", set.title), "give an existing folder with --data DIR")?;
        return found(Source::Given(folder.into()), String::new());
    }
    if let Some(root) = environment {
        check_folder(root, "the folder that FORNAX_DATA names".into(), "set FORNAX_DATA to an existing folder, or unset it")?;
        let folder = root.join(set.name);
        if folder.is_dir() {
            return found(Source::Environment(folder), String::new());
        }
    }
    let mut partly = String::new();
    // What has no files to fetch is never in the cache.
    if let Some(folder) = cache.filter(|folder| folder.is_dir() && !set.files.is_empty()) {
        let missing = set.missing(folder);
        if missing.is_empty() {
            return found(Source::Cache(folder.into()), partly);
        }
        if missing.len() < set.files.len() {
            partly = format!(" (the cache lacks {} of its {} files)", missing.len(), set.files.len());
        }
    }
    if set.embedded.is_some() {
        return found(Source::Embedded, partly);
    }
    Err(nowhere(set, partly))
}

fn nowhere(set: &DataSet, detail: String) -> DataError {
    match set.files {
        [] => DataError::GetItYourself { name: set.name, home: set.home },
        _ => DataError::NotHere { name: set.name, detail },
    }
}

fn check_folder(folder: &Path, what: String, fix: &str) -> Result<(), DataError> {
    if folder.is_dir() {
        return Ok(());
    }
    let what = if folder.exists() { format!("{what} is a file, a folder") } else { what };
    Err(DataError::Missing { what, fix: fix.into(), folder: folder.into() })
}

impl Resolved {
    /// Reads one split of images.
    ///
    /// # Errors
    /// [`DataError`] for files that are missing or damaged, for a split that this source does not have, and for a set of something else.
    pub fn load(&self, split: Split) -> Result<ImageSet, DataError> {
        match &self.set.content {
            Content::Images(readers) => self.read(readers, split),
            other => Err(self.holds(other, "images")),
        }
    }

    /// Reads one split of series.
    ///
    /// # Errors
    /// As [`Resolved::load`].
    pub fn load_series(&self, split: Split) -> Result<SeriesSet, DataError> {
        match &self.set.content {
            Content::Series(readers) => self.read(readers, split),
            other => Err(self.holds(other, "series")),
        }
    }

    /// Reads one split of recordings.
    ///
    /// # Errors
    /// As [`Resolved::load`].
    pub fn load_sounds(&self, split: Split) -> Result<SoundSet, DataError> {
        match &self.set.content {
            Content::Sounds(readers) => self.read(readers, split),
            other => Err(self.holds(other, "recordings")),
        }
    }

    /// Reads one split of pairs.
    ///
    /// # Errors
    /// As [`Resolved::load`].
    pub fn load_pairs(&self, split: Split) -> Result<PairSet, DataError> {
        match &self.set.content {
            Content::Pairs(readers) => self.read(readers, split),
            other => Err(self.holds(other, "pairs")),
        }
    }

    /// Reads one split of translations.
    ///
    /// # Errors
    /// As [`Resolved::load`].
    pub fn load_translations(&self, split: Split) -> Result<TextPairs, DataError> {
        match &self.set.content {
            Content::Translations(readers) => self.read(readers, split),
            other => Err(self.holds(other, "translations")),
        }
    }

    /// Reads a signal to the end of one split.
    ///
    /// # Errors
    /// As [`Resolved::load`].
    pub fn load_signal(&self, split: Split) -> Result<Signal, DataError> {
        match &self.set.content {
            Content::Signal(readers) => self.read(readers, split),
            other => Err(self.holds(other, "signals")),
        }
    }

    /// Reads one split of sentences; of those that are in no split, fold `fold` of `folds` tests ([`SentenceSet::part`]).
    ///
    /// # Errors
    /// As [`Resolved::load`].
    pub fn load_sentences(&self, split: Split, fold: usize, folds: usize) -> Result<SentenceSet, DataError> {
        match (&self.set.content, self.path()) {
            (Content::Sentences(_), Some(folder)) => sentences::Files::find(folder)?.load(split, fold, folds),
            (Content::Sentences(Some(embedded)), None) => Ok(embedded()?.part(fold, folds, split)),
            (Content::Sentences(None), None) => Err(nowhere(&self.set, String::new())),
            (other, _) => Err(self.holds(other, "sentences")),
        }
    }

    /// Reads one split of a text.
    ///
    /// # Errors
    /// As [`Resolved::load`].
    pub fn load_text(&self, split: Split) -> Result<String, DataError> {
        match &self.set.content {
            Content::Text(readers) => self.read(readers, split),
            other => Err(self.holds(other, "text")),
        }
    }

    fn read<T>(&self, readers: &Readers<T>, split: Split) -> Result<T, DataError> {
        match (self.path(), readers.embedded) {
            (Some(folder), _) => (readers.folder)(folder, split),
            (None, Some(embedded)) => embedded(split),
            (None, None) => Err(nowhere(&self.set, String::new())),
        }
    }

    fn holds(&self, content: &Content, wanted: &str) -> DataError {
        let DataSet { title, name, .. } = self.set;
        DataError::Invalid(format!("{title} holds {}, not {wanted}: choose another data set than `{name}`, or a model for it", content.name()))
    }

    /// One line for the user: what is read, from where.
    pub fn describe(&self) -> String {
        let title = self.set.title;
        match (&self.source, self.set.embedded) {
            (Source::Given(folder), _) => format!("{title} from {}", folder.display()),
            (Source::Environment(folder), _) => format!("{title} from {} (FORNAX_DATA)", folder.display()),
            (Source::Cache(folder), _) => format!("{title} from {} (the cache)", folder.display()),
            (Source::Embedded, Some(whole)) if self.set.files.is_empty() => whole.to_string(),
            (Source::Embedded, embedded) => {
                let about = embedded.unwrap_or("what comes with Fornax");
                let (partly, name, all) = (&self.partly, self.set.name, thousands(self.set.size));
                format!("{title}'s full files are not at hand{partly}: using {about}; `fornax data fetch {name}` gets all {all}")
            }
        }
    }

    /// The folder, unless the data is embedded.
    pub fn path(&self) -> Option<&Path> {
        match &self.source {
            Source::Given(folder) | Source::Environment(folder) | Source::Cache(folder) => Some(folder),
            Source::Embedded => None,
        }
    }

    /// The data set.
    pub fn set(&self) -> &DataSet {
        &self.set
    }
}

/// Where the cache has a data set: `$FORNAX_CACHE/NAME`, else `$XDG_CACHE_HOME/fornax/NAME`, else `~/.cache/fornax/NAME`.
///
/// # Errors
/// [`DataError::Invalid`] where neither of the variables nor a home folder is set.
pub fn cache_folder(name: &str) -> Result<PathBuf, DataError> {
    let home = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    cache_root(env::var_os("FORNAX_CACHE"), env::var_os("XDG_CACHE_HOME"), env::var_os(home)).map(|root| root.join(name))
}

fn cache_root(fornax: Option<OsString>, xdg: Option<OsString>, home: Option<OsString>) -> Result<PathBuf, DataError> {
    let set = |value: Option<OsString>| value.filter(|value| !value.is_empty()).map(PathBuf::from);
    // XDG's rules: a relative path is to be ignored.
    let xdg = || set(xdg).filter(|path| path.is_absolute()).map(|path| path.join("fornax"));
    let home = || set(home).map(|path| path.join(".cache").join("fornax"));
    set(fornax)
        .or_else(xdg)
        .or_else(home)
        .ok_or_else(|| DataError::Invalid("no folder for the cache: set FORNAX_CACHE to one, since no home folder is known".into()))
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FASHION_MNIST, FSDD, JAPANESE_VOWELS, MNIST};

    fn put(folder: &Path, set: &DataSet, count: usize) {
        std::fs::create_dir_all(folder).unwrap();
        set.files[..count].iter().for_each(|file| std::fs::write(folder.join(file.name), "x").unwrap());
    }

    #[test]
    fn the_order_is_given_environment_cache_embedded() {
        let root = tempfile::tempdir().unwrap();
        let [given, environment, cache] = ["given", "environment", "cache"].map(|name| root.path().join(name));
        for folder in [&given, &environment, &cache] {
            std::fs::create_dir(folder).unwrap();
        }
        let find = |given: Option<&Path>| resolve_in(&MNIST, given, Some(&environment), Some(&cache)).unwrap();
        assert_eq!(find(None).source, Source::Embedded);
        put(&cache, &MNIST, 4);
        assert_eq!(find(None).source, Source::Cache(cache.clone()));
        put(&environment.join("mnist"), &MNIST, 4);
        assert_eq!(find(None).source, Source::Environment(environment.join("mnist")));
        let found = find(Some(&given));
        assert_eq!((found.source.clone(), found.path()), (Source::Given(given.clone()), Some(&*given)));
        assert_eq!(found.describe(), format!("MNIST from {}", given.display()));
        // What was named is read, and nothing else in its place.
        assert!(found.load(Split::Train).unwrap_err().to_string().contains("train-images-idx3-ubyte.gz is missing"));
    }

    #[test]
    fn the_embedded_digits_say_what_they_are() {
        let found = resolve_in(&MNIST, None, None, None).unwrap();
        assert_eq!(
            found.describe(),
            "MNIST's full files are not at hand: using the 10,000 digits that come with Fornax (9,000 train, 1,000 valid); \
             `fornax data fetch mnist` gets all 70,000"
        );
        assert_eq!((found.path(), found.load(Split::Valid).unwrap().len(), found.set().name), (None, 1000, "mnist"));
    }

    #[test]
    fn what_comes_as_a_whole_is_not_looked_for_in_the_cache() {
        let root = tempfile::tempdir().unwrap();
        let found = resolve_in(&JAPANESE_VOWELS, None, None, Some(root.path())).unwrap();
        assert_eq!((&found.source, found.load_series(Split::Train).unwrap().len()), (&Source::Embedded, 270));
        assert_eq!(found.describe(), "JapaneseVowels, which comes with Fornax as a whole (270 train, 370 test)");
        let error = found.load(Split::Train).unwrap_err().to_string();
        assert!(error.starts_with("JapaneseVowels holds series, not images"), "{error}");
        let error = resolve_in(&MNIST, None, None, None).unwrap().load_series(Split::Train).unwrap_err().to_string();
        assert!(error.starts_with("MNIST holds images, not series"), "{error}");
        let error = crate::fetch_into(&JAPANESE_VOWELS, root.path(), None, &mut |_, _, _| {}).unwrap_err().to_string();
        assert!(error.starts_with("JapaneseVowels has nothing to fetch"), "{error}");
    }

    #[test]
    fn half_a_cache_is_not_used_and_said() {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), &MNIST, 3);
        let found = resolve_in(&MNIST, None, None, Some(root.path())).unwrap();
        assert_eq!(found.source, Source::Embedded);
        assert!(found.describe().contains("not at hand (the cache lacks 1 of its 4 files): using"), "{}", found.describe());
        put(root.path(), &FASHION_MNIST, 1);
        std::fs::remove_file(root.path().join(FASHION_MNIST.files[1].name)).unwrap();
        let error = resolve_in(&FASHION_MNIST, None, None, Some(root.path())).unwrap_err().to_string();
        assert!(error.contains("the cache lacks 2 of its 4 files") && error.contains("fornax data fetch fashion-mnist"), "{error}");
    }

    #[test]
    fn nowhere_says_which_command_fetches_it() {
        let error = resolve_in(&FASHION_MNIST, None, None, None).unwrap_err().to_string();
        assert!(error.starts_with("fashion-mnist is not on this machine; `fornax data fetch fashion-mnist` downloads it"), "{error}");
    }

    #[test]
    fn what_nobody_can_fetch_says_where_to_get_it() {
        let error = resolve_in(&FSDD, None, None, None).unwrap_err().to_string();
        let says =
            "fsdd is not on this machine; get it from https://github.com/Jakobovski/free-spoken-digit-dataset and give its folder with --data DIR";
        assert_eq!(error, says);
    }

    #[test]
    fn folders_that_are_not_there_are_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for folder in [Path::new("/nowhere/at/all"), file.path()] {
            for error in [resolve_in(&MNIST, Some(folder), None, None), resolve_in(&MNIST, None, Some(folder), None)] {
                let error = error.unwrap_err().to_string();
                assert!(error.ends_with(&folder.display().to_string()) && error.contains("existing folder"), "{error}");
            }
        }
    }

    #[test]
    fn the_cache_follows_its_variables() {
        let root = |a: &str, b: &str, c: &str| cache_root(Some(a.into()), Some(b.into()), Some(c.into())).map(|path| path.display().to_string());
        assert_eq!(root("/f", "/x", "/h").unwrap(), "/f");
        assert_eq!(root("", "/x", "/h").unwrap(), "/x/fornax");
        assert_eq!(root("", "relative", "/h").unwrap(), "/h/.cache/fornax");
        assert!(cache_root(None, None, None).unwrap_err().to_string().contains("FORNAX_CACHE"));
    }

    #[test]
    fn thousands_are_marked() {
        assert_eq!([7, 999, 1000, 70_000, 1_234_567].map(thousands), ["7", "999", "1,000", "70,000", "1,234,567"]);
    }
}
