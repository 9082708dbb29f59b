use crate::{DataError, DataSet, RemoteFile, resolve::cache_folder};
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};
use ureq::{Agent, Body, http::Response};

/// Tries in a row that bring nothing new before a download is given up.
const TRIES: u32 = 4;
/// What makes a try worth another: below this, a server that sends a byte a time would be asked for ever.
const WORTH: u64 = 1 << 16;

/// Brings all files of a data set into the cache, and returns their folder.
///
/// Files that are there and whole are kept. A download goes to `NAME.partial` and is resumed by the next run; it gets its name once its
/// SHA-256 is right. With `from` (a folder, or one file), copies of the caller are verified and taken in its place; they may be unpacked,
/// or packed by another program, since the hash of their content counts. `progress` hears file, bytes so far, and bytes in all.
///
/// # Errors
/// [`DataError`] that names the address or file, what happened, and what to do.
pub fn fetch(set: &DataSet, from: Option<&Path>, progress: &mut dyn FnMut(&str, u64, Option<u64>)) -> Result<PathBuf, DataError> {
    let folder = cache_folder(set.name)?;
    fetch_into(set, &folder, from, progress)?;
    Ok(folder)
}

/// [`fetch`] into a folder of the caller's choice.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_into(set: &DataSet, folder: &Path, from: Option<&Path>, progress: &mut dyn FnMut(&str, u64, Option<u64>)) -> Result<(), DataError> {
    if set.files.is_empty() {
        let place = set
            .embedded
            .map_or_else(|| format!("get it from {} and give its folder with --data DIR", set.home), |_| "it comes with Fornax as a whole".into());
        return Err(DataError::Invalid(format!("{} has nothing to fetch: {place}", set.title)));
    }
    fs::create_dir_all(folder).map_err(DataError::io("make the folder for the data", folder))?;
    match from {
        None => set.files.iter().try_for_each(|file| download(file, folder, progress)),
        Some(from) if from.is_dir() => {
            // All are looked for before the first is copied.
            let found = set.files.iter().map(|file| {
                let path = file.locate(from).ok_or_else(|| DataError::Missing {
                    what: file.name.into(),
                    fix: format!("--from takes a folder with all {} files of {}", set.files.len(), set.title),
                    folder: from.into(),
                })?;
                Ok((file, path))
            });
            let found = found.collect::<Result<Vec<_>, DataError>>()?;
            found.into_iter().try_for_each(|(file, path)| copy(file, &path, folder, progress))
        }
        Some(from) => {
            let known = set.files.iter().find(|file| from.parent().and_then(|parent| file.locate(parent)).as_deref() == Some(from));
            let file = known.ok_or_else(|| DataError::Missing {
                what: format!("a file of {} at this path", set.title),
                fix: format!("its files are {}", set.files.iter().map(|file| file.name).collect::<Vec<_>>().join(", ")),
                folder: from.into(),
            })?;
            copy(file, from, folder, progress)
        }
    }
}

/// Verifies a file of the user and copies it under the name it has.
fn copy(file: &RemoteFile, path: &Path, folder: &Path, progress: &mut dyn FnMut(&str, u64, Option<u64>)) -> Result<(), DataError> {
    let target = folder.join(path.file_name().unwrap_or_default());
    let [source, there] = [path, &target].map(|path| path.canonicalize().ok());
    let size = check(file, path, "--from takes the published files; get this one again")?;
    if source == there {
        progress(file.name, size, Some(size));
        return Ok(());
    }
    let partial = partial_name(&target);
    let copied = fs::copy(path, &partial).map_err(DataError::io("write", &partial)).and_then(|_| {
        // Once more: the copy is what will be read.
        check(file, &partial, "the copy differs; try again")?;
        File::open(&partial).and_then(|file| file.sync_all()).map_err(DataError::io("write", &partial))?;
        publish(&partial, &target)
    });
    if copied.is_err() {
        let _ = fs::remove_file(&partial);
    }
    copied?;
    progress(file.name, size, Some(size));
    Ok(())
}

/// The size of a file whose bytes, or whose content, are the published ones.
fn check(file: &RemoteFile, path: &Path, fix: &'static str) -> Result<u64, DataError> {
    let mut opened = File::open(path).map_err(DataError::io("open", path))?;
    let (hash, size) = sha256(&mut opened, u64::MAX).map_err(DataError::io("read", path))?;
    if hash == file.sha256 || hash == file.content_sha256 {
        return Ok(size);
    }
    opened.rewind().map_err(DataError::io("read", path))?;
    // A byte more than there should be is enough to tell.
    match sha256(&mut MultiGzDecoder::new(opened), file.content_bytes + 1) {
        Ok((content, _)) if content == file.content_sha256 => Ok(size),
        _ => Err(wrong_hash(file, path, hash, fix)),
    }
}

