use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Train and use neural networks.
#[derive(Debug, Parser)]
#[command(name = "fornax", version, about, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the recipes.
    Recipes {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Train a recipe: checkpoints, metrics, a report.
    #[command(after_help = crate::extras::help())]
    Train(TrainArgs),
    /// Measure a run's best checkpoint.
    Eval(EvalArgs),
    /// Attack a run's best checkpoint: does it tell the examples that it was trained on from others?
    Audit(AuditArgs),
    /// Classify pictures or recordings, say words, or translate, with a run's best checkpoint.
    Predict(PredictArgs),
    /// Go on with a text by a run's best checkpoint.
    Generate(GenerateArgs),
    /// Find speech in a recording with the weights of Silero VAD.
    Vad(VadArgs),
    /// Train a recipe many times over a grid of settings: a table, curves, the best.
    Sweep(SweepArgs),
    /// List, fetch and find data sets.
    Data(DataArgs),
    /// Show what a checkpoint, a weight file or a run holds; of a run also its learning rates and groups.
    Inspect(InspectArgs),
    /// Time training or inference of a workload.
    Bench(BenchArgs),
}

/// Where to compute.
#[derive(Debug, Args, Clone)]
pub(crate) struct Compute {
    /// flex, ndarray, tch, cuda or wgpu; those not compiled in say so. [default: flex, or the run's]
    #[arg(long)]
    pub(crate) backend: Option<String>,
    /// cpu, cuda or cuda:N. [default: the backend's first]
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Threads of a CPU backend; the same number gives the same bits. [default: all cores, or the run's]
    #[arg(long)]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// A name from `fornax recipes`.
    pub(crate) recipe: String,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// The data set's folder. [default: FORNAX_DATA, the cache, what comes with Fornax]
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// The run's folder. [default: runs/RECIPE-N, the first that is free]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Seed of weights, data order, augmentation and dropout.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Optimizer steps.
    #[arg(long, conflicts_with = "epochs")]
    pub(crate) steps: Option<u64>,
    /// Passes over the training set.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) epochs: Option<f64>,
    /// Stop after so long, with a checkpoint: 90s, 10m, 2h.
    #[arg(long)]
    pub(crate) time_limit: Option<String>,
    /// Change any field of the recipe: optimizer.lr=3e-4 (repeatable; `--show-config` lists them).
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Go on from the newest whole checkpoint of --out, or of the recipe's last run; from the start if there is none.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Print the configuration and stop.
    #[arg(long)]
    pub(crate) show_config: bool,
    /// Three steps, one evaluation, a checkpoint and the report: does everything work?
    #[arg(long)]
    pub(crate) fast_dev_run: bool,
    /// Train on the first N batches again and again, without augmentation: can the model learn at all?
    #[arg(long, value_name = "N")]
    pub(crate) overfit_batches: Option<usize>,
    /// Find a learning rate by a range test, draw its curve into OUT/lr_finder.svg, and stop.
    #[arg(long)]
    pub(crate) find_lr: bool,
    /// No progress.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// The report as one JSON object on the last line of standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// A run's folder, or one of its checkpoints; of several, as of seeds or folds, also the mean.
    #[arg(required = true, num_args = 1.., value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// The data set's folder. [default: the run's, FORNAX_DATA, the cache, what comes with Fornax]
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// valid or test.
    #[arg(long, default_value = "test")]
    pub(crate) split: String,
    /// Language models: also write minus the logarithm of each token's probability, a line a token.
    #[arg(long, value_name = "FILE")]
    pub(crate) dump_nll: Option<PathBuf>,
    /// One JSON object on the last line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// A run's folder, or one of its checkpoints.
    pub(crate) run: PathBuf,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// The data set's folder. [default: the run's, FORNAX_DATA, the cache, what comes with Fornax]
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// One JSON object on the last line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    /// A run's folder, or one of its checkpoints.
    pub(crate) run: PathBuf,
    /// Pictures (PNG, JPEG, PPM) or folders of them; WAV files; words or sentences, or files with one a line, `-` for standard
    /// input; tables (CSV) to forecast.
    #[arg(required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// Classes, or ways to say a word, to print; of a sentence only the best translation is, and so many with --json.
    #[arg(long, default_value_t = 3)]
    pub(crate) top_k: usize,
    /// Words and sentences: beginnings that the search keeps. [default: the recipe's]
    #[arg(long)]
    pub(crate) beam: Option<usize>,
    /// Also write where the network looked: grad-cam, grad-cam-plus-plus, guided-grad-cam, saliency, input-x-gradient, integrated-gradients,
    /// smooth-grad, gradient-shap, guided-backprop, deconvolution, deep-lift, lrp, occlusion, feature-ablation, shapley-sampling, kernel-shap
    /// or lime.
    #[arg(long, value_name = "METHOD")]
    pub(crate) explain: Option<String>,
    /// Where --explain writes. [default: the present folder]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// One JSON object on the last line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// A run's folder, or one of its checkpoints.
    pub(crate) run: PathBuf,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// What to go on with. [default: a new line]
    #[arg(long, default_value = "\n")]
    pub(crate) prompt: String,
    /// Tokens to make.
    #[arg(long, default_value_t = 500)]
    pub(crate) max_new_tokens: usize,
    /// Below 1 likelier tokens are taken more often; 0 takes the likeliest.
    #[arg(long, default_value_t = 0.8)]
    pub(crate) temperature: f64,
    /// Choose among so many of the likeliest; 0 for all.
    #[arg(long, default_value_t = 0)]
    pub(crate) top_k: usize,
    /// Choose among the likeliest that together have this probability.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) top_p: f64,
    /// Choose among those that are at least this share as likely as the likeliest.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) min_p: f64,
    /// Make what the text already has less likely: logits are divided by it, or multiplied below 0.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) repetition_penalty: f64,
    /// The same seed gives the same text.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// One JSON object on the last line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VadArgs {
    /// A WAV file of any rate.
    pub(crate) file: PathBuf,
    /// silero_vad.onnx or silero_vad_16k.safetensors, from the Python package `silero-vad`.
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: PathBuf,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// Speech begins at this probability, and ends 0.15 lower.
    #[arg(long, default_value_t = 0.5)]
    pub(crate) threshold: f64,
    /// One JSON object on the last line, with the probability of each 32 ms.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// A name from `fornax recipes`.
    pub(crate) recipe: String,
    /// A field and its values: optimizer.lr=1e-4,3e-4,1e-3 (repeatable; all combinations are trained).
    #[arg(long, value_name = "KEY.PATH=V1,V2,…")]
    pub(crate) vary: Vec<String>,
    /// Groups of combinations from a file: [{"name": "adam", "set": ["optimizer.name=adam"], "vary": ["optimizer.lr=1e-3,1e-2"]}].
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
    /// Seeds, each with every combination: 0,1,2.
    #[arg(long, value_delimiter = ',', default_value = "0")]
    pub(crate) seeds: Vec<u64>,
    /// Also tell when each run first came to this validation value.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) target: Option<f64>,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// The data set's folder, as for train.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// The sweep's folder; runs that are done in it are not trained again. [default: runs/RECIPE-sweep]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Optimizer steps of each run.
    #[arg(long)]
    pub(crate) steps: Option<u64>,
    /// Change a field in all runs (repeatable).
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// One JSON object on the last line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    #[command(subcommand)]
    pub(crate) command: DataCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// List the data sets.
    List,
    /// Download a data set into the cache, or take its files from where you have them.
    Fetch {
        /// A name from `fornax data list`.
        name: String,
        /// A folder or file that you already have.
        #[arg(long)]
        from: Option<PathBuf>,
    },
    /// Print where a data set is.
    Path {
        /// A name from `fornax data list`.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// A run folder, a checkpoint, a safetensors or an ONNX file.
    pub(crate) path: PathBuf,
    /// Print one SHA-256 over the weights' names, shapes and bytes on the last line.
    #[arg(long)]
    pub(crate) hash: bool,
    /// Plot the learning rate over the run's steps, here and into RUN/schedule.svg.
    #[arg(long, conflicts_with = "hash")]
    pub(crate) schedule: bool,
    /// Print each parameter of the run with its shape, learning rate, decay and groups.
    #[arg(long, conflicts_with_all = ["hash", "schedule"])]
    pub(crate) groups: bool,
    /// With --schedule or --groups: the values as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// A workload (a wrong name lists them), or a recipe.
    pub(crate) workload: String,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// Steps to time.
    #[arg(long, default_value_t = 15)]
    pub(crate) iters: usize,
    /// Initial weights: safetensors under PyTorch's names and layouts.
    #[arg(long)]
    pub(crate) init: Option<PathBuf>,
    /// One JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}
