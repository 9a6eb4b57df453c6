//! The table of the holders of bills of a process, named heaps and accounts: names, bills, limits.
//!
//! Must not know: spans and blocks, of which the live figures of a heap are sums.

use super::limits::{FIGURE_MAX, HOLDERS_MAX};
use super::process::Process;
use super::words::{byte, word};
use anyhow::Result;
use spandrel::descriptor::{HolderFigures, HoldersDescriptor};
use std::collections::HashMap;

const WORD: usize = size_of::<usize>();

/// The handles of named heaps and accounts.
#[derive(Default)]
pub(super) struct Holders {
    /// By the addresses of their bills.
    by_bill: HashMap<usize, usize>,
    /// By the places of their records, counted from 1.
    by_place: HashMap<usize, usize>,
}

impl Holders {
    /// Reads the table; `see` gets the address of each bill and its figures, without those that are sums. A record that cannot be read is torn.
    pub(super) fn read(
        process: &Process,
        d: &HoldersDescriptor,
        torn: &mut usize,
        mut see: impl FnMut(usize, HolderFigures),
    ) -> Result<Self> {
        let mut holders = Self::default();
        let count = process.word(d.count)?.min(HOLDERS_MAX);
        let pieces = process.bytes(d.pieces, count.div_ceil(d.piece_records) * WORD)?;
        let pieces = pieces.chunks_exact(WORD).map(|chunk| word(chunk, 0)).enumerate();
        for (number, piece) in pieces.filter(|&(_, piece)| piece != 0) {
            let Ok(records) = process.bytes(piece, d.piece_records * d.record_bytes) else {
                *torn += 1;
                continue;
            };
            for (index, record) in records.chunks_exact(d.record_bytes).enumerate() {
                let figures = figures(record, d);
                if figures.handle != 0 {
                    let bill = piece.wrapping_add(index * d.record_bytes + d.bill);
                    holders.by_bill.insert(bill, figures.handle);
                    holders.by_place.insert(number * d.piece_records + index + 1, figures.handle);
                    see(bill, figures);
                }
            }
        }
        Ok(holders)
    }

    /// The handle of the heap that has the bill at this address; 0 for none.
    pub(super) fn of_bill(&self, address: usize) -> usize {
        self.by_bill.get(&address).copied().unwrap_or(0)
    }

    /// The handle of the heap with the record at that place; 0 for none.
    pub(super) fn of_place(&self, place: usize) -> usize {
        self.by_place.get(&place).copied().unwrap_or(0)
    }
}

fn figures(record: &[u8], d: &HoldersDescriptor) -> HolderFigures {
    let figure = |at| word(record, at).min(FIGURE_MAX);
    let limit = |at| if word(record, at) == d.unlimited { 0 } else { figure(at) };
    let mut name = HolderFigures::NONE.name;
    name.iter_mut().zip(record.get(d.name..).unwrap_or_default()).for_each(|(byte, from)| *byte = *from);
    let held = figure(d.held);
    HolderFigures {
        handle: word(record, d.handle),
        kind: byte(record, d.kind) as u8,
        name,
        held,
        peak: figure(d.peak).max(held),
        large: figure(d.large).min(held),
        soft: limit(d.soft),
        hard: limit(d.hard),
        refusals: figure(d.refusals),
        // The reader adds the others, as it meets their spans.
        live_blocks: figure(d.apart),
        live_bytes: figure(d.apart + WORD),
        ..HolderFigures::NONE
    }
}
