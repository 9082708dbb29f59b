//! Image classification: batches, loss, evaluation, the worst mistakes.

use crate::{
    bench,
    cli::PredictArgs,
    config::Config,
    eval::Trained,
    explain,
    found::Found,
    loaded::Loaded,
    predict,
    privacy::ByNumber,
    task::{Opened, Shown, Task},
    train::RunConfig,
};
use anyhow::Result;
use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_architectures::ImageClassifier;
use fornax_data::{Dataset, Example, ImageDataset, ImageSet, Loader, Split};
use fornax_explain::{grad_cam, overlay};
use fornax_layers::loss::cross_entropy;
use fornax_trainer::{Evaluation, SourceError, metrics::Confusion, report::Picture};
use image::{DynamicImage, GrayImage, RgbImage};
use std::{path::Path, sync::Arc};

/// Images an evaluation takes at once.
const EVAL_BATCH: usize = 250;
/// Mistakes in a report.
const WORST: usize = 24;

/// Images with one class each, for the model that the function makes.
pub(crate) struct Images<F>(pub(crate) F);

impl<M: ImageClassifier, F: Fn(&Device) -> M> Task for Images<F> {
    type Model = M;
    type Data = ImageSet;
    type Source = Loaded<ImageDataset, Batch>;

    const EXAMPLES: &'static str = "images";
    const EXPLAINS: bool = true;

    fn open<'a>(&self, run: &'a RunConfig, given: Option<&Path>) -> Result<Opened<'a, ImageSet>> {
        let config = &run.config;
        let found = Found::of(config, given)?;
        Ok(Opened { about: found.describe(), load: Box::new(move |split: Split| found.load(split, config)) })
    }
    fn classes(&self, train: &ImageSet, _valid: &ImageSet) -> Vec<String> {
        train.classes.clone()
    }
    fn examples(&self, data: &ImageSet) -> usize {
        data.len()
    }
    fn model(&self, _classes: &[String], device: &Device) -> M {
        (self.0)(device)
    }
    fn source(&self, run: &RunConfig, data: ImageSet, device: &Device, overfit: Option<usize>) -> Result<Self::Source> {
        let config = &run.config;
        let (shape, scale, device) = (data.shape, Scale::of(config), device.clone());
        let augment = if overfit.is_some() { Default::default() } else { config.data.images().augment.clone() };
        let dataset = ImageDataset::new(data, augment, config.seed)?;
        let loader = Loader::new(Arc::new(dataset), config.trainer.batch_size, config.seed)
            .with_workers(config.data.images().workers)
            .with_shuffle(true)
            .with_drop_last(overfit.is_none());
        Ok(Loaded::new(loader, overfit, move |examples: &[Example]| Batch::new(examples, scale, shape, &device)))
    }
    fn by_number(&self, run: &RunConfig, data: ImageSet, device: &Device) -> Result<ByNumber<Batch>> {
        let config = &run.config;
        let (shape, scale, device) = (data.shape, Scale::of(config), device.clone());
        let dataset = ImageDataset::new(data, config.data.images().augment.clone(), config.seed)?;
        let build = move |epoch: u64, numbers: &[usize]| -> Result<Batch, SourceError> {
            let examples = numbers.iter().map(|&number| dataset.get(epoch, number)).collect::<Result<Vec<_>, _>>()?;
            Ok(Batch::new(&examples, scale, shape, &device))
        };
        let single = |batch: &Batch, place: usize| Batch {
            images: batch.images.clone().narrow(0, place, 1),
            targets: batch.targets.clone().narrow(0, place, 1),
        };
        Ok(ByNumber { build: Box::new(build), single })
    }
    fn example_losses(&self, run: &RunConfig, data: &ImageSet, model: &M, device: &Device) -> Result<Vec<f64>> {
        Ok(Judge::new(run, data, device).verdicts(model).iter().map(|verdict| verdict.loss).collect())
    }
    fn loss(&self, model: &M, batch: Batch) -> Tensor<1> {
        cross_entropy(model.forward(batch.images), batch.targets, 0.0)
    }
    fn measure(&self, run: &RunConfig, data: &ImageSet, model: &M, device: &Device) -> Result<Evaluation> {
        Ok(measure(&Judge::new(run, data, device).verdicts(model), &data.labels, data.classes.len()))
    }
    fn show(&self, run: &RunConfig, data: &ImageSet, model: &M, device: &Device) -> Result<Shown> {
        let judge = Judge::new(run, data, device);
        let verdicts = judge.verdicts(model);
        let wrong = verdicts.iter().enumerate().filter(|(i, v)| v.predicted != data.label(*i)).count();
        let title = format!("The worst mistakes of {wrong} on {} validation images", data.len());
        let note = "Left the image, right where the network looked for the class it chose (Grad-CAM; red: most).".into();
        Ok(Shown { title, note, pictures: judge.worst(model, &verdicts, WORST), ..Shown::default() })
    }
    fn predict(&self, args: &PredictArgs, trained: &Trained) -> Result<u8> {
        predict::images(args, trained, (self.0)(&trained.device))
    }
    fn bench(&self, settings: &bench::Settings, config: &Config) -> Result<bench::Report> {
        bench::classifier(settings, &self.0, config.model.image(), config.model.classes(), Some(config.trainer.batch_size))
    }
}

