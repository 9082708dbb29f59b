//! Checkpoints: one safetensors file each, written atomically, with a checksum over everything in it.
//!
//! `checkpoints/step-00000500.safetensors` holds `model.*`, `ema.*`, `eval.*`, `optimizer.*`, `carried.*` and, as metadata, the position of the run and its config.

use crate::TrainError;
use fornax_optimizers::schedule::PlateauState;
use fornax_weights::{TensorFile, Tensors, WeightError};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The format that this version reads and writes.
const FORMAT: &str = "fornax-checkpoint/1";

/// Where a run is, apart from its tensors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Steps done.
    pub step: u64,
    /// The best evaluation so far: its step and its value.
    pub best: Option<(u64, f64)>,
    /// Evaluations since then.
    pub stale: u64,
    /// Sum of the losses of the present evaluation period, for the mean.
    pub loss_sum: f64,
    /// Their number.
    pub loss_count: u64,
    /// Mean training loss of the last whole period.
    pub train_loss: Option<f64>,
    /// Length of metrics.jsonl.
    pub metrics_bytes: u64,
    /// Seconds trained before.
    pub seconds: f64,
    /// Whether the run has ended by itself (steps done, or early stopping).
    pub finished: bool,
    /// What the schedule's plateau has seen.
    #[serde(default)]
    pub plateau: PlateauState,
    /// What back-propagation remembers.
    #[serde(default)]
    pub backprop: Vec<f64>,
}

/// A checkpoint in memory.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Where the run was.
    pub position: Position,
    /// What the run was started with, as JSON.
    pub config: String,
    file: TensorFile,
}

impl Checkpoint {
    /// Puts the parts together.
    pub fn new(position: &Position, config: &str, model: Tensors, ema: Tensors, optimizer: Tensors) -> Self {
        let mut file = TensorFile::default();
        for (prefix, tensors) in [("model.", model), ("ema.", ema), ("optimizer.", optimizer)] {
            file.tensors.extend(tensors.into_iter().map(|(name, data)| (format!("{prefix}{name}"), data)));
        }
        let text = serde_json::to_string(position).unwrap_or_else(|e| unreachable!("numbers and booleans serialize: {e}"));
        for (key, value) in [("format", FORMAT), ("position", &text), ("config", config)] {
            file.metadata.insert(key.into(), value.into());
        }
        Self { position: position.clone(), config: config.into(), file }
    }

    /// With another part: `eval` for the weights that the optimizer would evaluate, where these are not the model's; `carried` for what
    /// back-propagation carries.
    pub fn with(mut self, part: &str, tensors: Tensors) -> Self {
        self.file.tensors.extend(tensors.into_iter().map(|(name, data)| (format!("{part}.{name}"), data)));
        self
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// If it cannot be read, is damaged, is not a checkpoint, or is of another version.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let file = TensorFile::read(path)?;
        let refuse = |why: String| TrainError::Checkpoint { why, path: path.into() };
        let meta = |key: &str| file.metadata.get(key).ok_or_else(|| refuse(format!("no `{key}` in it: a weight file, not a checkpoint")));
        let format = meta("format")?;
        if format != FORMAT {
            return Err(refuse(format!("its format is `{format}`, this version reads `{FORMAT}`")));
        }
        if !file.checked {
            return Err(refuse("it has no checksum".into()));
        }
        let position = serde_json::from_str(meta("position")?).map_err(|e| refuse(format!("its position: {e}")))?;
        let config = meta("config")?.clone();
        Ok(Self { position, config, file })
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// If the system refuses; what was there before is untouched.
    pub fn write(&self, path: &Path) -> Result<(), TrainError> {
        Ok(self.file.write(path)?)
    }

    /// `model`, `ema`, `optimizer`, `eval` or `carried`.
    pub fn part(&self, name: &str) -> Tensors {
        self.file.part(&format!("{name}."))
    }

    /// The weights to use: the averaged ones if there are any, then those that the optimizer evaluates, then the model's.
    pub fn weights(&self) -> Tensors {
        let mut ema = self.part("ema");
        ema.remove("#steps");
        [ema, self.part("eval")].into_iter().find(|part| !part.is_empty()).unwrap_or_else(|| self.part("model"))
    }
}

/// `checkpoints/` of a run.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
    keep: usize,
}

impl Checkpoints {
    /// Keeps the last `keep` besides the best.
    pub fn new(folder: PathBuf, keep: usize) -> Self {
        Self { folder, keep }
    }

