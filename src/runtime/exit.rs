#![expect(unsafe_code, reason = "registers a function that runs at exit")]
//! The end of the process: the reports that were asked for.

use super::process::PROCESS;
use crate::observe;
use crate::sys::call;

const STANDARD_ERROR: i32 = 2;

#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;

/// Makes sure that a static library keeps this file.
pub(super) fn keep() {
    core::hint::black_box(&AT_EXIT);
}

extern "C" fn at_exit() {
    use super::barrier::Phase;
    if matches!(PROCESS.barrier.phase(), Phase::Yours | Phase::Starting) {
        return;
    }
    let options = PROCESS.options();
    let mut print = |bytes: &[u8]| call::write(STANDARD_ERROR, bytes);
    if options.diag {
        observe::lanes::report(&PROCESS.tally, &mut print);
    }
    if options.stats && PROCESS.is_ready() {
        observe::text::report(&super::snapshot(), &mut print);
    }
}
