//! Looking over the bins: what lay untouched for a while goes back, so that bins may be large without holding memory for ever.

use super::layout::Heap;
use super::outbox::Shared;
use crate::base::class::Class;
use crate::sys::call;

/// Slow events between two looks.
const EVENTS: u32 = 128;
/// Blocks taken home on a large allocation.
const DRAINED_PER_ATTENTION: usize = 250;
/// Slow events between two looks at the clock, and where there is nothing to purge.
const TICK_EVENTS: u32 = 8;
const CLEAN_TICK_EVENTS: u32 = 64;

impl Heap {
    /// Notes that the hit path was left; now and then this looks over the bins and lets time purge.
    pub(super) fn slow_event(&self, shared: Shared<'_>) {
        let events = self.events.get() + 1;
        self.events.set(events);
        if events.is_multiple_of(TICK_EVENTS) && (shared.central.pages.is_dirty() || events.is_multiple_of(CLEAN_TICK_EVENTS)) {
            self.tick(shared);
        }
        if events.is_multiple_of(TICK_EVENTS) {
            self.follow_sampling(&shared.registry.sampling);
            shared.registry.adopt_orphans(shared);
        }
        if events >= EVENTS {
            self.events.set(0);
            // With a pool there is nobody to give anything back to, and asking for the signals would be a system call.
            if shared.central.pages.space().is_fixed() {
                self.empty_outbox(shared);
            } else {
                self.scavenge(shared);
            }
        }
    }

    /// Whether the thread blocks signals that it did not block at first: then it may be in a handler, which may have interrupted the
    /// hit path in the middle of any bin but those that the handler itself uses.
    pub(super) fn may_be_in_handler(&self) -> bool {
        call::blocked_signals() & !self.blocked.get() != 0
    }

    /// Empties every bin whose number of blocks is what it was at the last look and that had no slow event since.
    pub(super) fn scavenge(&self, shared: Shared<'_>) {
        if self.may_be_in_handler() {
            return;
        }
        for class in Class::all() {
            let bin = self.bin(class);
            let len = bin.len();
            let idle = bin.events.get() == 0 && bin.mark.get() as usize == len;
            if idle && (bin.capacity() > 0 || self.partial(class).first().is_some()) {
                self.give_up_bin(shared, class);
            }
            bin.mark.set(bin.len() as u32);
            bin.events.set(0);
        }
        self.empty_outbox(shared);
    }

    /// Empties the bin of `class`, gives up its array, and releases an empty span kept for it.
    pub(super) fn give_up_bin(&self, shared: Shared<'_>, class: Class) {
        let bin = self.bin(class);
        if bin.len() > 0 {
            self.flush(shared, class, bin, bin.len());
        }
        bin.shed(&shared.central.pages);
        let space = shared.central.pages.space();
        if let Some(first) = self.partial(class).first()
            && self.partial(class).is_single(space)
            && shared.central.span(first).used() == 0
        {
            self.partial(class).remove(space, first);
            shared.central.release_span(class, first);
        }
    }

    /// What a large allocation owes: it does not pass a bin, but an owner that makes no other must still take home what others
    /// freed.
    pub(crate) fn attend(&self, shared: Shared<'_>) {
        if shared.central.pages.is_dirty() {
            self.tick(shared);
        }
        self.follow_sampling(&shared.registry.sampling);
        self.drain(shared, DRAINED_PER_ATTENTION);
    }

    /// Gives back everything that this heap holds without need: the explicit collection.
    pub(crate) fn collect(&self, shared: Shared<'_>) {
        self.drain(shared, usize::MAX);
        for class in Class::all() {
            self.give_up_bin(shared, class);
        }
        self.empty_outbox(shared);
        self.drop_spares(shared);
    }
}
