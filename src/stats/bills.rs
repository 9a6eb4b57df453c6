//! Bills: the figures of named heaps in a snapshot. The largest heaps have a row each; the others are added up, and so
//! is the default heap's share, so that all of them together are the process's.
//!
//! Names come from the program: a row has its name as text that can be shown. Must not know the formats.

use super::snapshot::Snapshot;
use crate::base::text;
use crate::central::Bill;
use crate::pages::limits::UNLIMITED;
use crate::process::holders::{self, Figures, Kind, NAME_BYTES};

/// Named heaps that have a row.
const ROWS: usize = 100;

/// Figures of a named heap or an account, or of several. Sizes are in bytes.
#[derive(Clone, Copy, Debug)]
pub struct HolderFigures {
    /// The handle, by which the program knows the heap.
    pub handle: usize,
    /// The kind of the holder, by its number.
    pub kind: u8,
    /// The name, with zeroes behind it.
    pub name: [u8; NAME_BYTES],
    /// Regions of spans and large blocks.
    pub held: usize,
    /// The most that was held.
    pub peak: usize,
    /// The part of `held` that is large blocks.
    pub large: usize,
    /// Live blocks and their bytes.
    pub live_blocks: usize,
    /// See `live_blocks`.
    pub live_bytes: usize,
    /// Limits; 0 for none.
    pub soft: usize,
    /// See `soft`.
    pub hard: usize,
    /// Requests that the hard limit refused.
    pub refusals: usize,
    /// Fast parts.
    pub parts: usize,
    /// Threads that use it.
    pub users: usize,
}

/// The figures of all named heaps. All-zero bytes are those of none.
pub struct Bills {
    /// The largest heaps, the largest first.
    rows: [HolderFigures; ROWS],
    /// The sums of those that have no row.
    others: HolderFigures,
    /// How many heaps there are.
    pub heaps: usize,
}

impl Bills {
    /// Of no heap.
    pub(super) const NONE: Self = Self { rows: [HolderFigures::NONE; ROWS], others: HolderFigures::NONE, heaps: 0 };

    /// Adds a heap. Of heaps that hold the same the first ones come first.
    pub fn add(&mut self, figures: &HolderFigures) {
        let filled = self.heaps.min(ROWS);
        self.heaps += 1;
        let mut moved = *figures;
        let len = moved.name.iter().position(|&byte| byte == 0).unwrap_or(moved.name.len());
        let (name, rest) = moved.name.split_at_mut(len);
        text::make_plain(name);
        rest.fill(0);
        let larger = self.rows.iter().take(filled).take_while(|row| row.held >= moved.held).count();
        for row in self.rows.iter_mut().take(filled + 1).skip(larger) {
            core::mem::swap(row, &mut moved);
        }
        if filled == ROWS {
            self.others.include(&moved);
        }
    }

    /// The row of the heap with that handle, once all are added, or the sums that it is in; `None` if there is no such
    /// heap.
    fn place(&mut self, handle: usize) -> Option<&mut HolderFigures> {
        if handle == 0 {
            return None;
        }
        let others = (self.heaps > ROWS).then_some(&mut self.others);
        self.rows.iter_mut().take(self.heaps).find(|row| row.handle == handle).or(others)
    }

    /// Adds live blocks of the heap with that handle.
    pub fn credit(&mut self, handle: usize, blocks: usize, bytes: usize) {
        if let Some(place) = self.place(handle) {
            place.live_blocks = place.live_blocks.saturating_add(blocks);
            place.live_bytes = place.live_bytes.saturating_add(bytes);
        }
    }

    /// Takes off blocks that were added and are free.
    pub fn debit(&mut self, handle: usize, blocks: usize, bytes: usize) {
        if let Some(place) = self.place(handle) {
            place.live_blocks = place.live_blocks.saturating_sub(blocks);
            place.live_bytes = place.live_bytes.saturating_sub(bytes);
        }
    }

    /// The heaps that have a row, the largest first.
    pub fn rows(&self) -> impl Iterator<Item = &HolderFigures> {
        self.rows.iter().take(self.heaps)
    }

