#![expect(unsafe_code, reason = "registers a function that runs at exit")]
//! The end of the process: the reports that were asked for.

use crate::control::start;
use crate::process::barrier::Phase;
use crate::process::state::PROCESS;
use crate::process::thread;
use crate::profile::sampling;
use crate::slow_path::junk;
use crate::stats;

#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;

/// Makes sure that a static library keeps this file.
pub(crate) fn keep() {
    core::hint::black_box(&AT_EXIT);
}

extern "C" fn at_exit() {
    // A process that never called malloc has its options read now, if it has any.
    if PROCESS.barrier.phase() == Phase::Yours && start::has_options() {
        drop(thread::access());
    }
    if matches!(PROCESS.barrier.phase(), Phase::Yours | Phase::Starting) {
        return;
    }
    let options = PROCESS.options();
    let mut print = |bytes: &[u8]| PROCESS.reports.write(bytes);
    if options.diag > 0 {
        stats::lanes::report(options.profile.name, &PROCESS.tally, &mut print);
        if options.diag > 1 {
            stats::lanes::report_classes(&PROCESS.tally, &mut print);
        }
    }
    if (options.stats || options.stats_file.is_some()) && PROCESS.is_ready() {
        PROCESS.reporter.write();
    }
    if let Some(mode) = PROCESS.mode.get() {
        (mode.report)(&mut print);
    }
    if PROCESS.is_ready() {
        sampling::end(options);
    }
    if options.leaks && PROCESS.is_ready() {
        junk::end_with_leaks();
    }
}
