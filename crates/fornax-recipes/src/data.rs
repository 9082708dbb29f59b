//! `fornax data`

use crate::{
    cli::{DataArgs, DataCommand},
    error::{did_you_mean, usage},
    ui,
};
use anyhow::Result;
use fornax_data::{DATA_SETS, DataSet, fetch, resolve};
use std::time::{Duration, Instant};

pub(crate) fn run(args: &DataArgs) -> Result<u8> {
    match &args.command {
        DataCommand::List => {
            for set in DATA_SETS {
                let place = resolve(set, None).map_or_else(|_| "not on this machine".to_string(), |found| found.describe());
                ui::out(format!("{:<16} {}\n{:16} licence: {}\n{:16} {place}", set.name, set.about, "", set.licence, ""));
            }
        }
        DataCommand::Fetch { name, from } => {
            let set = find(name)?;
            let mut last: Option<Instant> = None;
            let folder = fetch(set, from.as_deref(), &mut |file, done, total| {
                let end = total == Some(done);
                if end || last.is_none_or(|at| at.elapsed() > Duration::from_secs(2)) {
                    last = Some(Instant::now());
                    let of = total.map_or(String::new(), |total| format!(" of {:.1}", total as f64 / 1e6));
                    ui::note(format!("{file}: {:.1}{of} MB", done as f64 / 1e6));
                }
            })?;
            ui::out(folder.display().to_string());
        }
        DataCommand::Path { name } => {
            let found = resolve(find(name)?, None)?;
            match found.path() {
                Some(path) => ui::out(path.display().to_string()),
                None => ui::note(found.describe()),
            }
        }
    }
    Ok(0)
}

fn find(name: &str) -> Result<&'static DataSet> {
    let near = || did_you_mean(name, DATA_SETS.iter().map(|set| set.name));
    fornax_data::find(name).ok_or_else(|| usage(format!("there is no data set `{name}`{}; `fornax data list` lists them", near())))
}
