//! `report.md`: what a result says, for people.
//!
//! Knows: which parts there are and in which order. Must not know: how any part is computed or drawn.

mod appendix;
mod markdown;
mod summary;
mod verdicts;

use crate::causes::Causes;
use crate::results::Results;
use crate::table::Measure;
use crate::targets::Targets;
use std::fmt::Write;

/// A picture of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// File name without its ending.
    pub name: String,
    /// The caption.
    pub title: String,
}

/// The whole report. Pictures are expected in `pictures_dir`, relative to it.
#[must_use]
pub fn render(
    results: &Results,
    causes: &Causes,
    targets: &Targets,
    pictures: &[Picture],
    pictures_dir: &str,
) -> String {
    let mut text = String::from("# Spandrel beside other allocators\n\n");
    text.push_str(&summary::circumstances(results));
    text.push_str(&summary::targets(results, targets));
    text.push_str(&summary::field(results));
    text.push_str(&verdicts::failures(results));
    text.push_str(&verdicts::losses(results, causes));
    text.push_str(&verdicts::wins(results));
    for picture in pictures {
        let _ = write!(text, "## {}\n\n![{}]({pictures_dir}/{}.svg)\n\n", picture.title, picture.title, picture.name);
    }
    text.push_str(&appendix::ratios(results, Measure::Cpu));
    text.push_str(&appendix::ratios(results, Measure::Peak));
    text.push_str(&appendix::idle(results, targets));
    text.push_str(&appendix::latency(results));
    text.push_str(&appendix::ratios(results, Measure::Wall));
    text.push_str(&appendix::ratios(results, Measure::Faults));
    text.push_str(&appendix::measured(results));
    text.push_str(&appendix::workloads(results));
    text.push_str(&appendix::allocators(results));
    text
}
