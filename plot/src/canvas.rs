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
/// Width of a letter of that family as a share of the size given here, which the backend divides by 1.24; for keeping
/// labels apart.
const LETTER: f64 = 0.46;

/// A place in pixels from the upper left corner.
pub type Place = (f64, f64);

/// How a mark looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A filled circle.
    Disc,
    /// A circle.
    Ring,
    /// A filled square.
    Square,
    /// A filled square on its corner.
    Diamond,
    /// A square on its corner.
    HollowDiamond,
    /// Two crossed lines.
    Cross,
}

/// On which side of its place a text lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The text begins at its place.
    Right,
    /// The text ends at its place.
    Left,
    /// The place is its middle.
    Middle,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub struct Lettering {
    /// Height in pixels, about.
    pub size: f64,
    /// Whether it stands out.
    pub bold: bool,
    /// Its colour.
    pub colour: RGBColor,
    /// Its side.
    pub side: Side,
}

impl Lettering {
    /// Letters that are not bold.
    #[must_use]
    pub fn new(size: f64, colour: RGBColor, side: Side) -> Self {
        Self { size, bold: false, colour, side }
    }

    /// The same, bold.
    #[must_use]
    pub fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    /// About how wide a text becomes.
    #[must_use]
    pub fn width(&self, text: &str) -> f64 {
        let bold = if self.bold { 1.1 } else { 1.0 };
        text.chars().count() as f64 * self.size * LETTER * bold
    }
}

/// The surface.
pub struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

impl<'a> Canvas<'a> {
    /// A white surface that is written into `svg`.
    ///
    /// # Errors
    /// When the backend cannot draw.
    pub fn new(svg: &'a mut String, width: f64, height: f64) -> Result<Self> {
        let area = SVGBackend::with_string(svg, (width as u32, height as u32)).into_drawing_area();
        area.fill(&RGBColor(255, 255, 255)).map_err(failed)?;
        Ok(Self { area })
    }

    /// A line between two places.
    ///
    /// # Errors
    /// When the backend cannot draw.
    pub fn line(&self, from: Place, to: Place, colour: impl Color, width: u32) -> Result<()> {
        self.path(&[from, to], colour, width)
    }

    /// A line through places.
    ///
    /// # Errors
    /// When the backend cannot draw.
    pub fn path(&self, places: &[Place], colour: impl Color, width: u32) -> Result<()> {
        let places: Vec<_> = places.iter().copied().map(pixel).collect();
        self.area.draw(&PathElement::new(places, ShapeStyle::from(&colour).stroke_width(width))).map_err(failed)
    }

    /// An area with these corners.
    ///
    /// # Errors
    /// When the backend cannot draw.
    pub fn fill(&self, places: &[Place], colour: impl Color) -> Result<()> {
        let places: Vec<_> = places.iter().copied().map(pixel).collect();
        self.area.draw(&Polygon::new(places, ShapeStyle::from(&colour).filled())).map_err(failed)
    }

    /// A rectangle between two corners.
    ///
    /// # Errors
    /// When the backend cannot draw.
    pub fn bar(&self, from: Place, to: Place, colour: impl Color) -> Result<()> {
        self.area.draw(&Rectangle::new([pixel(from), pixel(to)], ShapeStyle::from(&colour).filled())).map_err(failed)
    }

    /// A mark of about `radius`.
    ///
    /// # Errors
    /// When the backend cannot draw.
    pub fn mark(&self, shape: Shape, at: Place, radius: f64, colour: RGBAColor) -> Result<()> {
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
    ///
    /// # Errors
    /// When the backend cannot draw.
    pub fn text(&self, text: &str, at: Place, lettering: Lettering) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
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
    ///
    /// # Errors
    /// When the backend cannot draw.
    pub fn finish(self) -> Result<()> {
        self.area.present().map_err(failed)
    }
}

fn pixel((x, y): Place) -> (i32, i32) {
    (x.round() as i32, y.round() as i32)
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}
