//! Fetching, against a small HTTP server on this machine that cuts, lies and refuses.

use fornax_data::{Content, DataError, DataSet, Readers, RemoteFile, Split, fetch_into};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

const GZ: &[u8] = include_bytes!("../data/mnist-10k/valid-images-idx3-ubyte.gz");
const GZ_SHA256: &str = "43a1a1b555915f2cb30734b2cad5d00a84ba57e67b3be1a722c3d174cc8603e0";

/// Of the unpacked file.
const CONTENT_SHA256: &str = "f39a7680cab29ea2a5ed3f100c017c6a034e226341327af43aecbcff71cd9ab6";

/// How the server answers a request.
#[derive(Clone, Copy, PartialEq)]
enum Answer {
    /// The file, from where it is asked.
    Well,
    /// The same, but the connection is cut after so many bytes of the body.
    CutAfter(usize),
    /// All of it, whatever range is asked.
    IgnoresRange,
    /// A range that starts elsewhere.
    WrongRange,
    /// One byte is another.
    Altered,
    /// More than the file.
    Longer,
    Status(u16),
}

struct Server {
    url: String,
    requests: Arc<Mutex<Vec<Option<usize>>>>,
    stopped: Arc<AtomicBool>,
}

impl Server {
    /// Answers the n-th request by the n-th of `answers`, and all later ones by the last.
    fn new(answers: &'static [Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/digits.gz", listener.local_addr().unwrap());
        let (requests, stopped) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen, stop) = (requests.clone(), stopped.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(SeqCst) {
                    return;
                }
                let stream = stream.unwrap();
                let from = asked_from(&stream);
                let count = seen.lock().unwrap().len();
                seen.lock().unwrap().push(from);
                serve(stream, from, answers[count.min(answers.len() - 1)]);
            }
        });
        Self { url, requests, stopped }
    }

    /// The first byte that each request asked for.
    fn asked(&self) -> Vec<Option<usize>> {
        self.requests.lock().unwrap().clone()
    }

    fn set(&self) -> DataSet {
        let url: &'static str = self.url.clone().leak();
        let file =
            RemoteFile { name: "digits.gz", url, bytes: GZ.len() as u64, sha256: GZ_SHA256, content_bytes: 784_016, content_sha256: CONTENT_SHA256 };
        let folder = |_: &Path, split: Split| Err(DataError::NoSplit { source_name: "a file alone".into(), split, fix: "none".into() });
        let content = Content::Images(Readers { folder, embedded: None });
        DataSet { name: "digits", title: "Digits", about: "", licence: "", size: 1000, files: vec![file].leak(), home: "", embedded: None, content }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, SeqCst);
        // Wakes it.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://").trim_end_matches("/digits.gz"));
    }
}

/// Reads a request: the first byte of the range that it asks for.
fn asked_from(stream: &TcpStream) -> Option<usize> {
    let mut from = None;
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap().to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().ok();
        }
        if line.is_empty() {
            break;
        }
    }
    from
}

fn serve(mut stream: TcpStream, from: Option<usize>, answer: Answer) {
    let mut file = GZ.to_vec();
    let start = match answer {
        Answer::IgnoresRange => 0,
        Answer::WrongRange => from.map_or(0, |_| 5),
        _ => from.unwrap_or(0),
    };
    match answer {
        Answer::Altered => file[GZ.len() / 2] ^= 1,
        Answer::Longer => file.extend([0; 5000]),
        Answer::Status(status) => {
            let _ = write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return;
        }
        _ => {}
    }
    let (body, all) = (&file[start..], file.len());
    let range =
        if from.is_some() && answer != Answer::IgnoresRange { format!("Content-Range: bytes {start}-{}/{all}\r\n", all - 1) } else { String::new() };
    let status = if range.is_empty() { "200 OK" } else { "206 Partial Content" };
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{range}Connection: close\r\n\r\n", body.len());
    let most = if let Answer::CutAfter(bytes) = answer { bytes.min(body.len()) } else { body.len() };
    // The client may have hung up.
    let _ = stream.write_all(&body[..most]);
}

