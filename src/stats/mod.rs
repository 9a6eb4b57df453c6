//! Statistics: a snapshot of the figures, the writers that all work from it, and the descriptor for readers outside of
//! the process; reports at exit, on a signal, of leaks and of crashes.

pub(crate) mod address;
mod bills;
pub(crate) mod crash;
pub mod descriptor;
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

pub(crate) use snapshot::{ClassFigures, Snapshot, with_snapshot};

/// A form in which all figures are written.
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
    /// The format that the end of a file's name stands for; text where it stands for none.
    #[doc(hidden)]
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

    /// Writes the snapshot, and hands it to `print` in pieces. The functions of the formats are not inlined, nor are
    /// those of their sections: a handler of a signal may have little stack.
    #[doc(hidden)]
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
