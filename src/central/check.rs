//! Checks spans and the lists they are in, in builds with debug assertions only.

use super::central_list::CentralList;
use super::span::State;
use super::spans::{SpanList, Spans};
use super::store::Central;
use crate::base::class::Class;
use crate::pages::Entry;

/// The first thing found wrong, if there is any.
pub(crate) type Verdict = Result<(), &'static str>;

/// An error that says `what`, unless `holds`.
pub(crate) fn must(holds: bool, what: &'static str) -> Verdict {
    if holds { Ok(()) } else { Err(what) }
}

impl Central {
    /// Checks the spans of `class` whose owner has `entry`. The caller holds them.
    pub(crate) fn check_spans(&self, spans: &Spans, class: Class, entry: Entry) -> Verdict {
        self.check_list(&spans.partial, class, entry, State::Partial)?;
        self.check_list(&spans.full, class, entry, State::Full)
    }

    fn check_list(&self, list: &SpanList, class: Class, entry: Entry, state: State) -> Verdict {
        let (space, geometry) = (self.pages.space(), class.geometry());
        let mut before = 0;
        for (region, span) in list.iter(space) {
            must(span.previous.get() == before, "a list of spans is linked in one direction only")?;
            must(span.first() == region, "a list of spans has a region that begins no span")?;
            must(span.state() == state, "a span is in the list of another state")?;
            let regions = (0..geometry.regions).map(|step| region.plus(step));
            must(
                regions.into_iter().all(|region| space.entry(region) == entry),
                "a span is in the list of another owner or class",
            )?;
            let out = span.counted(geometry);
            must(out == span.used(), "a span's count is not that of its bitmap")?;
            must(
                (span.available(geometry) == 0) == (state == State::Full),
                "a span is full and not so listed, or the other way round",
            )?;
            before = region.0;
        }
        Ok(())
    }

    /// Checks the central list of `class`.
    pub(crate) fn check_central_list(&self, class: Class) -> Verdict {
        self.with_list(class, |list| {
            self.check_spans(list.spans(), class, Entry::central(class))?;
            self.check_cached(list, class)
        })
    }

    fn check_cached(&self, list: &CentralList, class: Class) -> Verdict {
        let (mut blocks, mut strangers) = (0, 0);
        list.each_cached(|block| {
            blocks += 1;
            strangers += usize::from(!self.is_block_out(class, block));
        });
        must(blocks == list.cached(), "a transfer cache counts other blocks than it has")?;
        must(strangers == 0, "a transfer cache has a block that is not out of a span of its class")
    }

    /// Whether a block of `class` starts at `block` and is out. The caller has it.
    pub(crate) fn is_block_out(&self, class: Class, block: *mut u8) -> bool {
        match self.resolve(block.addr()) {
            super::Place::Small { span, class: found, offset, .. } => {
                found == class && span.is_out(class.geometry(), offset).is_ok()
            }
            _ => false,
        }
    }
}
