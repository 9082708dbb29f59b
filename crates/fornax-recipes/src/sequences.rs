//! Classes of sequences: series of vectors, and recordings as mel bands.

use crate::{
    bench,
    cli::PredictArgs,
    config::{Config, DataConfig, SeriesData},
    error::usage,
    eval::Trained,
    images::{Verdict, measure, verdict},
    loaded::Loaded,
    privacy::ByNumber,
    sounds::{self, Ear},
    task::{Opened, Task},
    train::RunConfig,
    ui,
};
use anyhow::{Context, Result};
use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_architectures::SequenceClassifier;
use fornax_data::{DataError, Dataset, Loader, Resolved, SeriesExample, SeriesSet, SoundSet, Split, pad};
use fornax_layers::loss::cross_entropy;
use fornax_trainer::{Evaluation, SourceError};
use serde_json::json;
use std::{path::Path, sync::Arc};

/// Sequences that an evaluation takes at once.
const EVAL_BATCH: usize = 64;

/// Sequences with one class each, for the model that the function makes; features a step.
pub(crate) struct Sequences<F>(pub(crate) F, pub(crate) usize);

/// A split.
#[derive(Clone)]
pub(crate) enum Data {
    Series(SeriesSet),
    Sounds(SoundSet, Arc<Ear>),
}

impl Data {
    fn labels(&self) -> &[u32] {
        match self {
            Self::Series(set) => &set.labels,
            Self::Sounds(set, _) => &set.labels,
        }
    }

    fn classes(&self) -> &[String] {
        match self {
            Self::Series(set) => &set.classes,
            Self::Sounds(set, _) => &set.classes,
        }
    }

    /// Features of an example, `[T, D]`, as they are.
    fn features(&self, index: usize) -> Result<Vec<f32>, DataError> {
        match self {
            Self::Series(set) => Ok(set.series[index].clone()),
            Self::Sounds(set, ear) => Ok(ear.bands(&set.sounds[index])?.values),
        }
    }
}

/// A split with its random changes.
pub(crate) struct Changed {
    data: Data,
    config: DataConfig,
    seed: u64,
}

impl Dataset for Changed {
    type Item = SeriesExample;

    fn len(&self) -> usize {
        self.data.labels().len()
    }

    fn get(&self, epoch: u64, index: usize) -> Result<SeriesExample, DataError> {
        let values = match (&self.data, &self.config) {
            (Data::Sounds(set, ear), DataConfig::Sounds(config)) => {
                let at = (self.seed, epoch, index as u64);
                let sound = config.augment.apply(at.0, at.1, at.2, &set.sounds[index]);
                ear.changed(&sound, at)?.values
            }
            (Data::Series(set), DataConfig::Series(config)) => config.augment.apply(self.seed, epoch, index, set),
            (data, _) => data.features(index)?,
        };
        Ok(SeriesExample { values, label: self.data.labels()[index] as usize, index })
    }
}

impl<F: Fn(&Device) -> SequenceClassifier> Task for Sequences<F> {
    type Model = SequenceClassifier;
    type Data = Data;
    type Source = Loaded<Changed, Batch>;

    const EXAMPLES: &'static str = "sequences";