fn download(file: &RemoteFile, folder: &Path, progress: &mut dyn FnMut(&str, u64, Option<u64>)) -> Result<(), DataError> {
    if let Some(there) = file.locate(folder)
        && let Ok(size) = check(file, &there, "")
    {
        progress(file.name, size, Some(size));
        return Ok(());
    }
    let (target, partial) = (folder.join(file.name), partial_name(&folder.join(file.name)));
    let mut out = OpenOptions::new().create(true).append(true).read(true).open(&partial).map_err(DataError::io("write", &partial))?;
    // Two runs that append to one file would spoil it. Where the system knows no locks, the hash still tells.
    if matches!(out.try_lock(), Err(fs::TryLockError::WouldBlock)) {
        return Err(failed(file, "another run is downloading it".into(), "wait for it to end"));
    }
    let agent = agent(file.url);
    let mut tries = 0;
    loop {
        let before = size_of(&out, &partial)?;
        let outcome = if before < file.bytes { receive(&agent, file, &mut out, &partial, progress)? } else { Outcome::Whole };
        let after = size_of(&out, &partial)?;
        match outcome {
            Outcome::Whole => break,
            Outcome::Cut(_) if after >= before + WORTH => tries = 0,
            Outcome::Cut(_) if tries + 1 < TRIES => {
                std::thread::sleep(Duration::from_millis(250 << tries));
                tries += 1;
            }
            Outcome::Cut(why) => {
                let why = format!("{why}, {TRIES} times in a row; {after} of {} bytes are kept", file.bytes);
                return Err(failed(file, why, "run the command again to resume"));
            }
        }
    }
    out.seek(SeekFrom::Start(0)).map_err(DataError::io("read", &partial))?;
    let (hash, size) = sha256(&mut out, u64::MAX).map_err(DataError::io("read", &partial))?;
    if hash != file.sha256 {
        fs::remove_file(&partial).map_err(DataError::io("delete", &partial))?;
        let fix = "it was deleted; run the command again, or get the file yourself and give it with --from";
        return Err(wrong_hash(file, &partial, hash, fix));
    }
    out.sync_all().map_err(DataError::io("write", &partial))?;
    publish(&partial, &target)?;
    progress(file.name, size, Some(size));
    Ok(())
}

enum Outcome {
    Whole,
    /// Worth another try.
    Cut(String),
}

/// One request: appends what the partial file lacks.
fn receive(
    agent: &Agent,
    file: &RemoteFile,
    out: &mut File,
    partial: &Path,
    progress: &mut dyn FnMut(&str, u64, Option<u64>),
) -> Result<Outcome, DataError> {
    let mut have = size_of(out, partial)?;
    let mut request = agent.get(file.url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = match request.call() {
        Ok(response) => response,
        Err(error) => return Ok(Outcome::Cut(one_line(&error))),
    };
    match response.status().as_u16() {
        200 => {}
        206 if starts_at(&response) == Some(have) => {}
        // A server that resumes elsewhere, or has less than what is here: from the start.
        206 | 416 if have > 0 => {
            out.set_len(0).map_err(DataError::io("write", partial))?;
            return Ok(Outcome::Cut(format!("the server does not resume at byte {have}")));
        }
        status @ (408 | 425 | 429 | 500..=599) => return Ok(Outcome::Cut(format!("the server answers {status}"))),
        404 | 410 => {
            let fix = "get the files elsewhere and give their folder with --from DIR";
            return Err(failed(file, "the server does not have it (404)".into(), fix));
        }
        status => return Err(failed(file, format!("the server answers {status}"), "get the files yourself and give their folder with --from DIR")),
    }
    if response.status().as_u16() == 200 && have > 0 {
        out.set_len(0).map_err(DataError::io("write", partial))?;
        have = 0;
    }
    // A byte too many is enough to make the hash wrong; more need not be read.
    let mut body = response.into_body().into_with_config().limit(u64::MAX).reader().take(file.bytes + 1 - have);
    let mut buffer = vec![0u8; 1 << 16];
    progress(file.name, have, Some(file.bytes));
    loop {
        let got = match body.read(&mut buffer) {
            Ok(0) if have < file.bytes => return Ok(Outcome::Cut("the connection was cut".into())),
            Ok(0) => return Ok(Outcome::Whole),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Outcome::Cut(format!("the connection was cut ({})", one_line(&error)))),
        };
        out.write_all(&buffer[..got]).map_err(DataError::io("write", partial))?;
        have += got as u64;
        progress(file.name, have, Some(file.bytes));
    }
}

/// Where a partial answer says that it starts: `Content-Range: bytes 500-999/1000`.
fn starts_at(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get("Content-Range")?.to_str().ok()?;
    range.trim().strip_prefix("bytes")?.trim().split_once('-')?.0.parse().ok()
}

fn agent(url: &str) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_resolve(Some(Duration::from_secs(20)))
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        // A slow line is cut and resumed; a silent one is noticed.
        .timeout_recv_body(Some(Duration::from_secs(120)))
        .user_agent(concat!("fornax-data/", env!("CARGO_PKG_VERSION")));
    let local = ["http://127.0.0.1:", "http://localhost:"].iter().any(|host| url.starts_with(host));
    let config = if local { config.proxy(None) } else { config };
    config.build().new_agent()
}

fn publish(partial: &Path, target: &Path) -> Result<(), DataError> {
    fs::rename(partial, target).map_err(DataError::io("rename to its final name", partial))?;
    #[cfg(unix)]
    if let Some(folder) = target.parent() {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(DataError::io("write", folder))?;
    }
    Ok(())
}

fn partial_name(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn size_of(file: &File, path: &Path) -> Result<u64, DataError> {
    file.metadata().map(|meta| meta.len()).map_err(DataError::io("read", path))
}

/// SHA-256 in hexadecimal, and length, of at most `most` bytes.
fn sha256(reader: &mut dyn Read, most: u64) -> io::Result<(String, u64)> {
    let (mut hash, mut reader, mut buffer, mut size) = (Sha256::new(), reader.take(most), vec![0u8; 1 << 16], 0);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => {
                hash.update(&buffer[..got]);
                size += got as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok((hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), size))
}

fn failed(file: &RemoteFile, why: String, fix: &'static str) -> DataError {
    DataError::Download { url: file.url.into(), why, fix }
}

fn wrong_hash(file: &RemoteFile, path: &Path, found: String, fix: &'static str) -> DataError {
    DataError::WrongHash { name: file.name.into(), found, wanted: file.sha256.into(), fix, path: path.into() }
}

fn one_line(error: &dyn std::error::Error) -> String {
    error.to_string().replace(['\n', '\r'], " ")
}
