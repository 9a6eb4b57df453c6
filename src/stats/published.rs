#![expect(unsafe_code, reason = "exports a symbol")]
//! The descriptor of this process, by the name under which tools find it.

use crate::process::state::{PROCESS, Process};
use crate::stats::descriptor::Descriptor;
use crate::sys::cell::SetOnce;
use crate::sys::memory::{self, CALL_KINDS};

/// All zeroes until the allocator has started, and in a process that libc serves.
#[cfg_attr(feature = "export", unsafe(no_mangle))]
#[cfg_attr(not(feature = "export"), expect(non_upper_case_globals, reason = "a name of C"))]
pub(crate) static spandrel_live: SetOnce<Descriptor> = SetOnce::new();

/// Writes the descriptor. Part of the start.
pub(crate) fn describe(process: &Process) {
    let descriptor = Descriptor::of(
        process.options().profile.name,
        [memory::calls_address(), CALL_KINDS],
        process.central.pages.descriptor(),
        process.central.descriptor(),
        process.registry.layout(),
    );
    // SAFETY: the start happens once, and nobody in the process reads it.
    unsafe { spandrel_live.set(descriptor) };
}

/// The descriptor; `None` until the allocator has started.
pub(crate) fn descriptor() -> Option<Descriptor> {
    // SAFETY: the start has written it.
    PROCESS.is_ready().then(|| *unsafe { spandrel_live.get() })
}
