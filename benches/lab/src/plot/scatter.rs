//! Time against memory: one mark per allocator at its two geometric means.
//!
//! Knows: places of marks and labels. Must not know: workloads.

use super::style::{Style, label};
use crate::figures::quantile;
use crate::results::Results;
use crate::table::{Measure, base, mean_ratio};
use anyhow::Result;
use spandrel_plot::canvas::{Canvas, Lettering, Place, Side};
use spandrel_plot::legend::Heading;
use spandrel_plot::scale::Scale;
use spandrel_plot::style::{BASE_LINE, GRID, INK, PALE_INK, PAPER};

const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 860.0;
const MARGIN: f64 = 30.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 60.0;
const BELOW: f64 = 90.0;
const MARK: f64 = 11.0;
const LETTERS: f64 = 20.0;

/// One allocator's place and the box of its label.
struct Point<'a> {
    name: &'a str,
    at: Place,
}

/// A rectangle: left, top, right, bottom.
type Frame = (f64, f64, f64, f64);

/// The picture, or none with fewer than two allocators.
pub(super) fn draw(results: &Results) -> Result<Option<String>> {
    let base = base(results);
    let mean =
        |name: &str, measure: Measure| mean_ratio(results, name, base, measure, |workload| measure.counts(workload));
    let means: Vec<(&str, f64, f64)> = results
        .present()
        .filter_map(|allocator| {
            let name = allocator.name.as_str();
            Some((name, mean(name, Measure::Cpu)?, mean(name, Measure::Peak)?))
        })
        .collect();
    if means.len() < 2 {
        return Ok(None);
    }
    let title = format!("Time against memory, all workloads, against {}", label(base));
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
    for point in &points {
        let style = Style::of(point.name);
        canvas.mark(style.shape, point.at, MARK * style.weight(), style.ink())?;
    }
    labels(&canvas, &points, (LEFT, top, WIDTH - 10.0, bottom))?;
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

/// Names beside their marks, each on the first side where it meets neither a mark nor another name.
fn labels(canvas: &Canvas<'_>, points: &[Point<'_>], area: Frame) -> Result<()> {
    let mut taken: Vec<Frame> = points.iter().map(|point| around(point.at, MARK * 1.4)).collect();
    let ours_first = |ours: bool| points.iter().filter(move |point| Style::of(point.name).ours == ours);
    for point in ours_first(true).chain(ours_first(false)) {
        let style = Style::of(point.name);
        let lettering = Lettering::new(LETTERS, INK, Side::Right);
        let lettering = if style.ours { lettering.bold() } else { lettering };
        let text = label(point.name);
        let width = lettering.width(text);
        let candidates = candidates(point.at, MARK * style.weight(), width);
        let free = |frame: &Frame| within(frame, &area) && taken.iter().all(|other| !meet(frame, other));
        let Some(frame) = candidates.iter().copied().find(free).or(candidates.first().copied()) else { continue };
        canvas.bar((frame.0 - 3.0, frame.1 + 2.0), (frame.2, frame.3 - 2.0), PAPER)?;
        canvas.text(
            text,
            (frame.0, f64::midpoint(frame.1, frame.3)),
            Lettering { colour: style.colour, ..lettering },
        )?;
        taken.push(frame);
    }
    Ok(())
}

/// Frames for a label of some width around a mark of some radius, the best first.
fn candidates((x, y): Place, radius: f64, width: f64) -> Vec<Frame> {
    let (gap, half) = (radius + 0.7 * MARK, LETTERS * 0.62);
    let mut frames = Vec::new();
    for shift in [0.0, -0.9, 0.9, -1.8, 1.8, -2.7, 2.7] {
        let middle = y + shift * LETTERS;
        frames.push((x + gap, middle - half, x + gap + width, middle + half));
        frames.push((x - gap - width, middle - half, x - gap, middle + half));
    }
    for distance in [1.5, 2.6] {
        for side in [-1.0, 1.0] {
            let middle = y + side * distance * LETTERS;
            frames.push((x - width / 2.0, middle - half, x + width / 2.0, middle + half));
        }
    }
    frames
}

fn around((x, y): Place, reach: f64) -> Frame {
    (x - reach, y - reach, x + reach, y + reach)
}

fn within(frame: &Frame, area: &Frame) -> bool {
    frame.0 >= area.0 && frame.1 >= area.1 && frame.2 <= area.2 && frame.3 <= area.3
}

fn meet(left: &Frame, right: &Frame) -> bool {
    left.0 < right.2 && right.0 < left.2 && left.1 < right.3 && right.1 < left.3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_touch_do_not_meet() {
        assert!(meet(&(0.0, 0.0, 2.0, 2.0), &(1.0, 1.0, 3.0, 3.0)));
        assert!(!meet(&(0.0, 0.0, 1.0, 1.0), &(1.0, 0.0, 2.0, 1.0)));
    }

    #[test]
    fn no_candidate_covers_its_mark() {
        let at = (100.0, 100.0);
        assert!(candidates(at, MARK, 80.0).iter().all(|frame| !meet(frame, &around(at, MARK))));
    }
}
