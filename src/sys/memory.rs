#![expect(unsafe_code, reason = "memory system calls")]
//! Memory from the kernel: reserving, committing, purging, mapping. Every failure is an answer, never an abort.
//!
//! Must not know what the memory is for.

use super::atomic::{AtomicUsize, Ordering};
use super::call::{Errno, raw};
use super::file;
use crate::base::text::Inline;

/// The system calls for memory that are counted.
#[derive(Clone, Copy)]
enum SystemCall {
    Map = 0,
    Unmap = 1,
    Protect = 2,
    Advise = 3,
    Remap = 4,
}

static COUNTED: [(libc::c_long, Inline<14>); 5] = [
    (libc::SYS_mmap, Inline::of("mmap calls")),
    (libc::SYS_munmap, Inline::of("munmap calls")),
    (libc::SYS_mprotect, Inline::of("mprotect calls")),
    (libc::SYS_madvise, Inline::of("madvise calls")),
    (libc::SYS_mremap, Inline::of("mremap calls")),
];

/// How often each was made, whether or not it was refused; any thread adds.
static CALLS: [AtomicUsize; COUNTED.len()] = [const { AtomicUsize::new(0) }; COUNTED.len()];

/// Calls the kernel and counts it.
///
/// # Safety
/// - As for [`raw`].
unsafe fn counted(call: SystemCall, arguments: [usize; 6]) -> Result<usize, Errno> {
    // Relaxed: a figure.
    CALLS[call as usize].fetch_add(1, Ordering::Relaxed);
    // SAFETY: the arguments are what the call accepts, and what it does to memory is sound: this function asks for
    // that.
    unsafe { raw(COUNTED[call as usize].0, arguments) }
}

/// The system calls for memory so far.
pub(crate) fn calls() -> [u64; COUNTED.len()] {
    // Relaxed: figures.
    CALLS.each_ref().map(|count| count.load(Ordering::Relaxed) as u64)
}

/// How many system calls are counted.
pub(crate) const COUNTED_CALLS: usize = COUNTED.len();

/// The address of the counts, a word each in the order of [`calls`], for a reader in another process.
pub(crate) fn calls_address() -> usize {
    CALLS.as_ptr().addr()
}

/// The names of the calls, in the order of [`calls`].
pub(crate) fn call_names() -> impl Iterator<Item = &'static str> {
    COUNTED.iter().map(|(_, name)| name.text())
}

/// The name of a call as [`call_names`] gives it, without the word behind it.
pub(crate) fn bare(name: &'static str) -> &'static str {
    name.split(' ').next().unwrap_or(name)
}

const WRITABLE: usize = (libc::PROT_READ | libc::PROT_WRITE) as usize;

/// Address space of `len` bytes anywhere; [`commit`] makes parts of it usable. No memory is behind it yet, and none is
/// counted.
pub(crate) fn reserve(len: usize) -> Result<usize, Errno> {
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE) as usize;
    // SAFETY: a new anonymous mapping touches nothing that exists.
    unsafe { counted(SystemCall::Map, [0, len, libc::PROT_NONE as usize, flags, usize::MAX, 0]) }
}

/// As [`reserve`], at `address`, where nothing may be mapped yet; an error if something is.
pub(crate) fn reserve_at(address: usize, len: usize) -> Result<usize, Errno> {
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: a new mapping that replaces nothing touches nothing that exists.
    let made =
        unsafe { counted(SystemCall::Map, [address, len, libc::PROT_NONE as usize, kind as usize, usize::MAX, 0]) }?;
    if made == address {
        return Ok(made);
    }
    // Kernels before 4.17 take the address for a wish.
    // SAFETY: just made, and not shared yet.
    let _ = unsafe { unmap(made, len) };
    Err(Errno(libc::EEXIST))
}

/// Memory of `len` bytes anywhere, counted as committed where the kernel counts.
pub(crate) fn map(len: usize) -> Result<usize, Errno> {
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    // SAFETY: a new anonymous mapping touches nothing that exists.
    unsafe { counted(SystemCall::Map, [0, len, WRITABLE, flags, usize::MAX, 0]) }
}