fn run(set: &DataSet, folder: &Path, from: Option<&Path>) -> Result<Vec<u64>, String> {
    let mut heard = Vec::new();
    fetch_into(set, folder, from, &mut |_, done, _| heard.push(done)).map_err(|error| error.to_string())?;
    Ok(heard)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_arrives_whole_and_is_not_fetched_again() {
    let (server, folder) = (Server::new(&[Answer::Well]), tempfile::tempdir().unwrap());
    let target = folder.path().join("deep/cache");
    let heard = run(&server.set(), &target, None).unwrap();
    assert_eq!(fs::read(target.join("digits.gz")).unwrap(), GZ);
    assert_eq!(names(&target), ["digits.gz"]);
    assert!(heard.is_sorted() && heard.last() == Some(&(GZ.len() as u64)));
    run(&server.set(), &target, None).unwrap();
    assert_eq!(server.asked(), [None]);
}

#[test]
fn cut_connections_are_resumed_within_a_run() {
    let (server, folder) = (Server::new(&[Answer::CutAfter(70_000), Answer::CutAfter(10), Answer::Well]), tempfile::tempdir().unwrap());
    run(&server.set(), folder.path(), None).unwrap();
    assert_eq!(fs::read(folder.path().join("digits.gz")).unwrap(), GZ);
    assert_eq!(server.asked(), [None, Some(70_000), Some(70_010)]);
}

#[test]
fn what_came_before_a_cut_is_kept_for_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let cut = Server::new(&[Answer::CutAfter(100), Answer::CutAfter(0)]);
    let error = run(&cut.set(), folder.path(), None).unwrap_err();
    assert!(error.contains("100 of 161783 bytes are kept; run the command again to resume") && error.lines().count() == 1, "{error}");
    assert_eq!(names(folder.path()), ["digits.gz.partial"]);
    let well = Server::new(&[Answer::Well]);
    run(&well.set(), folder.path(), None).unwrap();
    assert_eq!(well.asked(), [Some(100)]);
    assert_eq!(names(folder.path()), ["digits.gz"]);
    assert_eq!(fs::read(folder.path().join("digits.gz")).unwrap(), GZ);
}

#[test]
fn servers_that_cannot_resume_start_over() {
    for answers in [&[Answer::IgnoresRange][..], &[Answer::WrongRange, Answer::Well], &[Answer::Status(416), Answer::Well]] {
        let (server, folder) = (Server::new(answers.to_vec().leak()), tempfile::tempdir().unwrap());
        fs::write(folder.path().join("digits.gz.partial"), &GZ[..1000]).unwrap();
        run(&server.set(), folder.path(), None).unwrap();
        assert_eq!(fs::read(folder.path().join("digits.gz")).unwrap(), GZ);
        assert_eq!(server.asked()[0], Some(1000));
    }
}

#[test]
fn a_wrong_hash_is_named_and_the_file_deleted() {
    for answer in [&[Answer::Altered][..], &[Answer::Longer]] {
        let (server, folder) = (Server::new(answer), tempfile::tempdir().unwrap());
        let error = run(&server.set(), folder.path(), None).unwrap_err();
        assert!(error.starts_with("wrong content: digits.gz has SHA-256 ") && error.contains(GZ_SHA256), "{error}");
        assert!(error.contains("deleted") && error.lines().count() == 1, "{error}");
        assert!(names(folder.path()).is_empty());
    }
}

#[test]
fn a_spoiled_partial_file_does_not_survive() {
    let (server, folder) = (Server::new(&[Answer::Well]), tempfile::tempdir().unwrap());
    for spoiled in [vec![7u8; 1000], vec![7; GZ.len()], vec![7; GZ.len() + 9]] {
        fs::write(folder.path().join("digits.gz.partial"), spoiled).unwrap();
        assert!(run(&server.set(), folder.path(), None).unwrap_err().starts_with("wrong content"));
        assert!(names(folder.path()).is_empty());
    }
    run(&server.set(), folder.path(), None).unwrap();
}

#[test]
fn a_wrong_file_in_the_cache_is_replaced() {
    let (server, folder) = (Server::new(&[Answer::Well]), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("digits.gz"), b"rubbish").unwrap();
    run(&server.set(), folder.path(), None).unwrap();
    assert_eq!(fs::read(folder.path().join("digits.gz")).unwrap(), GZ);
}

#[test]
fn refusals_are_final_and_outages_are_tried_again() {
    for (answers, requests, says) in [
        (&[Answer::Status(404)][..], 1, "(404)"),
        (&[Answer::Status(403)], 1, "answers 403"),
        (&[Answer::Status(503)], 4, "answers 503, 4 times in a row"),
    ] {
        let (server, folder) = (Server::new(answers), tempfile::tempdir().unwrap());
        let error = run(&server.set(), folder.path(), None).unwrap_err();
        assert!(error.contains(says) && error.contains(&server.url) && error.lines().count() == 1, "{error}");
        assert_eq!(server.asked().len(), requests);
        assert!(!folder.path().join("digits.gz").exists());
    }
    let (server, folder) = (Server::new(&[Answer::Status(503), Answer::Well]), tempfile::tempdir().unwrap());
    run(&server.set(), folder.path(), None).unwrap();
}

