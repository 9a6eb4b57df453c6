#![expect(unsafe_code, reason = "opens the tables of loaded objects")]
//! From an address of code to the entries that describe its frame: the sorted table in `.eh_frame_hdr`, the FDE it leads to, and that
//! one's CIE. Knows the layout of `.eh_frame`; must not know what its instructions say.

use super::object::Object;
use super::reader::{OMITTED, Reader};

/// How one function's frames are described.
#[derive(Clone, Copy)]
pub(super) struct Description {
    /// Where the function starts.
    pub(super) start: usize,
    /// What steps of code are counted in.
    pub(super) code_unit: u64,
    /// What offsets of saved registers are counted in.
    pub(super) data_unit: i64,
    /// Whether its frames were made by the kernel for a signal.
    pub(super) is_signal: bool,
    /// How addresses in the instructions are written.
    pub(super) encoding: u8,
    /// Instructions that hold for many functions, then those of this one.
    pub(super) common: Reader,
    pub(super) own: Reader,
}

/// The only form of the table that linkers make: pairs of four bytes each, counted from the table's start.
const VERSION: u8 = 1;
const SORTED: u8 = 0x3b;
const PAIR_BYTES: usize = 8;
/// A length that announces a longer one.
const LONG: u32 = u32::MAX;

/// What says how frames look at `pc` within `object`.
pub(super) fn find(object: Object, pc: usize) -> Option<Description> {
    if !(object.start..object.end).contains(&object.table) {
        return None;
    }
    // SAFETY: the loader mapped the object's table and all it leads to, and nobody unmaps an object whose code is running.
    let whole = unsafe { Reader::new(object.table, object.end) };
    let mut header = whole;
    let (version, frames, count, sorted) = (header.u8()?, header.u8()?, header.u8()?, header.u8()?);
    if (version, sorted) != (VERSION, SORTED) {
        return None;
    }
    header.pointer(frames, object.table)?;
    let count = header.pointer(count, object.table)?;
    let pairs = header.split(count.checked_mul(PAIR_BYTES)?)?;
    let entry = search(pairs.position(), count, object, pc)?;
    // SAFETY: as above; entries may lie before the table.
    let entries = unsafe { Reader::new(object.start, object.end) };
    entry_at(&entries, object, entry, pc)
}

/// The entry of the last function that starts at or before `pc`.
fn search(pairs: usize, count: usize, object: Object, pc: usize) -> Option<usize> {
    let pair = |index: usize| {
        // SAFETY: the caller split `count` pairs off, and the index is below that.
        let mut pair = unsafe { Reader::new(pairs + index * PAIR_BYTES, pairs + (index + 1) * PAIR_BYTES) };
        let place = |offset: u32| object.table.wrapping_add_signed(offset as i32 as isize);
        Some((place(pair.u32()?), place(pair.u32()?)))
    };
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if pair(middle)?.0 <= pc { low = middle + 1 } else { high = middle }
    }
    Some(pair(low.checked_sub(1)?)?.1)
}

/// The entry's contents behind its length, whose end bounds them.
fn body(entries: &Reader, object: Object, at: usize) -> Option<Reader> {
    let mut entry = entries.seek(at, object.start)?;
    let len = match entry.u32()? {
        LONG => entry.u64()? as usize,
        len => len as usize,
    };
    entry.split(len)
}

fn entry_at(entries: &Reader, object: Object, at: usize, pc: usize) -> Option<Description> {
    let mut own = body(entries, object, at)?;
    let back_from = own.position();
    let common = back_from.checked_sub(own.u32()? as usize)?;
    let Common { code_unit, data_unit, encoding, is_signal, augmented, instructions } =
        common_at(body(entries, object, common)?)?;
    let start = own.pointer(encoding, object.table)?;
    // The length has the format, but counts from nothing.
    let len = own.pointer(encoding & 0x0f, 0)?;
    if pc.wrapping_sub(start) >= len {
        return None;
    }
    if augmented {
        let len = own.uleb()? as usize;
        own.split(len)?;
    }
    Some(Description { start, code_unit, data_unit, is_signal, encoding, common: instructions, own })
}

/// What a CIE says.
struct Common {
    code_unit: u64,
    data_unit: i64,
    encoding: u8,
    is_signal: bool,
    /// Whether its functions' entries have data of their own before the instructions.
    augmented: bool,
    instructions: Reader,
}

fn common_at(mut entry: Reader) -> Option<Common> {
    /// Most letters of an augmentation.
    const LETTERS: usize = 8;
    let (kind, version) = (entry.u32()?, entry.u8()?);
    if kind != 0 || !matches!(version, 1 | 3) {
        return None;
    }
    let mut letters = [0; LETTERS];
    let mut count = 0;
    loop {
        match entry.u8()? {
            0 => break,
            letter => *letters.get_mut(count)? = letter,
        }
        count += 1;
    }
    let (code_unit, data_unit) = (entry.uleb()?, entry.sleb()?);
    if version == 1 { entry.u8().map(u64::from) } else { entry.uleb() }?;
    let mut common = Common { code_unit, data_unit, encoding: 0, is_signal: false, augmented: false, instructions: entry };
    for letter in letters.iter().take(count) {
        match letter {
            b'z' => {
                common.augmented = true;
                let len = entry.uleb()? as usize;
                let mut rest = entry;
                rest.split(len)?;
                common.instructions = rest;
            }
            b'R' => common.encoding = entry.u8()?,
            b'L' => drop(entry.u8()?),
            b'P' => match entry.u8()? {
                OMITTED => {}
                encoding => drop(entry.pointer(encoding, 0)?),
            },
            b'S' => common.is_signal = true,
            _ => return None,
        }
    }
    if !common.augmented {
        common.instructions = entry;
    }
    Some(common)
}
