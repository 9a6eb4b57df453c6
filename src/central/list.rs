//! Lists of spans, linked through their headers by region number.

use core::cell::Cell;

use super::span::{Span, header};
use crate::base::units::Region;
use crate::pages::Space;

/// A list of spans of one class. A span is in at most one list.
pub(crate) struct SpanList {
    head: Cell<u32>,
}

impl SpanList {
    /// An empty list.
    pub(crate) const fn new() -> Self {
        Self { head: Cell::new(0) }
    }

    /// The first span.
    pub(crate) fn first(&self) -> Option<Region> {
        let head = self.head.get();
        (head != 0).then_some(Region(head))
    }

    /// Whether there is exactly one span.
    pub(crate) fn is_single(&self, space: &Space) -> bool {
        self.first().is_some_and(|first| header(space, first).next.get() == 0)
    }

    /// The spans, first to last.
    pub(crate) fn iter<'a>(&self, space: &'a Space) -> impl Iterator<Item = (Region, &'a Span)> {
        let mut at = self.head.get();
        core::iter::from_fn(move || {
            if at == 0 {
                return None;
            }
            let region = Region(at);
            let span = header(space, region);
            at = span.next.get();
            Some((region, span))
        })
    }

    /// Adds a span in front.
    pub(crate) fn push(&self, space: &Space, region: Region) {
        let span = header(space, region);
        let next = self.head.replace(region.0);
        span.previous.set(0);
        span.next.set(next);
        if next != 0 {
            header(space, Region(next)).previous.set(region.0);
        }
    }

    /// Takes out a span that is in this list.
    pub(crate) fn remove(&self, space: &Space, region: Region) {
        let span = header(space, region);
        let (previous, next) = (span.previous.get(), span.next.get());
        if previous == 0 {
            self.head.set(next);
        } else {
            header(space, Region(previous)).next.set(next);
        }
        if next != 0 {
            header(space, Region(next)).previous.set(previous);
        }
    }

    /// Takes out the first span.
    pub(crate) fn pop(&self, space: &Space) -> Option<Region> {
        let first = self.first()?;
        self.remove(space, first);
        Some(first)
    }

    /// Forgets all spans.
    pub(crate) fn clear(&self) {
        self.head.set(0);
    }
}
