//! The `fornax` binary: recipes that train, evaluate and predict.
#![recursion_limit = "256"]

mod answers;
mod audit;
mod bench;
mod cli;
mod config;
mod data;
mod digit;
mod error;
mod eval;
mod explain;
mod explain_words;
mod extras;
mod forecast;
mod found;
mod frames;
mod generate;
mod images;
mod inspect;
mod loaded;
mod overrides;
mod pairs;
mod predict;
mod privacy;
mod recipes;
mod schedule_view;
mod sentences;
mod sequences;
mod signals;
mod sounds;
mod spectrogram;
mod spelling;
mod sweep;
mod sweep_view;
mod task;
mod text;
mod train;
mod transcripts;
mod ui;
mod utterances;
mod vad;

use clap::Parser;
use std::process::ExitCode;

/// Training allocates large buffers at every step; the system's allocator gives them back to the kernel each time, and page faults cost a tenth.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output with code 0, usage errors to standard error with code 2.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let result = match cli.command {
        cli::Command::Recipes { json } => recipes::list(json),
        cli::Command::Train(args) => train::run(&args),
        cli::Command::Eval(args) => eval::run(&args),
        cli::Command::Audit(args) => audit::run(&args),
        cli::Command::Predict(args) => predict::run(&args),
        cli::Command::Generate(args) => generate::run(&args),
        cli::Command::Vad(args) => vad::run(&args),
        cli::Command::Sweep(args) => sweep::run(&args),
        cli::Command::Data(args) => data::run(&args),
        cli::Command::Inspect(args) => inspect::run(&args),
        cli::Command::Bench(args) => bench::run(&args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            ui::error(&error);
            ExitCode::from(error::exit_code(&error))
        }
    }
}
