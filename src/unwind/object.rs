#![expect(unsafe_code, reason = "asks the C library and the linker for loaded objects")]
//! The loaded object that an address of code lies in, and where its table of frames is. glibc 2.35 answers without a lock; a program
//! linked statically has one object, whose header the linker names. Must not know what the table says.

use core::arch::asm;
use core::ffi::{c_int, c_void};

use crate::sys::atomic::{AtomicU32, Ordering};
use crate::sys::libc::weak;
use crate::sys::startup::Startup;

/// A loaded object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Object {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Where its `.eh_frame_hdr` lies; 0 if it has none.
    pub(super) table: usize,
}

/// glibc's `struct dl_find_object` of x86-64, with what it keeps for later.
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

/// What glibc says of `address`: nothing where it lies in no object; `None` where glibc cannot be asked.
fn ask(address: usize) -> Option<Option<Found>> {
    let find = weak!("_dl_find_object" as Find)?;
    let mut found = Found { flags: 0, start: 0, end: 0, link_map: 0, table: 0, reserved: [0; 7] };
    // SAFETY: takes any address, waits for nothing, fills the structure where it returns 0.
    let known = unsafe { find(core::ptr::without_provenance_mut(address), &raw mut found) } == 0;
    Some(known.then_some(found))
}

/// Whether `address` lies in the program or in a loaded library. False where the C library (before 2.35) cannot tell without a lock.
pub(super) fn lists(address: usize) -> bool {
    ask(address).flatten().is_some()
}

/// The object that `address` lies in.
pub(super) fn find(address: usize) -> Option<Object> {
    let listed = ask(address).flatten().map(|found| Object { start: found.start, end: found.end, table: found.table });
    // glibc before 2.35 cannot be asked, and that of a static program tells of the code alone.
    listed
        .filter(|object| (object.start..object.end).contains(&object.table))
        .or_else(|| own().filter(|object| (object.start..object.end).contains(&address)))
}

/// The loader's description of the object that `address` lies in, where it can be had without a lock.
pub(super) fn link_map(address: usize) -> Option<usize> {
    ask(address)?.map(|found| found.link_map).filter(|&map| map != 0)
}

/// The dynamic linker, where there is one: it is where the word for debuggers is.
pub(super) fn loader() -> Option<Object> {
    let address: usize;
    // SAFETY: loads the address of a weak symbol, 0 if there is none.
    unsafe {
        asm!(".weak _r_debug", "mov {}, qword ptr [rip + _r_debug@GOTPCREL]", out(reg) address, options(pure, readonly, nostack))
    };
    find(address)
}

/// Where the linker put the header and the end of the object that this code is in; 0 for what it does not name.
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
    // SAFETY: the linker names the header of the object, which is mapped.
    let header = unsafe { &*core::ptr::with_exposed_provenance::<libc::Elf64_Ehdr>(start) };
    let first = core::ptr::with_exposed_provenance::<libc::Elf64_Phdr>(start.wrapping_add(header.e_phoff as usize));
    // SAFETY: the program headers follow in the same mapping.
    unsafe { core::slice::from_raw_parts(first, usize::from(header.e_phnum)) }
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

/// What this code is part of, once that was asked. Any thread asks, all find the same.
static KIND: AtomicU32 = AtomicU32::new(UNKNOWN);

/// Whether `address` lies in this library; never if this code is linked into the program.
pub(super) fn is_of_library(address: usize) -> bool {
    let (start, end) = extent();
    if address < start || address >= end {
        return false;
    }
    // Relaxed: a word that is right by itself.
    let known = KIND.load(Ordering::Relaxed);
    let kind = if known == UNKNOWN { find_kind(start) } else { known };
    kind == LIBRARY
}

#[cold]
fn find_kind(start: usize) -> u32 {
    let program = Startup::find().and_then(Startup::program_segments);
    let kind = if program == Some(segments(start).as_ptr().addr()) { PROGRAM } else { LIBRARY };
    // Relaxed: see `KIND`.
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
        assert!((found.start..found.end).contains(&here));
        assert_eq!(find(8), None);
    }
}
