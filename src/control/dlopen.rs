//! What happens to the flags of `dlopen`.

use super::start;
use crate::config::Mode;
use crate::process::barrier::Phase;
use crate::process::state::PROCESS;
use crate::sys::libc as system;

pub(crate) use system::next_dlopen;

/// The flags with which an object is opened that was to be opened with `flags`. RTLD_DEEPBIND goes, unless the option keeps it, or
/// libc serves the process, whose malloc every object finds then.
pub(crate) fn flags_of_dlopen(flags: i32) -> i32 {
    if flags & libc::RTLD_DEEPBIND == 0 || keeps_deepbind() { flags } else { flags & !libc::RTLD_DEEPBIND }
}

fn keeps_deepbind() -> bool {
    start::ensure();
    match PROCESS.barrier.phase() {
        // The options are not known yet. Whatever they say, a block that both allocators know of is the worse.
        Phase::Yours | Phase::Starting => false,
        Phase::Ready => PROCESS.options().keep_deepbind,
        Phase::Libc => PROCESS.options().keep_deepbind || PROCESS.options().mode() == Mode::Libc,
    }
}
