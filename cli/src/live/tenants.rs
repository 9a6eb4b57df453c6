//! The table of named heaps of a process: names, bills, limits.
//!
//! Must not know: spans and blocks, of which the live figures of a heap are sums.

use super::limits::{FIGURE_MAX, TENANTS_MAX};
use super::process::Process;
use super::words::{byte, word};
use anyhow::Result;
use spandrel::descriptor::{TenantFigures, TenantsDescriptor};
use std::collections::HashMap;

const WORD: usize = size_of::<usize>();

/// The handles of named heaps and accounts by the addresses of their bills.
#[derive(Default)]
pub(super) struct Tenants(HashMap<usize, usize>);

impl Tenants {
    /// Reads the table; `see` gets the address of each bill and its figures, without those that are sums. A record that cannot be read is torn.
    pub(super) fn read(
        process: &Process,
        d: &TenantsDescriptor,
        torn: &mut usize,
        mut see: impl FnMut(usize, TenantFigures),
    ) -> Result<Self> {
        let mut bills = HashMap::new();
        let count = process.word(d.count)?.min(TENANTS_MAX);
        let pieces = process.bytes(d.pieces, count.div_ceil(d.piece_records) * WORD)?;
        for piece in pieces.chunks_exact(WORD).map(|chunk| word(chunk, 0)).filter(|&piece| piece != 0) {
            let Ok(records) = process.bytes(piece, d.piece_records * d.record_bytes) else {
                *torn += 1;
                continue;
            };
            for (index, record) in records.chunks_exact(d.record_bytes).enumerate() {
                let figures = figures(record, d);
                if figures.handle != 0 {
                    let bill = piece.wrapping_add(index * d.record_bytes + d.bill);
                    bills.insert(bill, figures.handle);
                    see(bill, figures);
                }
            }
        }
        Ok(Self(bills))
    }

    /// The handle of the heap that has the bill at this address; 0 for none.
    pub(super) fn of_bill(&self, address: usize) -> usize {
        if address == 0 { 0 } else { self.0.get(&address).copied().unwrap_or(0) }
    }
}

fn figures(record: &[u8], d: &TenantsDescriptor) -> TenantFigures {
    let figure = |at| word(record, at).min(FIGURE_MAX);
    let limit = |at| if word(record, at) == d.unlimited { 0 } else { figure(at) };
    let mut name = TenantFigures::NONE.name;
    name.iter_mut().zip(record.get(d.name..).unwrap_or_default()).for_each(|(byte, from)| *byte = *from);
    let held = figure(d.held);
    TenantFigures {
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
        ..TenantFigures::NONE
    }
}
