//! The picture: a chart for each adversary, resident memory over time as a line for each allocator above the area of live
//! bytes.
//!
//! Knows: places and colours. Must not know: how memory was measured.

use super::adversaries::ALL;
use super::kernel::Course;
use anyhow::Result;
use spandrel_plot::canvas::Canvas;
use spandrel_plot::legend::{Entry, Heading, Key};
use spandrel_plot::style::{AREA, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION};
use spandrel_plot::time::{Chart, Line, Point};
use spandrel_plot::{Color, RGBColor};

const WIDTH: f64 = 1500.0;
const CHART: f64 = 330.0;
const COLUMNS: usize = 2;
const MARGIN: f64 = 30.0;
const LETTERS: f64 = 15.0;
/// One for each allocator, in their order.
pub(crate) const COLOURS: [RGBColor; 6] = [VERMILLION, BLUE, GREEN, PURPLE, ORANGE, GREY];
const MIB: f64 = (1 << 20) as f64;
const MIB_OF_KIB: f64 = 1024.0;

/// The legend: a line for each allocator, and the area of what is live.
pub(crate) fn entries<'a>(names: &[&'a str]) -> Vec<Entry<'a>> {
    let lines = names.iter().zip(COLOURS).map(|(name, colour)| Entry {
        text: name,
        key: Key::Line(colour),
        bold: *name == "spandrel",
    });
    lines.chain([Entry { text: "live", key: Key::Area(AREA), bold: false }]).collect()
}

/// The picture, as SVG.
pub(super) fn draw(names: &[&str], courses: &[Vec<(Course, f64)>]) -> Result<String> {
    let entries = entries(names);
    let heading = Heading {
        title: "Memory over time of ten adversaries",
        subtitle: "Resident MiB above those of the start. Each program works during the first third, and is quiet afterwards. A tick that takes longer counts as one of its length.",
        entries: &entries,
        width: WIDTH,
        margin: MARGIN,
    };
    let top = heading.bottom();
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, WIDTH, top + CHART * ALL.len().div_ceil(COLUMNS) as f64 + MARGIN)?;
    heading.draw(&canvas)?;
    let width = (WIDTH - 2.0 * MARGIN) / COLUMNS as f64;
    for (index, (adversary, courses)) in ALL.iter().zip(courses).enumerate() {
        let (left, top) = (MARGIN + width * (index % COLUMNS) as f64, top + CHART * (index / COLUMNS) as f64);
        let area: Vec<Point> = courses.first().map_or_else(Vec::new, |(course, _)| live(course));
        // The first allocator on top.
        let lines: Vec<Line> =
            courses.iter().zip(COLOURS).rev().map(|((course, _), colour)| line(course, colour)).collect();
        let chart =
            Chart { title: adversary.name, values: "MiB", letters: LETTERS, area: Some((&area, AREA)), lines: &lines };
        chart.draw(&canvas, (left, top, left + width - MARGIN, top + CHART))?;
    }
    canvas.finish()?;
    Ok(svg)
}

fn live(course: &Course) -> Vec<Point> {
    course.moments.iter().map(|&(seconds, live, _)| (seconds, live as f64 / MIB)).collect()
}

fn line(course: &Course, colour: RGBColor) -> Line {
    let points = course.moments.iter().map(|&(seconds, _, kib)| (seconds, course.above(kib) as f64 / MIB_OF_KIB));
    let width = if colour == VERMILLION { 3 } else { 2 };
    Line { points: points.collect(), colour: colour.mix(1.0), width, mark: None }
}