/// `count` values as `make` makes them from their numbers, in a mapping of their own that stays; `None` if the kernel
/// has no memory.
pub(crate) fn map_values<T: Sync>(count: usize, make: impl Fn(usize) -> T) -> Option<&'static [T]> {
    const { assert!(align_of::<T>() <= 4096, "a mapping is aligned to pages") };
    let values = core::ptr::with_exposed_provenance_mut::<T>(map(count.checked_mul(size_of::<T>())?).ok()?);
    for index in 0..count {
        // SAFETY: the mapping has room for `count` values, and nothing else has it.
        unsafe { values.wrapping_add(index).write(make(index)) };
    }
    // SAFETY: all of them were just written, and the mapping is never unmapped.
    Some(unsafe { core::slice::from_raw_parts(values, count) })
}

/// Makes reserved pages usable.
///
/// # Safety
/// - `[address, address + len)` is page-aligned and belongs to a reservation of ours.
pub(crate) unsafe fn commit(address: usize, len: usize) -> Result<(), Errno> {
    // SAFETY: the range is ours; wider access breaks nothing.
    unsafe { counted(SystemCall::Protect, [address, len, WRITABLE, 0, 0, 0]) }.map(drop)
}

/// Leaves reserved pages out of core dumps. The kernel leaves out what was never touched by itself, but debuggers write
/// all there is.
pub(crate) fn leave_out_of_dumps(address: usize, len: usize) -> Result<(), Errno> {
    // SAFETY: advice changes neither contents nor access, wherever it points.
    unsafe { counted(SystemCall::Advise, [address, len, libc::MADV_DONTDUMP as usize, 0, 0, 0]) }.map(drop)
}

/// Ends [`leave_out_of_dumps`].
pub(crate) fn keep_in_dumps(address: usize, len: usize) -> Result<(), Errno> {
    // SAFETY: advice changes neither contents nor access, wherever it points.
    unsafe { counted(SystemCall::Advise, [address, len, libc::MADV_DODUMP as usize, 0, 0, 0]) }.map(drop)
}

/// Makes reserved pages readable: they read as zero until parts of them are committed.
///
/// # Safety
/// - As for [`commit`].
pub(crate) unsafe fn make_readable(address: usize, len: usize) -> Result<(), Errno> {
    // SAFETY: the range is ours; wider access breaks nothing.
    unsafe { counted(SystemCall::Protect, [address, len, libc::PROT_READ as usize, 0, 0, 0]) }.map(drop)
}

/// Takes all access away; [`commit`] gives it back.
///
/// # Safety
/// - `[address, address + len)` is page-aligned and ours, and an access to it is to fault.
pub(crate) unsafe fn protect(address: usize, len: usize) -> Result<(), Errno> {
    // SAFETY: the range is ours, and is not to be used.
    unsafe { counted(SystemCall::Protect, [address, len, libc::PROT_NONE as usize, 0, 0, 0]) }.map(drop)
}

/// Gives the pages back; they read as zeroes when touched again. DONTNEED and not FREE, so that the drop shows in RSS.
///
/// # Safety
/// - `[address, address + len)` is page-aligned, ours, and nothing needs its contents.
pub(crate) unsafe fn purge(address: usize, len: usize) -> Result<(), Errno> {
    // SAFETY: the range is ours, and its contents are not needed.
    unsafe { counted(SystemCall::Advise, [address, len, libc::MADV_DONTNEED as usize, 0, 0, 0]) }.map(drop)
}

/// Makes the pages present and writable. Linux 5.14; EINVAL before.
pub(crate) fn populate(address: usize, len: usize) -> Result<(), Errno> {
    // SAFETY: neither contents nor access change, wherever the range is.
    unsafe { counted(SystemCall::Advise, [address, len, libc::MADV_POPULATE_WRITE as usize, 0, 0, 0]) }.map(drop)
}

