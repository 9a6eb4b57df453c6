//! Resident memory over time, one line per allocator, above the live bytes as an area.
//!
//! Knows: lines. Must not know: what the workload does in its phases.

use super::style::{Style, entries};
use crate::allocators::SPANDREL;
use crate::results::{Results, Workload};
use crate::table::Selection;
use anyhow::Result;
use spandrel_plot::canvas::Canvas;
use spandrel_plot::legend::{Entry, Heading, Key};
use spandrel_plot::style::AREA;
use spandrel_plot::time::{Chart, Line, Point};

const WIDTH: f64 = 1400.0;
const HEIGHT: f64 = 800.0;
const MARGIN: f64 = 30.0;
const LETTERS: f64 = 20.0;
const MILLIS: f64 = 1e3;
const KIB_PER_MIB: f64 = 1024.0;

/// One allocator's series.
type Series<'a> = (&'a str, &'a [[f64; 3]]);

/// The picture of one workload, or none without a series.
pub(super) fn draw(results: &Results, selection: &Selection<'_>, workload: &Workload) -> Result<Option<String>> {
    let mut all: Vec<Series<'_>> = selection
        .names
        .iter()
        .filter_map(|name| {
            let run = results.good(&workload.name, name).find(|run| run.round == 0)?;
            let series = run.said.as_ref()?.series.as_slice();
            (series.len() > 1).then_some((*name, series))
        })
        .collect();
    let Some(live) = all.first().map(|(_, series)| *series) else { return Ok(None) };
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let title = format!("Resident memory over time: {}", workload.name);
    let subtitle = format!("{}. Lower is better; what lies above the grey area is overhead.", workload.summary);
    let mut entries = entries(&names);
    entries.push(Entry { text: "live bytes (requested)", key: Key::Area(AREA), bold: false });
    let heading = Heading { title: &title, subtitle: &subtitle, entries: &entries, width: WIDTH, margin: MARGIN };

    let points = |series: &[[f64; 3]], column: usize| -> Vec<Point> {
        series.iter().map(|point| (point[0] / MILLIS, point[column] / KIB_PER_MIB)).collect()
    };
    all.sort_by_key(|(name, _)| Style::of(name).ours);
    let line = |(name, series): &Series<'_>| {
        let style = Style::of(name);
        let width = if *name == SPANDREL { 5 } else { 2 };
        Line { points: points(series, 1), colour: style.line(), width, mark: Some((style.shape, style.weight())) }
    };
    let lines: Vec<Line> = all.iter().map(line).collect();
    let live = points(live, 2);
    let chart = Chart {
        title: "",
        values: "resident memory in MiB",
        letters: LETTERS,
        area: Some((&live, AREA)),
        lines: &lines,
    };

    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, WIDTH, HEIGHT)?;
    heading.draw(&canvas)?;
    chart.draw(&canvas, (MARGIN, heading.bottom(), WIDTH - MARGIN, HEIGHT - MARGIN / 2.0))?;
    canvas.finish()?;
    Ok(Some(svg))
}