/// `[B, C, H, W]` and `[B]`.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    images: Tensor<4>,
    targets: Tensor<1, Int>,
}

impl Batch {
    fn new(examples: &[Example], scale: Scale, shape: [usize; 3], device: &Device) -> Self {
        let pixels = examples.iter().flat_map(|e| e.pixels.iter().copied()).collect();
        let targets: Vec<i64> = examples.iter().map(|e| e.label as i64).collect();
        let count = targets.len();
        Self { images: scale.tensor(pixels, shape, device), targets: Tensor::from_data(TensorData::new(targets, [count]), device) }
    }
}

/// Mean and deviation that pixels in `[0, 1]` are normalized by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    mean: f32,
    std: f32,
}

impl Scale {
    pub(crate) fn of(config: &Config) -> Self {
        let data = config.data.images();
        Self { mean: data.mean as f32, std: data.std as f32 }
    }

    /// Pixels in `[0, 1]` of some images as a tensor `[B, C, H, W]`.
    pub(crate) fn tensor(self, mut pixels: Vec<f32>, shape: [usize; 3], device: &Device) -> Tensor<4> {
        let [c, h, w] = shape;
        let batch = pixels.len() / (c * h * w);
        pixels.iter_mut().for_each(|p| *p = (*p - self.mean) / self.std);
        Tensor::from_data(TensorData::new(pixels, [batch, c, h, w]), device)
    }
}

/// What a model says of one image.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) loss: f64,
    pub(crate) predicted: usize,
    pub(crate) probabilities: Vec<f64>,
}

/// Runs a model over images, in order.
struct Judge<'a> {
    images: &'a ImageSet,
    scale: Scale,
    device: Device,
}

impl<'a> Judge<'a> {
    fn new(run: &RunConfig, images: &'a ImageSet, device: &Device) -> Self {
        Self { images, scale: Scale::of(&run.config), device: device.clone() }
    }
    fn verdicts<M: ImageClassifier>(&self, model: &M) -> Vec<Verdict> {
        let all: Vec<usize> = (0..self.images.len()).collect();
        all.chunks(EVAL_BATCH)
            .flat_map(|part| {
                let logits = model.forward(self.tensor(part, &self.device));
                let classes = logits.dims()[1];
                let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
                logits.chunks(classes).zip(part).map(|(row, &index)| verdict(row, self.images.label(index))).collect::<Vec<_>>()
            })
            .collect()
    }

    fn tensor(&self, indices: &[usize], device: &Device) -> Tensor<4> {
        let pixels = indices.iter().flat_map(|&i| self.images.image(i).iter().map(|&p| f32::from(p) / 255.0)).collect();
        self.scale.tensor(pixels, self.images.shape, device)
    }

