//! Looks for one block among those that are free: in bitmaps, bins and batches.

use super::limits::{BATCHES_MAX, HEAPS_MAX, SLOTS_SEARCHED_MAX};
use super::place::State;
use super::process::Process;
use super::words::{byte, half, word};
use anyhow::Result;
use spandrel::descriptor::Descriptor;
use spandrel::table::ClassInfo;

const WORD: usize = size_of::<usize>();
const BITS: usize = usize::BITS as usize;

/// Whether block `index` of the span at `region` is out.
pub(super) fn is_out(process: &Process, d: &Descriptor, region: usize, index: usize) -> Result<bool> {
    let span = d.pages.records.wrapping_add(region * d.pages.record_bytes + d.pages.span);
    let bitmap = process.word(span.wrapping_add(d.central.span_bitmap))?;
    Ok(process.word(bitmap.wrapping_add(index / BITS * WORD))? >> (index % BITS) & 1 == 1)
}

/// The holder of a block that is out of its span.
pub(super) fn holder(process: &Process, d: &Descriptor, class: ClassInfo, block: usize) -> Result<State> {
    let (h, c) = (&d.heap, &d.central);
    let cached = process.word(c.lists.wrapping_add(class.index * c.list_step + c.batches))?;
    let mut steps = BATCHES_MAX;
    if in_chain(process, d, cached, block, &mut steps) {
        return Ok(State::OnItsWay);
    }
    let mut next = process.word(h.first)?;
    for _ in 0..HEAPS_MAX {
        if next == 0 {
            break;
        }
        let heap = process.bytes(next, h.bytes)?;
        next = word(&heap, h.next);
        if byte(&heap, h.taken) == 0 {
            continue;
        }
        let bin = class.index * h.bin_step;
        let (top, base) = (word(&heap, bin + h.bin_top), word(&heap, bin + h.bin_base));
        let slots = (top.saturating_sub(base) / WORD).min(SLOTS_SEARCHED_MAX);
        // Slot 0 holds none.
        let array = process.bytes(base, (slots + 1) * WORD)?;
        if (1..=slots).any(|slot| word(&array, slot * WORD) == block) {
            return Ok(State::InBin(half(&heap, h.thread) as u32));
        }
        let mut outbox = (0..h.outbox_places).map(|place| word(&heap, h.outbox + place * WORD));
        let mut chains = [h.pending, h.inbox].into_iter().map(|chain| word(&heap, chain));
        if outbox.any(|batch| in_chain(process, d, batch, block, &mut 1))
            || chains.any(|first| in_chain(process, d, first, block, &mut steps))
        {
            return Ok(State::OnItsWay);
        }
    }
    Ok(State::Live)
}

/// Whether one of the first `steps` batches has the block; takes those it looks at off.
fn in_chain(process: &Process, d: &Descriptor, first: usize, block: usize, steps: &mut usize) -> bool {
    let c = &d.central;
    let mut next = first;
    while *steps > 0 {
        *steps -= 1;
        // Small numbers are marks, not addresses.
        if next <= d.pages.owner_align {
            return false;
        }
        let Ok(batch) = process.bytes(next, c.batch_blocks + c.batch_max * WORD) else { return false };
        let (gone, len) = (half(&batch, c.batch_gone), half(&batch, c.batch_len).min(c.batch_max));
        if (gone..len).any(|index| word(&batch, c.batch_blocks + index * WORD) == block) {
            return true;
        }
        next = word(&batch, c.batch_next);
    }
    false
}
