//! The snapshot: what memory looks like at one moment.
//!
//! Other threads go on while it is taken, so parts of it may be some calls apart; in a quiet process it is exact.

use crate::base::class::Class;
use crate::central::CentralFigures;
use crate::heap::Shared;
use crate::pages::PageFigures;

/// All in bytes, but for counts.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Snapshot {
    /// The name of the profile in force.
    pub(crate) profile: &'static str,
    /// Page runs and metadata.
    pub(crate) pages: PageFigures,
    /// Spans, large and direct blocks.
    pub(crate) central: CentralFigures,
    /// Heaps that have a thread.
    pub(crate) heaps: usize,
    /// Free blocks in bins.
    pub(crate) binned: usize,
    /// Bins refilled and flushed.
    pub(crate) refills: u64,
    /// See `refills`.
    pub(crate) flushes: u64,
    /// Batches of remote frees sent and received.
    pub(crate) sent: u64,
    /// See `sent`.
    pub(crate) received: u64,
}

impl Snapshot {
    /// Takes one.
    pub(crate) fn take(shared: Shared<'_>, profile: &'static str) -> Self {
        let mut snapshot = Self {
            profile,
            pages: shared.central.pages.figures(),
            central: shared.central.figures(),
            heaps: shared.registry.live() as usize,
            ..Self::default()
        };
        shared.registry.each(|heap| {
            snapshot.binned += Class::all().map(|class| heap.binned(class) * class.size()).sum::<usize>();
            let [refills, flushes, sent, received] = heap.counts();
            snapshot.refills += refills;
            snapshot.flushes += flushes;
            snapshot.sent += sent;
            snapshot.received += received;
        });
        snapshot
    }

    /// Bytes of blocks that the program holds.
    pub(crate) fn live(&self) -> usize {
        let central = &self.central;
        let small = central.small_out.saturating_sub(self.binned + central.cached);
        small + central.large_bytes + central.direct_bytes
    }

    /// Bytes obtained for blocks: regions ever used and direct mappings.
    pub(crate) fn obtained(&self) -> usize {
        self.pages.used + self.central.direct_bytes
    }

    /// Bytes obtained that hold no live block.
    pub(crate) fn free(&self) -> usize {
        self.obtained().saturating_sub(self.live())
    }
}
