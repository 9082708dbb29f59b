//! The folder of a run.

use crate::TrainError;
use fornax_weights::atomic;
use serde_json::Value;
use std::{
    fs::{self, File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// `OUT/`: config.json, metrics.jsonl, checkpoints/, report.json, report.html.
#[derive(Debug, Clone)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// Makes the folder and tries to write in it, so that a long run does not find out at its first checkpoint.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn create(path: &Path) -> Result<Self, TrainError> {
        let run = Self(path.to_path_buf());
        fs::create_dir_all(run.checkpoints()).map_err(TrainError::io("create the run folder", path))?;
        let probe = run.0.join(".writable");
        fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)).map_err(TrainError::io("write in the run folder", path))?;
        Ok(run)
    }

    /// An existing run.
    ///
    /// # Errors
    /// If there is no run.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let run = Self(path.to_path_buf());
        match run.config_path().is_file() {
            true => Ok(run),
            false => Err(TrainError::Io {
                doing: "open the run (a folder with config.json, as `train` writes)",
                source: std::io::ErrorKind::NotFound.into(),
                path: path.into(),
            }),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
    /// `config.json`
    pub fn config_path(&self) -> PathBuf {
        self.0.join("config.json")
    }
    /// `metrics.jsonl`
    pub fn metrics_path(&self) -> PathBuf {
        self.0.join("metrics.jsonl")
    }
    /// `checkpoints/`
    pub fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    /// Writes `name` atomically.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), TrainError> {
        let path = self.0.join(name);
        atomic::write(&path, content).map_err(TrainError::io("write", &path))
    }

    /// The lines of metrics.jsonl, without a last one that was cut.
    pub fn metrics(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.metrics_path()).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// metrics.jsonl while it grows. It holds nothing that depends on the clock, so that a resumed run writes the same bytes.
#[derive(Debug)]
pub(crate) struct MetricsLog {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl MetricsLog {
    /// Opens the file and drops what was written after `bytes`.
    pub(crate) fn open(path: PathBuf, bytes: u64) -> Result<Self, TrainError> {
        let open = || {
            let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            if file.metadata()?.len() < bytes {
                return Err(std::io::Error::other("it is shorter than the checkpoint says: was it edited?"));
            }
            file.set_len(bytes)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file = open().map_err(TrainError::io("write", &path))?;
        Ok(Self { file, path, bytes })
    }

    pub(crate) fn write(&mut self, line: &Value) -> Result<(), TrainError> {
        let line = format!("{line}\n");
        self.file.write_all(line.as_bytes()).map_err(TrainError::io("write", &self.path))?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Makes the lines last, and says how many bytes there are.
    pub(crate) fn sync(&mut self) -> Result<u64, TrainError> {
        self.file.sync_data().map_err(TrainError::io("write", &self.path))?;
        Ok(self.bytes)
    }
}
