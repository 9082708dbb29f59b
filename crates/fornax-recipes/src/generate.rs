//! `fornax generate`

use crate::{
    cli::GenerateArgs,
    error::usage,
    eval::Trained,
    task::{Job, Task},
    text::encode,
    ui,
};
use anyhow::Result;
use fornax_architectures::{LanguageModel, Sampling, generate};
use fornax_kernels::random::Key;
use serde_json::json;
use std::{io::Write, time::Instant};

pub(crate) fn run(args: &GenerateArgs) -> Result<u8> {
    if args.prompt.is_empty() {
        return Err(usage("--prompt is empty: give at least one character to go on with"));
    }
    if !(args.temperature >= 0.0 && args.temperature.is_finite()) {
        return Err(usage(format!("--temperature must be 0 or above, not {}", args.temperature)));
    }
    if !(args.top_p > 0.0 && args.top_p <= 1.0) {
        return Err(usage(format!("--top-p must be in (0, 1], not {}", args.top_p)));
    }
    if !(0.0..=1.0).contains(&args.min_p) {
        return Err(usage(format!("--min-p must be in [0, 1], not {}", args.min_p)));
    }
    if !(args.repetition_penalty >= 1.0 && args.repetition_penalty.is_finite()) {
        return Err(usage(format!("--repetition-penalty must be 1 or above, not {}", args.repetition_penalty)));
    }
    let trained = Trained::open(&args.run, &args.compute)?;
    trained.run.config.model.with(Generate { args, trained: &trained })
}

struct Generate<'a> {
    args: &'a GenerateArgs,
    trained: &'a Trained,
}

impl Job for Generate<'_> {
    type Output = u8;
    fn run<T: Task>(self, task: T) -> Result<u8> {
        task.generate(self.args, self.trained)
    }
}

/// Prints the prompt and what follows, as it comes.
pub(crate) fn text<M: LanguageModel>(args: &GenerateArgs, trained: &Trained, model: &M) -> Result<u8> {
    let classes = &trained.run.classes;
    let prompt = encode(&args.prompt, classes).map_err(|why| usage(format!("--prompt: {why}")))?;
    let sampling = Sampling {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        repetition_penalty: args.repetition_penalty,
    };
    let (key, mut drawn) = (Key::new(args.seed), 0);
    let draw = || {
        drawn += 1;
        key.uniform(drawn)
    };
    let began = Instant::now();
    let say = |text: &str| {
        if !args.json {
            let mut out = std::io::stdout().lock();
            // A reader that went away is no error of ours.
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        }
    };
    say(args.prompt.trim_start_matches('\n'));
    let tokens = generate(model, &prompt, args.max_new_tokens, sampling, &trained.device, draw, |token| say(&classes[token as usize]));
    say("\n");
    let rate = tokens.len() as f64 / began.elapsed().as_secs_f64().max(1e-9);
    ui::note(format!("{} characters, {rate:.0} a second", tokens.len()));
    if args.json {
        let text: String = tokens.iter().map(|&token| classes[token as usize].as_str()).collect();
        ui::out(json!({"prompt": args.prompt, "text": text, "seed": args.seed, "tokens_per_s": rate}).to_string());
    }
    Ok(0)
}