    fn open<'a>(&self, run: &'a RunConfig, given: Option<&Path>) -> Result<Opened<'a, Data>> {
        let config = &run.config;
        let (name, width) = (config.data.name(), self.1);
        let set = fornax_data::find(name).context("the name was checked before")?;
        let found = fornax_data::resolve(set, given)?;
        let load = move |split: Split| {
            let data = load(&found, &config.data, split)?;
            let (classes, wanted) = (data.classes().len(), config.model.classes());
            anyhow::ensure!(classes == wanted, "the data have {classes} classes, the model {wanted}; set model.classes={classes}");
            let features = match &data {
                Data::Series(set) => set.channels,
                Data::Sounds(..) => config.data.filters(),
            };
            anyhow::ensure!(
                features == width,
                "the data have {features} features a step, the model takes {width}; set model.encoder.inputs={features}"
            );
            anyhow::ensure!(!data.labels().is_empty(), "the {split} split is empty");
            Ok(data)
        };
        Ok(Opened { about: fornax_data::resolve(set, given)?.describe(), load: Box::new(load) })
    }
    fn classes(&self, train: &Data, _valid: &Data) -> Vec<String> {
        train.classes().to_vec()
    }
    fn examples(&self, data: &Data) -> usize {
        data.labels().len()
    }
    fn model(&self, _classes: &[String], device: &Device) -> SequenceClassifier {
        (self.0)(device)
    }
    fn source(&self, run: &RunConfig, data: Data, device: &Device, overfit: Option<usize>) -> Result<Self::Source> {
        let config = &run.config;
        let lengths = (0..self.examples(&data)).map(|i| match &data {
            Data::Series(set) => set.steps(i),
            Data::Sounds(set, _) => set.sounds[i].samples.len(),
        });
        let lengths = lengths.collect();
        let plain = DataConfig::Series(SeriesData::default());
        let changed = Changed { data, config: if overfit.is_some() { plain } else { config.data.clone() }, seed: config.seed };
        let loader = Loader::new(Arc::new(changed), config.trainer.batch_size, config.seed).with_workers(1).with_buckets(lengths);
        let (features, device) = (self.1, device.clone());
        Ok(Loaded::new(loader, overfit, move |examples: &[SeriesExample]| Batch::new(examples, features, &device)))
    }
    fn by_number(&self, run: &RunConfig, data: Data, device: &Device) -> Result<ByNumber<Batch>> {
        let changed = Changed { data, config: run.config.data.clone(), seed: run.config.seed };
        let (features, device) = (self.1, device.clone());
        let build = move |epoch: u64, numbers: &[usize]| -> Result<Batch, SourceError> {
            let examples = numbers.iter().map(|&number| changed.get(epoch, number)).collect::<Result<Vec<_>, _>>()?;
            Ok(Batch::new(&examples, features, &device))
        };
        let single = |batch: &Batch, place: usize| Batch {
            steps: batch.steps.clone().narrow(0, place, 1),
            lengths: vec![batch.lengths[place]],
            targets: batch.targets.clone().narrow(0, place, 1),
        };
        Ok(ByNumber { build: Box::new(build), single })
    }
    fn example_losses(&self, _run: &RunConfig, data: &Data, model: &SequenceClassifier, device: &Device) -> Result<Vec<f64>> {
        Ok(self.verdicts(data, model, device)?.iter().map(|verdict| verdict.loss).collect())
    }
    fn loss(&self, model: &SequenceClassifier, batch: Batch) -> Tensor<1> {
        cross_entropy(model.forward(batch.steps, Some(&batch.lengths)), batch.targets, 0.0)
    }
    fn measure(&self, _run: &RunConfig, data: &Data, model: &SequenceClassifier, device: &Device) -> Result<Evaluation> {
        let verdicts = self.verdicts(data, model, device)?;
        Ok(measure(&verdicts, data.labels(), data.classes().len()))
    }
    fn predict(&self, args: &PredictArgs, trained: &Trained) -> Result<u8> {
        let DataConfig::Sounds(config) = &trained.run.config.data else {
            return Err(usage(format!(
                "`{}` classifies series, which fornax predict cannot read yet: fornax eval measures it",
                trained.run.config.recipe
            )));
        };
        let model = trained.load((self.0)(&trained.device))?;
        let ear = Ear::new(config)?;
        let mut answers = vec![];
        for path in &args.inputs {
            let heard = ear.hear(path)?;
            let example = SeriesExample { values: heard.bands.values, label: 0, index: 0 };
            let batch = Batch::new(&[example], self.1, &trained.device);
            let logits: Vec<f32> = model.forward(batch.steps, Some(&batch.lengths)).into_data().iter::<f32>().collect();
            let probabilities = verdict(&logits, 0).probabilities;
            let mut order: Vec<usize> = (0..logits.len()).collect();
            order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
            let top: Vec<_> = order.iter().take(args.top_k.max(1)).map(|&class| (&trained.run.classes[class], probabilities[class])).collect();
            if !args.json {
                let list: Vec<_> = top.iter().map(|(class, p)| format!("{class} {:.2} %", 100.0 * p)).collect();
                ui::out(format!("{}: {}", path.display(), list.join("  ")));
                heard.fitting.iter().for_each(|how| ui::note(format!("  to fit the model: {how}")));
            }
            let classes: Vec<_> = top.iter().map(|(class, p)| json!({"class": class, "probability": p})).collect();
            answers.push(json!({"input": path, "class": top[0].0, "seconds": heard.seconds, "classes": classes}));
        }
        if args.json {
            ui::out(json!({"predictions": answers}).to_string());
        }
        Ok(0)
    }
    fn bench(&self, settings: &bench::Settings, config: &Config) -> Result<bench::Report> {
        let model = (self.0)(&settings.device.clone().autodiff());
        bench::sequences(settings, model, [config.trainer.batch_size, 40, self.1], config.model.classes())
    }
}

