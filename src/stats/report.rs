//! Statistics on demand: at exit, on a signal, after some time, by call.
//!
//! There is no thread for it. The handler of a signal writes at once if its thread is not inside the allocator; else
//! the next slow call of any thread writes. Only slow calls read the clock. A report takes no memory from the heap.
//! If a report cannot be written, a diagnostic says so, once.

use core::ffi::{c_int, c_void};

use super::{Format, crash, with_snapshot};
use crate::config::{Options, Path};
use crate::diag::{self, Code};
use crate::process::feature::Feature;
use crate::process::state::PROCESS;
use crate::process::thread;
use crate::sys::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sys::output::{self, Output};
use crate::sys::{call, signal, tool};

/// Whether a signal has asked for a report. Any thread reads and writes it, and the words below.
static WANTED: AtomicBool = AtomicBool::new(false);
/// When the next periodic report is due, in milliseconds; 0 for never.
static DUE: AtomicU64 = AtomicU64::new(0);
/// Whether a report is being written.
static WRITING: AtomicBool = AtomicBool::new(false);
/// How many reports were written.
static COUNT: AtomicU32 = AtomicU32::new(0);

static REPORT: Feature = Feature { attend: Some(attend), in_child: Some(forget_writer), ..Feature::NONE };

const MILLISECONDS: u64 = 1000;

/// Registers the reports that the options ask for. Part of the start.
pub(crate) fn register(options: &Options) {
    if options.diag > 0 {
        name_tools();
    }
    if options.crash_report {
        crash::register();
    }
    PROCESS.features.register(&REPORT);
    if let Some(number) = options.stats_signal {
        listen(number);
    }
    if options.stats_every > 0 {
        // Relaxed: published by the start barrier.
        DUE.store(call::milliseconds() + options.stats_every as u64 * MILLISECONDS, Ordering::Relaxed);
        REPORT.want_attention();
    }
}

/// Writes a report if one was asked for or is due.
fn attend() {
    if PROCESS.options().stats_every > 0 {
        // No event marks the time, so each slow call reads the clock.
        REPORT.want_attention();
    }
    // Relaxed: the first thread that comes writes.
    let asked = WANTED.load(Ordering::Relaxed) && WANTED.swap(false, Ordering::Relaxed);
    if asked || is_due() {
        write();
    }
}

fn is_due() -> bool {
    // Relaxed: as in `attend`.
    let due = DUE.load(Ordering::Relaxed);
    let now = if due == 0 { 0 } else { call::milliseconds() };
    let next = now + PROCESS.options().stats_every as u64 * MILLISECONDS;
    due != 0 && now >= due && DUE.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// In the child of a fork no other thread is writing.
fn forget_writer(inside: bool) {
    if !inside {
        // Relaxed: the child has one thread.
        WRITING.store(false, Ordering::Relaxed);
    }
}

/// Writes a report, to the file of the options or with the diagnostics.
pub(crate) fn write() {
    // Acquire pairs with the Release below: one report ends before the next begins.
    if WRITING.swap(true, Ordering::Acquire) {
        return;
    }
    // Relaxed: a number.
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    match PROCESS.options().stats_file {
        None => {
            let print = &mut |bytes: &[u8]| PROCESS.reports.write(bytes);
            let _ = with_snapshot(|figures| Format::Text.write(figures, print));
        }
        Some(path) => {
            if !write_file(&path, number) {
                diag::once(Code::ReportOutput, "SPANDREL_STATS_FILE cannot be written; the report is left out");
            }
        }
    }
    // Release pairs with the Acquire above.
    WRITING.store(false, Ordering::Release);
}

/// Writes statistics in `format` to `descriptor`; false if it does not take all of them.
pub(crate) fn write_stats(descriptor: c_int, format: Format) -> bool {
    let mut written = true;
    let mut print = |bytes: &[u8]| written = written && call::write_all(descriptor, bytes);
    with_snapshot(|figures| format.write(figures, &mut print)).is_some() && written
}

/// Names the other tools that watch this process's memory and see nothing of it, or let Spandrel see nothing.
#[cold]
#[inline(never)]
fn name_tools() {
    if tool::is_valgrind() {
        let what = "valgrind runs this process; its memory checkers serve malloc and free themselves, so they see every block, and Spandrel \
                    serves no call; with --soname-synonyms=somalloc=nouserintercepts Spandrel serves, and no checker sees its blocks";
        diag::once(Code::OtherTool, what);
    }
    if tool::has_address_sanitizer() {
        let what = "AddressSanitizer is linked in and sees no block of Spandrel's; run the program without Spandrel";
        diag::once(Code::OtherTool, what);
    }
}

/// Has the signal `number` ask for reports, unless the program has its own use for it.
#[cold]
#[inline(never)]
fn listen(number: c_int) {
    if !signal::handle_if_free(number, on_signal, libc::SA_RESTART) {
        let what = "SPANDREL_STATS_SIGNAL: the program has its own use for that signal; it stays so";
        diag::once(Code::ReportOutput, what);
    }
}

extern "C" fn on_signal(_: c_int, _: &mut signal::Info, _: *mut c_void) {
    if thread::is_at_rest() {
        write();
    } else {
        // Relaxed: as in `attend`.
        WANTED.store(true, Ordering::Relaxed);
        REPORT.want_attention();
    }
}

/// Writes the report of this number into the file that `path` names; false where that fails.
fn write_file(path: &Path, number: u32) -> bool {
    let mut name = output::Path::new();
    let Some(name) = name.fill_in(path.bytes(), u64::from(number)).finish() else { return false };
    let Ok(mut output) = Output::begin(name) else { return false };
    let format = Format::of_name(name.to_bytes());
    if with_snapshot(|figures| format.write(figures, &mut |bytes| output.write(bytes))).is_none() {
        output.fail(::libc::ENOMEM);
    }
    output.finish().is_ok()
}
