use super::{Content, DataSet, Readers};
use crate::{
    DataError, SoundSet, Split,
    audio::{Sound, read_wav, wav_from_bytes},
};
use flate2::read::MultiGzDecoder;
use std::{
    fs::File,
    io::{BufReader, Read},
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

/// Spoken digits, "zero" to "nine", by six speakers, fifty takes each, 8 kHz.
///
/// Takes 0 to 4 are the data set's own test split. Of the others, 5 to 9 validate here.
///
/// Source: Jackson et al., "Free spoken digit dataset", 2016 (<https://github.com/Jakobovski/free-spoken-digit-dataset>).
pub const FSDD: DataSet = DataSet {
    name: "fsdd",
    title: "the Free Spoken Digit Dataset",
    about: "digits spoken by six people, 8 kHz, 10 classes: 2,400 train, 300 valid, 300 test",
    licence: "CC BY-SA 4.0",
    size: 3_000,
    home: "https://github.com/Jakobovski/free-spoken-digit-dataset",
    files: &[],
    embedded: None,
    content: Content::Sounds(Readers { folder: load, embedded: None }),
};

/// No recording is larger: 16 MiB.
const MOST: u64 = 1 << 24;

fn takes(split: Split) -> RangeInclusive<u32> {
    match split {
        Split::Test => 0..=4,
        Split::Valid => 5..=9,
        Split::Train => 10..=49,
    }
}

/// `{digit}_{speaker}_{take}.wav`
fn parse(name: &str) -> Option<(u32, &str, u32)> {
    let (digit, rest) = name.strip_suffix(".wav")?.split_once('_')?;
    let (speaker, take) = rest.rsplit_once('_')?;
    Some((digit.parse().ok().filter(|digit| *digit < 10)?, speaker, take.parse().ok()?))
}

/// The recordings of a split: those in the folder, or in its `recordings`, or in the archives (`.tar`, `.tar.gz`) that lie in it.
fn load(folder: &Path, split: Split) -> Result<SoundSet, DataError> {
    let mut found: Vec<(String, Sound)> = vec![];
    for place in [folder.to_path_buf(), folder.join("recordings")].iter().filter(|place| place.is_dir()) {
        for path in files(place)? {
            let name = file_name(&path);
            if parse(&name).is_some_and(|(_, _, take)| takes(split).contains(&take)) {
                found.push((name, read_wav(&path)?));
            }
        }
    }
    if found.is_empty() {
        for path in files(folder)?.iter().filter(|path| [".tar", ".tar.gz", ".tgz"].iter().any(|end| file_name(path).ends_with(end))) {
            found.extend(unpack(path, split)?);
        }
    }
    if found.is_empty() {
        let (first, last) = (*takes(split).start(), *takes(split).end());
        let what = format!("the {split} split (takes {first} to {last}, `DIGIT_SPEAKER_TAKE.wav`)");
        return Err(DataError::Missing { what, fix: format!("its recordings are at {}", FSDD.home), folder: folder.into() });
    }
    // Neither folders nor archives have an order that can be relied on.
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    let parsed: Vec<(u32, &str, u32)> = found.iter().filter_map(|(name, _)| parse(name)).collect();
    let mut names: Vec<&str> = parsed.iter().map(|(_, speaker, _)| *speaker).collect();
    names.sort_unstable();
    names.dedup();
    let speakers = parsed.iter().map(|(_, speaker, _)| names.partition_point(|name| name < speaker) as u32).collect();
    let (labels, speaker_names) = (parsed.iter().map(|(digit, _, _)| *digit).collect(), names.iter().map(ToString::to_string).collect());
    let sounds = found.iter().map(|(_, sound)| sound.clone()).collect();
    SoundSet::new(sounds, labels, (0..10).map(|digit| digit.to_string()).collect(), speakers, speaker_names)
}

/// In the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let entries = std::fs::read_dir(folder).map_err(DataError::io("read", folder))?;
    let mut files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(DataError::io("read", folder))?;
    files.retain(|path| path.is_file());
    files.sort();
    Ok(files)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The recordings of a split that an archive holds; nothing of another split is decoded.
fn unpack(path: &Path, split: Split) -> Result<Vec<(String, Sound)>, DataError> {
    let damaged = |error: std::io::Error| DataError::damaged("tar", path, error.to_string());
    let file = BufReader::new(File::open(path).map_err(DataError::io("open", path))?);
    let plain: Box<dyn Read> = if file_name(path).ends_with(".tar") { Box::new(file) } else { Box::new(MultiGzDecoder::new(file)) };
    let mut archive = tar::Archive::new(plain);
    let mut found = vec![];
    for entry in archive.entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        let name = file_name(&entry.path().map_err(damaged)?);
        if entry.header().entry_type().is_file() && parse(&name).is_some_and(|(_, _, take)| takes(split).contains(&take)) {
            let mut bytes = vec![];
            entry.take(MOST).read_to_end(&mut bytes).map_err(damaged)?;
            found.push((name.clone(), wav_from_bytes(&path.join(name), &bytes)?));
        }
    }
    Ok(found)
}
