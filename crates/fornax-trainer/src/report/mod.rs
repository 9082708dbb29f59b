//! `report.html`: one file with everything in it, that opens anywhere.

pub mod chart;
mod html;

pub use html::{Picture, Report};
