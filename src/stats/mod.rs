//! Layer 7: statistics and their writers. One snapshot feeds them all. Must not know the static state.

pub(crate) mod address;
pub(crate) mod crash;
pub mod descriptor;
pub(crate) mod desk;
mod figures;
mod json;
pub(crate) mod lanes;
pub(crate) mod leaks;
mod prometheus;
pub(crate) mod report;
mod snapshot;
pub mod table;
mod text;
mod xml;

use crate::base::page::Page;

pub(crate) use snapshot::Snapshot;

/// How a snapshot is written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Lines of text, as `malloc_stats`.
    Text,
    /// One JSON object.
    Json,
    /// glibc's XML, as `malloc_info`.
    Xml,
    /// Prometheus's text format.
    Prometheus,
}

impl Format {
    /// The format that the end of a file's name says; text where it says nothing.
    #[must_use]
    pub fn of_name(name: &[u8]) -> Self {
        let ends = |end: &[u8]| name.ends_with(end);
        if ends(b".json") {
            Self::Json
        } else if ends(b".xml") {
            Self::Xml
        } else if ends(b".prom") {
            Self::Prometheus
        } else {
            Self::Text
        }
    }

    /// Hands the snapshot, written so, to `print` in pieces.
    pub fn write(self, snapshot: &Snapshot, print: &mut dyn FnMut(&[u8])) {
        let mut page = Page::new(print);
        match self {
            Self::Text => text::report(snapshot, &mut page),
            Self::Json => json::report(snapshot, &mut page),
            Self::Xml => xml::report(snapshot, &mut page),
            Self::Prometheus => prometheus::report(snapshot, &mut page),
        }
    }
}
