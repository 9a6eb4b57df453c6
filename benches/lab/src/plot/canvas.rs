//! A surface to draw on: lines, marks and text at places in pixels, as SVG.
//!
//! Knows: plotters' SVG backend. Must not know: what the marks mean.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::prelude::{DrawingArea, IntoDrawingArea, RGBAColor, RGBColor, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontFamily, FontStyle, IntoFont, IntoTextStyle, ShapeStyle};

/// DejaVu Sans is what the PNG is drawn with; where a viewer of the SVG lacks it, the others are no wider.
const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";
/// Width of a letter of that family as a share of the size given here, which the backend divides by 1.24; for keeping labels
/// apart.
const LETTER: f64 = 0.46;

/// A place in pixels from the upper left corner.
pub(super) type Place = (f64, f64);

/// How a mark looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Disc,
    Ring,
    Square,
    Diamond,
    HollowDiamond,
    Cross,
}

/// On which side of its place a text lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Right,
    Left,
    Middle,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lettering {
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) colour: RGBColor,
    pub(super) side: Side,
}

impl Lettering {
    pub(super) fn new(size: f64, colour: RGBColor, side: Side) -> Self {
        Self { size, bold: false, colour, side }
    }

    pub(super) fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    /// About how wide a text becomes.
    pub(super) fn width(&self, text: &str) -> f64 {
        let bold = if self.bold { 1.1 } else { 1.0 };
        text.chars().count() as f64 * self.size * LETTER * bold
    }
}

/// The surface.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

impl<'a> Canvas<'a> {
    /// A white surface that is written into `svg`.
    pub(super) fn new(svg: &'a mut String, width: f64, height: f64) -> Result<Self> {
        let area = SVGBackend::with_string(svg, (width as u32, height as u32)).into_drawing_area();
        area.fill(&RGBColor(255, 255, 255)).map_err(failed)?;
        Ok(Self { area })
    }

    pub(super) fn line(&self, from: Place, to: Place, colour: impl Color, width: u32) -> Result<()> {
        self.path(&[from, to], colour, width)
    }

    pub(super) fn path(&self, places: &[Place], colour: impl Color, width: u32) -> Result<()> {
        let places: Vec<_> = places.iter().copied().map(pixel).collect();
        self.area.draw(&PathElement::new(places, ShapeStyle::from(&colour).stroke_width(width))).map_err(failed)
    }

    pub(super) fn fill(&self, places: &[Place], colour: impl Color) -> Result<()> {
        let places: Vec<_> = places.iter().copied().map(pixel).collect();
        self.area.draw(&Polygon::new(places, ShapeStyle::from(&colour).filled())).map_err(failed)
    }

    pub(super) fn bar(&self, from: Place, to: Place, colour: impl Color) -> Result<()> {
        self.area.draw(&Rectangle::new([pixel(from), pixel(to)], ShapeStyle::from(&colour).filled())).map_err(failed)
    }

    /// A mark of about `radius`.
    pub(super) fn mark(&self, shape: Shape, at: Place, radius: f64, colour: RGBAColor) -> Result<()> {
        let thick = ShapeStyle::from(&colour).stroke_width((radius / 2.5).ceil() as u32);
        let corners = [(0.0, -radius), (radius, 0.0), (0.0, radius), (-radius, 0.0)].map(|(x, y)| (at.0 + x, at.1 + y));
        match shape {
            Shape::Disc => self.area.draw(&Circle::new(pixel(at), radius as i32, colour.filled())).map_err(failed),
            Shape::Ring => self.area.draw(&Circle::new(pixel(at), radius as i32 - 1, thick)).map_err(failed),
            Shape::Square => {
                let half = radius * 0.85;
                self.bar((at.0 - half, at.1 - half), (at.0 + half, at.1 + half), colour)
            }
            Shape::Diamond => self.fill(&corners, colour),
            Shape::HollowDiamond => {
                let mut around = corners.to_vec();
                around.push(corners[0]);
                around.push(corners[1]);
                self.path(&around, colour, (radius / 2.5).ceil() as u32)
            }
            Shape::Cross => {
                let arm = radius * 0.7;
                self.path(&[(at.0 - arm, at.1 - arm), (at.0 + arm, at.1 + arm)], colour, 3)?;
                self.path(&[(at.0 - arm, at.1 + arm), (at.0 + arm, at.1 - arm)], colour, 3)
            }
        }
    }

    /// A text whose middle line goes through its place.
    pub(super) fn text(&self, text: &str, at: Place, lettering: Lettering) -> Result<()> {
        let horizontal = match lettering.side {
            Side::Right => HPos::Left,
            Side::Left => HPos::Right,
            Side::Middle => HPos::Center,
        };
        let style = if lettering.bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = (FontFamily::Name(FAMILY), lettering.size, style).into_font();
        let style = font.into_text_style(&self.area).color(&lettering.colour).pos(Pos::new(horizontal, VPos::Center));
        self.area.draw(&Text::new(text, pixel(at), style)).map_err(failed)
    }

    /// Ends the drawing.
    pub(super) fn finish(self) -> Result<()> {
        self.area.present().map_err(failed)
    }
}

fn pixel((x, y): Place) -> (i32, i32) {
    (x.round() as i32, y.round() as i32)
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}
