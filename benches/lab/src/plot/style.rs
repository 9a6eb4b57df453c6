//! How each allocator looks in every picture.
//!
//! Knows: names and colours. Must not know: figures.
//! The hues are those of Okabe and Ito, which colour-blind people can tell apart; relatives share a hue and differ in shape.

use super::canvas::Shape;
use crate::allocators::{GLIBC, SPANDREL, SPANDREL_SERVER};
use plotters::prelude::{RGBAColor, RGBColor};
use plotters::style::Color;

pub(super) const PAPER: RGBColor = RGBColor(255, 255, 255);
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
pub(super) const PALE_INK: RGBColor = RGBColor(110, 110, 110);
pub(super) const GRID: RGBColor = RGBColor(225, 225, 225);
pub(super) const BAND: RGBColor = RGBColor(247, 247, 247);
pub(super) const BASE_LINE: RGBColor = RGBColor(120, 120, 120);

const VERMILLION: RGBColor = RGBColor(213, 94, 0);
const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const PURPLE: RGBColor = RGBColor(204, 121, 167);
const SKY: RGBColor = RGBColor(86, 180, 233);
const GREY: RGBColor = RGBColor(128, 128, 128);
const BLACK: RGBColor = RGBColor(0, 0, 0);

const PEER_OPACITY: f64 = 0.85;
const RELATIVE_OPACITY: f64 = 0.5;

/// How one allocator looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) colour: RGBColor,
    pub(super) shape: Shape,
    /// Drawn larger and on top.
    pub(super) ours: bool,
}

impl Style {
    /// The style of an allocator.
    pub(super) fn of(name: &str) -> Self {
        let (colour, shape) = match name {
            SPANDREL => (VERMILLION, Shape::Diamond),
            SPANDREL_SERVER => (VERMILLION, Shape::HollowDiamond),
            "mimalloc3" => (BLUE, Shape::Disc),
            "mimalloc2" => (BLUE, Shape::Square),
            "debian-mimalloc" => (BLUE, Shape::Ring),
            "jemalloc" => (ORANGE, Shape::Disc),
            "debian-jemalloc" => (ORANGE, Shape::Ring),
            "snmalloc" => (GREEN, Shape::Disc),
            "tcmalloc" => (PURPLE, Shape::Disc),
            "debian-tcmalloc" => (PURPLE, Shape::Ring),
            "rpmalloc" => (SKY, Shape::Disc),
            GLIBC => (GREY, Shape::Cross),
            _ => (BLACK, Shape::HollowDiamond),
        };
        let ours = matches!(name, SPANDREL | SPANDREL_SERVER);
        Self { colour, shape, ours }
    }

    /// The colour of marks, peers a little transparent so that those below can be seen.
    pub(super) fn ink(&self) -> RGBAColor {
        self.colour.mix(if self.ours { 1.0 } else { PEER_OPACITY })
    }

    /// The colour of lines, those of the older relatives paler still.
    pub(super) fn line(&self) -> RGBAColor {
        if matches!(self.shape, Shape::Ring | Shape::Square) { self.colour.mix(RELATIVE_OPACITY) } else { self.ink() }
    }

    /// Size of marks against that of a peer.
    pub(super) fn weight(&self) -> f64 {
        if self.ours { 1.35 } else { 1.0 }
    }
}

/// The name as people know it.
pub(super) fn label(name: &str) -> &str {
    match name {
        SPANDREL => "Spandrel",
        SPANDREL_SERVER => "Spandrel, server options",
        "mimalloc3" => "mimalloc v3",
        "mimalloc2" => "mimalloc v2",
        "debian-mimalloc" => "mimalloc v2 (Debian)",
        "debian-jemalloc" => "jemalloc (Debian)",
        "tcmalloc" => "tcmalloc (Google)",
        "debian-tcmalloc" => "tcmalloc (gperftools, Debian)",
        _ => name,
    }
}
