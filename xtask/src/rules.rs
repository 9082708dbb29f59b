//! `cargo xtask rules`: the book's comparison of all update rules.

use crate::fornax::build;
use crate::shell::{Workspace, code_of};
use anyhow::{Context, Result};

/// Both models at 300 steps, measured every 25; no average of weights, so that a curve is its rule's own.
const COMMON: &[&str] = &[
    "--plan=docs/rules/plan.json",
    "--steps=300",
    "--set=schedule.name=cosine",
    "--set=schedule.warmup=0.05",
    "--set=trainer.eval_every=25",
    "--set=trainer.checkpoint_every=300",
    "--set=trainer.clip_norm=1",
    "--set=trainer.ema_decay=0",
];

/// A name, the recipe, and what makes it small.
const MODELS: [(&str, &str, &[&str]); 2] =
    [("cnn", "mnist-lenet5", &[]), ("gpt", "char-gpt", &["--set=model.layers=2", "--set=model.width=64", "--set=data.valid_limit=20000"])];

/// Trains them all into `runs/rules-*`, where what is done is not trained again, and puts tables and pictures into the book.
pub(crate) fn run(workspace: &Workspace) -> Result<u8> {
    for (name, recipe, more) in MODELS {
        let out = format!("--out=runs/rules-{name}");
        let args: Vec<String> = ["sweep", recipe, &out].iter().chain(COMMON).chain(more).map(ToString::to_string).collect();
        let mut fornax = match build(workspace, &args)? {
            Ok(fornax) => fornax,
            Err(code) => return Ok(code),
        };
        let code = code_of(fornax.current_dir(&workspace.root))?;
        if code != 0 {
            return Ok(code);
        }
        for language in ["en", "zh"] {
            for (from, to) in [("sweep.svg", format!("rules-{name}.svg")), ("sweep.md", format!("rules-{name}.md"))] {
                let from = workspace.root.join("runs").join(format!("rules-{name}")).join(from);
                let to = workspace.root.join("docs").join(language).join("src").join(to);
                std::fs::copy(&from, &to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
            }
        }
    }
    Ok(0)
}
