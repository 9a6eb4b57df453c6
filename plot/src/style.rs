//! The colours of all pictures.
//!
//! Knows: colours. Must not know: which figures they stand for.
//! The hues are those of Okabe and Ito, which colour-blind people can tell apart.

use plotters::prelude::RGBColor;

/// The ground.
pub const PAPER: RGBColor = RGBColor(255, 255, 255);
/// Titles and names.
pub const INK: RGBColor = RGBColor(34, 34, 34);
/// Numbers at the axes, and remarks.
pub const PALE_INK: RGBColor = RGBColor(110, 110, 110);
/// Lines at the ticks of an axis.
pub const GRID: RGBColor = RGBColor(225, 225, 225);
/// Every other row or column.
pub const BAND: RGBColor = RGBColor(247, 247, 247);
/// The line that others are compared with.
pub const BASE_LINE: RGBColor = RGBColor(120, 120, 120);
/// The area of live bytes, below lines of memory.
pub const AREA: RGBColor = RGBColor(220, 220, 220);

/// A hue of the palette.
pub const VERMILLION: RGBColor = RGBColor(213, 94, 0);
/// A hue of the palette.
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
/// A hue of the palette.
pub const ORANGE: RGBColor = RGBColor(230, 159, 0);
/// A hue of the palette.
pub const GREEN: RGBColor = RGBColor(0, 158, 115);
/// A hue of the palette.
pub const PURPLE: RGBColor = RGBColor(204, 121, 167);
/// A hue of the palette.
pub const SKY: RGBColor = RGBColor(86, 180, 233);
/// Without a hue.
pub const GREY: RGBColor = RGBColor(128, 128, 128);
/// Without a hue.
pub const BLACK: RGBColor = RGBColor(0, 0, 0);
