//! The pictures of a result, each as SVG and as PNG.
//!
//! Knows: which pictures there are. Must not know: how any is drawn.

mod attacks;
mod labels;
mod latency;
mod ratios;
mod scatter;
mod soak;
mod style;

use crate::attacks::Mark;
use crate::report::Picture;
use crate::results::{Kind, Results};
use crate::table::{Measure, Selection};
use anyhow::{Context, Result};
use spandrel_plot::png::Fonts;
use std::fs;
use std::path::Path;

/// In which forms pictures are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forms {
    /// For documents.
    SvgOnly,
    /// SVG and PNG.
    Both,
}

/// Writes all pictures into a directory; says which there are.
///
/// # Errors
/// When a picture cannot be drawn or written, or there is no font.
pub fn draw(results: &Results, dir: &Path, forms: Forms) -> Result<Vec<Picture>> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let fonts = if forms == Forms::Both { Some(Fonts::find()?) } else { None };
    let mut pictures = Vec::new();
    for (name, title, svg) in drawn(results)? {
        let Some(svg) = svg else { continue };
        let path = dir.join(format!("{name}.svg"));
        fs::write(&path, &svg).with_context(|| format!("cannot write {}", path.display()))?;
        if let Some(fonts) = &fonts {
            fonts.write(&svg, &path.with_extension("png"))?;
        }
        pictures.push(Picture { name, title });
    }
    Ok(pictures)
}

/// The picture of time against attacks.
///
/// # Errors
/// When there is no mark, or it cannot be drawn.
pub fn attacks(marks: &[Mark]) -> Result<String> {
    attacks::draw(marks)
}

/// Name, title and SVG of each picture; no SVG where there is nothing to draw.
fn drawn(results: &Results) -> Result<Vec<(String, String, Option<String>)>> {
    let mut drawn = Vec::new();
    for selection in Selection::all(results) {
        let (ending, group) = (selection.ending(), selection.title());
        let mut add =
            |name: &str, title: &str, svg| drawn.push((format!("{name}{ending}"), format!("{title}{group}"), svg));
        add("time-and-memory", "Time against memory", scatter::draw(results, &selection)?);
        add("time", "Time of each workload", ratios::draw(results, &selection, Measure::Cpu)?);
        add("memory", "Peak memory of each workload", ratios::draw(results, &selection, Measure::Peak)?);
        for workload in &selection.workloads {
            let name = &workload.name;
            match workload.kind {
                Kind::Soak => add(
                    &format!("over-time-{name}"),
                    &format!("Memory over time: {name}"),
                    soak::draw(results, &selection, workload)?,
                ),
                Kind::Latency => add(
                    &format!("calls-{name}"),
                    &format!("Duration of calls: {name}"),
                    latency::draw(results, &selection, workload)?,
                ),
                Kind::Time | Kind::Idle | Kind::Program => {}
            }
        }
    }
    Ok(drawn)
}
