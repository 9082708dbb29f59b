//! `fornax predict`

use crate::{
    cli::PredictArgs,
    digit,
    error::usage,
    eval::Trained,
    explain,
    images::{Scale, rgb, verdict},
    task::{Job, Task},
    ui,
};
use anyhow::{Context, Result};
use fornax_architectures::ImageClassifier;
use fornax_data::picture::{self, Colour};
use fornax_explain::overlay;
use fornax_weights::load_state;
use image::{GrayImage, imageops::FilterType};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};

pub(crate) fn run(args: &PredictArgs) -> Result<u8> {
    args.explain.as_deref().map_or(Ok(()), explain::check)?;
    if args.top_k == 0 {
        return Err(usage("--top-k must be at least 1"));
    }
    let trained = Trained::open(&args.run, &args.compute)?;
    if args.beam.is_some() && !trained.run.config.model.learns_pairs() {
        return Err(usage("--beam is for words and sentences"));
    }
    trained.run.config.model.with(Predict { args, trained: &trained })
}

struct Predict<'a> {
    args: &'a PredictArgs,
    trained: &'a Trained,
}

impl Job for Predict<'_> {
    type Output = u8;
    fn run<T: Task>(self, task: T) -> Result<u8> {
        if self.args.explain.is_some() && !T::EXPLAINS {
            return Err(usage("--explain is for pictures and sentences"));
        }
        task.predict(self.args, self.trained)
    }
}

/// The pictures among the inputs, folders opened.
fn files(inputs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let is_picture = |path: &PathBuf| {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
        ["png", "jpg", "jpeg", "ppm", "pgm", "pbm", "pnm"].contains(&extension.as_str())
    };
    let mut all = vec![];
    for input in inputs {
        if !input.is_dir() {
            all.push(input.clone());
            continue;
        }
        let entries = fs::read_dir(input).with_context(|| format!("cannot read {}", input.display()))?;
        let mut inside: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_picture).collect();
        inside.sort();
        anyhow::ensure!(!inside.is_empty(), "there is no picture (png, jpg, ppm, pgm) in {}", input.display());
        all.extend(inside);
    }
    Ok(all)
}

/// Pixels `[C, H, W]` as the model takes them, and what was done to the picture for it.
fn load(path: &Path, shape: [usize; 3], digits: bool) -> Result<(Vec<u8>, Vec<String>)> {
    let [c, h, w] = shape;
    let colour = if c == 1 { Colour::Grey } else { Colour::Rgb };
    let mut done = vec![];
    let resize = (!digits).then_some([h, w]);
    let picture = picture::read(path, colour, resize)?;
    if c == 1 && picture.coloured {
        done.push("made it grey".to_string());
    }
    if digits {
        let [_, height, width] = picture.shape;
        let grey = GrayImage::from_raw(width as u32, height as u32, picture.pixels).context("a picture has as many pixels as its size says")?;
        let (fitted, how) = digit::fit(&grey);
        done.extend(how);
        return Ok((fitted.into_raw(), done));
    }
    if picture.original != [h, w] {
        done.push(format!("scaled {}×{} to {w}×{h}", picture.original[1], picture.original[0]));
    }
    Ok((picture.pixels, done))
}

/// Classes of pictures.
pub(crate) fn images<M: ImageClassifier>(args: &PredictArgs, trained: &Trained, model: M) -> Result<u8> {
    let files = files(&args.inputs)?;
    let config = &trained.run.config;
    let model = load_state(model, &trained.checkpoint.weights(), "")?;
    let shape = config.model.image();
    let name = |class: usize| trained.run.classes.get(class).cloned().unwrap_or_else(|| class.to_string());
    let mut answers = vec![];
    for path in &files {
        let (pixels, done) = load(path, shape, config.data.images().name == "mnist")?;
        let scaled = |pixels: Vec<f32>, device: &_| Scale::of(config).tensor(pixels, shape, device);
        let tensor = |device: &_| scaled(pixels.iter().map(|&p| f32::from(p) / 255.0).collect(), device);
        let logits: Vec<f32> = model.forward(tensor(&trained.device)).into_data().iter::<f32>().collect();
        let verdict = verdict(&logits, 0);
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| verdict.probabilities[b].total_cmp(&verdict.probabilities[a]));
        let top: Vec<_> = order.iter().take(args.top_k).map(|&class| (name(class), verdict.probabilities[class])).collect();
        let mut answer = json!({
            "input": path, "class": name(verdict.predicted), "fitting": done,
            "classes": top.iter().map(|(class, p)| json!({"class": class, "probability": p})).collect::<Vec<_>>(),
        });
        if let Some(method) = &args.explain {
            let device = trained.device.clone().autodiff();
            let black = scaled(vec![0.0; pixels.len()], &device);
            let (maps, size) = explain::maps(method, &model, tensor(&device), black, &[verdict.predicted])?;
            let folder = args.out.clone().unwrap_or_else(|| PathBuf::from("."));
            let file = folder.join(format!("{}.{method}.png", path.file_stem().and_then(|s| s.to_str()).unwrap_or("picture")));
            let base = crate::images::grey(&rgb(&pixels, shape));
            let picture = image::imageops::resize(&overlay(&base, &maps[0], size), 8 * base.width(), 8 * base.height(), FilterType::Nearest);
            fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
            picture.save(&file).with_context(|| format!("cannot write {}", file.display()))?;
            answer["explanation"] = json!(file);
        }
        if !args.json {
            let list: Vec<_> = top.iter().map(|(class, p)| format!("{class} {:.2} %", 100.0 * p)).collect();
            ui::out(format!("{}: {}", path.display(), list.join("  ")));
            if !done.is_empty() {
                ui::note(format!("  to fit the model: {}", done.join("; ")));
            }
            if let Some(file) = answer["explanation"].as_str() {
                ui::note(format!("  where it looked: {file}"));
            }
        }
        answers.push(answer);
    }
    if args.json {
        ui::out(json!({"predictions": answers}).to_string());
    }
    Ok(0)
}