#[test]
fn nobody_listening_is_one_line() {
    let server = Server::new(&[Answer::Well]);
    let mut set = server.set();
    set.files = vec![RemoteFile { url: "http://127.0.0.1:9/digits.gz", ..set.files[0] }].leak();
    let error = run(&set, tempfile::tempdir().unwrap().path(), None).unwrap_err();
    assert!(error.starts_with("cannot download http://127.0.0.1:9/digits.gz") && error.lines().count() == 1, "{error}");
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    // Root may write anywhere, so the folder is one that cannot be: a file is in its way.
    let (server, folder) = (Server::new(&[Answer::Well]), tempfile::tempdir().unwrap());
    let taken = folder.path().join("taken");
    fs::write(&taken, b"").unwrap();
    let error = run(&server.set(), &taken.join("digits"), None).unwrap_err();
    assert!(error.starts_with("cannot make the folder for the data") && error.ends_with("taken/digits"), "{error}");
    fs::create_dir(folder.path().join("digits.gz.partial")).unwrap();
    let error = run(&server.set(), folder.path(), None).unwrap_err();
    assert!(error.starts_with("cannot write") && error.ends_with("digits.gz.partial"), "{error}");
    assert!(server.asked().is_empty());
}

#[test]
fn two_runs_do_not_append_to_one_file() {
    let (server, folder) = (Server::new(&[Answer::Well]), tempfile::tempdir().unwrap());
    let partial = fs::File::create(folder.path().join("digits.gz.partial")).unwrap();
    partial.lock().unwrap();
    let error = run(&server.set(), folder.path(), None).unwrap_err();
    assert!(error.contains("another run is downloading it"), "{error}");
    drop(partial);
    run(&server.set(), folder.path(), None).unwrap();
}

#[test]
fn files_of_the_user_are_verified_and_copied() {
    let (server, folder) = (Server::new(&[Answer::Status(500)]), tempfile::tempdir().unwrap());
    let (own, cache) = (folder.path().join("own"), folder.path().join("cache"));
    fs::create_dir(&own).unwrap();
    let error = run(&server.set(), &cache, Some(&own)).unwrap_err();
    assert!(error.starts_with("digits.gz is missing; --from takes a folder"), "{error}");

    // As published, from its folder and by its path; unpacked; packed by another program.
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(GZ), &mut content).unwrap();
    let mut repacked = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    repacked.write_all(&content).unwrap();
    let repacked = repacked.finish().unwrap();
    assert_ne!(repacked, GZ);
    for (name, bytes) in [("digits.gz", GZ), ("digits", &content), ("digits.gz", &repacked)] {
        let path = own.join(name);
        fs::write(&path, bytes).unwrap();
        for from in [&own, &path] {
            let _ = fs::remove_dir_all(&cache);
            run(&server.set(), &cache, Some(from)).unwrap();
            assert_eq!((names(&cache), fs::read(cache.join(name)).unwrap().as_slice()), (vec![name.to_string()], bytes));
        }
        // Its own folder is fine too, and nothing is fetched for what is there.
        run(&server.set(), &own, Some(&own)).unwrap();
        run(&server.set(), &own, None).unwrap();
        fs::remove_file(path).unwrap();
    }
    assert!(server.asked().is_empty());
}

#[test]
fn wrong_files_of_the_user_are_refused_and_left_alone() {
    let (server, folder) = (Server::new(&[Answer::Status(500)]), tempfile::tempdir().unwrap());
    let (own, cache) = (folder.path().join("digits.gz"), folder.path().join("cache"));
    let mut altered = GZ.to_vec();
    altered[5000] ^= 1;
    for bytes in [&altered[..], &GZ[..9000], b""] {
        fs::write(&own, bytes).unwrap();
        let error = run(&server.set(), &cache, Some(&own)).unwrap_err();
        assert!(error.starts_with("wrong content: digits.gz"), "{error}");
        assert!(names(&cache).is_empty() && fs::read(&own).unwrap() == bytes);
    }
    let other = folder.path().join("other.gz");
    fs::write(&other, GZ).unwrap();
    let error = run(&server.set(), &cache, Some(&other)).unwrap_err();
    assert!(error.contains("its files are digits.gz") && error.ends_with("other.gz"), "{error}");
}
