//! `fornax audit`: how much a trained model tells of the examples that it was trained on.

use crate::{
    cli::AuditArgs,
    eval::Trained,
    task::{Job, Task},
    ui,
};
use anyhow::Result;
use fornax_data::Split;
use fornax_privacy::audit::{LOW_FPR, by_loss};
use fornax_trainer::RunDir;
use serde_json::json;

/// Of the lower bound on ε.
const CONFIDENCE: f64 = 0.95;

pub(crate) fn run(args: &AuditArgs) -> Result<u8> {
    let trained = Trained::open(&args.run, &args.compute)?;
    trained.run.config.model.with(Audit { args, trained: &trained })
}

struct Audit<'a> {
    args: &'a AuditArgs,
    trained: &'a Trained,
}

impl Job for Audit<'_> {
    type Output = u8;

    fn run<T: Task>(self, task: T) -> Result<u8> {
        let Self { args, trained } = self;
        let Trained { run, device, path, .. } = trained;
        let opened = task.open(run, args.data.as_deref().or(run.data.as_deref()))?;
        ui::note(&opened.about);
        let model = trained.load(task.model(&run.classes, device))?;
        let losses = |split: Split| task.example_losses(run, &(opened.load)(split)?, &model, device);
        let (members, others) = (losses(Split::Train)?, losses(Split::Valid)?);
        let delta = run.config.privacy.delta;
        let found = by_loss(&members, &others, delta, CONFIDENCE);
        let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let report = json!({
            "attack": "membership inference by a threshold on the loss", "checkpoint": path, "private": run.config.privacy.is_on(),
            "members": {"split": "train", "examples": members.len(), "loss": mean(&members)},
            "others": {"split": "valid", "examples": others.len(), "loss": mean(&others)},
            "auc": found.auc, "advantage": found.advantage, "tpr_at_fpr_0.001": found.tpr_at_low_fpr,
            "epsilon_lower": found.epsilon_lower, "confidence": CONFIDENCE, "delta": delta,
        });
        // Beside the run's other reports.
        let folder = path.parent().and_then(std::path::Path::parent);
        if let Some(folder) = folder {
            RunDir::open(folder)?.write("audit.json", &serde_json::to_vec_pretty(&report)?)?;
        }
        if args.json {
            ui::out(report.to_string());
            return Ok(0);
        }
        ui::out(format!("membership inference by the loss, {} {} trained on against {} others:", members.len(), T::EXAMPLES, others.len()));
        ui::out(format!(
            "  AUC {:.4} (0.5 tells nothing)  advantage {:.4}  true positives at {LOW_FPR} false ones {:.4}",
            found.auc, found.advantage, found.tpr_at_low_fpr
        ));
        ui::out(format!("  mean loss {:.4} against {:.4}", mean(&members), mean(&others)));
        ui::out(format!("  ε is at least {:.3} at δ {delta:e}, with {:.0} % confidence", found.epsilon_lower, 100.0 * CONFIDENCE));
        Ok(0)
    }
}
