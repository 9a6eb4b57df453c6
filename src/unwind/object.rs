#![expect(unsafe_code, reason = "asks the C library and the linker for loaded objects")]
//! Loaded objects: which one an address of code lies in, and the bytes of its `.eh_frame`, found by the index in
//! `.eh_frame_hdr`. glibc answers without a lock since 2.35; a program linked statically has one object, whose header
//! the linker names. Must not know what entries say.

use core::arch::asm;
use core::ffi::{c_int, c_void};

use crate::sys::atomic::{AtomicU32, Ordering};
use crate::sys::libc::weak;
use crate::sys::startup::Startup;

/// A loaded object.
///
/// # Invariants
/// - The loader mapped what lies between `start` and `end`, and `table` is 0 or where its linker put `.eh_frame_hdr`.
///   That section, which begins with its length, and `.eh_frame` are mapped as a whole and constant. An object whose
///   code is on a stack stays loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Object {
    start: usize,
    end: usize,
    table: usize,
}

/// The only form of `.eh_frame_hdr` that linkers make: version 1, then the encodings of three things: where `.eh_frame`
/// is, counted from that word; how many pairs follow; the pairs, of a function's start and its entry, sorted, counted
/// from the section's start.
const FORM: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
const HEADER_BYTES: usize = 3 * FORM.len();
/// In place of an entry's length: the length follows, in eight bytes.
const LONG: u32 = u32::MAX;

/// A pair of the index.
type Pair = [[u8; 4]; 2];

/// The contents of `.eh_frame_hdr`.
pub(super) struct Index {
    /// Where the section starts.
    table: usize,
    /// Where `.eh_frame` starts.
    pub(super) frames: usize,
    pairs: &'static [Pair],
}

impl Object {
    /// An object that consists of tables, which begin with `.eh_frame_hdr`.
    #[cfg(test)]
    pub(super) fn of_bytes(start: usize, len: usize) -> Self {
        Self { start, end: start + len, table: start }
    }

    pub(super) fn contains(self, address: usize) -> bool {
        (self.start..self.end).contains(&address)
    }

    pub(super) fn holds(self, at: usize, len: usize) -> bool {
        at >= self.start && at.checked_add(len).is_some_and(|end| end <= self.end)
    }

    /// The bytes at `at`. It lies in one of the two sections, unless these are damaged; then it is checked here.
    fn bytes<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        if !self.holds(at, N) {
            return None;
        }
        // SAFETY: within the object, where it is mapped (see the invariants).
        Some(unsafe { core::ptr::with_exposed_provenance::<[u8; N]>(at).read() })
    }

    /// Its index; `None` if it has none, or one of an unusual form.
    pub(super) fn index(self) -> Option<Index> {
        let header: [u8; HEADER_BYTES] = self.bytes(self.table)?;
        let [form, frames, count] = header.as_chunks().0 else { return None };
        if *form != FORM {
            return None;
        }
        let frames = distant(self.table + form.len(), *frames);
        let (first, count) = (self.table + HEADER_BYTES, u32::from_le_bytes(*count) as usize);
        if !self.holds(first, count * size_of::<Pair>()) {
            return None;
        }
        // SAFETY: the header says that so many pairs follow, and the section is mapped as a whole.
        let pairs = unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance::<Pair>(first), count) };
        Some(Index { table: self.table, frames, pairs })
    }

    /// The bytes of `.eh_frame` up to the end of the entry at `place`, and how far from their start it lies.
    pub(super) fn entries(self, index: &Index, place: usize) -> Option<(&'static [u8], usize)> {
        let (head, len) = match u32::from_le_bytes(self.bytes(place)?) {
            LONG => (size_of::<[u32; 3]>(), u64::from_le_bytes(self.bytes(place + size_of::<u32>())?) as usize),
            len => (size_of::<u32>(), len as usize),
        };
        let before = place.checked_sub(index.frames)?;
        let len = (before + head).checked_add(len)?;
        if !self.holds(index.frames, len) {
            return None;
        }
        let first = core::ptr::with_exposed_provenance(index.frames);
        // SAFETY: from the start of a section, which is mapped as a whole, to the end of one of its entries.
        Some((unsafe { core::slice::from_raw_parts(first, len) }, before))
    }
}

impl Index {
    /// The entry of the last function that starts at or before `pc`.
    pub(super) fn entry_of(&self, pc: usize) -> Option<usize> {
        let after = self.pairs.partition_point(|&[start, _]| distant(self.table, start) <= pc);
        self.pairs.get(after.checked_sub(1)?).map(|&[_, entry]| distant(self.table, entry))
    }
}

/// The address at `offset`, a number of four bytes, from `place`.
fn distant(place: usize, offset: [u8; 4]) -> usize {
    place.wrapping_add_signed(i32::from_le_bytes(offset) as isize)
}

/// glibc's `struct dl_find_object` of x86-64, with the words that it keeps for later versions.
#[repr(C)]
struct Found {
    flags: u64,
    start: usize,
    end: usize,
    link_map: usize,
    table: usize,
    reserved: [u64; 7],
}

type Find = unsafe extern "C" fn(*mut c_void, *mut Found) -> c_int;

