//! Lines over time.

use super::WIDTH;
use crate::recording::Sample;
use anyhow::Result;
use spandrel_plot::canvas::Canvas;
use spandrel_plot::legend::{Entry, Heading, Key};
use spandrel_plot::style::{AREA, ORANGE, PURPLE, VERMILLION};
use spandrel_plot::time::{Chart, Line, Point};
use spandrel_plot::{Color, RGBColor, embedded};

const HEIGHT: f64 = 400.0;
const LETTERS: f64 = 15.0;
const MIB: f64 = 1024.0 * 1024.0;

/// The value of a sample that a line shows, in bytes.
type Figure = fn(&Sample) -> u64;

/// Resident and obtained bytes, and those in bins, above the live ones.
pub(super) fn over_time(samples: &[Sample]) -> Result<String> {
    let figures: [(RGBColor, &str, Figure); 3] = [
        (PURPLE, "obtained for blocks", |sample| sample.obtained),
        (VERMILLION, "resident", |sample| sample.resident),
        (ORANGE, "in bins", |sample| sample.binned),
    ];
    let points = |value: Figure| -> Vec<Point> {
        samples.iter().map(|sample| (sample.seconds, value(sample) as f64 / MIB)).collect()
    };
    let lines =
        figures.map(|(colour, _, value)| Line { points: points(value), colour: colour.mix(1.0), width: 2, mark: None });
    let live = points(|sample| sample.live);
    let mut entries = vec![Entry { text: "live", key: Key::Area(AREA), bold: false }];
    entries.extend(figures.map(|(colour, text, _)| Entry { text, key: Key::Line(colour), bold: false }));
    let heading = Heading { title: "", subtitle: "", entries: &entries, width: WIDTH as f64, margin: 0.0 };
    let chart = Chart { title: "", values: "MiB", letters: LETTERS, area: Some((&live, AREA)), lines: &lines };
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, WIDTH as f64, HEIGHT)?;
    heading.draw(&canvas)?;
    chart.draw(&canvas, (0.0, heading.bottom(), WIDTH as f64 - 10.0, HEIGHT))?;
    canvas.finish()?;
    Ok(embedded(&svg))
}
