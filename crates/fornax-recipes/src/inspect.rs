//! `fornax inspect`

use crate::{cli::InspectArgs, error::usage, schedule_view, ui};
use anyhow::{Context, Result, bail};
use fornax_data::{idx, npy, picture, picture::Colour};
use fornax_trainer::{RunDir, checkpoint::Checkpoints};
use fornax_weights::{TensorFile, read_onnx, sha256_of};
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &InspectArgs) -> Result<u8> {
    match args {
        InspectArgs { schedule: true, path, json, .. } => schedule_view::schedule(path, *json),
        InspectArgs { groups: true, path, json, .. } => schedule_view::groups(path, *json),
        InspectArgs { json: true, .. } => Err(usage("--json goes with --schedule or --groups")),
        InspectArgs { path, hash, .. } => contents(path, *hash),
    }
}

fn contents(path: &Path, hash: bool) -> Result<u8> {
    if let Some(line) = array(path)? {
        anyhow::ensure!(!hash, "--hash is for weights; {} is data", path.display());
        ui::out(format!("{}\n{line}", path.display()));
        return Ok(0);
    }
    let (file, contents) = weights(path)?;
    let tensors = contents.tensors;
    ui::out(file.display().to_string());
    for (key, value) in &contents.metadata {
        ui::out(format!("{key}: {}", value.replace('\n', " ")));
    }
    let mut numbers = 0;
    for (name, data) in &tensors {
        numbers += data.num_elements();
        ui::out(format!("{name:<40} {:?} {:?}", data.shape().to_vec(), data.dtype()));
    }
    ui::out(format!("{} tensors, {numbers} numbers{}", tensors.len(), if contents.checked { ", checksum right" } else { "" }));
    if hash {
        ui::out(sha256_of(&tensors));
    }
    Ok(0)
}

/// What an NPY, IDX or picture file holds, told by its name; None for others.
fn array(path: &Path) -> Result<Option<String>> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    Ok(if ends(&[".npy"]) {
        let array = npy::read(path)?;
        let values = array.to_f32();
        let (low, high) = values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
        Some(format!("NPY, shape {:?}, {} values from {low} to {high}", array.shape, values.len()))
    } else if ends(&["-ubyte", "-ubyte.gz", ".idx", ".idx.gz"]) {
        let array = idx::read(path)?;
        Some(format!("IDX, shape {:?}, {} bytes", array.dims, array.data.len()))
    } else if ends(&[".png", ".jpg", ".jpeg", ".ppm", ".pgm"]) {
        let picture = picture::read(path, Colour::Rgb, None)?;
        let [height, width] = picture.original;
        Some(format!("picture, {width}×{height}, {}", if picture.coloured { "in colour" } else { "grey" }))
    } else {
        None
    })
}

/// The weights of a file (of a checkpoint: of its model and averages, not the optimizer's), or of a run's last checkpoint.
fn weights(path: &Path) -> Result<(PathBuf, TensorFile)> {
    let file = if path.is_dir() {
        let checkpoints = Checkpoints::new(RunDir::open(path)?.checkpoints(), 1);
        let (file, _, refused) = checkpoints.newest()?.with_context(|| format!("the run has no checkpoint yet: {}", path.display()))?;
        refused.iter().for_each(ui::note);
        file
    } else {
        path.to_path_buf()
    };
    let is_onnx = file.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx"));
    let mut contents = if is_onnx { TensorFile::new(read_onnx(&file)?) } else { TensorFile::read(&file)? };
    if contents.metadata.contains_key("format") {
        contents.tensors.retain(|name, _| !name.starts_with("optimizer."));
    }
    if contents.tensors.is_empty() {
        bail!("there is no tensor in {}", file.display());
    }
    Ok((file, contents))
}