/// glibc's answer for `address`: `Some(None)` if it lies in no object, `None` if glibc has no such function.
fn ask(address: usize) -> Option<Option<Found>> {
    let find = weak!("_dl_find_object" as Find)?;
    let mut found = Found { flags: 0, start: 0, end: 0, link_map: 0, table: 0, reserved: [0; 7] };
    // SAFETY: takes any address, waits for nothing, fills the structure where it returns 0.
    let known = unsafe { find(core::ptr::without_provenance_mut(address), &raw mut found) } == 0;
    Some(known.then_some(found))
}

/// Whether `address` lies in the program or in a loaded library. False where the C library (before 2.35) cannot tell
/// without a lock.
pub(crate) fn is_in_object(address: usize) -> bool {
    ask(address).flatten().is_some()
}

/// The object that `address` lies in.
pub(super) fn find(address: usize) -> Option<Object> {
    let listed = ask(address).flatten().map(|found| Object { start: found.start, end: found.end, table: found.table });
    // glibc before 2.35 has no answer, and that of a static program names no table.
    listed.filter(|object| object.contains(object.table)).or_else(|| own().filter(|object| object.contains(address)))
}

/// The loader's description of the object that `address` lies in, where it can be had without a lock.
pub(super) fn link_map(address: usize) -> Option<usize> {
    ask(address)?.map(|found| found.link_map).filter(|&map| map != 0)
}

/// The dynamic linker, if the program has one: the object that defines `_r_debug`, the word for debuggers.
pub(super) fn loader() -> Option<Object> {
    let address: usize;
    // SAFETY: loads the address of a weak symbol, 0 if there is none.
    unsafe {
        asm!(".weak _r_debug", "mov {}, qword ptr [rip + _r_debug@GOTPCREL]", out(reg) address, options(pure, readonly, nostack))
    };
    find(address)
}

/// Where the linker put the header and the end of the object that this code is in; 0 for a symbol that it does not
/// define.
fn extent() -> (usize, usize) {
    let (start, end);
    // SAFETY: loads the addresses of weak symbols.
    unsafe {
        asm!(".weak __ehdr_start", ".hidden __ehdr_start", ".weak _end", ".hidden _end",
            "mov {}, qword ptr [rip + __ehdr_start@GOTPCREL]", "mov {}, qword ptr [rip + _end@GOTPCREL]", out(reg) start,
            out(reg) end, options(pure, readonly, nostack));
    }
    (start, end)
}

/// The segments of the object whose header is at `start`.
fn segments(start: usize) -> &'static [libc::Elf64_Phdr] {
    if start == 0 {
        return &[];
    }
    // SAFETY: `start` is `__ehdr_start`, the address of a mapped header.
    let header = unsafe { &*core::ptr::with_exposed_provenance::<libc::Elf64_Ehdr>(start) };
    let first = core::ptr::with_exposed_provenance::<libc::Elf64_Phdr>(start.wrapping_add(header.e_phoff as usize));
    // SAFETY: the linker puts the program headers right behind the header, in the same mapping.
    unsafe { core::slice::from_raw_parts(first, usize::from(header.e_phnum)) }
}

/// How far from its place in the file the object was loaded that `address` and this code lie in.
pub(super) fn own_bias(address: usize) -> Option<usize> {
    let start = extent().0;
    let first = segments(start).iter().find(|segment| segment.p_type == libc::PT_LOAD)?;
    own().filter(|object| object.contains(address)).map(|_| start.wrapping_sub(first.p_vaddr as usize))
}

/// The object that this code is in.
fn own() -> Option<Object> {
    let (start, end) = extent();
    let segments = segments(start);
    let first = segments.iter().find(|segment| segment.p_type == libc::PT_LOAD)?;
    let table = segments.iter().find(|segment| segment.p_type == libc::PT_GNU_EH_FRAME);
    let bias = start.wrapping_sub(first.p_vaddr as usize);
    Some(Object { start, end, table: table.map_or(0, |segment| bias.wrapping_add(segment.p_vaddr as usize)) })
}

const UNKNOWN: u32 = 0;
const LIBRARY: u32 = 1;
const PROGRAM: u32 = 2;

/// The kind of object that this code is part of, once that is known. Any thread writes; all write the same.
static KIND: AtomicU32 = AtomicU32::new(UNKNOWN);

/// Whether this code is a library of its own, not linked into the program.
pub(crate) fn is_library() -> bool {
    is_of_library(extent().0)
}

/// Whether `address` lies in this library; never if this code is linked into the program.
pub(super) fn is_of_library(address: usize) -> bool {
    let (start, end) = extent();
    if address < start || address >= end {
        return false;
    }
    // Relaxed: the word publishes no other memory; a thread that sees an old one finds the kind again.
    let known = KIND.load(Ordering::Relaxed);
    let kind = if known == UNKNOWN { find_kind(start) } else { known };
    kind == LIBRARY
}

#[cold]
fn find_kind(start: usize) -> u32 {
    let program = Startup::find().and_then(Startup::program_segments);
    let kind = if program == Some(segments(start).as_ptr().addr()) { PROGRAM } else { LIBRARY };
    // Relaxed: as in `is_of_library`.
    KIND.store(kind, Ordering::Relaxed);
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_find_this_code() {
        let here = both_ways_find_this_code as fn() as usize;
        let found = find(here).unwrap();
        assert_eq!(found.table, own().unwrap().table);
        assert!(found.contains(here));
        assert_eq!(find(8), None);
    }
}