    /// Where the best is.
    pub fn best(&self) -> PathBuf {
        self.folder.join("best.safetensors")
    }

    fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step-{step:08}.safetensors"))
    }

    /// All but the best, oldest first.
    pub fn list(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let is_step = |path: &PathBuf| {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            name.starts_with("step-") && name.ends_with(".safetensors")
        };
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).filter(is_step).collect();
        paths.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
        paths
    }

    /// Writes a checkpoint, and removes those that are too old once it is safe.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<PathBuf, TrainError> {
        let path = self.path(checkpoint.position.step);
        checkpoint.write(&path)?;
        let all = self.list();
        for old in all.iter().take(all.len().saturating_sub(self.keep)) {
            fs::remove_file(old).map_err(TrainError::io("remove an old checkpoint", old))?;
        }
        Ok(path)
    }

    /// The newest checkpoint that is whole, and one line for each that was refused on the way. None if there is none at all.
    ///
    /// # Errors
    /// If there are checkpoints and every one is refused.
    pub fn newest(&self) -> Result<Option<(PathBuf, Checkpoint, Vec<String>)>, TrainError> {
        let mut refused = vec![];
        let mut last = None;
        for path in self.list().into_iter().rev() {
            match Checkpoint::read(&path) {
                Ok(checkpoint) => return Ok(Some((path, checkpoint, refused))),
                Err(error) => {
                    refused.push(error.to_string());
                    last = Some(error);
                }
            }
        }
        match last {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    /// The checkpoint whose weights to use: the best, or the newest where no evaluation has made one.
    ///
    /// # Errors
    /// If there is none that is whole.
    pub fn for_use(&self) -> Result<(PathBuf, Checkpoint), TrainError> {
        let best = self.best();
        if best.is_file() {
            return Ok((best.clone(), Checkpoint::read(&best)?));
        }
        match self.newest()? {
            Some((path, checkpoint, _)) => Ok((path, checkpoint)),
            None => {
                Err(WeightError::Io { doing: "find a checkpoint", source: std::io::ErrorKind::NotFound.into(), path: self.folder.clone() }.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    fn sample(step: u64) -> Checkpoint {
        let tensors = |x: f32| Tensors::from([("w".to_string(), TensorData::from([x, 2.0]))]);
        Checkpoint::new(&Position { step, best: Some((3, 0.1 + 0.2)), ..Position::default() }, "{}", tensors(1.0), Tensors::new(), tensors(5.0))
    }

    #[test]
    fn round_trips_and_keeps_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path().into(), 2);
        for step in [5, 10, 15] {
            checkpoints.save(&sample(step)).unwrap();
        }
        assert_eq!(checkpoints.list().len(), 2);
        let (_, read, refused) = checkpoints.newest().unwrap().unwrap();
        assert_eq!((read.position, refused.len()), (sample(15).position, 0));
        assert_eq!(read.file.part("optimizer."), sample(15).part("optimizer"));
    }

    #[test]
    fn a_damaged_one_is_refused_and_the_one_before_used() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path().into(), 3);
        checkpoints.save(&sample(5)).unwrap();
        let last = checkpoints.save(&sample(10)).unwrap();
        let good = fs::read(&last).unwrap();
        for damage in [good[..good.len() - 1].to_vec(), vec![], b"not a checkpoint".to_vec(), {
            let mut bytes = good.clone();
            let at = bytes.len() - 3;
            bytes[at] ^= 1;
            bytes
        }] {
            fs::write(&last, damage).unwrap();
            let (_, read, refused) = checkpoints.newest().unwrap().unwrap();
            assert_eq!((read.position.step, refused.len()), (5, 1));
            assert!(!refused[0].contains('\n') && refused[0].contains("step-00000010"), "{}", refused[0]);
        }
    }

    #[test]
    fn foreign_files_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("step-00000001.safetensors");
        TensorFile::new(sample(1).part("model")).write(&path).unwrap();
        assert!(Checkpoint::read(&path).unwrap_err().to_string().contains("not a checkpoint"));
        let mut other = sample(1);
        other.file.metadata.insert("format".into(), "fornax-checkpoint/9".into());
        other.write(&path).unwrap();
        assert!(Checkpoint::read(&path).unwrap_err().to_string().contains("fornax-checkpoint/9"));
        assert!(Checkpoints::new(folder.path().into(), 1).newest().is_err());
        assert!(Checkpoints::new(folder.path().join("none"), 1).newest().unwrap().is_none());
    }
}
