//! Tests of the binary, as its users run it.

#[cfg(target_os = "linux")]
mod damaged;
mod forecast;
#[cfg(unix)]
mod kill;
mod pairs;
mod privacy;
mod runs;
mod schedules;
mod sentences;
mod sequences;
mod speech;
mod support;
mod text;
mod translate;
mod usage;
mod vad;