    /// The mistakes with the largest loss, with a heat map of where the network looked.
    fn worst<M: ImageClassifier>(&self, model: &M, verdicts: &[Verdict], count: usize) -> Vec<Picture> {
        let mut wrong: Vec<usize> = (0..verdicts.len()).filter(|&i| verdicts[i].predicted != self.images.label(i)).collect();
        wrong.sort_by(|&a, &b| verdicts[b].loss.total_cmp(&verdicts[a].loss));
        wrong.truncate(count);
        if wrong.is_empty() {
            return vec![];
        }
        let name = |class: usize| self.images.classes.get(class).cloned().unwrap_or_else(|| class.to_string());
        let predicted: Vec<usize> = wrong.iter().map(|&i| verdicts[i].predicted).collect();
        let maps = heat(model, self.tensor(&wrong, &self.device.clone().autodiff()), &predicted);
        let pictures = wrong.iter().enumerate().map(|(k, &i)| {
            let (v, truth) = (&verdicts[i], self.images.label(i));
            let base = rgb(self.images.image(i), self.images.shape);
            let caption = format!(
                "{} taken for {} ({:.1} %; right: {:.1} %), validation image {i}",
                name(truth),
                name(v.predicted),
                100.0 * v.probabilities[v.predicted],
                100.0 * v.probabilities[truth]
            );
            let mut images = vec![base.clone()];
            images.extend(maps.as_ref().map(|(maps, size)| overlay(&grey(&base), &maps[k], *size)));
            Picture { caption, images }
        });
        pictures.collect()
    }
}

/// Heat maps with their height and width.
pub(crate) type Maps = (Vec<Vec<f32>>, [usize; 2]);

/// Grad-CAM of some images `[B, C, H, W]` on an autodiff device.
pub(crate) fn heat<M: ImageClassifier>(model: &M, images: Tensor<4>, classes: &[usize]) -> Option<Maps> {
    let model = model.clone().train().freeze();
    grad_cam(M::SPATIAL?, classes, |tap| model.forward_with(images, tap)).map(explain::each)
}

/// Softmax in f64 on the host: one order of operations, whatever the backend.
pub(crate) fn verdict(logits: &[f32], truth: usize) -> Verdict {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp: Vec<f64> = logits.iter().map(|&x| f64::from(x - most).exp()).collect();
    let sum: f64 = exp.iter().sum();
    // The first of equals, as PyTorch's argmax.
    let predicted = logits.iter().position(|&x| x == most).unwrap_or(0);
    let right = logits.get(truth).copied().unwrap_or(f32::NEG_INFINITY);
    Verdict { loss: sum.ln() - f64::from(right - most), predicted, probabilities: exp.iter().map(|e| e / sum).collect() }
}

/// Loss, accuracy, macro F1 and confusion of verdicts on examples with these labels.
pub(crate) fn measure(verdicts: &[Verdict], labels: &[u32], classes: usize) -> Evaluation {
    let classes = classes.max(verdicts.iter().map(|v| v.probabilities.len()).max().unwrap_or(0));
    let mut confusion = Confusion::new(classes);
    verdicts.iter().zip(labels).for_each(|(v, &label)| confusion.add(label as usize, v.predicted));
    let loss = verdicts.iter().map(|v| v.loss).sum::<f64>() / verdicts.len().max(1) as f64;
    let metrics = [("loss", loss), ("accuracy", confusion.accuracy()), ("f1", confusion.macro_f1())];
    let metrics = metrics.into_iter().map(|(k, v)| (k.to_string(), v)).collect();
    Evaluation { examples: verdicts.len(), metrics, confusion: Some(confusion), ..Evaluation::default() }
}

/// Bytes `[C, H, W]` as a picture.
pub(crate) fn rgb(pixels: &[u8], [c, h, w]: [usize; 3]) -> RgbImage {
    RgbImage::from_fn(w as u32, h as u32, |x, y| {
        let at = y as usize * w + x as usize;
        image::Rgb(std::array::from_fn(|channel| pixels[channel.min(c - 1) * h * w + at]))
    })
}

pub(crate) fn grey(image: &RgbImage) -> GrayImage {
    DynamicImage::ImageRgb8(image.clone()).to_luma8()
}
