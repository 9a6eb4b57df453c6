//! How Spandrel's tools draw: one canvas, one style, axes, headings, lines over time; SVG and PNG.
//!
//! Knows: plotters and resvg. Must not know: the figures that are drawn.

pub mod canvas;
pub mod legend;
#[cfg(feature = "png")]
pub mod png;
pub mod scale;
pub mod style;
pub mod time;

pub use plotters::prelude::{RGBAColor, RGBColor};
pub use plotters::style::Color;

/// The picture as a part of a page of HTML, where an SVG needs no name space.
#[must_use]
pub fn embedded(svg: &str) -> String {
    svg.replace(" xmlns=\"http://www.w3.org/2000/svg\"", "")
}