/// Purges as [`purge`] does, and says whether the first byte reads as zero afterwards, as it must. Some emulators do
/// nothing.
///
/// # Safety
/// - As for [`purge`], and nothing else uses the range.
pub(crate) unsafe fn purge_and_see(address: usize, len: usize) -> Result<bool, Errno> {
    let first = core::ptr::with_exposed_provenance_mut::<u8>(address);
    // SAFETY: the range is ours and writable. Volatile, so that the read below is not guessed.
    unsafe { first.write_volatile(1) };
    // SAFETY: as above.
    unsafe { purge(address, len) }?;
    // SAFETY: as above.
    Ok(unsafe { first.read_volatile() } == 0)
}

/// Makes the pages present and keeps them so.
pub(crate) fn lock(address: usize, len: usize) -> Result<(), Errno> {
    // SAFETY: neither contents nor access change, wherever the range is.
    unsafe { raw(libc::SYS_mlock, [address, len, 0, 0, 0, 0]) }.map(drop)
}

/// Asks for huge pages when the range is touched next. They are the kernel's to give.
pub(crate) fn advise_huge(address: usize, len: usize) -> Result<(), Errno> {
    // SAFETY: advice changes neither contents nor access, wherever it points.
    unsafe { counted(SystemCall::Advise, [address, len, libc::MADV_HUGEPAGE as usize, 0, 0, 0]) }.map(drop)
}

/// Whether [`advise_huge`] has any effect: the kernel's setting is not `never`, and the process is not exempt.
pub(crate) fn has_huge_pages() -> bool {
    let mut text = [0; 64];
    let setting = file::read(c"/sys/kernel/mm/transparent_hugepage/enabled", &mut text);
    let allowed = setting.is_some_and(|text| !text.windows(NEVER.len()).any(|part| part == NEVER));
    // SAFETY: asks a question; the other arguments must be zero.
    let exempt = unsafe { raw(libc::SYS_prctl, [libc::PR_GET_THP_DISABLE as usize, 0, 0, 0, 0, 0]) };
    allowed && exempt == Ok(0)
}

const NEVER: &[u8] = b"[never]";

/// The outcome of an attempt to commit explicit huge pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum HugeCommit {
    /// The range is usable.
    Done,
    /// The kernel has too few; the range is as it was.
    Refused,
    /// The kernel took the range away and did not fill it.
    Lost,
}

/// Makes reserved pages usable as huge pages of `page` bytes, a power of two. They are mapped elsewhere first and then
/// moved: mapped over the reservation they would, if refused, leave a hole in it that any mmap may fill.
///
/// # Safety
/// - `[address, address + len)` is aligned to `page`, belongs to a reservation of ours, and nothing uses it.
pub(crate) unsafe fn commit_huge(address: usize, len: usize, page: usize) -> HugeCommit {
    let kind = (page.trailing_zeros() << libc::MAP_HUGE_SHIFT) as usize;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB) as usize | kind;
    // SAFETY: a new anonymous mapping touches nothing that exists.
    let Ok(made) = (unsafe { counted(SystemCall::Map, [0, len, WRITABLE, flags, usize::MAX, 0]) }) else {
        return HugeCommit::Refused;
    };
    let flags = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as usize;
    // SAFETY: the new mapping is ours, and so is the place where it goes, which is not in use.
    if unsafe { counted(SystemCall::Remap, [made, len, len, flags, address, 0]) }.is_ok() {
        return HugeCommit::Done;
    }
    // SAFETY: the new mapping was not handed out.
    let _ = unsafe { unmap(made, len) };
    HugeCommit::Lost
}

/// Words of a mask of NUMA nodes.
pub(crate) const NODE_WORDS: usize = 16;
/// The kernel counts one bit more than it reads.
const NODE_BITS: usize = NODE_WORDS * u64::BITS as usize + 1;

/// The nodes that the process may have memory on; `None` if the kernel does not know of nodes.
pub(crate) fn allowed_nodes() -> Option<[u64; NODE_WORDS]> {
    const MEMS_ALLOWED: usize = 4;
    let mut nodes = [0; NODE_WORDS];
    // SAFETY: the kernel writes no more than the mask has; it takes no address for this question.
    unsafe { raw(libc::SYS_get_mempolicy, [0, nodes.as_mut_ptr().addr(), NODE_BITS, 0, MEMS_ALLOWED, 0]) }.ok()?;
    Some(nodes)
}