    /// How many heaps have no row, and the sums of what can be added up; `None` if all have one.
    #[must_use]
    pub fn others(&self) -> Option<(usize, &HolderFigures)> {
        self.heaps.checked_sub(ROWS).filter(|&left| left > 0).map(|left| (left, &self.others))
    }
}

/// The handle of the named heap or account that has `bill`; 0 for none.
pub(super) fn handle_of(bill: Option<&'static Bill>) -> usize {
    bill.map_or(0, holders::handle_of_bill)
}

impl HolderFigures {
    /// Of nothing.
    pub const NONE: Self = Self {
        handle: 0,
        kind: 0,
        name: [0; NAME_BYTES],
        held: 0,
        peak: 0,
        large: 0,
        live_blocks: 0,
        live_bytes: 0,
        soft: 0,
        hard: 0,
        refusals: 0,
        parts: 0,
        users: 0,
    };

    /// Of live blocks only those apart; a snapshot counts the others itself.
    pub(super) fn of(figures: &Figures) -> Self {
        let limit = |bytes: usize| if bytes == UNLIMITED { 0 } else { bytes };
        let Figures { handle, name, held, peak, large, refusals, parts, users, .. } = *figures;
        let [live_blocks, live_bytes] = figures.apart;
        let (soft, hard, kind) = (limit(figures.soft), limit(figures.hard), figures.kind as u8);
        Self { handle, kind, name, held, peak, large, live_blocks, live_bytes, soft, hard, refusals, parts, users }
    }

    /// Adds what can be added up.
    pub(super) fn include(&mut self, other: &Self) {
        if Kind::of(other.kind).is_estimate() {
            return;
        }
        let mut other = *other;
        for (sum, more) in self.shares().into_iter().zip(other.shares()) {
            *sum = sum.saturating_add(*more);
        }
    }

    /// Takes off what was added up.
    fn leave_out(&mut self, other: &Self) {
        if Kind::of(other.kind).is_estimate() {
            return;
        }
        let mut other = *other;
        for (sum, less) in self.shares().into_iter().zip(other.shares()) {
            *sum = sum.saturating_sub(*less);
        }
    }

    fn shares(&mut self) -> [&mut usize; 4] {
        [&mut self.held, &mut self.large, &mut self.live_blocks, &mut self.live_bytes]
    }

    /// The part of what is held that is spans.
    #[must_use]
    pub fn spans(&self) -> usize {
        self.held.saturating_sub(self.large)
    }

    /// The kind of the holder: `heap`, `thread-name`, `cgroup-thread` or `object`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        Kind::of(self.kind).name()
    }

    /// Whether it is a heap that the program made.
    #[must_use]
    pub const fn is_heap(&self) -> bool {
        Kind::of(self.kind).is_heap()
    }

    /// The label that has the name in Prometheus's format.
    pub(super) const fn label(&self) -> &'static str {
        Kind::of(self.kind).word()
    }

    /// The name of a row, in which no character is one of control.
    #[must_use]
    pub fn shown(&self) -> &str {
        let len = self.name.iter().position(|&byte| byte == 0).unwrap_or(self.name.len());
        self.name.get(..len).and_then(|name| core::str::from_utf8(name).ok()).unwrap_or_default()
    }
}

impl Snapshot {
    /// Bytes of regions of spans and large blocks, and of direct blocks: the sum of all bills.
    #[must_use]
    pub fn held(&self) -> usize {
        self.spans() + self.large.held()
    }

