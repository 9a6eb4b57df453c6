//! Heading and legend, the same in every picture.
//!
//! Knows: where they stand. Must not know: what is drawn below.

use super::canvas::{Canvas, Lettering, Place, Side};
use super::style::{INK, PALE_INK, Style, label};
use anyhow::Result;

const TITLE: f64 = 28.0;
const SUBTITLE: f64 = 19.0;
const ENTRY: f64 = 19.0;
const MARK: f64 = 8.0;
const MARK_ROOM: f64 = 26.0;
const GAP: f64 = 26.0;
const ROW: f64 = 30.0;
/// Height of title and subtitle.
const HEADING: f64 = 92.0;

/// What stands above a picture.
pub(super) struct Heading<'a> {
    pub(super) title: &'a str,
    pub(super) subtitle: &'a str,
    /// Allocators in the legend.
    pub(super) names: &'a [&'a str],
    /// Further entries: text and colour mark drawn by the caller's convention, a bar.
    pub(super) area: Option<(&'a str, plotters::prelude::RGBColor)>,
    pub(super) width: f64,
    pub(super) margin: f64,
}

impl Heading<'_> {
    /// Places of the legend's entries.
    fn places(&self) -> Vec<Place> {
        let lettering = Lettering::new(ENTRY, INK, Side::Right);
        let (mut x, mut y) = (self.margin, HEADING + ROW / 2.0);
        let extra = self.area.map(|(text, _)| text);
        let texts = self.names.iter().map(|name| label(name)).chain(extra);
        let mut places = Vec::new();
        for text in texts {
            let room = MARK_ROOM + lettering.width(text) + GAP;
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
    pub(super) fn bottom(&self) -> f64 {
        self.places().last().map_or(HEADING, |(_, y)| y + ROW)
    }

    /// Draws it.
    pub(super) fn draw(&self, canvas: &Canvas<'_>) -> Result<()> {
        canvas.text(self.title, (self.margin, 34.0), Lettering::new(TITLE, INK, Side::Right).bold())?;
        canvas.text(self.subtitle, (self.margin, 70.0), Lettering::new(SUBTITLE, PALE_INK, Side::Right))?;
        let places = self.places();
        for (name, (x, y)) in self.names.iter().zip(&places) {
            let style = Style::of(name);
            canvas.mark(style.shape, (x + MARK, *y), MARK * style.weight(), style.ink())?;
            let lettering = Lettering::new(ENTRY, INK, Side::Right);
            let lettering = if style.ours { lettering.bold() } else { lettering };
            canvas.text(label(name), (x + MARK_ROOM, *y), lettering)?;
        }
        if let (Some((text, colour)), Some((x, y))) = (self.area, places.last()) {
            canvas.bar((*x, y - MARK), (x + 2.0 * MARK, y + MARK), colour)?;
            canvas.text(text, (x + MARK_ROOM, *y), Lettering::new(ENTRY, INK, Side::Right))?;
        }
        Ok(())
    }
}
