#![expect(unsafe_code, reason = "registers a function that runs at exit")]
//! The end of the process: the reports that were asked for.

use super::barrier::Phase;
use super::process::PROCESS;
use super::{fixture, profiling, start, thread};
use crate::observe;

#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;

/// Makes sure that a static library keeps this file.
pub(super) fn keep() {
    core::hint::black_box(&AT_EXIT);
}

extern "C" fn at_exit() {
    // A process that never called malloc has its options read now, if it has any.
    if PROCESS.barrier.phase() == Phase::Yours && start::has_options() {
        drop(thread::standing());
    }
    if matches!(PROCESS.barrier.phase(), Phase::Yours | Phase::Starting) {
        return;
    }
    let options = PROCESS.options();
    let mut print = |bytes: &[u8]| PROCESS.reports.write(bytes);
    if options.diag > 0 {
        observe::lanes::report(options.profile.name, &PROCESS.tally, &mut print);
        if options.diag > 1 {
            observe::lanes::report_classes(&PROCESS.tally, &mut print);
        }
    }
    if (options.stats || options.stats_file.is_some()) && PROCESS.is_ready() {
        PROCESS.reporter.write();
    }
    if let Some(mode) = PROCESS.mode.get() {
        (mode.report)(&mut print);
    }
    if PROCESS.is_ready() {
        profiling::end(options);
    }
    if options.leaks && PROCESS.is_ready() {
        fixture::end_with_leaks();
    }
}
