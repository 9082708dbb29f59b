use super::{Plateau, Schedule, composed, plans};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::collections::BTreeMap;

/// A schedule's own options by name.
pub type Options = BTreeMap<String, Value>;

/// A schedule as plain data: its fields are its options, and `Default` has their defaults.
pub trait Plan: Default + Serialize + DeserializeOwned {
    /// Whether it climbs by itself, so that no warm-up may stand before it.
    const CLIMBS: bool = false;

    /// What is out of range: the option, and why.
    ///
    /// # Errors
    /// As said.
    fn check(&self) -> Result<(), (&'static str, String)>;

    /// The schedule over `total` steps.
    fn schedule(&self, total: u64) -> Schedule;

    /// The rule that watches a metric.
    fn plateau(&self) -> Option<Plateau> {
        None
    }
}

/// What a recipe sets of a schedule: a name from [`SCHEDULES`], a warm-up before it, and its own options, as in
/// `{"name": "step", "warmup": 0.05, "size": 0.3, "gamma": 0.1}`.
///
/// An option that is left out has its default; one that the schedule does not have is refused by [`ScheduleConfig::build`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleConfig {
    /// A name from [`SCHEDULES`].
    pub name: String,
    /// Share of the steps in which the rate climbs.
    #[serde(default)]
    pub warmup: f64,
    /// The schedule's own.
    #[serde(flatten)]
    pub options: Options,
}

/// A wrong name or number in a [`ScheduleConfig`], as one line: `gamma must be above 0, not -1`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option} {why}")]
pub struct ScheduleError {
    /// The field.
    pub option: String,
    /// What is wrong with it.
    pub why: String,
    /// The word that is not known, and those that are: for who wants to suggest one.
    pub unknown: Option<(String, Vec<String>)>,
}

impl ScheduleError {
    fn new(option: &str, why: impl Into<String>) -> Self {
        Self { option: option.into(), why: why.into(), unknown: None }
    }
}

impl Default for ScheduleConfig {
    /// Constant.
    fn default() -> Self {
        Self { name: "constant".into(), warmup: 0.0, options: Options::new() }
    }
}

impl ScheduleConfig {
    /// A schedule by name, with its defaults; [`ScheduleConfig::build`] checks the name.
    pub fn new(name: &str) -> Self {
        Self::named(name).unwrap_or_else(|_| Self { name: name.into(), ..Self::default() })
    }

    /// As [`ScheduleConfig::new`], checked at once.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn named(name: &str) -> Result<Self, ScheduleError> {
        Ok(Self { name: name.into(), warmup: 0.0, options: (entry(name)?.defaults)() })
    }

    /// With one option set; [`ScheduleConfig::build`] checks it.
    pub fn with(mut self, option: &str, value: impl Into<Value>) -> Self {
        self.options.insert(option.into(), value.into());
        self
    }

    /// With a warm-up over this share of the steps.
    pub fn with_warmup(mut self, share: f64) -> Self {
        self.warmup = share;
        self
    }

    /// The same with another name: its defaults, and of the present options those that it has too.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn renamed(&self, name: &str) -> Result<Self, ScheduleError> {
        let mut new = Self::named(name)?;
        if !entry(name)?.climbs {
            new.warmup = self.warmup;
        }
        for (option, value) in &mut new.options {
            if let Some(old) = self.options.get(option).filter(|old| std::mem::discriminant(*old) == std::mem::discriminant(value)) {
                value.clone_from(old);
            }
        }
        Ok(new)
    }

    /// Builds the schedule for a run of `total` steps, after checking every name, type and range.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn build(&self, total: u64) -> Result<Schedule, ScheduleError> {
        let entry = entry(&self.name)?;
        if !(0.0..=1.0).contains(&self.warmup) {
            return Err(ScheduleError::new("warmup", format!("must be a share in [0, 1], not {}", self.warmup)));
        }
        if entry.climbs && self.warmup > 0.0 {
            return Err(ScheduleError::new("warmup", format!("must be 0 before `{}`, which climbs by itself", self.name)));
        }
        let mut options = (entry.defaults)();
        for (option, value) in &self.options {
            let Some(default) = options.get_mut(option) else { return Err(entry.unknown(option)) };
            default.clone_from(value);
        }
        let warmup = (self.warmup * total as f64).round() as u64;
        let main = (entry.build)(options, total - warmup)?;
        Ok(if warmup > 0 { main.warm_up(warmup) } else { main })
    }
}

