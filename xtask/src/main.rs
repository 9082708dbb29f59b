//! The commands of this workspace: `cargo xtask help`. Depends on no Burn, so that it is there in seconds.

mod ci;
mod fornax;
mod libtorch;
mod rules;
mod shell;
mod test;
mod tidy;

use anyhow::{Result, bail};
use shell::Workspace;
use std::io::Write;
use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask COMMAND

Train and use models. Each builds the binary `fornax` (release) with the backend that --backend asks for, and runs it:
  recipes                       list the recipes with their published and measured results
  train RECIPE [OPTION]...      train; `cargo xtask train mnist-cnn` needs nothing else
  eval RUN...                   measure runs or checkpoints on their validation or test split
  predict RUN INPUT...          classify images
  generate RUN                  go on with a text by a language model
  vad FILE.wav --weights FILE   find speech with the weights of Silero VAD
  sweep RECIPE --vary KEY=V,V   train over a grid of settings: a table, curves, the best
  data list|fetch|path          the data sets
  inspect FILE|RUN              tensors, shapes and configuration of a checkpoint
  bench WORKLOAD                time a training step
  --backend flex|ndarray|tch|wgpu|cuda    the default is flex, pure Rust on the CPU
  `cargo xtask train --help`, and the same for the others, lists every option.

Work on Fornax:
  test [--backend flex|ndarray|tch] [ARG]...    every test (nextest if it is installed; ARGs go to it)
  tidy                          the invariants that a program can check
  rules                         train a CNN and a GPT by every update rule, for the book's page: table and curves
  ci                            tidy, fmt, deny, clippy, tests, doctests, docs
  check wgpu|cuda               type-check a GPU backend; nothing runs
  setup-libtorch [--cuda]       LibTorch 2.9.0 for the tch backend into libtorch/, from PyPI
                                (CPU: 0.9 GB of download, 0.5 GB kept; CUDA: 3.9 GB, 6.1 GB)
  help                          this text
";

fn main() -> ExitCode {
    let args: Vec<String> = match std::env::args_os().skip(1).map(|arg| arg.into_string()).collect() {
        Ok(args) => args,
        Err(arg) => {
            eprintln!("error: the argument {} is not UTF-8", arg.display());
            return ExitCode::from(2);
        }
    };
    match run(&args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<u8> {
    let (command, rest) = args.split_first().map_or(("help", &[][..]), |(command, rest)| (command.as_str(), rest));
    match command {
        "help" | "--help" | "-h" => {
            std::io::stdout().write_all(HELP.as_bytes())?;
            Ok(0)
        }
        _ if fornax::COMMANDS.contains(&command) => fornax::run(&Workspace::find()?, args),
        "test" => test::test(&Workspace::find()?, rest),
        "tidy" | "ci" | "rules" if !rest.is_empty() => bail!("usage: cargo xtask {command}"),
        "tidy" => tidy::run(&Workspace::find()?),
        "rules" => rules::run(&Workspace::find()?),
        "ci" => ci::ci(&Workspace::find()?),
        "check" => ci::check(&Workspace::find()?, rest),
        "setup-libtorch" => libtorch::setup(&Workspace::find()?, rest).map(|()| 0),
        _ => {
            eprintln!("error: there is no command `{command}`; `cargo xtask help` lists them");
            Ok(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_command() {
        for command in fornax::COMMANDS.iter().chain(&["test", "tidy", "ci", "check", "setup-libtorch"]) {
            assert!(HELP.contains(&format!("\n  {command} ")), "{command}");
        }
    }

    #[test]
    fn an_unknown_command_is_bad_usage() {
        assert_eq!(run(&["trian".into()]).unwrap(), 2);
        assert!(run(&["tidy".into(), "now".into()]).unwrap_err().to_string().starts_with("usage:"));
    }
}
