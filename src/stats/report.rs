//! Statistics on demand: at exit, on a signal, after some time, by call. Where they go, and who writes them.
//!
//! There is no thread for it. A signal's handler writes at once where its thread is not at work inside the allocator, and else leaves
//! word for the next slow call of any thread. Time is looked at by slow calls alone. A report takes no memory; one that cannot be
//! written costs a line, once.

use core::ffi::{c_int, c_void};

use crate::config::{Options, Path};
use crate::control::introspect;
use crate::diag::{self, Code};
use crate::process::state::PROCESS;
use crate::process::thread;
use crate::stats::Format;
use crate::stats::crash;
use crate::sys::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sys::output::{self, Output};
use crate::sys::{call, signal, tool};

/// What is wanted, and what was done. Any thread reads and writes.
pub(crate) struct Reporter {
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

impl Reporter {
    pub(crate) const fn new() -> Self {
        Self {
            armed: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            due: AtomicU64::new(0),
            writing: AtomicBool::new(false),
            count: AtomicU32::new(0),
        }
    }

    /// Does what the options ask for. Part of the start.
    pub(crate) fn arm(&self, options: &Options) {
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
    pub(crate) fn poll(&self) {
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
    pub(crate) fn forget_writer(&self) {
        // Relaxed: the child has one thread.
        self.writing.store(false, Ordering::Relaxed);
    }

    /// Writes a report to where they go.
    pub(crate) fn write(&self) {
        // Acquire and Release: one report after the other.
        if self.writing.swap(true, Ordering::Acquire) {
            return;
        }
        // Relaxed: a number.
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        match PROCESS.options().stats_file {
            None => {
                let print = &mut |bytes: &[u8]| PROCESS.reports.write(bytes);
                let _ = introspect::with_snapshot(|figures| Format::Text.write(figures, print));
            }
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
    let mut print = |bytes: &[u8]| written = written && call::write_all(descriptor, bytes);
    introspect::with_snapshot(|figures| format.write(figures, &mut print)).is_some() && written
}

/// Says which other tools watch this process's memory, and in vain.
fn name_tools() {
    if tool::is_valgrind() {
        let what = "valgrind runs this process; its memory checkers serve malloc and free themselves, so they find everything and Spandrel \
                    serves nothing; --soname-synonyms=somalloc=nouserintercepts leaves the calls to Spandrel, whose blocks no checker sees";
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

/// Writes the report of this number into the file that `path` names; false if that cannot be.
fn write_file(path: &Path, number: u32) -> bool {
    let mut name = output::Path::new();
    let Some(name) = name.fill_in(path.bytes(), u64::from(number)).finish() else { return false };
    let Ok(mut output) = Output::begin(name) else { return false };
    let format = Format::of_name(name.to_bytes());
    if introspect::with_snapshot(|figures| format.write(figures, &mut |bytes| output.write(bytes))).is_none() {
        output.fail(::libc::ENOMEM);
    }
    output.finish().is_ok()
}
