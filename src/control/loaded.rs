#![expect(unsafe_code, reason = "registers a function that runs at exit")]
//! The functions that the loader calls: one when it loads the object, one when the process ends, which writes the
//! reports that options ask for.

use super::{requests, start};
use crate::config::Options;
use crate::process::barrier::Phase;
use crate::process::state::PROCESS;
use crate::process::{fork, thread};
use crate::profile::sampling;
use crate::slow_path::table::{self, IN_FORCE, ModeTable};
use crate::stats::{lanes, leaks, report};
use crate::sys::libc;

/// Read by the loader.
#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;

/// Has the linker keep this file of a static library, by a use of [`AT_EXIT`].
pub(crate) fn keep() {
    core::hint::black_box(&AT_EXIT);
}

extern "C" fn at_exit() {
    // In a process that never called malloc nothing has read the options yet, and they may ask for a report.
    if start::has_options() {
        start::ensure();
    }
    // A process that has not started has not touched the page of its state, but for that word.
    let mode = IN_FORCE.get();
    if mode.is_some_and(table::is_undecided) || matches!(PROCESS.barrier.phase(), Phase::Yours | Phase::Starting) {
        return;
    }
    let options = PROCESS.options();
    let asked = options.diag > 0 || options.stats || options.stats_file.is_some() || options.leaks;
    if asked || mode.is_some() || options.heap_profile.is_some() {
        at_exit_slow(options, mode);
    }
}

/// Writes the reports that `options` or the mode want at exit.
#[cold]
#[inline(never)]
fn at_exit_slow(options: &Options, mode: Option<&'static ModeTable>) {
    let mut print = |bytes: &[u8]| PROCESS.reports.write(bytes);
    if options.diag > 0 {
        lanes::report(options.profile.row().name, &PROCESS.tally, &mut print);
        if options.diag > 1 {
            lanes::report_classes(&PROCESS.tally, &mut print);
        }
    }
    if (options.stats || options.stats_file.is_some()) && PROCESS.is_ready() {
        report::write();
    }
    if let Some(mode) = mode {
        (mode.report)(&mut print);
    }
    if PROCESS.is_ready() {
        sampling::end(options);
    }
    if options.leaks && PROCESS.is_ready() {
        // So that only what the program holds is left. After that the process can only end.
        libc::free_everything();
        requests::collect(true);
        leaks::end();
    }
}

mod constructor {
    ctor::declarative::ctor! {
        #[ctor(unsafe)]
        fn on_load() {
            super::on_load();
        }
    }
}

/// Runs when the object is loaded, before the constructors of other objects, so that the fork handlers come before
/// theirs, and a key for thread exit is left. A program that never calls malloc pays for nothing else: where calls that
/// register handlers come by the allocator, its own wait for the first of them.
fn on_load() {
    if !libc::sees_fork_handlers() {
        fork::hook();
    }
    let _ = thread::exit_key();
    keep();
}
