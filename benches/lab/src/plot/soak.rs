//! Resident memory over time, one line per allocator, above the live bytes as an area.
//!
//! Knows: lines. Must not know: what the workload does in its phases.

use super::canvas::{Canvas, Lettering, Place, Side};
use super::legend::Heading;
use super::scale::Scale;
use super::style::{GRID, PALE_INK, Style};
use crate::allocators::SPANDREL;
use crate::results::{Results, Workload};
use anyhow::Result;
use plotters::prelude::RGBColor;

const WIDTH: f64 = 1400.0;
const HEIGHT: f64 = 800.0;
const MARGIN: f64 = 30.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 50.0;
const BELOW: f64 = 90.0;
const LETTERS: f64 = 20.0;
const MILLIS: f64 = 1e3;
const KIB_PER_MIB: f64 = 1024.0;
const LIVE: RGBColor = RGBColor(222, 222, 222);
/// Space between the marks on a line.
const MARK_GAP: f64 = 150.0;

/// One allocator's series.
type Series<'a> = (&'a str, &'a [[f64; 3]]);

/// The picture of one workload, or none without a series.
pub(super) fn draw(results: &Results, workload: &Workload) -> Result<Option<String>> {
    let all: Vec<Series<'_>> = results
        .present()
        .filter_map(|allocator| {
            let run = results.good(&workload.name, &allocator.name).find(|run| run.round == 0)?;
            let series = run.said.as_ref()?.series.as_slice();
            (series.len() > 1).then_some((allocator.name.as_str(), series))
        })
        .collect();
    let Some(live) = all.first().map(|(_, series)| *series) else { return Ok(None) };
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let title = format!("Resident memory over time: {}", workload.name);
    let subtitle = format!("{}. Lower is better; what lies above the grey area is overhead.", workload.summary);
    let area = Some(("live bytes (requested)", LIVE));
    let heading = Heading { title: &title, subtitle: &subtitle, names: &names, area, width: WIDTH, margin: MARGIN };
    let (top, bottom) = (heading.bottom() + 44.0, HEIGHT - BELOW);
    let points = || all.iter().flat_map(|(_, series)| series.iter());
    let across = Scale::from_zero(points().map(|point| point[0]).fold(0.0, f64::max) / MILLIS, LEFT, WIDTH - RIGHT);
    let up = Scale::from_zero(points().map(|point| point[1].max(point[2])).fold(0.0, f64::max) / KIB_PER_MIB, bottom, top);

    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, WIDTH, HEIGHT)?;
    heading.draw(&canvas)?;
    let place = |point: &[f64; 3], kib: f64| (across.pixel(point[0] / MILLIS), up.pixel(kib / KIB_PER_MIB));
    let mut outline: Vec<Place> = live.iter().map(|point| place(point, point[2])).collect();
    if let (Some(first), Some(last)) = (outline.first().copied(), outline.last().copied()) {
        outline.extend([(last.0, bottom), (first.0, bottom)]);
    }
    canvas.fill(&outline, LIVE)?;
    axes(&canvas, &across, &up, (top, bottom))?;
    let ours_last = |ours: bool| all.iter().filter(move |(name, _)| Style::of(name).ours == ours);
    for (number, (name, series)) in ours_last(false).chain(ours_last(true)).enumerate() {
        let style = Style::of(name);
        let line: Vec<Place> = series.iter().map(|point| place(point, point[1])).collect();
        canvas.path(&line, style.line(), if *name == SPANDREL { 5 } else { 2 })?;
        let mut next = LEFT + MARK_GAP * (0.3 + number as f64 / all.len() as f64);
        for at in &line {
            if at.0 >= next {
                canvas.mark(style.shape, *at, 7.0 * style.weight(), style.ink())?;
                next = at.0 + MARK_GAP;
            }
        }
    }
    canvas.finish()?;
    Ok(Some(svg))
}

fn axes(canvas: &Canvas<'_>, across: &Scale, up: &Scale, (top, bottom): (f64, f64)) -> Result<()> {
    let pale = |side| Lettering::new(LETTERS, PALE_INK, side);
    for tick in up.ticks() {
        canvas.line((LEFT, up.pixel(tick)), (WIDTH - RIGHT, up.pixel(tick)), GRID, 1)?;
        canvas.text(&format!("{tick}"), (LEFT - 12.0, up.pixel(tick)), pale(Side::Left))?;
    }
    for tick in across.ticks() {
        canvas.line((across.pixel(tick), bottom), (across.pixel(tick), bottom + 6.0), PALE_INK, 1)?;
        canvas.text(&format!("{tick}"), (across.pixel(tick), bottom + 22.0), pale(Side::Middle))?;
    }
    canvas.line((LEFT, bottom), (WIDTH - RIGHT, bottom), PALE_INK, 1)?;
    canvas.text("seconds since the start", ((LEFT + WIDTH - RIGHT) / 2.0, bottom + 58.0), pale(Side::Middle))?;
    canvas.text("resident memory in MiB", (MARGIN, top - 24.0), pale(Side::Right))
}