    /// The default heap's share: what the process has and no named heap.
    #[must_use]
    pub fn default_heap(&self) -> HolderFigures {
        let large = &self.large;
        let mut share = HolderFigures {
            held: self.held(),
            large: large.held(),
            live_bytes: self.live(),
            live_blocks: self.total(super::ClassFigures::live) as usize + large.large_blocks + large.direct_blocks,
            ..HolderFigures::NONE
        };
        self.bills.rows().for_each(|row| share.leave_out(row));
        share.leave_out(&self.bills.others);
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;
    use std::vec::Vec;

    fn heap(name: &[u8], held: usize) -> HolderFigures {
        let mut figures = HolderFigures { held, live_blocks: 1, ..HolderFigures::NONE };
        figures.name[..name.len()].copy_from_slice(name);
        figures
    }

    #[test]
    fn the_largest_have_rows_and_sums_stay_right() {
        let mut bills = Box::new(Bills::NONE);
        let held = |number: usize| number * 7919 % 1009;
        (0..1009).for_each(|number| bills.add(&heap(std::format!("{number}").as_bytes(), held(number))));
        let rows: Vec<usize> = bills.rows().map(|row| row.held).collect();
        assert_eq!(rows, (1009 - ROWS..1009).rev().collect::<Vec<_>>());
        let (left, others) = bills.others().unwrap();
        assert_eq!((left, others.live_blocks), (1009 - ROWS, 1009 - ROWS));
        assert_eq!(others.held + rows.iter().sum::<usize>(), (0..1009).sum());
        assert!(bills.rows().all(|row| held(row.shown().parse().unwrap()) == row.held));
    }

    #[test]
    fn a_few_heaps_all_have_rows_in_their_order() {
        let mut bills = Box::new(Bills::NONE);
        for (name, held) in [(&b"a"[..], 5), (b"b", 9), (b"c", 5)] {
            bills.add(&heap(name, held));
        }
        assert_eq!(bills.rows().map(HolderFigures::shown).collect::<Vec<_>>(), ["b", "a", "c"]);
        assert!(bills.others().is_none());
        let mut one_more = Box::new(Bills::NONE);
        (0..=ROWS).for_each(|_| one_more.add(&heap(b"x", 3)));
        assert_eq!(one_more.others().map(|(left, sums)| (left, sums.held)), Some((1, 3)));
    }

    #[test]
    fn live_blocks_are_those_of_their_heap_or_of_the_others() {
        let mut bills = Box::new(Bills::NONE);
        (1..=ROWS + 2)
            .for_each(|handle| bills.add(&HolderFigures { handle, held: 1000 - handle, ..HolderFigures::NONE }));
        for (handle, blocks) in [(7, 5), (ROWS + 1, 30), (ROWS + 2, 4), (0, 100)] {
            bills.credit(handle, blocks, blocks * 16);
        }
        bills.debit(7, 2, 32);
        bills.debit(ROWS + 1, 40, 16);
        let live = |figures: &HolderFigures| (figures.live_blocks, figures.live_bytes);
        assert_eq!(bills.rows().map(live).filter(|live| *live != (0, 0)).collect::<Vec<_>>(), [(3, 48)]);
        assert_eq!(bills.others().map(|(_, sums)| live(sums)), Some((0, 33 * 16)));
        let mut few = Box::new(Bills::NONE);
        few.add(&heap(b"x", 3));
        few.credit(9, 1, 1);
        assert_eq!(few.rows().map(|row| row.live_bytes).sum::<usize>(), 0);
    }

    #[test]
    fn names_are_shown_without_what_a_terminal_obeys() {
        let mut bills = Box::new(Bills::NONE);
        bills.add(&heap(b"a\x1b[2J\n\xff\"<\\&\0hidden", 1));
        bills.add(&heap(&[b'x'; 64], 0));
        let names: Vec<_> = bills.rows().map(HolderFigures::shown).collect();
        assert_eq!(names[0], "a?[2J??\"<\\&");
        assert_eq!(names[1].len(), 64);
    }

    #[test]
    fn the_default_heap_has_what_no_other_has() {
        let mut snapshot = Box::new(Snapshot::empty("x"));
        (snapshot.large.large_bytes, snapshot.large.large_blocks, snapshot.large.region_bytes) = (900, 3, 1000);
        snapshot.bills.add(&HolderFigures { large: 300, live_bytes: 250, ..heap(b"a", 300) });
        let share = snapshot.default_heap();
        assert_eq!((share.held, share.large, share.live_bytes, share.live_blocks), (700, 700, 650, 2));
        snapshot.bills.add(&heap(b"b", 5000));
        assert_eq!(snapshot.default_heap().held, 0);
    }
}
