//! Which mode is in force: chosen by the options at start, and switched where that is safe.

use core::ffi::CStr;

use crate::config::{self, Options};
use crate::control::introspect;
use crate::modes::counting::{self, COUNTING};
use crate::modes::custom::CUSTOM;
use crate::modes::guarded::{self, GUARDED};
use crate::modes::hardened::{self, HARDENED};
use crate::modes::tracked::{self, TRACKED};
use crate::process::state::PROCESS;
use crate::slow_path::mode::{LIBC, ModeTable};

/// Why a mode is not switched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// There is no such mode.
    Unknown,
    /// There is no room for more functions.
    TooMany,
    /// Blocks made before would not be known to it, or the process is in a mode that cannot be left.
    Unsafe,
}

/// The table of the mode that `options` ask for, ready to serve; none for the default mode.
pub(crate) fn chosen(options: &Options, page: usize) -> Option<&'static ModeTable> {
    match options.mode() {
        config::Mode::Fast => None,
        config::Mode::Custom => Some(&CUSTOM),
        config::Mode::Libc => Some(&LIBC),
        config::Mode::Counting => Some(&COUNTING),
        config::Mode::Guarded => {
            guarded::begin(options, page);
            Some(&GUARDED)
        }
        config::Mode::Hardened => {
            hardened::begin(options);
            Some(&HARDENED)
        }
        config::Mode::Tracked => {
            tracked::begin();
            Some(&TRACKED)
        }
    }
}

/// The name of the mode in force.
pub(crate) fn mode_name() -> &'static CStr {
    introspect::is_active();
    PROCESS.mode.get().map_or(c"fast", |mode| mode.name)
}

/// Puts the mode of that name into force. Only `fast` and `counting` can be switched, into each other: neither knows anything of a
/// block that the other does not.
pub(crate) fn set_mode(name: &[u8]) -> Result<(), Refusal> {
    let wanted = config::Mode::named(name).ok_or(Refusal::Unknown)?;
    if mode_name().to_bytes() == name {
        return Ok(());
    }
    match (wanted, PROCESS.mode.get()) {
        (config::Mode::Counting, None) => counting::switch(true),
        (config::Mode::Fast, Some(mode)) if core::ptr::eq(mode, &COUNTING) => counting::switch(false),
        _ => return Err(Refusal::Unsafe),
    }
    Ok(())
}