impl<F> Sequences<F> {
    /// What a model says of each example, in order.
    fn verdicts(&self, data: &Data, model: &SequenceClassifier, device: &Device) -> Result<Vec<Verdict>> {
        let all: Vec<usize> = (0..data.labels().len()).collect();
        let mut verdicts: Vec<Verdict> = vec![];
        for part in all.chunks(EVAL_BATCH) {
            let examples = part.iter().map(|&i| Ok(SeriesExample { values: data.features(i)?, label: data.labels()[i] as usize, index: i }));
            let batch = Batch::new(&examples.collect::<Result<Vec<_>, DataError>>()?, self.1, device);
            let logits = model.forward(batch.steps, Some(&batch.lengths));
            let classes = logits.dims()[1];
            let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
            verdicts.extend(logits.chunks(classes).zip(part).map(|(row, &i)| verdict(row, data.labels()[i] as usize)));
        }
        Ok(verdicts)
    }
}

/// One split as the configuration wants it.
fn load(found: &Resolved, config: &DataConfig, split: Split) -> Result<Data> {
    match config {
        DataConfig::Series(SeriesData { folds, fold, limit, .. }) => {
            let all = found.load_series(Split::Train)?;
            let (train, valid) = if *folds == 0 { (all.clone(), all) } else { all.fold(*fold, *folds, 0) };
            let moments = train.moments();
            let mut set = match split {
                Split::Train => train,
                Split::Valid => valid,
                Split::Test => found.load_series(Split::Test)?,
            };
            anyhow::ensure!(set.channels == moments.len(), "the test series have {} channels, the training series {}", set.channels, moments.len());
            set.standardize(&moments);
            let first: Vec<usize> = (0..set.len().min(*limit)).collect();
            Ok(Data::Series(if split == Split::Train && *limit > 0 { set.subset(&first) } else { set }))
        }
        DataConfig::Sounds(config) => Ok(Data::Sounds(sounds::load(found, config, split)?, Arc::new(Ear::new(config)?))),
        _ => unreachable!("a model of sequences has data of sequences"),
    }
}

/// `[B, T, D]`, its lengths, and `[B]`.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    steps: Tensor<3>,
    lengths: Vec<usize>,
    targets: Tensor<1, Int>,
}

impl Batch {
    fn new(examples: &[SeriesExample], features: usize, device: &Device) -> Self {
        let padded = pad(&examples.iter().map(|example| &example.values).collect::<Vec<_>>(), features);
        let targets: Vec<i64> = examples.iter().map(|example| example.label as i64).collect();
        Self {
            steps: Tensor::from_data(TensorData::new(padded.values, padded.shape), device),
            lengths: padded.lengths,
            targets: Tensor::from_data(TensorData::new(targets, [examples.len()]), device),
        }
    }
}
