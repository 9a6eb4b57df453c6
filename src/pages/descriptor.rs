//! The figures of the pages, and where they are, for tools that read them from outside.

use core::mem::offset_of;

use super::bank::Bank;
use super::map::{ENTRY_BYTES, Entry, Word};
use super::metadata::Metadata;
use super::runs::Runs;
use super::store::Pages;
use super::tree::{Node, RECORD_BYTES};
use crate::base::units::{REGION_BYTES, Region};
use crate::sys::atomic::Ordering;

/// Most banks that are described.
pub const BANKS: usize = 16;
/// Parts of a bank that are committed: entries, records, metadata, shadow, data.
const PARTS: usize = super::bank::PARTS;

/// The pages by state at one moment, in bytes.
#[derive(Clone, Copy, Default, Debug)]
pub struct PageFigures {
    /// Data regions ever used.
    pub used: usize,
    /// In dirty free runs, those of the cache included.
    pub dirty: usize,
    /// In clean free runs.
    pub clean: usize,
    /// Metadata in use.
    pub metadata: usize,
    /// Address space of the reservation.
    pub reserved: usize,
    /// Of it readable and writable: all of its parts.
    pub committed: usize,
    /// Where huge pages were asked for or set aside.
    pub huge: usize,
    /// Purges made.
    pub purges: usize,
    /// Bytes purged in all.
    pub purged: usize,
}

/// Addresses and offsets; what is not a word is said.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PagesDescriptor {
    /// Where region 0 begins, and the bytes of a region.
    pub data: usize,
    /// See `data`.
    pub region_bytes: usize,
    /// Where entry 0 of the page map is; an entry is a word.
    pub entries: usize,
    /// The entry of a large block. Those of spans are an owner and a class; `central` is the owner of those of the
    /// central list.
    pub large: usize,
    /// See `large`.
    pub central: usize,
    /// The multiple at which owners are, and the distance between entries of neighbouring classes.
    pub owner_align: usize,
    /// See `owner_align`.
    pub class_step: usize,
    /// Bits of a word of the page map that are no part of the entry.
    pub entry_marks: usize,
    /// Where record 0 is, the bytes of a record, and where in it the header of a span begins.
    pub records: usize,
    /// See `records`.
    pub record_bytes: usize,
    /// See `records`.
    pub span: usize,
    /// In a record: the regions of the free run that begins there, four bytes, and whether it is dirty, one byte.
    pub run_len: usize,
    /// See `run_len`.
    pub run_dirty: usize,
    /// Where it is counted, four bytes each: regions ever used, in dirty runs and in clean ones.
    pub touched: usize,
    /// See `touched`.
    pub dirty: usize,
    /// See `touched`.
    pub clean: usize,
    /// Where the words of the run cache are, and how many. A word is a dirty run: its first region from bit 32 on, how
    /// many regions in bits 0 to 11; 0 is none.
    pub cached: [usize; 2],
    /// Where purges and purged bytes are counted.
    pub purges: usize,
    /// See `purges`.
    pub purged: usize,
    /// Address space reserved.
    pub reserved: usize,
    /// How many banks there are, of how many regions each, of which the first is never used.
    pub banks: usize,
    /// See `banks`.
    pub bank_regions: usize,
    /// Of each bank where it says which region was never used yet, four bytes.
    pub borders: [usize; BANKS],
    /// Of each bank where bytes of metadata in use are counted.
    pub metadata: [usize; BANKS],
    /// Of each bank where committed bytes are counted: entries, records, metadata, data.
    pub committed: [[usize; PARTS]; BANKS],
    /// Of each bank where it says up to where its data has huge pages; 0 if it has none.
    pub huge: [usize; BANKS],
    /// From where on a bank has them.
    pub huge_from: usize,
}

