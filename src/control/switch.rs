//! The mode in force, for programs that ask for its name or switch it.

use core::ffi::CStr;

use super::start;
use crate::config;
use crate::modes::counting::{self, COUNTING};
use crate::slow_path::table::{IN_FORCE, Refusal};

/// The name of the mode in force.
pub(crate) fn mode_name() -> &'static CStr {
    start::ensure();
    IN_FORCE.get().map_or(c"fast", |mode| mode.name)
}

/// Puts the mode of that name into force. Only `fast` and `counting` can be switched, into each other: neither keeps
/// anything about a block, so blocks of one are blocks of the other.
pub(crate) fn set_mode(name: &[u8]) -> Result<(), Refusal> {
    let wanted = config::Mode::named(name).ok_or(Refusal::Unknown)?;
    if mode_name().to_bytes() == name {
        return Ok(());
    }
    match (wanted, IN_FORCE.get()) {
        (config::Mode::Counting, None) => counting::switch(true),
        (config::Mode::Fast, Some(mode)) if core::ptr::eq(mode, &COUNTING) => counting::switch(false),
        _ => return Err(Refusal::Unsafe),
    }
    Ok(())
}
