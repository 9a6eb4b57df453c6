//! Statistics on demand: at exit, on a signal, after some time, by call. Where they go, and who writes them.
//!
//! There is no thread for it. A signal's handler writes at once where its thread is not at work inside the allocator, and else leaves
//! word for the next slow call of any thread. Time is looked at by slow calls alone. A report takes no memory; one that cannot be
//! written costs a line, once.

use core::ffi::{CStr, c_int, c_void};

use super::process::PROCESS;
use super::{crash, introspect, thread};
use crate::config::{Options, Path};
use crate::diag::{self, Code};
use crate::observe::Format;
use crate::sys::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sys::file::{self, Output};
use crate::sys::{call, signal, tool};

/// What is wanted, and what was done. Any thread reads and writes.
pub(super) struct Reporter {
    /// Whether there is anything to look for at slow calls.
    armed: AtomicBool,
    /// Whether a signal has asked.
    wanted: AtomicBool,
    /// When the next periodic report is due, in milliseconds; 0 for never.
    due: AtomicU64,
    /// Whether one is being written.
    writing: AtomicBool,
    /// How many were written.
    count: AtomicU32,
}

const MILLISECONDS: u64 = 1000;
/// A path with its places filled in, an ending, and the null.
const PATH_BYTES: usize = 320;
const PART: &[u8] = b".part";

impl Reporter {
    pub(super) const fn new() -> Self {
        Self {
            armed: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            due: AtomicU64::new(0),
            writing: AtomicBool::new(false),
            count: AtomicU32::new(0),
        }
    }

    /// Does what the options ask for. Part of the start.
    pub(super) fn arm(&self, options: &Options) {
        if options.diag > 0 {
            name_tools();
        }
        if options.crash_report {
            crash::listen();
        }
        if let Some(number) = options.stats_signal {
            listen(number);
        }
        if options.stats_every > 0 {
            // Relaxed: published by the start barrier.
            self.due.store(call::milliseconds() + options.stats_every as u64 * MILLISECONDS, Ordering::Relaxed);
        }
        // Relaxed: as above.
        self.armed.store(options.stats_every > 0 || options.stats_signal.is_some(), Ordering::Relaxed);
    }

    /// Writes what was asked for or is due. For slow calls, with the heap free.
    #[inline]
    pub(super) fn poll(&self) {
        // Relaxed: a late answer only writes later.
        if self.armed.load(Ordering::Relaxed) {
            self.poll_slow();
        }
    }

    #[cold]
    fn poll_slow(&self) {
        // Relaxed throughout: whoever comes first writes.
        let asked = self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::Relaxed);
        if asked || self.is_due() {
            self.write();
        }
    }

    fn is_due(&self) -> bool {
        // Relaxed: see `poll_slow`.
        let due = self.due.load(Ordering::Relaxed);
        let now = if due == 0 { 0 } else { call::milliseconds() };
        let next = now + PROCESS.options().stats_every as u64 * MILLISECONDS;
        due != 0 && now >= due && self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// For the child of a fork: whoever was writing is not there.
    pub(super) fn forget_writer(&self) {
        // Relaxed: the child has one thread.
        self.writing.store(false, Ordering::Relaxed);
    }

    /// Writes a report to where they go.
    pub(super) fn write(&self) {
        // Acquire and Release: one report after the other.
        if self.writing.swap(true, Ordering::Acquire) {
            return;
        }
        // Relaxed: a number.
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        match PROCESS.options().stats_file {
            None => Format::Text.write(&introspect::snapshot(), &mut |bytes| PROCESS.reports.write(bytes)),
            Some(path) => {
                if !write_file(&path, number) {
                    diag::once(Code::ReportOutput, "SPANDREL_STATS_FILE cannot be written; the process goes on without");
                }
            }
        }
        self.writing.store(false, Ordering::Release);
    }
}

/// Writes statistics in `format` to `descriptor`; false if they are not taken.
pub(crate) fn write_stats(descriptor: c_int, format: Format) -> bool {
    let mut written = true;
    format.write(&introspect::snapshot(), &mut |bytes| written = written && call::write_all(descriptor, bytes));
    written
}

/// Says which other tools watch this process's memory, and in vain.
fn name_tools() {
    if tool::is_valgrind() {
        let what = "valgrind runs this process and sees no block of Spandrel's; run it without, or with --soname-synonyms=somalloc=*spandrel*";
        diag::once(Code::OtherTool, what);
    }
    if tool::has_address_sanitizer() {
        diag::once(
            Code::OtherTool,
            "AddressSanitizer is linked in and sees no block of Spandrel's; run the program without Spandrel",
        );
    }
}

/// Has the signal `number` ask for reports, unless the program has its own use for it.
fn listen(number: c_int) {
    if !signal::handle_if_free(number, on_signal, libc::SA_RESTART) {
        diag::once(Code::ReportOutput, "SPANDREL_STATS_SIGNAL: the program has its own use for that signal; it stays so");
    }
}

extern "C" fn on_signal(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    if thread::is_at_rest() {
        PROCESS.reporter.write();
    } else {
        // Relaxed: see `poll_slow`.
        PROCESS.reporter.wanted.store(true, Ordering::Relaxed);
    }
}

/// Writes a report into the file that `path` names: beside it first, so that readers always see a whole one; into devices and pipes
/// directly.
fn write_file(path: &Path, number: u32) -> bool {
    let (mut whole, mut part) = ([0; PATH_BYTES], [0; PATH_BYTES]);
    let Some(whole) = fill_in(path, number, &[], &mut whole) else { return false };
    let Some(part) = fill_in(path, number, PART, &mut part) else { return false };
    let direct = file::is_special(whole);
    let Some(mut output) = Output::create(if direct { whole } else { part }) else { return false };
    Format::of_name(whole.to_bytes()).write(&introspect::snapshot(), &mut |bytes| output.write(bytes));
    let written = output.finish();
    if direct {
        return written;
    }
    let kept = written && file::rename(part, whole);
    if !kept {
        file::remove(part);
    }
    kept
}

/// The path with its places filled in and `ending` behind it, as a C string in `buffer`; `None` if there is no room.
fn fill_in<'a>(path: &Path, number: u32, ending: &[u8], buffer: &'a mut [u8]) -> Option<&'a CStr> {
    let mut len = 0;
    let mut fits = true;
    let mut push = |byte| match buffer.get_mut(len) {
        Some(slot) => {
            *slot = byte;
            len += 1;
        }
        None => fits = false,
    };
    let mut signs = path.bytes().iter();
    while let Some(&sign) = signs.next() {
        match sign {
            b'%' => match signs.next() {
                Some(b'p') => crate::base::text::each_digit(u64::from(call::process_id()), 10, &mut push),
                Some(b'n') => crate::base::text::each_digit(u64::from(number), 10, &mut push),
                _ => push(b'%'),
            },
            _ => push(sign),
        }
    }
    ending.iter().chain(&[0]).for_each(|&byte| push(byte));
    let bytes = buffer.get(..len).filter(|_| fits)?;
    CStr::from_bytes_with_nul(bytes).ok()
}
