//! The slow half of free: blocks that the fast path would not take.

use super::layout::Heap;
use crate::base::class::Class;
use crate::central::{Central, Place, Refused, Span};
use crate::diag::{self, Code, Misuse};
use crate::heap::remote::outbox::{Lane, Shared};
use crate::pages::Entry;

/// What became of a pointer that was freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Freed {
    /// It was a block of a class.
    Small,
    /// It was a large block.
    Large,
    /// It was a direct mapping.
    Direct,
    /// It was a sampled block, known by this ticket.
    Sampled(u32),
    /// It is none of our addresses; libc may own it.
    Foreign,
    /// It was reported as a misuse, and the policy lets the process go on.
    Misused,
}

/// Reports a block that cannot be freed. `bytes` is the size of the block in question, or 0.
pub(crate) fn report(refused: Refused, block: *mut u8, bytes: usize) {
    report_from("free", refused, block, bytes);
}

/// As [`report`], for any call that was given the block.
pub(crate) fn report_from(call: &'static str, refused: Refused, block: *mut u8, bytes: usize) {
    let (code, what) = match refused {
        Refused::Double => (Code::DoubleFree, "the block is free already"),
        Refused::Inside => (Code::InvalidPointer, "no block starts there"),
    };
    diag::misuse(&Misuse { code, call, pointer: block.addr(), what, block_bytes: bytes });
}

impl Heap {
    /// Frees `block`, whatever it is. On the way a batch of blocks that others freed is received, for a thread that only frees comes to
    /// no refill.
    pub(crate) fn free(&self, shared: Shared<'_>, block: *mut u8) -> Freed {
        self.widen(shared.central.pages.space());
        self.receive_blocks(shared, 1, None);
        match self.resolve_and_claim(shared, block) {
            Place::Small { span, class, entry, offset } => self.free_small(shared, block, (span, class, entry, offset)),
            place => {
                let freed = free_unowned(shared.central, &place, block);
                if self.takes_part() {
                    // What came free is to be purged even if nobody calls any more.
                    shared.registry.idle().owe();
                }
                freed
            }
        }
    }

    /// Frees deferred blocks by `work`: they are of any class, so they bypass the bins.
    pub(crate) fn defer<R>(&self, work: impl FnOnce() -> R) -> R {
        let before = self.defers.replace(true);
        let result = work();
        self.defers.set(before);
        result
    }

    /// Whether `block` is the one of its class that this heap got back last.
    pub(crate) fn has_last(&self, class: Class, block: *mut u8) -> bool {
        self.bin(class).last() == block
    }

    fn free_small(&self, shared: Shared<'_>, block: *mut u8, place: (&Span, Class, Entry, usize)) -> Freed {
        let (span, class, entry, offset) = place;
        let bin = self.bin(class);
        let refused = if entry.owner() == self.address() {
            let last = bin.last() == block && !block.is_null();
            if last { Some(Refused::Double) } else { span.is_out(class.geometry(), offset).err() }
        } else {
            // Another thread changes that span, so only what never changes can be asked here; its owner asks the rest.
            (!class.geometry().locate(offset).1).then_some(Refused::Inside)
        };
        if let Some(refused) = refused {
            report(refused, block, class.size());
            return Freed::Misused;
        }
        if self.defers.get() {
            self.return_or_send(shared, block);
        } else if entry.owner() == self.address() {
            if !bin.push(block) {
                self.make_room(shared, class, bin);
                if !bin.push(block) {
                    self.return_or_send(shared, block);
                }
            }
        } else {
            self.free_remote(shared, entry, class, block);
        }
        Freed::Small
    }
}

impl Heap {
    /// Sends off the blocks of other heaps that were freed here and takes in what others sent, in whole batches until `most` blocks have
    /// come; whether more waits.
    pub(crate) fn exchange(&self, shared: Shared<'_>, most: usize) -> bool {
        self.send_all(shared);
        self.receive_blocks(shared, most, None);
        !self.pending.get().is_null() || !self.inbox.is_empty()
    }

    fn free_remote(&self, shared: Shared<'_>, entry: Entry, class: Class, block: *mut u8) {
        let sent = self.counters.batches_sent();
        self.send(shared, entry, class, block, Lane::Outer);
        // A batch that left is a slow event; a block that joined one is not.
        if self.counters.batches_sent() != sent {
            self.slow_event(shared);
        }
    }
}

/// Frees a block that no heap owns.
pub(crate) fn free_unowned(central: &Central, place: &Place<'_>, block: *mut u8) -> Freed {
    let (ticket, kind) = match place {
        Place::Large { region, .. } => (central.free_large(*region), Freed::Large),
        Place::Direct(direct) if direct.address == block.addr() => (central.free_direct(direct.address), Freed::Direct),
        Place::Foreign => return Freed::Foreign,
        Place::Direct(_) | Place::Small { .. } => (None, Freed::Misused),
        Place::Nowhere => {
            report(central.why_nowhere(block.addr()), block, 0);
            return Freed::Misused;
        }
    };
    match ticket {
        Some(0) => return kind,
        Some(ticket) => return Freed::Sampled(ticket),
        None => {}
    }
    let refused = if matches!(place, Place::Direct(_)) { Refused::Inside } else { Refused::Double };
    report(refused, block, 0);
    Freed::Misused
}