/// The line of [`SCHEDULES`] of that name.
fn entry(name: &str) -> Result<&'static ScheduleEntry, ScheduleError> {
    SCHEDULES.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let names: Vec<_> = SCHEDULES.iter().map(|entry| entry.name.to_string()).collect();
        let why = format!("is one of {}, not `{name}`", names.join(", "));
        ScheduleError { option: "name".into(), why, unknown: Some((name.into(), names)) }
    })
}

/// A line of [`SCHEDULES`].
#[derive(Debug)]
pub struct ScheduleEntry {
    /// The name on the command line.
    pub name: &'static str,
    /// What it does, in a few words.
    pub about: &'static str,
    /// Whether it climbs by itself.
    pub climbs: bool,
    /// Every option with its default.
    pub defaults: fn() -> Options,
    build: fn(Options, u64) -> Result<Schedule, ScheduleError>,
}

impl ScheduleEntry {
    /// Of a plan.
    pub const fn new<P: Plan>(name: &'static str, about: &'static str) -> Self {
        Self { name, about, climbs: P::CLIMBS, defaults: defaults::<P>, build: build::<P> }
    }

    fn unknown(&self, option: &str) -> ScheduleError {
        let known: Vec<String> = ["name".into(), "warmup".into()].into_iter().chain((self.defaults)().into_keys()).collect();
        let why = format!("is not an option of `{}`, which has {}", self.name, known.join(", "));
        ScheduleError { option: option.into(), why, unknown: Some((option.into(), known)) }
    }
}

fn defaults<P: Plan>() -> Options {
    let value = serde_json::to_value(P::default()).and_then(serde_json::from_value);
    value.unwrap_or_else(|error| panic!("a schedule's fields are plain data: {error}"))
}

fn build<P: Plan>(options: Options, total: u64) -> Result<Schedule, ScheduleError> {
    // One by one in place of its default, so that an error can name the option.
    let mut fields = defaults::<P>();
    for (option, value) in options {
        fields.insert(option.clone(), value);
        let read = serde_json::from_value::<P>(serde_json::json!(fields));
        read.map_err(|error| ScheduleError::new(&option, format!("is wrong: {error}")))?;
    }
    let plan: P = serde_json::from_value(serde_json::json!(fields)).map_err(|error| ScheduleError::new("options", error.to_string()))?;
    plan.check().map_err(|(option, why)| ScheduleError::new(option, why))?;
    let schedule = plan.schedule(total);
    Ok(match plan.plateau() {
        Some(plateau) => schedule.with_plateau(plateau),
        None => schedule,
    })
}

/// Every schedule by name.
pub const SCHEDULES: &[ScheduleEntry] = &[
    ScheduleEntry::new::<plans::Constant>("constant", "stays"),
    ScheduleEntry::new::<plans::Linear>("linear", "a line down to `end`"),
    ScheduleEntry::new::<plans::Cosine>("cosine", "half a cosine down to `end`"),
    ScheduleEntry::new::<plans::Polynomial>("polynomial", "a power of the share that is left"),
    ScheduleEntry::new::<plans::Exponential>("exponential", "by the same factor a step, down to `end`"),
    ScheduleEntry::new::<plans::Step>("step", "by `gamma` every `size` of the run"),
    ScheduleEntry::new::<plans::MultiStep>("multi-step", "by `gamma` at each of `milestones`"),
    ScheduleEntry::new::<plans::InverseSqrt>("inverse-sqrt", "as the inverse square root of the step, for after a warm-up"),
    ScheduleEntry::new::<plans::Noam>("noam", "the Transformer's: up over `climb`, then the inverse square root"),
    ScheduleEntry::new::<plans::Wsd>("wsd", "warm-up, stable, and `decay` down to `end`"),
    ScheduleEntry::new::<plans::Rex>("rex", "nearly a line, longer at high rates"),
    ScheduleEntry::new::<plans::CosineRestarts>("cosine-restarts", "SGDR: cosines, each `multiple` times as long as the last"),
    ScheduleEntry::new::<plans::OneCyclePlan>("one-cycle", "up to the peak and far down"),
    ScheduleEntry::new::<plans::CyclicPlan>("cyclic", "triangles between `low` and the peak"),
    ScheduleEntry::new::<composed::PlateauPlan>("plateau", "by `factor` when the metric stands still"),
    ScheduleEntry::new::<composed::Sequential>("sequential", "one schedule after another"),
    ScheduleEntry::new::<composed::Chained>("chained", "the product of schedules"),
];
