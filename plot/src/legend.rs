//! Heading and legend, the same in every picture.
//!
//! Knows: where they stand. Must not know: what is drawn below.

use crate::canvas::{Canvas, Lettering, Place, Shape, Side};
use crate::style::{INK, PALE_INK};
use anyhow::Result;
use plotters::prelude::{RGBAColor, RGBColor};

const TITLE: f64 = 28.0;
const SUBTITLE: f64 = 19.0;
const ENTRY: f64 = 19.0;
const MARK: f64 = 8.0;
const MARK_ROOM: f64 = 26.0;
const GAP: f64 = 26.0;
const ROW: f64 = 30.0;
/// Height of title and subtitle.
const HEADING: f64 = 92.0;

/// How something looks in the picture below.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    /// A mark, and its size against that of others.
    Mark(Shape, RGBAColor, f64),
    /// A line.
    Line(RGBColor),
    /// An area.
    Area(RGBColor),
}

/// An entry of the legend.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its name.
    pub text: &'a str,
    /// Its look.
    pub key: Key,
    /// Whether its name stands out.
    pub bold: bool,
}

/// Title and legend above a picture.
#[derive(Clone, Copy, Debug)]
pub struct Heading<'a> {
    /// The first line; without it there is only a legend.
    pub title: &'a str,
    /// The second, smaller.
    pub subtitle: &'a str,
    /// The legend.
    pub entries: &'a [Entry<'a>],
    /// Width of the picture.
    pub width: f64,
    /// Space to its left and right.
    pub margin: f64,
}

impl Entry<'_> {
    fn lettering(&self) -> Lettering {
        let lettering = Lettering::new(ENTRY, INK, Side::Right);
        if self.bold { lettering.bold() } else { lettering }
    }
}

impl Heading<'_> {
    /// Where the legend begins.
    fn top(&self) -> f64 {
        if self.title.is_empty() { 0.0 } else { HEADING }
    }

    /// Places of the legend's entries.
    fn places(&self) -> Vec<Place> {
        let (mut x, mut y) = (self.margin, self.top() + ROW / 2.0);
        let mut places = Vec::new();
        for entry in self.entries {
            let room = MARK_ROOM + entry.lettering().width(entry.text) + GAP;
            if x + room - GAP > self.width - self.margin && x > self.margin {
                x = self.margin;
                y += ROW;
            }
            places.push((x, y));
            x += room;
        }
        places
    }

    /// Where the picture below may begin.
    #[must_use]
    pub fn bottom(&self) -> f64 {
        self.places().last().map_or(self.top(), |(_, y)| y + ROW)
    }

    /// Draws it.
    ///
    /// # Errors
    /// When the canvas cannot be drawn on.
    pub fn draw(&self, canvas: &Canvas<'_>) -> Result<()> {
        canvas.text(self.title, (self.margin, 34.0), Lettering::new(TITLE, INK, Side::Right).bold())?;
        canvas.text(self.subtitle, (self.margin, 70.0), Lettering::new(SUBTITLE, PALE_INK, Side::Right))?;
        for (entry, (x, y)) in self.entries.iter().zip(self.places()) {
            match entry.key {
                Key::Mark(shape, colour, weight) => canvas.mark(shape, (x + MARK, y), MARK * weight, colour)?,
                Key::Line(colour) => canvas.bar((x, y - 2.0), (x + 2.0 * MARK, y + 2.0), colour)?,
                Key::Area(colour) => canvas.bar((x, y - MARK), (x + 2.0 * MARK, y + MARK), colour)?,
            }
            canvas.text(entry.text, (x + MARK_ROOM, y), entry.lettering())?;
        }
        Ok(())
    }
}
