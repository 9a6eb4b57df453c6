//! Which mode is in force: chosen by the options at start, and switched where that is safe.

use core::ffi::CStr;

use super::requests;
use crate::config::{self, Options};
use crate::modes::counting::{self, COUNTING};
use crate::modes::custom::{self, CUSTOM};
use crate::modes::guarded::{self, GUARDED};
use crate::modes::hardened::{self, HARDENED};
use crate::modes::tracked::{self, TRACKED};
use crate::slow_path::mode::{self, LIBC, ModeTable, Refusal};

/// The table of the mode that `options` ask for, ready to serve; none for the default mode.
pub(crate) fn chosen(options: &Options, page: usize) -> Option<&'static ModeTable> {
    match options.mode() {
        config::Mode::Fast => None,
        config::Mode::Custom => {
            custom::begin();
            Some(&CUSTOM)
        }
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
    requests::is_active();
    mode::in_force().map_or(c"fast", |mode| mode.name)
}

/// Puts the mode of that name into force. Only `fast` and `counting` can be switched, into each other: neither knows anything of a
/// block that the other does not.
pub(crate) fn set_mode(name: &[u8]) -> Result<(), Refusal> {
    let wanted = config::Mode::named(name).ok_or(Refusal::Unknown)?;
    if mode_name().to_bytes() == name {
        return Ok(());
    }
    match (wanted, mode::in_force()) {
        (config::Mode::Counting, None) => counting::switch(true),
        (config::Mode::Fast, Some(mode)) if core::ptr::eq(mode, &COUNTING) => counting::switch(false),
        _ => return Err(Refusal::Unsafe),
    }
    Ok(())
}
