#![expect(unsafe_code, reason = "registers a function that runs at exit")]
//! What the loader calls: when the object is loaded, and when the process ends, with the reports that were asked for.

use super::{requests, start};
use crate::process::barrier::Phase;
use crate::process::state::PROCESS;
use crate::process::{fork, thread};
use crate::profile::sampling;
use crate::slow_path::table;
use crate::stats::{lanes, leaks, report};

#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;

/// Makes sure that a static library keeps this file.
pub(crate) fn keep() {
    core::hint::black_box(&AT_EXIT);
}

extern "C" fn at_exit() {
    // A process that never called malloc has its options read now, if it has any.
    if start::has_options() {
        start::ensure();
    }
    if matches!(PROCESS.barrier.phase(), Phase::Yours | Phase::Starting) {
        return;
    }
    let options = PROCESS.options();
    let mut print = |bytes: &[u8]| PROCESS.reports.write(bytes);
    if options.diag > 0 {
        lanes::report(options.profile.name, &PROCESS.tally, &mut print);
        if options.diag > 1 {
            lanes::report_classes(&PROCESS.tally, &mut print);
        }
    }
    if (options.stats || options.stats_file.is_some()) && PROCESS.is_ready() {
        report::write();
    }
    if let Some(mode) = table::in_force() {
        (mode.report)(&mut print);
    }
    if PROCESS.is_ready() {
        sampling::end(options);
    }
    if options.leaks && PROCESS.is_ready() {
        leaks::free_what_libc_keeps();
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

/// Runs when the object is loaded, before other constructors, so that nobody's fork handlers come before ours, and nobody takes the last
/// key. A program that never
/// calls malloc pays for nothing more than this.
fn on_load() {
    fork::hook(&PROCESS);
    let _ = thread::exit_key(&PROCESS);
    keep();
}
