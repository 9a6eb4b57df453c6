//! Time against attacks: one mark per allocator at its mean time and the share of attacks that it stopped.
//!
//! Knows: the axes. Must not know: workloads, attacks.

use super::labels::{BELOW, HEIGHT, LEFT, LETTERS, MARGIN, Point, RIGHT, WIDTH, draw_points};
use super::style::label;
use crate::allocators::BASE;
use crate::attacks::Mark;
use crate::figures::quantile;
use anyhow::{Context, Result};
use spandrel_plot::canvas::{Canvas, Lettering, Side};
use spandrel_plot::legend::Heading;
use spandrel_plot::scale::Scale;
use spandrel_plot::style::{BASE_LINE, GRID, PALE_INK};

const PERCENT: f64 = 100.0;
/// The axis of attacks begins at a multiple of this.
const STEP: f64 = 10.0;

/// The picture.
pub(super) fn draw(marks: &[Mark]) -> Result<String> {
    let title = format!("CPU time against attacks stopped, against {}", label(BASE));
    let subtitle =
        "Geometric mean of CPU time; share of attacks caught or proven harmless. Further up and left is better.";
    let heading = Heading { title: &title, subtitle, entries: &[], width: WIDTH, margin: MARGIN };
    let (top, bottom) = (heading.bottom() + 56.0, HEIGHT - BELOW);
    let times: Vec<f64> = marks.iter().map(|mark| mark.time).collect();
    let shares: Vec<f64> = marks.iter().map(|mark| mark.stopped * PERCENT).collect();
    let ends = |values: &[f64]| quantile(values, 0.0).zip(quantile(values, 1.0)).context("there is nothing to draw");
    let ((fast, slow), (worst, _)) = (ends(&times)?, ends(&shares)?);
    let room = (slow / fast).powf(0.12).max(1.06);
    let across = Scale::logarithmic(fast.min(1.0) / room, slow.max(1.0) * room, LEFT, WIDTH - RIGHT);
    let lowest = ((worst - STEP / 2.0) / STEP).floor().max(0.0) * STEP;
    let up = Scale::between(lowest, PERCENT, bottom, top);

    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, WIDTH, HEIGHT)?;
    heading.draw(&canvas)?;
    axes(&canvas, &across, &up, top, bottom)?;
    let points: Vec<Point<'_>> = marks
        .iter()
        .map(|mark| Point { name: &mark.name, at: (across.pixel(mark.time), up.pixel(mark.stopped * PERCENT)) })
        .collect();
    draw_points(&canvas, &points, (LEFT, top - 12.0, WIDTH - 10.0, bottom))?;
    canvas.finish()?;
    Ok(svg)
}

fn axes(canvas: &Canvas<'_>, across: &Scale, up: &Scale, top: f64, bottom: f64) -> Result<()> {
    let pale = |side| Lettering::new(LETTERS, PALE_INK, side);
    for tick in across.ticks() {
        let (colour, width) = if tick == 1.0 { (BASE_LINE, 2) } else { (GRID, 1) };
        canvas.line((across.pixel(tick), top), (across.pixel(tick), bottom), colour, width)?;
        canvas.text(&format!("{tick}"), (across.pixel(tick), bottom + 20.0), pale(Side::Middle))?;
    }
    for tick in up.ticks() {
        canvas.line((LEFT, up.pixel(tick)), (WIDTH - RIGHT, up.pixel(tick)), GRID, 1)?;
        canvas.text(&format!("{tick} %"), (LEFT - 12.0, up.pixel(tick)), pale(Side::Left))?;
    }
    let centre = (LEFT + WIDTH - RIGHT) / 2.0;
    canvas.text("CPU time, ratio (◂ lower is better)", (centre, bottom + 58.0), pale(Side::Middle))?;
    canvas.text("attacks caught or harmless (▴ higher is better)", (MARGIN, top - 26.0), pale(Side::Right))
}
