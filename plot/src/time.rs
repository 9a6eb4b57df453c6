//! Lines over time, above an area: memory that is resident above bytes that are live, and the like.
//!
//! Knows: a frame, axes and lines. Must not know: the program whose memory it is.

use crate::canvas::{Canvas, Lettering, Place, Shape, Side};
use crate::scale::Scale;
use crate::style::{GRID, INK, PALE_INK};
use anyhow::Result;
use plotters::prelude::{RGBAColor, RGBColor};

/// A moment in seconds, and a value.
pub type Point = (f64, f64);

/// Room for the numbers of an axis and its name, in heights of a letter.
const BESIDE: f64 = 3.8;
const BELOW: f64 = 3.4;
const ABOVE: f64 = 2.4;
/// An axis reaches so far at least.
const LEAST: f64 = 1e-3;
/// Space between the marks on a line, in pixels.
const MARK_GAP: f64 = 150.0;
const MARK: f64 = 7.0;

/// A line.
#[derive(Debug)]
pub struct Line {
    /// Its points, the earliest first.
    pub points: Vec<Point>,
    /// Its colour.
    pub colour: RGBAColor,
    /// How thick it is.
    pub width: u32,
    /// The mark that stands on it now and then, and its size against that of others.
    pub mark: Option<(Shape, f64)>,
}

/// Where a chart lies: left, top, right, bottom, labels included.
pub type Frame = (f64, f64, f64, f64);

/// The chart.
#[derive(Debug)]
pub struct Chart<'a> {
    /// Above it; may be empty.
    pub title: &'a str,
    /// The name of its values, with their unit.
    pub values: &'a str,
    /// Size of its letters.
    pub letters: f64,
    /// Below the lines.
    pub area: Option<(&'a [Point], RGBColor)>,
    /// The lines, the last on top.
    pub lines: &'a [Line],
}

impl Chart<'_> {
    /// Draws it.
    ///
    /// # Errors
    /// When the canvas cannot be drawn on.
    pub fn draw(&self, canvas: &Canvas<'_>, frame: Frame) -> Result<()> {
        let (left, top, right, bottom) = frame;
        let (left, bottom) = (left + BESIDE * self.letters, bottom - BELOW * self.letters);
        let heading = if self.title.is_empty() { ABOVE } else { 2.0 * ABOVE };
        let inner = (left, top + heading * self.letters, right, bottom);
        let area = self.area.into_iter().flat_map(|(points, _)| points);
        let points = || self.lines.iter().flat_map(|line| &line.points).chain(area.clone());
        let most = |of: fn(&Point) -> f64| points().map(of).fold(LEAST, f64::max);
        let across = Scale::linear(most(|point| point.0), left, right);
        let up = Scale::from_zero(most(|point| point.1), bottom, inner.1);
        if let Some((points, colour)) = self.area {
            let mut outline: Vec<Place> =
                points.iter().map(|point| (across.pixel(point.0), up.pixel(point.1))).collect();
            if let (Some(first), Some(last)) = (outline.first().copied(), outline.last().copied()) {
                outline.extend([(last.0, bottom), (first.0, bottom)]);
            }
            canvas.fill(&outline, colour)?;
        }
        self.axes(canvas, &across, &up, inner)?;
        for (number, line) in self.lines.iter().enumerate() {
            let places: Vec<Place> =
                line.points.iter().map(|point| (across.pixel(point.0), up.pixel(point.1))).collect();
            canvas.path(&places, line.colour, line.width)?;
            let Some((shape, weight)) = line.mark else { continue };
            let mut next = left + MARK_GAP * (0.3 + number as f64 / self.lines.len() as f64);
            for at in places {
                if at.0 >= next {
                    canvas.mark(shape, at, MARK * weight, line.colour)?;
                    next = at.0 + MARK_GAP;
                }
            }
        }
        Ok(())
    }

    fn axes(&self, canvas: &Canvas<'_>, across: &Scale, up: &Scale, (left, top, right, bottom): Frame) -> Result<()> {
        let letters = self.letters;
        let pale = |side| Lettering::new(letters, PALE_INK, side);
        for tick in up.ticks() {
            canvas.line((left, up.pixel(tick)), (right, up.pixel(tick)), GRID, 1)?;
            canvas.text(&tick.to_string(), (left - 0.6 * letters, up.pixel(tick)), pale(Side::Left))?;
        }
        for tick in across.ticks() {
            canvas.line((across.pixel(tick), bottom), (across.pixel(tick), bottom + 0.3 * letters), PALE_INK, 1)?;
            canvas.text(&tick.to_string(), (across.pixel(tick), bottom + 1.1 * letters), pale(Side::Middle))?;
        }
        canvas.line((left, bottom), (right, bottom), PALE_INK, 1)?;
        canvas.text("seconds", (f64::midpoint(left, right), bottom + 2.5 * letters), pale(Side::Middle))?;
        canvas.text(self.values, (left - 0.6 * letters, top - 1.2 * letters), pale(Side::Right))?;
        let title = Lettering::new(letters * 1.2, INK, Side::Middle).bold();
        canvas.text(self.title, (f64::midpoint(left, right), top - 2.8 * letters), title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::style::{AREA, BLUE};
    use plotters::style::Color;

    fn drawn(lines: &[Line], area: &[Point]) -> String {
        let mut svg = String::new();
        let canvas = Canvas::new(&mut svg, 400.0, 300.0).unwrap();
        let chart = Chart { title: "Churn", values: "resident, MiB", letters: 12.0, area: Some((area, AREA)), lines };
        chart.draw(&canvas, (10.0, 10.0, 390.0, 290.0)).unwrap();
        canvas.finish().unwrap();
        svg
    }

    #[test]
    fn a_chart_has_its_lines_its_area_and_its_units() {
        let line = Line {
            points: vec![(0.0, 1.0), (2.0, 30.0)],
            colour: BLUE.mix(1.0),
            width: 2,
            mark: Some((Shape::Disc, 1.0)),
        };
        let svg = drawn(&[line], &[(0.0, 1.0), (2.0, 20.0)]);
        for text in ["Churn", "resident, MiB", "seconds", "<polygon", "<polyline", "<circle"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
    }

    #[test]
    fn nothing_is_a_chart_too() {
        let svg = drawn(&[], &[]);
        assert!(svg.contains("</svg>") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
