//! Time against memory: one mark per allocator at its two geometric means.
//!
//! Knows: the axes. Must not know: workloads.

use super::labels::{BELOW, HEIGHT, LEFT, LETTERS, MARGIN, Point, RIGHT, WIDTH, draw_points};
use super::style::label;
use crate::figures::quantile;
use crate::results::Results;
use crate::table::{Measure, Selection, base};
use anyhow::Result;
use spandrel_plot::canvas::{Canvas, Lettering, Side};
use spandrel_plot::legend::Heading;
use spandrel_plot::scale::Scale;
use spandrel_plot::style::{BASE_LINE, GRID, PALE_INK};

/// The picture, or none with fewer than two allocators.
pub(super) fn draw(results: &Results, selection: &Selection<'_>) -> Result<Option<String>> {
    let base = base(results);
    let mean = |name: &str, measure: Measure| selection.mean(results, name, measure, |_| true);
    let means: Vec<(&str, f64, f64)> = selection
        .names
        .iter()
        .filter_map(|name| Some((*name, mean(name, Measure::Cpu)?, mean(name, Measure::Peak)?)))
        .collect();
    if means.len() < 2 {
        return Ok(None);
    }
    let title = format!("Time against memory{}, against {}", selection.title(), label(base));
    let subtitle = "Geometric means of CPU time and of peak resident memory; further down and left is better.";
    let heading = Heading { title: &title, subtitle, entries: &[], width: WIDTH, margin: MARGIN };
    let (top, bottom) = (heading.bottom() + 56.0, HEIGHT - BELOW);
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, WIDTH, HEIGHT)?;
    heading.draw(&canvas)?;
    let across = scale(means.iter().map(|(_, time, _)| *time), LEFT, WIDTH - RIGHT);
    let up = scale(means.iter().map(|(_, _, peak)| *peak), bottom, top);
    axes(&canvas, &across, &up, top, bottom)?;
    let points: Vec<Point<'_>> =
        means.iter().map(|(name, time, peak)| Point { name, at: (across.pixel(*time), up.pixel(*peak)) }).collect();
    draw_points(&canvas, &points, (LEFT, top, WIDTH - 10.0, bottom))?;
    canvas.finish()?;
    Ok(Some(svg))
}

fn scale(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Scale {
    let values: Vec<f64> = values.collect();
    let (low, high) = (quantile(&values, 0.0).unwrap_or(1.0), quantile(&values, 1.0).unwrap_or(1.0));
    let room = (high / low).powf(0.16).max(1.06);
    Scale::logarithmic(low.min(1.0) / room, high.max(1.0) * room, from, to)
}

fn axes(canvas: &Canvas<'_>, across: &Scale, up: &Scale, top: f64, bottom: f64) -> Result<()> {
    let pale = |side| Lettering::new(LETTERS, PALE_INK, side);
    let line = |tick: f64| if tick == 1.0 { (BASE_LINE, 2) } else { (GRID, 1) };
    for tick in across.ticks() {
        let (colour, width) = line(tick);
        canvas.line((across.pixel(tick), top), (across.pixel(tick), bottom), colour, width)?;
        canvas.text(&format!("{tick}"), (across.pixel(tick), bottom + 20.0), pale(Side::Middle))?;
    }
    for tick in up.ticks() {
        let (colour, width) = line(tick);
        canvas.line((LEFT, up.pixel(tick)), (WIDTH - RIGHT, up.pixel(tick)), colour, width)?;
        canvas.text(&format!("{tick}"), (LEFT - 12.0, up.pixel(tick)), pale(Side::Left))?;
    }
    canvas.text(
        "CPU time, ratio (◂ lower is better)",
        ((LEFT + WIDTH - RIGHT) / 2.0, bottom + 58.0),
        pale(Side::Middle),
    )?;
    canvas.text("peak memory, ratio (▾ lower is better)", (MARGIN, top - 26.0), pale(Side::Right))
}
