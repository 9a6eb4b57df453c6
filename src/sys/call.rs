#![expect(unsafe_code, reason = "passes addresses to the kernel")]
//! System calls whose arguments make them safe. They bypass the C library because its wrappers can be interposed and
//! may themselves allocate, and they leave `errno` alone.
//!
//! Must not know what the calls are for beyond their contract; `memory` has those for memory.

use core::ffi::CStr;

use super::processor;
pub(crate) use super::processor::{Errno, raw, trap};

/// Writes all of `bytes` to `descriptor`, as far as the kernel takes them.
pub(crate) fn write(descriptor: i32, bytes: &[u8]) {
    let _ = write_all(descriptor, bytes);
}

/// Writes all of `bytes` to `descriptor`; false if the kernel does not take them.
#[must_use]
pub(crate) fn write_all(descriptor: i32, bytes: &[u8]) -> bool {
    try_write_all(descriptor as usize, bytes).is_ok()
}

/// As [`write_all`]; the error where the kernel does not take them.
pub(crate) fn try_write_all(descriptor: usize, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        // SAFETY: `bytes` is readable for its length.
        match unsafe { raw(libc::SYS_write, [descriptor, bytes.as_ptr().addr(), bytes.len(), 0, 0, 0]) } {
            Ok(0) => return Err(Errno(libc::ENOSPC)),
            Ok(count) => bytes = bytes.get(count..).unwrap_or(&[]),
            Err(Errno(libc::EINTR)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Opens the file at `path`; `mode` is that of a file that this makes.
pub(crate) fn open(path: &CStr, flags: i32, mode: usize) -> Result<usize, Errno> {
    // SAFETY: the path is a C string.
    unsafe { raw(libc::SYS_openat, [libc::AT_FDCWD as usize, path.as_ptr().addr(), flags as usize, mode, 0, 0]) }
}

/// Reads into `buffer`; how much.
pub(crate) fn read(descriptor: usize, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the buffer is writable for its length.
    unsafe { raw(libc::SYS_read, [descriptor, buffer.as_mut_ptr().addr(), buffer.len(), 0, 0, 0]) }
}

/// Closes a descriptor of the caller's.
pub(crate) fn close(descriptor: usize) -> Result<usize, Errno> {
    // SAFETY: touches no memory.
    unsafe { raw(libc::SYS_close, [descriptor, 0, 0, 0, 0, 0]) }
}

/// Another descriptor of the same file, the lowest free one from `lowest` on, for this program alone.
pub(crate) fn duplicate(descriptor: usize, lowest: usize) -> Result<usize, Errno> {
    // SAFETY: touches no memory.
    unsafe { raw(libc::SYS_fcntl, [descriptor, libc::F_DUPFD_CLOEXEC as usize, lowest, 0, 0, 0]) }
}

/// Gives the file `from` the name `to`, where it replaces another one.
pub(crate) fn rename(from: &CStr, to: &CStr) -> Result<usize, Errno> {
    // SAFETY: both paths are C strings.
    unsafe { raw(libc::SYS_rename, [from.as_ptr().addr(), to.as_ptr().addr(), 0, 0, 0, 0]) }
}

/// Removes the name `path` of a file.
pub(crate) fn unlink(path: &CStr) -> Result<usize, Errno> {
    // SAFETY: the path is a C string.
    unsafe { raw(libc::SYS_unlink, [path.as_ptr().addr(), 0, 0, 0, 0, 0]) }
}

/// The status of an open file.
pub(crate) fn status(descriptor: usize) -> Result<libc::stat, Errno> {
    status_by(libc::SYS_fstat, descriptor)
}

/// The status of the file at `path`; of a link, that of the link itself.
pub(crate) fn status_of_name(path: &CStr) -> Result<libc::stat, Errno> {
    status_by(libc::SYS_lstat, path.as_ptr().addr())
}

fn status_by(call: libc::c_long, file: usize) -> Result<libc::stat, Errno> {
    // SAFETY: all-zero bytes are a valid value of this C structure.
    let mut status = unsafe { core::mem::zeroed::<libc::stat>() };
    // SAFETY: callers pass a descriptor, or a C string, as the call takes it; the kernel fills the structure.
    unsafe { raw(call, [file, (&raw mut status).addr(), 0, 0, 0, 0]) }?;
    Ok(status)
}

/// Nanoseconds in a second.
const NANOSECONDS: u64 = 1_000_000_000;

/// Nanoseconds of a clock that never goes back; exact.
pub(crate) fn nanoseconds() -> u64 {
    nanoseconds_of(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds of `clock`; 0 if the kernel does not know it.
fn nanoseconds_of(clock: libc::clockid_t) -> u64 {
    let mut time = [0_u64; 2];
    // SAFETY: `time` has the size of a timespec.
    let done = unsafe { raw(libc::SYS_clock_gettime, [clock as usize, time.as_mut_ptr().addr(), 0, 0, 0, 0]) };
    let [seconds, nanoseconds] = time;
    if done.is_err() { 0 } else { seconds * NANOSECONDS + nanoseconds }
}

/// Nanoseconds for which the calling thread had a processor.
pub(crate) fn nanoseconds_of_thread() -> u64 {
    nanoseconds_of(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Milliseconds of a clock that never goes back; coarse (some 4 ms) and cheap.
pub(crate) fn milliseconds() -> u64 {
    let mut time = [0_u64; 2];
    let clock = libc::CLOCK_MONOTONIC_COARSE as usize;
    // SAFETY: `time` has the size of a timespec.
    let done = unsafe { raw(libc::SYS_clock_gettime, [clock, time.as_mut_ptr().addr(), 0, 0, 0, 0]) };
    if done.is_err() {
        return 0;
    }
    let [seconds, nanoseconds] = time;
    seconds * 1000 + nanoseconds / 1_000_000
}

/// The soft limit of `resource`; `None` for no limit, or where the kernel will not say.
pub(crate) fn limit(resource: u32) -> Option<u64> {
    let mut limits = [u64::MAX; 2];
    // SAFETY: `limits` has the size of the kernel's rlimit64.
    let done = unsafe { raw(libc::SYS_prlimit64, [0, resource as usize, 0, limits.as_mut_ptr().addr(), 0, 0]) };
    let [soft, _] = limits;
    (done.is_ok() && soft != u64::MAX).then_some(soft)
}

/// The soft limit of the main thread's stack, in bytes; `None` for no limit.
pub(crate) fn stack_limit() -> Option<u64> {
    limit(libc::RLIMIT_STACK)
}

/// The kernel's number of the calling thread.
pub(crate) fn thread_id() -> u32 {
    // SAFETY: asks a question.
    unsafe { raw(libc::SYS_gettid, [0; 6]) }.map_or(0, |id| id as u32)
}

/// A random number of the kernel's; where it has none ready, one that is hard to guess.
pub(crate) fn random() -> u64 {
    let mut number = 0_u64;
    let flags = libc::GRND_NONBLOCK as usize;
    // SAFETY: the kernel fills the number.
    let done = unsafe { raw(libc::SYS_getrandom, [(&raw mut number).addr(), size_of::<u64>(), flags, 0, 0, 0]) };
    if done == Ok(size_of::<u64>()) {
        number
    } else {
        processor::ticks().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (&raw const number).addr() as u64
    }
}

/// The kernel's number of the process.
pub(crate) fn process_id() -> u32 {
    // SAFETY: asks a question.
    unsafe { raw(libc::SYS_getpid, [0; 6]) }.map_or(0, |id| id as u32)
}

/// Nanoseconds since 1970.
pub(crate) fn nanoseconds_of_day() -> u64 {
    nanoseconds_of(libc::CLOCK_REALTIME)
}

/// The signals by which the C library reaches threads for itself: without an answer `setuid` waits for ever.
pub(crate) const SIGNALS_OF_LIBC: u64 = 1 << (32 - 1) | 1 << (33 - 1);

/// Blocks all signals but the C library's own for the calling thread; returns the set blocked before.
pub(crate) fn block_signals() -> u64 {
    let (all, mut before) = (!SIGNALS_OF_LIBC, 0_u64);
    let (new, old) = ((&raw const all).addr(), (&raw mut before).addr());
    // SAFETY: the kernel reads and writes eight bytes each.
    let _ = unsafe { raw(libc::SYS_rt_sigprocmask, [libc::SIG_BLOCK as usize, new, old, size_of::<u64>(), 0, 0]) };
    before
}

/// Sets the signals that the calling thread blocks; returns the set blocked before.
pub(crate) fn set_blocked_signals(blocked: u64) -> u64 {
    let mut before = 0_u64;
    let (new, old) = ((&raw const blocked).addr(), (&raw mut before).addr());
    // SAFETY: the kernel reads and writes eight bytes each.
    let _ = unsafe { raw(libc::SYS_rt_sigprocmask, [libc::SIG_SETMASK as usize, new, old, size_of::<u64>(), 0, 0]) };
    before
}

/// Sleeps for so many milliseconds, or less.
pub(crate) fn sleep(milliseconds: u32) {
    let time = [u64::from(milliseconds / 1000), u64::from(milliseconds % 1000) * 1_000_000];
    // SAFETY: `time` has the size of a timespec; the rest is not asked for.
    let _ = unsafe { raw(libc::SYS_nanosleep, [time.as_ptr().addr(), 0, 0, 0, 0, 0]) };
}

/// The kernel's room for the name of a thread, its final zero included.
const THREAD_NAME_BYTES: usize = 16;

/// Names the calling thread, for debuggers and `ps`.
pub(crate) fn name_thread(name: &CStr) {
    // SAFETY: the kernel copies the name.
    let _ = unsafe { raw(libc::SYS_prctl, [libc::PR_SET_NAME as usize, name.as_ptr().addr(), 0, 0, 0, 0]) };
}

/// The name of the calling thread, with a zero behind it; `None` if the kernel will not say.
pub(crate) fn thread_name() -> Option<[u8; THREAD_NAME_BYTES]> {
    let mut name = [0; THREAD_NAME_BYTES];
    // SAFETY: the kernel writes these bytes.
    unsafe { raw(libc::SYS_prctl, [libc::PR_GET_NAME as usize, name.as_mut_ptr().addr(), 0, 0, 0, 0]) }.ok()?;
    Some(name)
}

/// How many processors the calling thread may run on; 1 if the kernel will not say.
pub(crate) fn processors() -> usize {
    let mut mask = [0_u64; 64];
    // SAFETY: the kernel writes no more than the mask has.
    let done = unsafe { raw(libc::SYS_sched_getaffinity, [0, size_of_val(&mask), mask.as_mut_ptr().addr(), 0, 0, 0]) };
    if done.is_err() {
        return 1;
    }
    mask.iter().map(|word| word.count_ones() as usize).sum::<usize>().max(1)
}

/// The NUMA node of the processor on which the calling thread runs; `None` if the kernel will not say.
pub(crate) fn node() -> Option<usize> {
    let (mut processor, mut node) = (0_u32, 0_u32);
    let places = [(&raw mut processor).addr(), (&raw mut node).addr()];
    // SAFETY: the kernel writes both words and reads nothing.
    unsafe { raw(libc::SYS_getcpu, [places[0], places[1], 0, 0, 0, 0]) }.ok()?;
    Some(node as usize)
}

/// Waits until `*word` is no longer `expected`, or a wake, or for no reason.
pub(crate) fn futex_wait(word: *const u32, expected: u32) {
    let operation = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize;
    // SAFETY: the kernel reads `word`, or answers EFAULT.
    let _ = unsafe { raw(libc::SYS_futex, [word.addr(), operation, expected as usize, 0, 0, 0]) };
}

/// As [`futex_wait`], for so many nanoseconds at most.
pub(crate) fn futex_wait_for(word: *const u32, expected: u32, nanoseconds: u64) {
    let operation = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize;
    let time = [nanoseconds / NANOSECONDS, nanoseconds % NANOSECONDS];
    // SAFETY: the kernel reads `word`, or answers EFAULT; `time` has the size of a timespec.
    let _ = unsafe { raw(libc::SYS_futex, [word.addr(), operation, expected as usize, time.as_ptr().addr(), 0, 0]) };
}

/// Wakes one thread that waits on `word`.
pub(crate) fn futex_wake(word: *const u32) {
    let operation = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as usize;
    // SAFETY: the kernel uses `word` as a key only.
    let _ = unsafe { raw(libc::SYS_futex, [word.addr(), operation, 1, 0, 0, 0]) };
}

/// Whether eight bytes at `address` can be read. Asks the kernel through a call that every sandbox allows and that must
/// fail: EFAULT comes before EINVAL (the idea is abseil's `AddressIsReadable`).
pub(crate) fn is_readable(address: usize) -> bool {
    let nonsense = usize::MAX;
    // SAFETY: an unknown `how` changes nothing; the kernel only copies eight bytes from `address`.
    let answer = unsafe { raw(libc::SYS_rt_sigprocmask, [nonsense, address & !7, 0, 8, 0, 0]) };
    answer != Err(Errno(libc::EFAULT))
}

/// Ends the process with `status`, without running anything more.
pub(crate) fn exit(status: i32) {
    // SAFETY: nothing of the process is used afterwards.
    let _ = unsafe { raw(libc::SYS_exit_group, [status as usize, 0, 0, 0, 0, 0]) };
}

/// Ends the process with SIGABRT, without running anything of the program's own but its handler of that signal.
pub(crate) fn abort() -> ! {
    // SAFETY: the C library's abort takes no argument and never returns.
    unsafe { libc::abort() }
}