/// Has the kernel place pages by policy `mode` on `nodes` when they are touched next.
pub(crate) fn place(address: usize, len: usize, mode: u32, nodes: &[u64; NODE_WORDS]) -> Result<(), Errno> {
    let mask = if nodes.iter().all(|&word| word == 0) { 0 } else { nodes.as_ptr().addr() };
    let bits = if mask == 0 { 0 } else { NODE_BITS };
    // SAFETY: the kernel only reads the mask; the policy changes no contents.
    unsafe { raw(libc::SYS_mbind, [address, len, mode as usize, mask, bits, 0]) }.map(drop)
}

/// Ends a mapping.
///
/// # Safety
/// - `[address, address + len)` is page-aligned, ours, and nothing uses it.
pub(crate) unsafe fn unmap(address: usize, len: usize) -> Result<(), Errno> {
    // SAFETY: the range is ours, and not in use.
    unsafe { counted(SystemCall::Unmap, [address, len, 0, 0, 0, 0]) }.map(drop)
}

/// Grows or shrinks a mapping, which may move; where it is then.
///
/// # Safety
/// - `[address, address + old)` is one mapping of ours, and only the caller holds pointers into it.
pub(crate) unsafe fn remap(address: usize, old: usize, new: usize) -> Result<usize, Errno> {
    let flags = libc::MREMAP_MAYMOVE as usize;
    // SAFETY: the range is one mapping of ours, and nothing else has pointers into it.
    unsafe { counted(SystemCall::Remap, [address, old, new, flags, 0, 0]) }
}

/// Moves the pages of private anonymous memory to a new mapping of as many bytes; where that is. The old range stays,
/// and reads as zero. Linux 5.7; EINVAL before.
///
/// # Safety
/// - `[address, address + len)` is page-aligned and ours, and only the caller holds pointers into it.
pub(crate) unsafe fn move_pages(address: usize, len: usize) -> Result<usize, Errno> {
    let flags = (libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP) as usize;
    // SAFETY: the range is ours, and nothing else has pointers into it.
    unsafe { counted(SystemCall::Remap, [address, len, len, flags, 0, 0]) }
}

/// Whether the page at `address` is locked into memory, or the kernel does not say (before Linux 5.4): the kernel
/// refuses advice that such a page is not needed soon.
pub(crate) fn is_locked(address: usize, page: usize) -> bool {
    // SAFETY: advice changes neither contents nor access, wherever it points.
    unsafe { counted(SystemCall::Advise, [address, page, libc::MADV_COLD as usize, 0, 0, 0]) }.is_err()
}

/// Maps memory that reads as zero where a part of a reservation of ours was.
///
/// # Safety
/// - `[address, address + len)` is page-aligned, belongs to a reservation of ours, and nothing needs what is there.
pub(crate) unsafe fn map_again(address: usize, len: usize) -> Result<(), Errno> {
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
    // SAFETY: what the mapping replaces is ours and not needed.
    unsafe { counted(SystemCall::Map, [address, len, WRITABLE, kind as usize, usize::MAX, 0]) }.map(drop)
}

/// Fills memory with zeroes.
///
/// # Safety
/// - `[address, address + len)` is writable and nothing else uses it.
pub(crate) unsafe fn zero(address: *mut u8, len: usize) {
    // SAFETY: the range is writable, and the caller's alone.
    unsafe { address.write_bytes(0, len) };
}

/// Fills memory with `value`.
///
/// # Safety
/// - As for [`zero`].
pub(crate) unsafe fn fill(address: *mut u8, len: usize, value: u8) {
    // SAFETY: the range is writable, and the caller's alone.
    unsafe { address.write_bytes(value, len) };
}

/// Copies `len` bytes between blocks that do not overlap.
///
/// # Safety
/// - `from` is readable and `to` writable for `len` bytes, and they do not overlap.
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the ranges are readable and writable, and do not overlap.
    unsafe { from.copy_to_nonoverlapping(to, len) };
}
