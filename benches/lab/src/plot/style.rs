//! How each allocator looks in every picture.
//!
//! Knows: names and colours. Must not know: figures.
//! Relatives share a hue and differ in shape.

use crate::allocators::{GLIBC, SPANDREL, SPANDREL_HARDENED, SPANDREL_SERVER};
use spandrel_plot::canvas::Shape;
use spandrel_plot::legend::{Entry, Key};
use spandrel_plot::style::{BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION};
use spandrel_plot::{Color, RGBAColor, RGBColor};

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
            SPANDREL_SERVER | "spandrel-counting" => (VERMILLION, Shape::HollowDiamond),
            SPANDREL_HARDENED => (VERMILLION, Shape::Square),
            "spandrel-guarded" => (VERMILLION, Shape::Ring),
            "spandrel-tracked" => (VERMILLION, Shape::Disc),
            "spandrel-profiled" => (VERMILLION, Shape::Cross),
            "mimalloc3" => (BLUE, Shape::Disc),
            "mimalloc2" => (BLUE, Shape::Square),
            "debian-mimalloc" => (BLUE, Shape::Ring),
            "jemalloc" => (ORANGE, Shape::Disc),
            "debian-jemalloc" => (ORANGE, Shape::Ring),
            "snmalloc" => (GREEN, Shape::Disc),
            "tcmalloc" => (PURPLE, Shape::Disc),
            "debian-tcmalloc" => (PURPLE, Shape::Ring),
            "rpmalloc" => (SKY, Shape::Disc),
            "mimalloc3-secure" => (BLUE, Shape::HollowDiamond),
            "snmalloc-checks" => (GREEN, Shape::HollowDiamond),
            "scudo" => (PURPLE, Shape::Square),
            "scudo-tightened" => (PURPLE, Shape::HollowDiamond),
            "hardened-malloc" => (BLACK, Shape::Disc),
            "hardened-malloc-light" => (BLACK, Shape::Ring),
            GLIBC => (GREY, Shape::Cross),
            _ => (BLACK, Shape::HollowDiamond),
        };
        let ours = name.starts_with(SPANDREL);
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

/// The entries of allocators in a legend.
pub(super) fn entries<'a>(names: &[&'a str]) -> Vec<Entry<'a>> {
    let entry = |name: &&'a str| {
        let style = Style::of(name);
        Entry { text: label(name), key: Key::Mark(style.shape, style.ink(), style.weight()), bold: style.ours }
    };
    names.iter().map(entry).collect()
}

/// The name as people know it.
pub(super) fn label(name: &str) -> &str {
    match name {
        SPANDREL => "Spandrel",
        SPANDREL_SERVER => "Spandrel, server options",
        SPANDREL_HARDENED => "Spandrel hardened",
        "spandrel-counting" => "Spandrel counting",
        "spandrel-tracked" => "Spandrel tracked",
        "spandrel-guarded" => "Spandrel guarded",
        "spandrel-profiled" => "Spandrel with heap profile",
        "mimalloc3-secure" => "mimalloc v3 secure",
        "snmalloc-checks" => "snmalloc with checks",
        "scudo-tightened" => "scudo tightened",
        "hardened-malloc" => "hardened_malloc",
        "hardened-malloc-light" => "hardened_malloc light",
        "mimalloc3" => "mimalloc v3",
        "mimalloc2" => "mimalloc v2",
        "debian-mimalloc" => "mimalloc v2 (Debian)",
        "debian-jemalloc" => "jemalloc (Debian)",
        "tcmalloc" => "tcmalloc (Google)",
        "debian-tcmalloc" => "tcmalloc (gperftools, Debian)",
        _ => name,
    }
}
