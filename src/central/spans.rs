//! The spans of one class that one owner has, a heap or the central list. This module alone decides which list a span
//! is in after blocks were taken from it or returned to it, and when it is released.
//!
//! | blocks that are out | the span is | and is moved |
//! |---|---|---|
//! | all | full | to the full spans |
//! | some | partial | to the partial spans, from which its owner takes blocks |
//! | none | empty | off the lists, to be released; a heap keeps it while it is the only partial one |
//!
//! An owner calls [`Spans::settle_taken`] after it took blocks, and [`Spans::settle_returned`] after it returned
//! blocks, if [`Span::count_down`] says so.

use core::cell::Cell;

use super::span::{Span, State, header};
use crate::base::class::Geometry;
use crate::base::units::Region;
use crate::pages::Space;

/// A list of spans, linked through their headers by region number. A span is in at most one list.
pub(crate) struct SpanList {
    head: Cell<u32>,
}

/// The spans of one class and owner. Each is in the list of its state.
pub(crate) struct Spans {
    /// Those with free blocks.
    pub(crate) partial: SpanList,
    /// Those with every block out.
    pub(crate) full: SpanList,
}

/// The next step of a span's owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Next {
    /// Nothing: it has the span in the right list.
    Keep,
    /// Release the span, which is empty and in no list any more.
    Release,
}

/// Whether an owner keeps or releases a span whose last block was freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Empty {
    /// It keeps the span while that is its only partial one, for the next refill.
    KeepLast,
    /// It releases the span.
    Release,
}

impl Spans {
    /// No spans.
    pub(crate) const fn new() -> Self {
        Self { partial: SpanList::new(), full: SpanList::new() }
    }

    /// Settles a span of these after blocks were taken from it.
    #[inline]
    pub(crate) fn settle_taken(&self, space: &Space, geometry: &Geometry, span: &Span) {
        if span.available(geometry) == 0 {
            let region = span.first();
            self.partial.remove(space, region);
            span.set_state(State::Full);
            self.full.push(space, region);
        }
    }

    /// Settles a span of these after blocks were returned to it; returns the next step of its owner.
    #[inline]
    pub(crate) fn settle_returned(&self, space: &Space, span: &Span, empty: Empty) -> Next {
        let region = span.first();
        if span.state() == State::Full {
            self.full.remove(space, region);
            span.set_state(State::Partial);
            self.partial.push(space, region);
        }
        if span.used() > 0 || empty == Empty::KeepLast && self.partial.is_single(space) {
            return Next::Keep;
        }
        self.partial.remove(space, region);
        Next::Release
    }

    /// Adds a span that is in no list, and whose state says in which it belongs.
    pub(crate) fn add(&self, space: &Space, span: &Span) {
        self.list_of(span).push(space, span.first());
    }

    /// Takes a span out, as it is.
    pub(crate) fn remove(&self, space: &Space, span: &Span) {
        self.list_of(span).remove(space, span.first());
    }

    /// Takes out any span.
    pub(crate) fn pop(&self, space: &Space) -> Option<Region> {
        self.partial.pop(space).or_else(|| self.full.pop(space))
    }

    /// Takes out the empty span that was kept, for its owner to release.
    pub(crate) fn take_spare(&self, space: &Space) -> Option<Region> {
        /// Partial spans asked. A kept span is the last of the list, so a long list hides it until the next time.
        const ASKED: usize = 4;
        let (region, _) = self.partial.iter(space).take(ASKED).find(|(_, span)| span.used() == 0)?;
        self.partial.remove(space, region);
        Some(region)
    }

    /// Forgets all spans.
    pub(crate) fn clear(&self) {
        self.partial.head.set(0);
        self.full.head.set(0);
    }

    fn list_of(&self, span: &Span) -> &SpanList {
        if span.state() == State::Full { &self.full } else { &self.partial }
    }
}

impl Next {
    /// The step for a span in no list whose owner gives it up: another owner keeps it, unless it is empty.
    pub(super) fn of_given_up(span: &Span) -> Self {
        if span.used() == 0 { Self::Release } else { Self::Keep }
    }
}

impl SpanList {
    const fn new() -> Self {
        Self { head: Cell::new(0) }
    }

    /// The first span.
    pub(crate) fn first(&self) -> Option<Region> {
        let head = self.head.get();
        (head != 0).then_some(Region(head))
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

    fn is_single(&self, space: &Space) -> bool {
        self.first().is_some_and(|first| header(space, first).next.get() == 0)
    }

    /// Adds a span in front.
    fn push(&self, space: &Space, region: Region) {
        let span = header(space, region);
        let next = self.head.replace(region.0);
        span.previous.set(0);
        span.next.set(next);
        if next != 0 {
            header(space, Region(next)).previous.set(region.0);
        }
    }

    fn remove(&self, space: &Space, region: Region) {
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

    fn pop(&self, space: &Space) -> Option<Region> {
        let first = self.first()?;
        self.remove(space, first);
        Some(first)
    }
}