impl PagesDescriptor {
    /// The values that are the same in every process of this version; all others, addresses among them, are 0.
    pub(crate) const LAYOUT: Self = Self {
        data: 0,
        region_bytes: REGION_BYTES,
        entries: 0,
        large: Entry::LARGE.bits(),
        central: Entry::LOWEST.owner(),
        owner_align: super::map::HEAP_ALIGN,
        class_step: super::map::BIN_BYTES,
        entry_marks: Word::MARKS,
        records: 0,
        record_bytes: RECORD_BYTES,
        span: size_of::<Node>(),
        run_len: offset_of!(Node, len),
        run_dirty: offset_of!(Node, dirty),
        touched: 0,
        dirty: 0,
        clean: 0,
        cached: [0; 2],
        purges: 0,
        purged: 0,
        reserved: 0,
        banks: 0,
        bank_regions: 0,
        borders: [0; BANKS],
        metadata: [0; BANKS],
        committed: [[0; PARTS]; BANKS],
        huge: [0; BANKS],
        huge_from: 0,
    };

    /// As [`PagesDescriptor::LAYOUT`], of this one.
    #[must_use]
    pub(crate) const fn layout(&self) -> Self {
        Self {
            region_bytes: self.region_bytes,
            large: self.large,
            central: self.central,
            owner_align: self.owner_align,
            class_step: self.class_step,
            entry_marks: self.entry_marks,
            record_bytes: self.record_bytes,
            span: self.span,
            run_len: self.run_len,
            run_dirty: self.run_dirty,
            ..Self::LAYOUT
        }
    }
}

impl Pages {
    /// The figures of this moment.
    pub(crate) fn figures(&self) -> PageFigures {
        let space = self.space();
        let metadata = {
            let first = self.metadata.lock();
            space.banks().map(|bank| space.metadata(bank).unwrap_or(&first).live()).sum()
        };
        let [reserved, committed] = space.sizes();
        let runs = self.runs.lock();
        PageFigures {
            used: runs.touched() as usize * REGION_BYTES,
            dirty: (runs.dirty_regions() + self.cache.regions()) as usize * REGION_BYTES,
            clean: runs.clean_regions() as usize * REGION_BYTES,
            metadata,
            reserved,
            committed,
            huge: space.huge_bytes(),
            // Relaxed: counters.
            purges: self.purges.load(Ordering::Relaxed),
            purged: self.purged_bytes.load(Ordering::Relaxed),
        }
    }

    /// See [`PagesDescriptor`].
    pub(crate) fn descriptor(&self) -> PagesDescriptor {
        let space = self.space();
        let [entries, records] = space.tables();
        let runs = self.runs.value_address();
        let [border, touched, dirty, clean] = Runs::OFFSETS.map(|offset| runs + offset);
        let mut live = PagesDescriptor {
            data: space.address(Region(0)),
            entries,
            records,
            touched,
            dirty,
            clean,
            cached: self.cache.place(),
            purges: core::ptr::from_ref(&self.purges).addr(),
            purged: core::ptr::from_ref(&self.purged_bytes).addr(),
            reserved: space.sizes()[0],
            banks: space.banks().count(),
            bank_regions: space.end_region(Bank::FIRST).0 as usize,
            borders: [border; BANKS],
            metadata: [self.metadata.value_address() + Metadata::LIVE_AT; BANKS],
            committed: [[0; PARTS]; BANKS],
            huge: [0; BANKS],
            huge_from: space.huge().start().unwrap_or(0),
            ..PagesDescriptor::LAYOUT
        };
        for (index, bank) in space.banks().enumerate().take(BANKS) {
            self.describe(&mut live, index, bank);
        }
        live
    }

    fn describe(&self, live: &mut PagesDescriptor, index: usize, bank: Bank) {
        let space = self.space();
        let part = space.part(bank);
        if let (Some(trees), Some(place)) = (space.trees(bank), live.borders.get_mut(index)) {
            *place = core::ptr::from_ref(&trees.border).addr();
        }
        if let (Some(metadata), Some(place)) = (space.metadata(bank), live.metadata.get_mut(index)) {
            *place = core::ptr::from_ref(metadata).addr() + Metadata::LIVE_AT;
        }
        if let Some(place) = live.committed.get_mut(index) {
            *place = part.areas().map(|area| area.committed_address());
        }
        if let Some(place) = live.huge.get_mut(index) {
            *place = match part.data.explicit() {
                Some(explicit) => explicit.end_address(),
                None if space.huge().is_on() => core::ptr::from_ref(&part.advised).addr(),
                None => 0,
            };
        }
    }
}

const _: () = assert!(ENTRY_BYTES == size_of::<usize>());
