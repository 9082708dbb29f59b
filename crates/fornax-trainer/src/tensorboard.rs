use crate::{Callback, EvaluationReport, Flow, StepReport, TrainError};
use std::{
    fs::{File, create_dir_all},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Writes scalars to an event file that TensorBoard opens.
///
/// The format is a TFRecord a line of the `Event` protocol buffer: length, masked CRC-32C, bytes, masked CRC-32C.
/// Source: tensorflow/core/util/event.proto and tensorflow/core/lib/io/record_writer.cc.
#[derive(Debug)]
pub struct TensorBoard {
    file: BufWriter<File>,
    path: PathBuf,
    every: u64,
}

impl TensorBoard {
    /// A new event file in `folder`, with the training scalars of every `every`-th step.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn create(folder: &Path, every: u64) -> Result<Self, TrainError> {
        let now = now();
        let path = folder.join(format!("events.out.tfevents.{:010}.fornax.{}.0", now as u64, std::process::id()));
        let file = create_dir_all(folder).and_then(|()| File::create(&path)).map_err(TrainError::io("create", &path))?;
        let mut board = Self { file: BufWriter::new(file), path, every: every.max(1) };
        let mut event = double_field(1, now);
        event.extend(bytes_field(3, b"brain.Event:2"));
        board.record(&event)?;
        Ok(board)
    }

    /// Writes one scalar.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<(), TrainError> {
        let mut inner = bytes_field(1, tag.as_bytes());
        inner.push(0x15); // field 2, 32 bits
        inner.extend((value as f32).to_le_bytes());
        let mut event = double_field(1, now());
        event.push(0x10); // field 2, varint
        event.extend(varint(step));
        event.extend(bytes_field(5, &bytes_field(1, &inner)));
        self.record(&event)
    }

    fn record(&mut self, data: &[u8]) -> Result<(), TrainError> {
        let length = (data.len() as u64).to_le_bytes();
        let parts = [&length[..], &masked_crc(&length), data, &masked_crc(data)];
        parts.iter().try_for_each(|part| self.file.write_all(part)).map_err(TrainError::io("write", &self.path))
    }

    fn flush(&mut self) -> Result<(), TrainError> {
        self.file.flush().map_err(TrainError::io("write", &self.path))
    }
}

impl Callback for TensorBoard {
    fn on_step(&mut self, r: &StepReport) -> Result<Flow, TrainError> {
        if r.step.is_multiple_of(self.every) || r.step == r.steps {
            for (tag, value) in [("train/loss", r.loss), ("train/lr", r.lr), ("train/grad_norm", r.grad_norm), ("train/epoch", r.epoch)] {
                self.scalar(tag, r.step, value)?;
            }
            if let Some((name, value)) = r.shown {
                self.scalar(&format!("train/{name}"), r.step, value)?;
            }
        }
        Ok(Flow::Continue)
    }

    fn on_evaluation(&mut self, r: &EvaluationReport<'_>) -> Result<Flow, TrainError> {
        for (name, &value) in &r.evaluation.metrics {
            self.scalar(&format!("valid/{name}"), r.step, value)?;
        }
        self.flush()?;
        Ok(Flow::Continue)
    }

    fn on_end(&mut self) -> Result<(), TrainError> {
        self.flush()
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

fn varint(mut x: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while x >= 0x80 {
        bytes.push(x as u8 | 0x80);
        x >>= 7;
    }
    bytes.push(x as u8);
    bytes
}

fn bytes_field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    field.extend(varint(bytes.len() as u64));
    field.extend(bytes);
    field
}

fn double_field(number: u8, x: f64) -> Vec<u8> {
    let mut field = vec![number << 3 | 1];
    field.extend(x.to_le_bytes());
    field
}

fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    let crc = crc32c::crc32c(bytes);
    crc.rotate_right(15).wrapping_add(0xA282_EAD8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file of records back, and checks both sums of each.
    fn records(bytes: &[u8]) -> Vec<&[u8]> {
        let (mut at, mut all) = (0, vec![]);
        while at < bytes.len() {
            let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
            assert_eq!(bytes[at + 8..at + 12], masked_crc(&bytes[at..at + 8]));
            let data = &bytes[at + 12..at + 12 + length];
            assert_eq!(bytes[at + 12 + length..at + 16 + length], masked_crc(data));
            all.push(data);
            at += 16 + length;
        }
        all
    }

    #[test]
    fn records_are_framed_and_summed() {
        // The CRC-32C of nine digits, from RFC 3720's check value.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xE306_9283);
        let folder = tempfile::tempdir().unwrap();
        let mut board = TensorBoard::create(folder.path(), 2).unwrap();
        for step in 1..=5 {
            board.on_step(&StepReport { step, steps: 5, epoch: 0.1, loss: 0.5, lr: 0.1, grad_norm: 1.0, shown: None }).unwrap();
        }
        board.on_end().unwrap();
        let bytes = std::fs::read(&board.path).unwrap();
        let all = records(&bytes);
        // The version, then four scalars at steps 2, 4 and 5.
        assert_eq!(all.len(), 1 + 3 * 4);
        assert!(all[0].ends_with(b"brain.Event:2"));
        assert!(all[1].windows(10).any(|w| w == b"train/loss"));
        assert!(all[1].ends_with(&0.5f32.to_le_bytes()));
    }

    #[test]
    fn varints_as_in_the_protocol_buffer_documentation() {
        assert_eq!(varint(150), [0x96, 0x01]);
        assert_eq!(varint(0), [0]);
    }
}
