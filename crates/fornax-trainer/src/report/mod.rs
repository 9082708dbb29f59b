//! `report.html`: one file with everything in it, that opens anywhere.

pub mod chart;
mod grid;
mod html;

pub use grid::grid;
pub use html::{Picture, Report};
