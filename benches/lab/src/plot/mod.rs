//! The pictures of a result, each as SVG and as PNG.
//!
//! Knows: which pictures there are. Must not know: how any is drawn.

mod latency;
mod ratios;
mod scatter;
mod soak;
mod style;

use crate::report::Picture;
use crate::results::{Kind, Results};
use crate::table::Measure;
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

/// Name, title and SVG of each picture; no SVG where there is nothing to draw.
fn drawn(results: &Results) -> Result<Vec<(String, String, Option<String>)>> {
    let mut drawn = vec![
        ("time-and-memory".to_owned(), "Time against memory".to_owned(), scatter::draw(results)?),
        ("time".to_owned(), "Time of each workload".to_owned(), ratios::draw(results, Measure::Cpu)?),
        ("memory".to_owned(), "Peak memory of each workload".to_owned(), ratios::draw(results, Measure::Peak)?),
    ];
    for workload in &results.workloads {
        let name = &workload.name;
        match workload.kind {
            Kind::Soak => {
                drawn.push((
                    format!("over-time-{name}"),
                    format!("Memory over time: {name}"),
                    soak::draw(results, workload)?,
                ));
            }
            Kind::Latency => {
                drawn.push((
                    format!("calls-{name}"),
                    format!("Duration of calls: {name}"),
                    latency::draw(results, workload)?,
                ));
            }
            Kind::Time | Kind::Idle | Kind::Program => {}
        }
    }
    Ok(drawn)
}
